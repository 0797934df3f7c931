/* model/text.h - the text forward pass of one rank: tokens in, logits out (gemma4-model.md
 * section 3), for all three kinds: dense, experts, per-layer inputs.
 *
 * Every rank runs the same calls with the same batch; the collectives inside keep them together.
 * A forward pass writes the step's keys and values, then leaves the final hidden rows that were
 * asked for, from which text_model_logits makes logits piece by piece (262144 of them a row).
 * All memory is reserved at creation. Thread: the worker's step thread. */
#ifndef GEMMAD_MODEL_TEXT_H
#define GEMMAD_MODEL_TEXT_H

#include "kernels/ops.h"
#include "kvcache/storage.h"
#include "model/config.h"
#include "model/kv_layout.h"
#include "model/weights.h"
#include "tp/comm.h"

struct text_model;

struct text_model_config {
    const struct model_config *config;
    const struct model_weights *weights;
    const struct kv_layout *layout;
    struct kv_storage *storage;
    const struct ops *ops;
    struct device_stream *stream;
    struct tp_comm *comm;
    enum compute compute; /* what ops was selected for */
    /* Sees the hidden rows after each layer; NULL but in tests and diagnosis. */
    void (*observe)(void *context, uint32_t layer, const float *hidden, uint32_t n_rows);
    void *observe_context;
    uint32_t max_rows;        /* of a step */
    uint32_t max_logits_rows; /* of one text_model_logits call */
    uint32_t max_seqs;
};

/* Bytes of activations and logits that a rank reserves, for the memory plan. */
size_t text_model_activation_bytes(const struct model_config *config, uint32_t world_size,
                                   uint32_t max_rows, uint32_t max_logits_rows, uint32_t max_seqs);

NODISCARD enum status text_model_create(const struct text_model_config *config,
                                        struct text_model **out, struct error *err);
void text_model_destroy(struct text_model *model);

/* Soft tokens (model/encoder.h) that take the place of embeddings. */
struct text_splice {
    uint32_t row, n_rows; /* of the batch; n_rows at least 1 */
    const float *rows;    /* [n_rows, hidden_size] */
    bool is_block; /* image or frame: neighbouring block splices of a sequence are one block, whose
                      rows see each other where the model's images do (section 3.6) */
};

/* One step. Sequence s has rows row_offsets[s] .. row_offsets[s + 1] - 1 at consecutive positions
 * from first_position[s], in the tables' slot slots[s]. The hidden rows of its last
 * n_logits_rows[s] rows are kept. All of it was range-checked by step_open. */
struct text_batch {
    uint32_t n_seqs;
    uint32_t n_rows;
    const uint32_t *tokens;            /* [n_rows] */
    const uint32_t *row_offsets;       /* [n_seqs + 1] */
    const uint32_t *first_position;    /* [n_seqs] */
    const uint32_t *slots;             /* [n_seqs] */
    const uint32_t *n_logits_rows;     /* [n_seqs], each at most the sequence's rows */
    const struct text_splice *splices; /* [n_splices], rows ascending, none overlaps */
    uint32_t n_splices;
};

/* UNAVAILABLE: a peer is gone (tp/comm.h). *out_n_rows: hidden rows kept, by sequence, in order. */
NODISCARD enum status text_model_forward(struct text_model *model, const struct text_batch *batch,
                                         uint32_t *out_n_rows, struct error *err);

/* Logits after softcap of kept rows [first, first + n), n <= max_logits_rows. On rank 0 *out is
 * [n, vocab_size] f32 until the next call; on other ranks NULL. */
NODISCARD enum status text_model_logits(struct text_model *model, uint32_t first, uint32_t n,
                                        float **out, struct error *err);

#endif
