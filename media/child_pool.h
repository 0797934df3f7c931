/* media/child_pool.h - children of gemmad-media, lent to one caller each: as many as callers need
 * at once, up to a limit, started when they are needed and kept. Thread: any. */
#ifndef GEMMAD_MEDIA_CHILD_POOL_H
#define GEMMAD_MEDIA_CHILD_POOL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"
#include "media/child.h"

struct child_pool;

#define CHILD_POOL_MAX_CHILDREN 64

/* Starts the first child. INVALID_ARGUMENT: n_children is not 1 to CHILD_POOL_MAX_CHILDREN.
 * FAILED_PRECONDITION: the program cannot be run. */
NODISCARD enum status child_pool_create(const char *program, uint32_t n_children,
                                        uint64_t max_child_bytes, struct child_pool **out,
                                        struct error *err);
void child_pool_destroy(struct child_pool *pool); /* no child is lent; NULL is fine */

/* RESOURCE_EXHAUSTED: none came free in time. */
NODISCARD enum status child_pool_take(struct child_pool *pool, uint64_t timeout_ns,
                                      struct media_child **out, struct error *err);
/* usable false: it is killed, and another started in its place when one is needed. */
void child_pool_give_back(struct child_pool *pool, struct media_child *child, bool usable);

#endif
