/* daemon/rank.h - all that one worker process is made of, from a Load to its last step.
 * Thread: the main one. */
#ifndef GEMMAD_DAEMON_RANK_H
#define GEMMAD_DAEMON_RANK_H

#include "daemon/worker_message.h"

struct rank;

struct rank_progress {
    void (*tell)(void *context, size_t done_bytes, size_t total_bytes);
    void *context;
};

/* Loads the shard and makes everything ready for the first step. files [CONTROL_N_FILES] stay the
 * caller's. The status and the message say what is wrong with the checkpoint, the machine, or the
 * coordinator's numbers. */
NODISCARD enum status rank_load(const struct worker_load *load, const int *files,
                                const struct rank_progress *progress, struct rank **out,
                                struct error *err);
void rank_destroy(struct rank *rank);

/* What Ready tells. */
void rank_describe(const struct rank *rank, struct worker_ready *out);

/* Runs steps for as long as the process lives; returns only when this rank is broken, with why. */
enum status rank_run(struct rank *rank, struct error *err);

#endif
