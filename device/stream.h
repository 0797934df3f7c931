/* device/stream.h - where ops run: on the CPU backend a team of threads on cores of its own.
 *
 * device_stream_run gives every thread of the team the same function with its number; the caller
 * is thread 0. Waiting threads spin briefly, then park on a futex. No locks, no allocation.
 * Threads may move between the team's cores, so that one whose core another process takes finds a
 * free one. A team that sheds leaves out as many threads as it has lost cores
 * (device/core_watch.h): those left need not wait, at each of a step's joins, for one that is not
 * running. Thread: one caller at a time, which is the one that created the stream. */
#ifndef GEMMAD_DEVICE_STREAM_H
#define GEMMAD_DEVICE_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

struct device_stream;

struct device_stream_config {
    uint32_t n_threads;   /* 1..256 */
    const int *cpus;      /* [n_threads] OS numbers of the cpus that they share, or NULL: any */
    size_t scratch_bytes; /* per thread, for ops; 0: the default of 4 MiB */
    uint32_t spin_us;     /* before parking; 0: the default (short when threads exceed cores) */
    bool sheds;           /* tasks get fewer threads while others take its cores */
};

NODISCARD enum status device_stream_create(const struct device_stream_config *config,
                                           struct device_stream **out, struct error *err);
void device_stream_destroy(struct device_stream *stream);

/* That the next task gets: all of them at first, and at most. */
uint32_t device_stream_n_threads(const struct device_stream *stream);

/* n_threads: those that take part, numbers 0 .. n_threads - 1; all unless the team sheds. */
typedef void device_task_fn(void *context, uint32_t thread, uint32_t n_threads);
void device_stream_run(struct device_stream *stream, device_task_fn *task, void *context);
/* Inside a task: waits until every thread that takes part is here. */
void device_stream_barrier(struct device_stream *stream);
/* Inside a task (or on thread 0 outside of one): that thread's scratch, 64-byte aligned, contents
 * undefined. */
void *device_stream_scratch(struct device_stream *stream, uint32_t thread, size_t bytes);

/* Units [0, n_units) for the threads of a task to take: each has a range of its own, neighbours
 * that memory streams through, and once it is done it takes from the end of another's. So a thread
 * that lost its core for a while holds up nobody but for the unit it is in. Called by one thread,
 * while no other takes: before the task, or between two barriers. */
void device_stream_share(struct device_stream *stream, uint32_t n_units, uint32_t n_threads);
/* False: every unit has been taken. */
bool device_stream_take(struct device_stream *stream, uint32_t thread, uint32_t n_threads,
                        uint32_t *out_unit);

size_t device_stream_scratch_bytes(const struct device_stream *stream); /* the most of a thread's */

/* The half-open share of n items (in units of grain) that a thread takes. */
static inline void device_share(size_t n, size_t grain, uint32_t thread, uint32_t n_threads,
                                size_t *begin, size_t *end)
{
    size_t n_units = (n + grain - 1) / grain;
    size_t first = n_units * thread / n_threads * grain;
    size_t last = n_units * (thread + 1) / n_threads * grain;
    *begin = first < n ? first : n;
    *end = last < n ? last : n;
}

#endif
