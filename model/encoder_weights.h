/* model/encoder_weights.h - the weights of the vision and audio encoders, packed for the kernels.
 *
 * Every rank has all of them: rows are divided over ranks, not weights. Matrices are bf16 or as
 * stored (COMPUTE_F32), never coarser; norms, biases and clip bounds are f32 (values of bf16 with
 * COMPUTE_BF16). What a model does not have is zero. Once packed they are kept in one file that all
 * ranks of a machine map (model/weights_cache.h). Owns its memory; tables of positions stay in the
 * checkpoint's files, which must stay open. Thread: read-only after load. */
#ifndef GEMMAD_MODEL_ENCODER_WEIGHTS_H
#define GEMMAD_MODEL_ENCODER_WEIGHTS_H

#include "device/memory.h"
#include "device/stream.h"
#include "kernels/types.h"
#include "model/config.h"
#include "model/weights.h"

/* clamp(clamp(x, input_min, input_max) . matrix^T, output_min, output_max); without
 * use_clipped_linears the bounds are infinite. */
struct encoder_linear {
    struct packed_matrix matrix;
    float input_min, input_max, output_min, output_max;
};

struct vision_layer_weights {
    const float *input_layernorm, *post_attention_layernorm; /* [hidden_size] */
    const float *pre_feedforward_layernorm, *post_feedforward_layernorm;
    const float *q_norm, *k_norm; /* [head_dim], in the order of the file */
    /* A head's outputs in q and k are quarters 0, 2, 1, 3 of the file's, so that the rotation by
     * both axes is one half-split rotation. */
    struct encoder_linear q, k; /* [heads * head_dim, hidden_size] */
    struct encoder_linear v, o; /* o [hidden_size, heads * head_dim] */
    struct encoder_linear gate, up, down;
};

struct vision_weights {
    struct packed_matrix input_proj; /* [hidden_size, 768] */
    struct raw_matrix
        position_embedding;              /* [2 * position_embedding_size, hidden_size]: x, then y */
    const float *std_bias, *std_scale;   /* [hidden_size], or NULL */
    struct packed_matrix projection;     /* [hidden_size of the text, hidden_size] */
    struct vision_layer_weights *layers; /* [num_hidden_layers] */
};

struct audio_feed_forward_weights {
    const float *pre_layer_norm, *post_layer_norm; /* [hidden_size] */
    struct encoder_linear ffw_layer_1;             /* [4 * hidden_size, hidden_size] */
    struct encoder_linear ffw_layer_2;             /* [hidden_size, 4 * hidden_size] */
};

struct audio_layer_weights {
    struct audio_feed_forward_weights feed_forward1, feed_forward2;
    const float *norm_pre_attn, *norm_post_attn, *norm_out; /* [hidden_size] */
    struct encoder_linear q_proj, k_proj, v_proj, post;     /* [hidden_size, hidden_size] */
    struct packed_matrix relative_k_proj;                   /* [hidden_size, hidden_size] */
    const float *per_dim_scale;                             /* [head_dim] */
    const float *pre_layer_norm, *conv_norm;                /* of lconv1d, [hidden_size] */
    struct encoder_linear linear_start;                     /* [2 * hidden_size, hidden_size] */
    struct encoder_linear linear_end;                       /* [hidden_size, hidden_size] */
    const float *depthwise_conv1d;                          /* [hidden_size, conv_kernel_size] */
};

struct audio_weights {
    const float *conv0;         /* [channels[0], 3 (time), 3 (frequency)] */
    const float *norm0;         /* [channels[0]] */
    struct packed_matrix conv1; /* [channels[1], channels[0] * 3 * 3]: channel, time, frequency */
    const float *norm1;         /* [channels[1]] */
    struct packed_matrix input_proj_linear; /* [hidden_size, 32 * channels[1]]: channel fastest */
    struct packed_matrix output_proj;       /* [output_proj_dims, hidden_size] */
    const float *output_proj_bias;          /* [output_proj_dims] */
    struct packed_matrix projection;        /* [hidden_size of the text, output_proj_dims] */
    struct audio_layer_weights *layers;     /* [num_hidden_layers] */
};

/* A LayerNorm. */
struct encoder_norm {
    const float *weight, *bias;
};

struct unified_weights {
    struct encoder_norm patch_ln1;    /* [6912] */
    struct packed_matrix patch_dense; /* [mm_embed_dim, 6912] */
    const float *patch_dense_bias;
    struct encoder_norm patch_ln2, pos_norm; /* [mm_embed_dim] */
    struct raw_matrix pos_embedding;         /* [mm_posemb_size * 2, mm_embed_dim]: x, y by turns */
    struct packed_matrix vision_projection;  /* [hidden_size, mm_embed_dim] */
    struct packed_matrix audio_projection;   /* [hidden_size, audio_embed_dim] */
};

struct encoder_weights {
    struct vision_weights vision;
    struct audio_weights audio;
    struct unified_weights unified;
    struct device_buffer memory;   /* everything above that is not mapped in the checkpoint */
    struct weights_saving *saving; /* NULL, or who puts memory in a file (model/weights_save.h) */
};

struct checkpoint; /* model/checkpoint.h */

/* What loading reserves; 0: the model has no encoder. */
size_t encoder_weights_bytes(const struct checkpoint *checkpoint, enum compute compute);

/* Of options rank, world_size and weights do not matter. A model without encoders has empty ones.
 */
NODISCARD enum status encoder_weights_load(const struct checkpoint *checkpoint,
                                           const struct model_load_options *options,
                                           struct device_stream *stream,
                                           struct encoder_weights **out, struct error *err);
void encoder_weights_destroy(struct encoder_weights *weights); /* NULL is fine */

#endif
