/* media/child.h - one gemmad-media as the coordinator sees it: a process that answers jobs, or does
 * not.
 *
 * No orphan ever: the child asks the kernel to be killed when the thread that started it ends (so
 * that thread lives as long as the child), and ends itself when its socket closes.
 * Thread: one at a time. */
#ifndef GEMMAD_MEDIA_CHILD_H
#define GEMMAD_MEDIA_CHILD_H

#include <stdint.h>
#include <sys/types.h>

#include "base/status.h"
#include "media/protocol.h"

struct media_child {
    pid_t pid; /* 0: none */
    int socket_fd;
};

/* Starts program and waits for its hello. FAILED_PRECONDITION: it cannot be started, or is no
 * gemmad-media of this build. */
NODISCARD enum status media_child_start(const char *program, uint64_t max_bytes,
                                        struct media_child *out, struct error *err);

/* Kills it and waits; none is fine. */
void media_child_kill(struct media_child *child);

/* UNAVAILABLE: it died. DEADLINE_EXCEEDED: it did not answer in time. INTERNAL: its answer makes no
 * sense. After each of these it is to be killed. */
NODISCARD enum status media_child_ask(struct media_child *child, const struct protocol_job *job,
                                      int memory_fd, uint64_t timeout_ns,
                                      struct protocol_answer *out, struct error *err);

#endif
