/* device/core_watch.h - how many of a team's threads have a core to run on.
 *
 * The kernel counts how long each thread was ready to run and did not (its schedstat). Every 20 ms
 * that is looked at; when the threads together lost a quarter of a core or more, as many threads as
 * they lost cores are left out for 160 ms, then all are tried again. In a machine or container that
 * does not tell, nobody is ever left out.
 * Thread: the team's caller, but for core_watch_add. */
#ifndef GEMMAD_DEVICE_CORE_WATCH_H
#define GEMMAD_DEVICE_CORE_WATCH_H

#include <stdatomic.h>
#include <stdint.h>

struct core_watch {
    uint32_t n_threads;
    uint32_t n_useful;
    _Atomic int *files; /* [n_threads], of schedstat; -1: none */
    uint64_t *delays;   /* [n_threads] ns, at the last look */
    uint64_t looked_ns;
    uint64_t whole_ns; /* when all are tried again, if some are left out */
};

void core_watch_init(struct core_watch *watch, uint32_t n_threads);
void core_watch_finish(struct core_watch *watch); /* one that was only zeroed is fine */
/* A thread of the team says that it is this one. */
void core_watch_add(struct core_watch *watch, uint32_t thread);
/* How many threads should take part in a task that begins now: at least one. */
uint32_t core_watch_n_useful(struct core_watch *watch);

#endif
