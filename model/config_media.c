/* model/config_media.c - gemma4-model.md sections 1.2 to 1.4. A section that is missing or null is
 * a model without that encoder. What the preparation of media takes as given (patches of 16 pixels,
 * 3 x 3 of them a soft token, 640 samples a frame) is checked here. */
#include "model/config_media.h"

#include <stdio.h>
#include <string.h>

#include "model/config_layers.h"

#define PATCH_PIXELS 16
#define POOLING 3
#define FRAME_SAMPLES 640
#define MAX_HEAD_DIM 128 // what the encoders' attention is made for

// The section; false: the model has none.
static bool open_section(struct config_section *top, const char *key, const char *path,
                         struct config_section *out)
{
    *out = *top;
    out->path = path;
    out->object = json_get_present(top->object, key);
    if (!out->object)
        return false;
    if (out->object->type == JSON_OBJECT)
        return true;
    config_fail(top, STATUS_INVALID_ARGUMENT, key, "not an object");
    return false;
}

static void want_uint(struct config_section *section, const char *key, uint32_t want)
{
    uint32_t has = want;
    config_uint(section, key, 0, CONFIG_MAX_ROWS, &has);
    if (has != want)
        config_fail(section, STATUS_UNIMPLEMENTED, key, "%u is not served (%u is)", has, want);
}

static void want_string(struct config_section *section, const char *key, const char *want)
{
    const char *has = config_string(section, key);
    if (has && strcmp(has, want) != 0)
        config_fail(section, STATUS_UNIMPLEMENTED, key, "\"%.40s\" is not served (\"%s\" is)", has,
                    want);
}

static void read_vision_rope(struct config_section *vision, struct vision_config *out)
{
    struct config_section rope;
    if (!open_section(vision, "rope_parameters", "vision_config.rope_parameters.", &rope))
        return;
    const char *type = config_string(&rope, "rope_type"); // both names mean the same
    if (type && strcmp(type, "default") != 0 && strcmp(type, "axial") != 0)
        config_fail(&rope, STATUS_UNIMPLEMENTED, "rope_type",
                    "\"%.40s\" is not served (\"default\" and \"axial\" are)", type);
    config_double(&rope, "rope_theta", 1, 1e12, &out->rope_theta);
}

static void read_vision_sizes(struct config_section *vision, struct vision_config *out)
{
    config_uint(vision, "hidden_size", 1, CONFIG_MAX_COLUMNS, &out->hidden_size);
    config_uint(vision, "intermediate_size", 1, CONFIG_MAX_COLUMNS, &out->intermediate_size);
    config_uint(vision, "num_hidden_layers", 1, MODEL_MAX_LAYERS, &out->num_hidden_layers);
    config_uint(vision, "num_attention_heads", 1, CONFIG_MAX_HEADS, &out->num_attention_heads);
    config_uint(vision, "head_dim", 4, MAX_HEAD_DIM, &out->head_dim);
    config_uint(vision, "position_embedding_size", 1, 1U << 20, &out->position_embedding_size);
    config_float(vision, "rms_norm_eps", 0, 1, &out->rms_norm_eps);
    config_bool(vision, "standardize", &out->standardize);
    config_bool(vision, "use_clipped_linears", &out->use_clipped_linears);
    if (out->head_dim % 4 != 0)
        config_fail(vision, STATUS_INVALID_ARGUMENT, "head_dim",
                    "%u: both axes turn pairs of half of it, so 4 divides it", out->head_dim);
    if (out->num_attention_heads * out->head_dim > CONFIG_MAX_COLUMNS)
        config_fail(vision, STATUS_INVALID_ARGUMENT, "num_attention_heads",
                    "%u heads of %u are above %u together", out->num_attention_heads, out->head_dim,
                    CONFIG_MAX_COLUMNS);
}

static void read_vision(struct config_section *vision, struct model_config *config)
{
    struct vision_config out = {.num_hidden_layers = 16,
                                .hidden_size = 768,
                                .intermediate_size = 3072,
                                .num_attention_heads = 12,
                                .head_dim = 64,
                                .position_embedding_size = 10240,
                                .rms_norm_eps = 1e-6F,
                                .rope_theta = 100};
    want_string(vision, "model_type", "gemma4_vision");
    read_vision_sizes(vision, &out);
    read_vision_rope(vision, &out);
    want_uint(vision, "patch_size", PATCH_PIXELS);
    want_uint(vision, "pooling_kernel_size", POOLING);
    want_uint(vision, "num_key_value_heads", out.num_attention_heads);
    want_string(vision, "hidden_activation", "gelu_pytorch_tanh");
    bool bias = false;
    config_bool(vision, "attention_bias", &bias);
    if (bias)
        config_fail(vision, STATUS_UNIMPLEMENTED, "attention_bias", "true is not served");
    config->vision = out;
}

static void read_channels(struct config_section *audio, uint32_t *out)
{
    const char *key = "subsampling_conv_channels";
    const struct json_value *list = json_get_present(audio->object, key);
    if (!list)
        return;
    bool good = list->type == JSON_ARRAY && list->n == 2;
    for (uint32_t i = 0; good && i < 2; i++) {
        int64_t n = 0;
        good = json_int64(&list->items[i], &n) && n >= 1 && n <= 1024;
        out[i] = (uint32_t)n;
    }
    if (!good)
        config_fail(audio, STATUS_INVALID_ARGUMENT, key, "not two integers in 1..1024");
}

static void read_audio_numbers(struct config_section *audio, struct audio_config *out)
{
    config_uint(audio, "hidden_size", 2, CONFIG_MAX_COLUMNS / 4, &out->hidden_size);
    config_uint(audio, "num_hidden_layers", 1, MODEL_MAX_LAYERS, &out->num_hidden_layers);
    config_uint(audio, "num_attention_heads", 1, CONFIG_MAX_HEADS, &out->num_attention_heads);
    read_channels(audio, out->subsampling_conv_channels);
    config_uint(audio, "conv_kernel_size", 1, 64, &out->conv_kernel_size);
    config_uint(audio, "attention_chunk_size", 1, 4096, &out->attention_chunk_size);
    config_uint(audio, "attention_context_left", 1, 4096, &out->attention_context_left);
    config_uint(audio, "output_proj_dims", 1, CONFIG_MAX_COLUMNS, &out->output_proj_dims);
    config_float(audio, "residual_weight", -1e6F, 1e6F, &out->residual_weight);
    config_float(audio, "attention_logit_cap", 1e-3F, 1e6F, &out->attention_logit_cap);
    config_float(audio, "gradient_clipping", 0, 3e38F, &out->gradient_clipping);
    config_float(audio, "rms_norm_eps", 0, 1, &out->rms_norm_eps);
    config_bool(audio, "use_clipped_linears", &out->use_clipped_linears);
}

static void read_audio(struct config_section *audio, struct model_config *config)
{
    struct audio_config out = {.num_hidden_layers = 12,
                               .hidden_size = 1024,
                               .num_attention_heads = 8,
                               .subsampling_conv_channels = {128, 32},
                               .conv_kernel_size = 5,
                               .attention_chunk_size = 12,
                               .attention_context_left = 13,
                               .output_proj_dims = 1536,
                               .residual_weight = 0.5F,
                               .attention_logit_cap = 50,
                               .gradient_clipping = 1e10F,
                               .rms_norm_eps = 1e-6F,
                               .use_clipped_linears = true};
    want_string(audio, "model_type", "gemma4_audio");
    read_audio_numbers(audio, &out);
    want_uint(audio, "attention_context_right", 0);
    want_string(audio, "hidden_act", "silu");
    if (out.hidden_size % (2 * out.num_attention_heads) != 0)
        config_fail(audio, STATUS_INVALID_ARGUMENT, "num_attention_heads",
                    "%u heads of an even size do not make a hidden_size of %u",
                    out.num_attention_heads, out.hidden_size);
    config->audio = out;
}

static void read_unified_vision(struct config_section *vision, struct unified_config *out)
{
    out->mm_embed_dim = 3840;
    out->mm_posemb_size = 1120;
    out->vision_rms_norm_eps = 1e-6F;
    want_string(vision, "model_type", "gemma4_unified_vision");
    config_uint(vision, "mm_embed_dim", 1, CONFIG_MAX_COLUMNS, &out->mm_embed_dim);
    config_uint(vision, "mm_posemb_size", 1, 1U << 20, &out->mm_posemb_size);
    config_float(vision, "rms_norm_eps", 0, 1, &out->vision_rms_norm_eps);
    want_uint(vision, "patch_size", PATCH_PIXELS);
    want_uint(vision, "pooling_kernel_size", POOLING);
    want_uint(vision, "model_patch_size", PATCH_PIXELS * POOLING);
    want_uint(vision, "output_proj_dims", out->mm_embed_dim);
}

static void read_unified_audio(struct config_section *audio, struct unified_config *out)
{
    out->audio_embed_dim = FRAME_SAMPLES;
    out->audio_rms_norm_eps = 1e-6F;
    want_string(audio, "model_type", "gemma4_unified_audio");
    want_uint(audio, "audio_embed_dim", FRAME_SAMPLES);
    want_uint(audio, "audio_samples_per_token", FRAME_SAMPLES);
    want_uint(audio, "hidden_size", FRAME_SAMPLES);
    want_uint(audio, "output_proj_dims", FRAME_SAMPLES);
    config_float(audio, "rms_norm_eps", 0, 1, &out->audio_rms_norm_eps);
}

// required: an encoder makes use of it.
static void read_token(struct config_section *top, const char *key, bool required,
                       const struct model_config *config, uint32_t *out)
{
    *out = MODEL_TOKEN_NONE;
    if (required)
        config_require(top, key);
    config_token(top, key, out);
    if (required && *out != MODEL_TOKEN_NONE && *out >= config->vocab_size)
        config_fail(top, STATUS_INVALID_ARGUMENT, key, "%u: vocab_size is %u", *out,
                    config->vocab_size);
}

static void read_tokens(struct config_section *top, bool images, bool audio,
                        struct model_config *out)
{
    read_token(top, "image_token_id", images, out, &out->image_token_id);
    read_token(top, "video_token_id", images && config_has(top, "video_token_id"), out,
               &out->video_token_id);
    read_token(top, "boi_token_id", images, out, &out->boi_token_id);
    read_token(top, "eoi_token_id", images, out, &out->eoi_token_id);
    read_token(top, "audio_token_id", audio, out, &out->audio_token_id);
    read_token(top, "boa_token_id", audio, out, &out->boa_token_id);
    // Files carry either or both.
    const char *eoa = config_has(top, "eoa_token_id") ? "eoa_token_id" : "eoa_token_index";
    read_token(top, eoa, audio, out, &out->eoa_token_id);
}

static void read_soft_tokens(struct config_section *top, uint32_t *out)
{
    *out = 280;
    config_uint(top, "vision_soft_tokens_per_image", 1, CONFIG_MAX_ROWS, out);
    if (*out != 70 && *out != 140 && *out != 280 && *out != 560 && *out != 1120)
        config_fail(top, STATUS_INVALID_ARGUMENT, "vision_soft_tokens_per_image",
                    "%u is none of 70, 140, 280, 560, 1120", *out);
}

void config_media_read(struct config_section *top, struct model_config *out)
{
    bool whole = strcmp(out->model_type, "gemma4") == 0;
    bool unified = strcmp(out->model_type, "gemma4_unified") == 0;
    struct config_section vision, audio;
    bool images = (whole || unified) &&
                  open_section(top, "vision_config", "vision_config.", &vision);
    bool sounds = (whole || unified) && open_section(top, "audio_config", "audio_config.", &audio);
    if (images && unified)
        read_unified_vision(&vision, &out->unified);
    else if (images)
        read_vision(&vision, out);
    if (sounds && unified)
        read_unified_audio(&audio, &out->unified);
    else if (sounds)
        read_audio(&audio, out);
    read_tokens(top, images, sounds, out);
    read_soft_tokens(top, &out->vision_soft_tokens_per_image);
}
