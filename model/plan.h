/* model/plan.h - the memory of one rank, line by line, before anything is allocated: packed weights
 * (counted by the plan that loading follows), activations, pages of keys and values.
 *
 * Pages take what remains, up to what max_slots sequences of max_context tokens could hold; at
 * least one such sequence must fit. Sliding groups first get a window for every slot, as long as
 * that leaves the larger half to groups that keep everything. Thread: plain values. */
#ifndef GEMMAD_MODEL_PLAN_H
#define GEMMAD_MODEL_PLAN_H

#include "base/text_buffer.h"
#include "model/checkpoint.h"
#include "model/kv_layout.h"
#include "model/weights.h"

struct model_plan_limits {
    uint32_t world_size;
    enum compute compute;
    enum weights_format weights;
    uint32_t page_tokens;
    uint32_t max_rows;        /* of a step */
    uint32_t max_logits_rows; /* of a text_model_logits call */
    uint32_t max_slots;       /* sequences that run at once */
    uint32_t max_context;     /* tokens of a sequence; 0: as many as fit, up to the model's most */
    size_t budget_bytes;      /* for all ranks of this machine */
    size_t encoder_bytes;     /* of a rank: the encoders' weights, activations and cache */
    size_t other_bytes;       /* of a rank, that its caller needs: collectives, rings */
};

struct model_plan {
    struct kv_layout layout; /* with n_pages */
    uint32_t world_size;
    uint32_t max_context;
    /* of the rank with the most */
    size_t weight_bytes, activation_bytes, encoder_bytes, kv_bytes, other_bytes;
    size_t budget_bytes; /* of a rank */
    size_t mapped_bytes; /* read in the files, by all ranks together: page cache, not counted */
};

/* RESOURCE_EXHAUSTED: it does not fit, with the numbers. INVALID_ARGUMENT: limits that make no
 * sense, a context beyond max_position_embeddings, or ranks that do not divide the model. */
NODISCARD enum status model_plan_create(const struct checkpoint *checkpoint,
                                        const struct model_plan_limits *limits,
                                        struct model_plan *out, struct error *err);

/* The lines, for a log or a terminal; each ends in a newline. */
void model_plan_write(const struct model_plan *plan, struct text_buffer *out);

/* All but the pages. */
size_t model_plan_fixed_bytes(const struct model_plan *plan);

#endif
