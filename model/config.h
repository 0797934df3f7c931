/* model/config.h - what a checkpoint's config.json says, resolved: every rule of gemma4-model.md
 * section 2 applied once, so that the rest of the program reads plain numbers.
 *
 * Names are those of the published config. All values are range-checked; arrays per layer.
 * Thread: read-only after load. */
#ifndef GEMMAD_MODEL_CONFIG_H
#define GEMMAD_MODEL_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "kernels/types.h"

#define MODEL_MAX_LAYERS 256
#define MODEL_MAX_EOS 8
#define MODEL_TOKEN_NONE UINT32_MAX

enum layer_kind { LAYER_SLIDING, LAYER_FULL };

struct layer_config {
    enum layer_kind kind;
    uint32_t head_dim;
    uint32_t num_key_value_heads;
    uint32_t intermediate_size; /* doubled where use_double_wide_mlp says so */
    bool k_eq_v;                /* full layer with attention_k_eq_v: no v_proj */
    bool kv_shared;             /* no k_proj, v_proj, k_norm: reads kv_source's cache */
    uint32_t kv_source;         /* the layer whose cache it reads: itself unless kv_shared */
};

struct rope_config {
    double rope_theta;
    double partial_rotary_factor; /* full layers; 1 for sliding ones */
    double factor;
};

/* The encoder of images and frames (section 1.2). num_hidden_layers 0: the model has no such tower.
 */
struct vision_config {
    uint32_t num_hidden_layers;
    uint32_t hidden_size;
    uint32_t intermediate_size;
    uint32_t num_attention_heads;     /* of queries, keys and values */
    uint32_t head_dim;                /* a multiple of 4 */
    uint32_t position_embedding_size; /* patches by which an image may be wide or high */
    float rms_norm_eps;
    double rope_theta;
    bool standardize;
    bool use_clipped_linears;
};

/* The encoder of audio (section 1.3). num_hidden_layers 0: the model has no such tower. */
struct audio_config {
    uint32_t num_hidden_layers;
    uint32_t hidden_size;
    uint32_t num_attention_heads; /* divides hidden_size */
    uint32_t subsampling_conv_channels[2];
    uint32_t conv_kernel_size;
    uint32_t attention_chunk_size;
    uint32_t
        attention_context_left; /* a query sees this many positions less one, its own included */
    uint32_t output_proj_dims;
    float residual_weight;
    float attention_logit_cap;
    float gradient_clipping;
    float rms_norm_eps;
    bool use_clipped_linears;
};

/* What unified models have in the place of towers: pixels and samples are projected. */
struct unified_config {
    uint32_t mm_embed_dim;   /* 0: no images */
    uint32_t mm_posemb_size; /* soft tokens by which an image may be wide or high */
    float vision_rms_norm_eps;
    uint32_t audio_embed_dim; /* samples of a frame; 0: no audio */
    float audio_rms_norm_eps;
};

struct model_config {
    char model_type[64];  /* of the top object */
    char text_prefix[64]; /* filled in by the checkpoint: "model.language_model." or another */
    uint32_t vocab_size;
    uint32_t hidden_size;
    uint32_t num_hidden_layers;
    uint32_t num_attention_heads;
    uint32_t sliding_window;
    uint32_t max_position_embeddings;
    uint32_t hidden_size_per_layer_input; /* 0: no per-layer inputs */
    uint32_t vocab_size_per_layer_input;
    uint32_t first_kv_shared_layer; /* num_hidden_layers if none is shared */
    uint32_t num_experts;           /* 0: no MoE block */
    uint32_t top_k_experts;
    uint32_t moe_intermediate_size;
    float rms_norm_eps;
    float final_logit_softcapping; /* 0: none */
    bool attention_k_eq_v;
    bool tie_word_embeddings;
    bool bidirectional_images;  /* use_bidirectional_attention "vision" */
    struct rope_config rope[2]; /* by enum layer_kind */
    enum dtype dtype;           /* as the file says (torch_dtype or dtype); bf16 if silent */
    struct layer_config layers[MODEL_MAX_LAYERS];
    uint32_t bos_token_id, pad_token_id;
    /* MODEL_TOKEN_NONE if absent. With an encoder its soft token, begin and end are there; frames
     * stand between boi and eoi, too. */
    uint32_t image_token_id, audio_token_id, video_token_id;
    uint32_t boi_token_id, eoi_token_id, boa_token_id, eoa_token_id;
    struct vision_config vision;
    struct audio_config audio;
    struct unified_config unified;
    uint32_t vision_soft_tokens_per_image; /* the most, unless a request says otherwise: 70, 140,
                                              280, 560 or 1120 */
    /* eos of config.json and its text_config; generation_config.json and the tokenizer add theirs
     */
    uint32_t eos_token_ids[MODEL_MAX_EOS];
    uint32_t n_eos_token_ids;
};

/* INVALID_ARGUMENT names the key: "config.json: text_config.layer_types[3]: ...". UNIMPLEMENTED:
 * a model this build does not serve (use_bidirectional_attention "all", another architecture).
 * Warnings (a last layer forced to full attention) go to the debug log and *out stays valid. */
NODISCARD enum status model_config_load(const char *path, struct model_config *out,
                                        struct error *err);
NODISCARD enum status model_config_parse(const char *json, size_t n, const char *name,
                                         struct model_config *out, struct error *err);

/* How many of head_dim / 2 pairs a layer kind rotates. */
uint32_t model_rotated(const struct model_config *config, enum layer_kind kind, uint32_t head_dim);
/* inv_freq [head_dim / 2] of a layer kind (section 2.6), in f32; *out_rotated: how many are not 0.
 */
void model_inv_freq(const struct model_config *config, enum layer_kind kind, uint32_t head_dim,
                    float *out, uint32_t *out_rotated);

#endif
