/* model/weights.h - one rank's shard of the text model, packed for its kernels.
 *
 * Loading plans the memory, then maps the file in which the weights were packed before
 * (model/weights_cache.h), or packs them in parallel on the stream's threads and leaves it to a
 * thread to save them; it reports progress. Norm weights and scalars are f32; linears are packed
 * matrices in the weights' format. Owns its memory; the per-layer
 * embedding table stays mapped. Thread: read-only after load. */
#ifndef GEMMAD_MODEL_WEIGHTS_H
#define GEMMAD_MODEL_WEIGHTS_H

#include "device/memory.h"
#include "device/stream.h"
#include "kernels/types.h"
#include "model/config.h"

struct layer_weights {
    const float *input_layernorm, *post_attention_layernorm; /* [hidden_size] */
    const float *pre_feedforward_layernorm, *post_feedforward_layernorm;
    const float *q_norm; /* [head_dim] */
    const float *k_norm; /* [head_dim]; of kv_source for shared layers */
    float layer_scalar;
    struct packed_matrix qkv;     /* [q | k | v rows of this rank, hidden_size]: q alone when KV is
                                     shared, q and k when k_eq_v */
    struct packed_matrix o;       /* [hidden_size, q columns of this rank], leaves */
    struct packed_matrix gate_up; /* [gate | up rows of this rank, hidden_size] */
    struct packed_matrix down;    /* [hidden_size, mlp columns of this rank], leaves */
    uint32_t q_rows, kv_rows;     /* of this rank: heads * head_dim */
    uint32_t mlp_rows;            /* gate rows of this rank */
    /* per-layer inputs (hidden_size_per_layer_input > 0) */
    struct packed_matrix per_layer_input_gate; /* [P, hidden_size] */
    struct packed_matrix per_layer_projection; /* [hidden_size, P] */
    const float *post_per_layer_input_norm;
    /* experts (num_experts > 0) */
    struct packed_matrix router;   /* [num_experts, hidden_size] */
    const float *router_scale;     /* [hidden_size] */
    const float *per_expert_scale; /* [num_experts] */
    const float *pre_feedforward_layernorm_2, *post_feedforward_layernorm_1,
        *post_feedforward_layernorm_2;
    struct packed_matrix *expert_gate_up; /* [experts of this rank]: [gate | up, hidden_size] */
    struct packed_matrix *expert_down; /* [experts of this rank]: [hidden_size, moe_intermediate] */
};

struct model_weights {
    struct packed_matrix embed_tokens; /* [vocabulary rows of this rank, hidden_size] */
    struct packed_matrix lm_head;      /* the same as embed_tokens when tied */
    uint32_t vocab_begin;              /* first vocabulary row of this rank */
    const float *norm;
    struct raw_matrix embed_tokens_per_layer; /* [vocab_size_per_layer_input, L * P], mapped */
    struct packed_matrix per_layer_model_projection; /* [L * P, hidden_size] */
    const float *per_layer_projection_norm;          /* [P] */
    uint32_t expert_begin, n_experts;                /* of this rank */
    struct layer_weights *layers;                    /* [num_hidden_layers] */
    uint32_t n_layers;
    struct device_buffer memory;   /* everything above that is not mapped */
    struct weights_saving *saving; /* NULL, or who puts memory in a file (model/weights_save.h) */
};

/* What linears are packed as; the router, small and sensitive, always stays as with auto. */
enum weights_format {
    WEIGHTS_AUTO, /* as stored (COMPUTE_F32), bf16 (COMPUTE_BF16) */
    WEIGHTS_BF16,
    WEIGHTS_INT8, /* blocks of 32 inputs with an f16 scale */
    WEIGHTS_INT4, /* the same for the large ones; vocabulary and per-layer inputs in int8 */
};

#define WEIGHTS_CACHE_FOLDERS 2

struct model_load_options {
    uint32_t rank, world_size;
    enum compute compute;
    enum weights_format weights;
    /* Called now and then from the loading thread with bytes packed so far; may be NULL. */
    void (*progress)(void *context, size_t done_bytes, size_t total_bytes);
    void *progress_context;
    /* Where packed weights are looked for and, if they are nowhere, kept: the first folder that can
     * be used, made when it is not there. NULL: none, or no more. */
    const char *cache_folders[WEIGHTS_CACHE_FOLDERS];
    /* What became of that, as keys and values for a log; trouble: not what was asked for. Also from
     * a thread that saves weights, until they are destroyed. May be NULL. */
    void (*cache_note)(void *context, bool trouble, const char *text);
    void *cache_context;
};

struct checkpoint; /* model/checkpoint.h: the folder's safetensors, mapped and checked */

/* config is the checkpoint's, which must stay open as long as the weights. world_size is 1, 2, 4 or
 * 8 and divides num_attention_heads: else INVALID_ARGUMENT. */
NODISCARD enum status model_weights_load(const struct model_config *config,
                                         const struct checkpoint *checkpoint,
                                         const struct model_load_options *options,
                                         struct device_stream *stream, struct model_weights **out,
                                         struct error *err);
/* Asks the disk for rows of the mapped table, all at once, before they are gathered; and, when they
 * were, takes the table's pages out of this process. They stay in the page cache: what every token
 * ever seen has touched must not count as this process's memory. */
void model_weights_rows_ahead(const struct model_weights *weights, const uint32_t *ids, uint32_t n);
void model_weights_rows_done(const struct model_weights *weights);
void model_weights_destroy(struct model_weights *weights);

#endif
