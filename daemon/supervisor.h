/* daemon/supervisor.h - the group of workers: starts one process per rank, hands each its load,
 * watches them, and starts the group again when one of them dies.
 *
 * There is no repair in place: whatever goes wrong with one worker ends all of them. The first
 * start may not fail; later ones are retried after a pause that grows, until there were more than
 * max_restarts within restart_window_ns.
 * Thread: the main thread (daemon/worker_process.h says why); callbacks run inside
 * supervisor_start and supervisor_handle. */
#ifndef GEMMAD_DAEMON_SUPERVISOR_H
#define GEMMAD_DAEMON_SUPERVISOR_H

#include <stdbool.h>

#include "daemon/control.h"
#include "daemon/worker_message.h"

struct supervisor;

struct supervisor_events {
    /* Every rank is ready. files [CONTROL_N_FILES] stay the supervisor's, until on_lost. */
    void (*on_up)(void *context, const int *files, const struct worker_ready *ready,
                  uint32_t world_size);
    /* The group that was up is gone (all its processes are); it will be started again. */
    void (*on_lost)(void *context, const struct error *cause);
    /* It will not be started again: the first start failed, or too many later ones. */
    void (*on_failed)(void *context, const struct error *cause);
    /* Bytes that are loaded, over all ranks. */
    void (*on_progress)(void *context, uint64_t done_bytes, uint64_t total_bytes);
};

struct supervisor_config {
    const char *worker_path;
    const char *build_id;            /* that a worker's Hello has to have */
    const struct worker_load *loads; /* [world_size], by rank; copied */
    uint32_t world_size;
    size_t file_bytes[CONTROL_N_FILES];
    uint64_t load_timeout_ns; /* without progress */
    uint32_t max_restarts;
    uint64_t restart_window_ns;
    struct supervisor_events events;
    void *context;
};

NODISCARD enum status supervisor_create(const struct supervisor_config *config,
                                        struct supervisor **out, struct error *err);
/* Kills and reaps what is left. */
void supervisor_destroy(struct supervisor *supervisor);

/* Starts the group for the first time. Failures come through on_failed. */
void supervisor_start(struct supervisor *supervisor, uint64_t now_ns);

/* Readable (for poll) when supervisor_handle has something to do; also due at the deadline
 * (UINT64_MAX: none). */
int supervisor_fd(const struct supervisor *supervisor);
uint64_t supervisor_deadline_ns(const struct supervisor *supervisor);
void supervisor_handle(struct supervisor *supervisor, uint64_t now_ns);

/* The group that is up is of no use (its results make no sense): ends it as if a worker had died.
 */
void supervisor_distrust(struct supervisor *supervisor, const struct error *cause, uint64_t now_ns);

/* No more restarts; asks the workers to leave. Over when n_alive is 0. */
void supervisor_stop(struct supervisor *supervisor);
uint32_t supervisor_n_alive(const struct supervisor *supervisor);

/* Logs each worker's state, and asks each to log its own. */
void supervisor_report(struct supervisor *supervisor);

#endif
