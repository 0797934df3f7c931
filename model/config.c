/* model/config.c - gemma4-model.md section 2, rule by rule: scalars here, what differs from layer
 * to layer in config_layers.c, the encoders of media in config_media.c.
 *
 * Everything is read before anything is allocated by it, so ranges are what keeps products in
 * range: no weight has more than 2^24 rows or 2^16 columns, and no layer count exceeds the arrays.
 * What a file asks for and we do not compute is refused by name, never skipped. */
#include "model/config.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "model/config_json.h"
#include "model/config_layers.h"
#include "model/config_media.h"

static bool is_text_type(const char *type)
{
    return strcmp(type, "gemma4_text") == 0 || strcmp(type, "gemma4_unified_text") == 0;
}

static bool is_unified(const char *type)
{
    return strncmp(type, "gemma4_unified", 14) == 0;
}

// Finds the text section; out->model_type is known then.
static void open_sections(struct config_section *top, struct config_section *text,
                          struct model_config *out)
{
    const char *type = config_string(top, "model_type");
    if (!type) {
        config_fail(top, STATUS_INVALID_ARGUMENT, "model_type", "missing");
        return;
    }
    snprintf(out->model_type, sizeof out->model_type, "%.63s", type);
    bool whole = strcmp(type, "gemma4") == 0 || strcmp(type, "gemma4_unified") == 0;
    if (!whole && !is_text_type(type)) {
        config_fail(top, STATUS_UNIMPLEMENTED, "model_type",
                    "\"%.100s\" is no model that is served here (gemma4, gemma4_unified, "
                    "gemma4_text, gemma4_unified_text)",
                    type);
        return;
    }
    if (!config_has(top, "text_config") && is_text_type(type)) {
        *text = *top;
        return;
    }
    config_require(top, "text_config");
    text->object = json_get_present(top->object, "text_config");
    if (text->object && text->object->type != JSON_OBJECT)
        config_fail(top, STATUS_INVALID_ARGUMENT, "text_config", "not an object");
}

// What would change the results if it were ignored.
static void refuse_unserved(struct config_section *top, struct config_section *text,
                            struct model_config *out)
{
    const char *direction = config_string(text, "use_bidirectional_attention");
    if (!direction && is_unified(out->model_type))
        direction = "vision";
    out->bidirectional_images = direction && strcmp(direction, "vision") == 0;
    if (direction && !out->bidirectional_images)
        config_fail(text, STATUS_UNIMPLEMENTED, "use_bidirectional_attention",
                    "\"%.40s\" is not served (null or \"vision\" are)", direction);
    const char *activation = config_string(text, "hidden_activation");
    if (activation && strcmp(activation, "gelu_pytorch_tanh") != 0)
        config_fail(text, STATUS_UNIMPLEMENTED, "hidden_activation",
                    "\"%.40s\" is not served (gelu_pytorch_tanh is)", activation);
    bool attention_bias = false;
    config_bool(text, "attention_bias", &attention_bias);
    if (attention_bias)
        config_fail(text, STATUS_UNIMPLEMENTED, "attention_bias", "true is not served");
    if (config_has(top, "quantization_config"))
        config_fail(top, STATUS_UNIMPLEMENTED, "quantization_config",
                    "quantized checkpoints are not served yet");
    if (config_has(text, "quantization_config"))
        config_fail(text, STATUS_UNIMPLEMENTED, "quantization_config",
                    "quantized checkpoints are not served yet");
}

static void read_sizes(struct config_section *text, struct model_config *out)
{
    static const char *const required[] = {"hidden_size",         "intermediate_size",
                                           "num_hidden_layers",   "num_attention_heads",
                                           "num_key_value_heads", "head_dim"};
    for (size_t i = 0; i < sizeof required / sizeof *required; i++)
        config_require(text, required[i]);
    bool unified = is_unified(out->model_type);
    out->vocab_size = 262144;
    out->sliding_window = 512;
    out->max_position_embeddings = unified ? 262144 : 131072;
    out->hidden_size_per_layer_input = unified ? 0 : 256;
    out->vocab_size_per_layer_input = 262144;
    out->rms_norm_eps = 1e-6F;
    config_uint(text, "vocab_size", 1, CONFIG_MAX_ROWS, &out->vocab_size);
    config_uint(text, "hidden_size", 1, CONFIG_MAX_COLUMNS, &out->hidden_size);
    config_uint(text, "num_hidden_layers", 1, MODEL_MAX_LAYERS, &out->num_hidden_layers);
    config_uint(text, "num_attention_heads", 1, CONFIG_MAX_HEADS, &out->num_attention_heads);
    config_uint(text, "sliding_window", 1, CONFIG_MAX_ROWS, &out->sliding_window);
    // An angle is position * inv_freq in f32, so positions must be exact there.
    config_uint(text, "max_position_embeddings", 1, 1U << 24, &out->max_position_embeddings);
    config_uint(text, "hidden_size_per_layer_input", 0, CONFIG_MAX_COLUMNS,
                &out->hidden_size_per_layer_input);
    config_uint(text, "vocab_size_per_layer_input", 0, CONFIG_MAX_ROWS,
                &out->vocab_size_per_layer_input);
    config_float(text, "rms_norm_eps", 0, 1, &out->rms_norm_eps);
    config_float(text, "final_logit_softcapping", 0, 1e6F, &out->final_logit_softcapping);
    config_bool(text, "attention_k_eq_v", &out->attention_k_eq_v);
    if (out->hidden_size_per_layer_input && out->vocab_size_per_layer_input < out->vocab_size)
        config_fail(text, STATUS_INVALID_ARGUMENT, "vocab_size_per_layer_input",
                    "%u is less than vocab_size, %u", out->vocab_size_per_layer_input,
                    out->vocab_size);
}

static void read_experts(struct config_section *text, struct model_config *out)
{
    bool enabled = false;
    config_bool(text, "enable_moe_block", &enabled);
    if (!enabled)
        return;
    const char *width = "moe_intermediate_size";
    if (!config_has(text, width) && config_has(text, "expert_intermediate_size"))
        width = "expert_intermediate_size"; // its older name
    config_require(text, "num_experts");
    config_require(text, "top_k_experts");
    config_require(text, width);
    config_uint(text, "num_experts", 1, CONFIG_MAX_EXPERTS, &out->num_experts);
    config_uint(text, "top_k_experts", 1, CONFIG_MAX_EXPERTS, &out->top_k_experts);
    config_uint(text, width, 1, CONFIG_MAX_COLUMNS / 2, &out->moe_intermediate_size);
    if (out->top_k_experts > out->num_experts)
        config_fail(text, STATUS_INVALID_ARGUMENT, "top_k_experts", "%u of %u experts",
                    out->top_k_experts, out->num_experts);
}

static void read_rope_entry(struct config_section *parameters, enum layer_kind kind,
                            struct rope_config *out)
{
    const char *key = kind == LAYER_FULL ? "full_attention" : "sliding_attention";
    const char *want = kind == LAYER_FULL ? "proportional" : "default";
    if (!config_has(parameters, key))
        return;
    char path[80];
    snprintf(path, sizeof path, "%s%s.", parameters->path, key);
    struct config_section entry = *parameters;
    entry.path = path;
    entry.object = json_get_present(parameters->object, key);
    if (entry.object->type != JSON_OBJECT)
        config_fail(parameters, STATUS_INVALID_ARGUMENT, key, "not an object");
    const char *type = config_string(&entry, "rope_type");
    if (!type)
        config_fail(&entry, STATUS_INVALID_ARGUMENT, "rope_type", "missing");
    else if (strcmp(type, want) != 0)
        config_fail(&entry, STATUS_UNIMPLEMENTED, "rope_type",
                    "\"%.40s\" is not served (\"%s\" is)", type, want);
    config_double(&entry, "rope_theta", 1, 1e12, &out->rope_theta);
    if (kind == LAYER_SLIDING)
        return;
    out->partial_rotary_factor = 1; // as the reference, once there is an entry
    config_double(&entry, "partial_rotary_factor", 0, 1, &out->partial_rotary_factor);
    config_double(&entry, "factor", 1e-6, 1e6, &out->factor);
}

static void read_rope(struct config_section *text, struct model_config *out)
{
    out->rope[LAYER_SLIDING] = (struct rope_config){1e4, 1, 1};
    out->rope[LAYER_FULL] = (struct rope_config){1e6, 0.25, 1};
    if (!config_has(text, "rope_parameters"))
        return;
    struct config_section parameters = *text;
    char path[64];
    snprintf(path, sizeof path, "%srope_parameters.", text->path);
    parameters.path = path;
    parameters.object = json_get_present(text->object, "rope_parameters");
    if (parameters.object->type != JSON_OBJECT)
        config_fail(text, STATUS_INVALID_ARGUMENT, "rope_parameters", "not an object");
    for (uint32_t i = 0; parameters.object->type == JSON_OBJECT && i < parameters.object->n; i++) {
        const char *key = parameters.object->members[i].key;
        if (strcmp(key, "full_attention") != 0 && strcmp(key, "sliding_attention") != 0)
            config_fail(&parameters, STATUS_UNIMPLEMENTED, key, "no layer type that is served");
    }
    read_rope_entry(&parameters, LAYER_SLIDING, &out->rope[LAYER_SLIDING]);
    read_rope_entry(&parameters, LAYER_FULL, &out->rope[LAYER_FULL]);
}

static void read_tokens(struct config_section *top, struct config_section *text,
                        struct model_config *out)
{
    out->bos_token_id = 2;
    struct config_section *sections[] = {top, text}; // the text section has the last word
    for (size_t i = 0; i < 2; i++) {
        config_token(sections[i], "bos_token_id", &out->bos_token_id);
        config_token(sections[i], "pad_token_id", &out->pad_token_id);
        config_tokens(sections[i], "eos_token_id", MODEL_MAX_EOS, out->eos_token_ids,
                      &out->n_eos_token_ids);
    }
    if (out->n_eos_token_ids == 0)
        out->eos_token_ids[out->n_eos_token_ids++] = 1;
    if (out->pad_token_id >= out->vocab_size)
        config_fail(text, STATUS_INVALID_ARGUMENT, "pad_token_id", "%u: vocab_size is %u",
                    out->pad_token_id, out->vocab_size);
}

static void read_dtype(struct config_section *section, enum dtype *out)
{
    const char *key = config_has(section, "dtype") ? "dtype" : "torch_dtype";
    const char *name = config_string(section, key);
    if (!name)
        return;
    if (strcmp(name, "bfloat16") == 0)
        *out = DTYPE_BF16;
    else if (strcmp(name, "float16") == 0)
        *out = DTYPE_F16;
    else if (strcmp(name, "float32") == 0)
        *out = DTYPE_F32;
    else
        config_fail(section, STATUS_UNIMPLEMENTED, key,
                    "\"%.40s\" is not served (bfloat16, float16, float32 are)", name);
}

static enum status read_document(const struct json_value *root, struct model_config *out,
                                 struct error *err)
{
    if (root->type != JSON_OBJECT)
        return error_set(err, STATUS_INVALID_ARGUMENT, "not a JSON object");
    enum status st = STATUS_OK;
    struct config_section top = {.path = "", .object = root, .status = &st, .err = err};
    struct config_section text = {.path = "text_config.", .status = &st, .err = err};
    struct model_config config = {.tie_word_embeddings = true, .dtype = DTYPE_BF16};
    open_sections(&top, &text, &config);
    read_sizes(&text, &config);
    read_experts(&text, &config);
    read_rope(&text, &config);
    config_bool(&top, "tie_word_embeddings", &config.tie_word_embeddings);
    read_tokens(&top, &text, &config);
    read_dtype(&top, &config.dtype);
    read_dtype(&text, &config.dtype);
    config_layers_read(&text, &config);
    config_media_read(&top, &config);
    refuse_unserved(&top, &text, &config);
    if (st == STATUS_OK)
        *out = config;
    return st;
}

enum status model_config_parse(const char *json, size_t n, const char *name,
                               struct model_config *out, struct error *err)
{
    struct json_document *document = NULL;
    enum status st = json_parse(json, n, NULL, &document, err);
    if (st == STATUS_OK)
        st = read_document(json_root(document), out, err);
    if (st != STATUS_OK)
        error_prefix(err, "%s", name);
    json_document_destroy(document);
    return st;
}

enum status model_config_load(const char *path, struct model_config *out, struct error *err)
{
    struct json_document *document = NULL;
    enum status st = json_parse_file(path, NULL, &document, err);
    if (st != STATUS_OK)
        return st;
    st = read_document(json_root(document), out, err);
    if (st != STATUS_OK)
        error_prefix(err, "%s", path);
    json_document_destroy(document);
    return st;
}

uint32_t model_rotated(const struct model_config *config, enum layer_kind kind, uint32_t head_dim)
{
    if (kind == LAYER_SLIDING)
        return head_dim / 2;
    return (uint32_t)(config->rope[kind].partial_rotary_factor * head_dim / 2);
}

// The reference computes 1 / theta^e in f32 from an f32 exponent; the exact power rounded to f32 is
// within an ulp of its pow.
void model_inv_freq(const struct model_config *config, enum layer_kind kind, uint32_t head_dim,
                    float *out, uint32_t *out_rotated)
{
    const struct rope_config *rope = &config->rope[kind];
    uint32_t rotated = model_rotated(config, kind, head_dim);
    for (uint32_t i = 0; i < head_dim / 2; i++) {
        float exponent = (float)(2 * i) / (float)head_dim;
        float power = (float)pow((double)(float)rope->rope_theta, (double)exponent);
        out[i] = i < rotated ? 1.0F / power / (float)rope->factor : 0.0F;
    }
    *out_rotated = rotated;
}
