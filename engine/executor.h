/* engine/executor.h - a worker's life: read a step, run it on this rank's shard, again.
 *
 * Every rank applies the same page updates, runs the same forward pass and takes part in the same
 * collectives; rank 0 samples, tells the others the tokens, and publishes the result.
 * All memory is reserved at creation. Thread: the step thread calls executor_run; another thread
 * ends it by ring_close on the step ring or tp_abort. */
#ifndef GEMMAD_ENGINE_EXECUTOR_H
#define GEMMAD_ENGINE_EXECUTOR_H

#include "engine/ring.h"
#include "engine/soft_tokens.h"
#include "engine/step.h"
#include "model/text.h"

struct executor;

struct executor_config {
    struct step_limits limits;
    struct text_model *model;
    struct soft_tokens *soft; /* NULL where the limits say that no media are served */
    struct kv_storage *storage;
    struct device_stream *stream;
    struct tp_comm *comm;
    struct ring *steps;   /* reader end; NULL where only executor_step is used, without masks */
    struct ring *results; /* writer end; NULL on ranks other than 0 */
    uint32_t max_logits_rows;
    uint64_t mask_timeout_ns; /* how long rank 0 waits for a step's masks; 0: 60 s */
};

/* INVALID_ARGUMENT: limits that make no sense, or media in them without soft. */
NODISCARD enum status executor_create(const struct executor_config *config, struct executor **out,
                                      struct error *err);
void executor_destroy(struct executor *executor);

/* Runs steps until the step ring is closed: OK. Any other status means this rank is broken (a bad
 * descriptor, a peer gone) and its process should end. */
NODISCARD enum status executor_run(struct executor *executor, struct error *err);

/* Runs one step message, and takes its masks from the ring if it has masked sequences (they and
 * the step stay unreleased); *out is the result message in memory of the executor (rank 0; NULL on
 * others), valid until the next call. executor_run is made of it; tests call it directly. */
NODISCARD enum status executor_step(struct executor *executor, const void *message, size_t n,
                                    const void **out, size_t *out_n, struct error *err);

#endif
