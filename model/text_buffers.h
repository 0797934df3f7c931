/* model/text_buffers.h - the activations of the text forward pass: one mapping, cut into pieces
 * once. model/text.c says what each holds when. */
#ifndef GEMMAD_MODEL_TEXT_BUFFERS_H
#define GEMMAD_MODEL_TEXT_BUFFERS_H

#include "device/memory.h"
#include "model/config.h"

struct text_buffer_sizes {
    size_t n_rows, n_seqs;
    size_t hidden_size;
    size_t query_width;     /* of query_finish's output, over the layers' widest */
    size_t wide_width;      /* qkv, attention output, gate and up, per-layer gate */
    size_t sums_width;      /* hidden_size, doubled with experts */
    size_t angle_width;     /* cos and sin of each (layer kind, head_dim) */
    size_t n_groups;        /* of the KV layout */
    size_t per_layer_width; /* layers * per-layer inputs, or 0 */
    size_t n_logits_rows, vocab_size;
};

struct text_buffers {
    struct device_buffer memory;
    float *hidden;            /* [n_rows, hidden_size]: the residual stream, then the final norm */
    float *normed;            /* [n_rows, hidden_size] */
    float *query;             /* [n_rows, query_width] */
    float *wide;              /* [n_rows, wide_width] */
    float *sums;              /* [n_rows, sums_width]: what the all-reduce adds */
    float *per_layer;         /* [n_rows, per_layer_width] */
    float *context;           /* [n_rows, per_layer_width] */
    float *logits;            /* [n_logits_rows, vocab_size]; rank 0's alone are whole */
    uint32_t *positions;      /* [n_rows] */
    uint32_t *embed_ids;      /* [n_rows] */
    uint32_t *last_positions; /* [n_rows]: that a row sees in sliding layers */
    float *angles;            /* angle_width * n_rows, by (layer kind, head_dim) */
    uint32_t *slots;          /* [n_groups, n_rows] */
    uint32_t *row_offsets;    /* [n_seqs + 1] */
    uint32_t *first_position; /* [n_seqs] */
    const uint32_t **block_tables; /* [n_groups, n_seqs] */
};

struct text_buffer_sizes text_buffer_sizes(const struct model_config *config, uint32_t world_size,
                                           uint32_t max_rows, uint32_t max_logits_rows,
                                           uint32_t max_seqs);
size_t text_buffers_bytes(const struct text_buffer_sizes *sizes);
NODISCARD enum status text_buffers_create(const struct text_buffer_sizes *sizes,
                                          struct text_buffers *out, struct error *err);
void text_buffers_destroy(struct text_buffers *buffers);

#endif
