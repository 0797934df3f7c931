/* model/config_layers.c - layer types, heads, KV sharing and MLP widths (gemma4-model.md section 2,
 * rules 3 to 5, 7 and 8).
 *
 * Two spellings of the wider full layers exist: global_head_dim and num_global_key_value_heads in
 * published files, per_layer_config in re-saved ones, which wins where it is present. */
#include "model/config_layers.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"

static void read_kinds(struct config_section *text, struct model_config *out)
{
    uint32_t n = out->num_hidden_layers;
    for (uint32_t i = 0; i < n; i++)
        out->layers[i].kind = (i + 1) % 6 != 0 ? LAYER_SLIDING : LAYER_FULL;
    if (config_has(text, "layer_types")) {
        const struct json_value *types = json_get_present(text->object, "layer_types");
        if (types->type != JSON_ARRAY || types->n != n) {
            config_fail(text, STATUS_INVALID_ARGUMENT, "layer_types",
                        "not a list of num_hidden_layers, %u, strings", n);
            return;
        }
        for (uint32_t i = 0; i < n; i++) {
            bool full = json_string_is(&types->items[i], "full_attention");
            out->layers[i].kind = full ? LAYER_FULL : LAYER_SLIDING;
            char key[32];
            snprintf(key, sizeof key, "layer_types[%u]", i);
            if (!full && !json_string_is(&types->items[i], "sliding_attention"))
                config_fail(text, STATUS_INVALID_ARGUMENT, key,
                            "neither \"sliding_attention\" nor \"full_attention\"");
        }
    }
    if (n > 0 && out->layers[n - 1].kind != LAYER_FULL) {
        out->layers[n - 1].kind = LAYER_FULL;
        log_debug("last_layer", "layer=%u forced=full_attention", n - 1);
    }
}

static void read_heads(struct config_section *text, struct model_config *out)
{
    uint32_t head_dim = 0, n_heads = 0, global_head_dim = 512, n_global_heads = 0;
    config_uint(text, "head_dim", 2, CONFIG_MAX_HEAD_DIM, &head_dim);
    config_uint(text, "num_key_value_heads", 1, CONFIG_MAX_HEADS, &n_heads);
    config_uint(text, "global_head_dim", 2, CONFIG_MAX_HEAD_DIM, &global_head_dim);
    config_uint(text, "num_global_key_value_heads", 1, CONFIG_MAX_HEADS, &n_global_heads);
    bool named = !config_has(text, "per_layer_config");
    for (uint32_t i = 0; i < out->num_hidden_layers; i++) {
        struct layer_config *layer = &out->layers[i];
        bool global = named && layer->kind == LAYER_FULL;
        layer->head_dim = global ? global_head_dim : head_dim;
        layer->num_key_value_heads = global && out->attention_k_eq_v && n_global_heads
                                         ? n_global_heads
                                         : n_heads;
        layer->k_eq_v = out->attention_k_eq_v && layer->kind == LAYER_FULL;
    }
}

// One "LAYER": {"head_dim": ..., "num_key_value_heads": ...}.
static void read_override(struct config_section *overrides, const struct json_member *member,
                          struct model_config *out)
{
    char *end;
    unsigned long index = strtoul(member->key, &end, 10);
    if (member->key[0] < '0' || member->key[0] > '9' || *end != '\0' ||
        index >= out->num_hidden_layers || member->value.type != JSON_OBJECT) {
        config_fail(overrides, STATUS_INVALID_ARGUMENT, member->key,
                    "not a layer's number with an object");
        return;
    }
    char path[80];
    snprintf(path, sizeof path, "%s%lu.", overrides->path, index);
    struct config_section section = *overrides;
    section.path = path;
    section.object = &member->value;
    for (uint32_t i = 0; i < member->value.n; i++) {
        const char *key = member->value.members[i].key;
        if (strcmp(key, "head_dim") != 0 && strcmp(key, "num_key_value_heads") != 0)
            config_fail(&section, STATUS_UNIMPLEMENTED, key, "may not differ from layer to layer");
    }
    struct layer_config *layer = &out->layers[index];
    config_uint(&section, "head_dim", 2, CONFIG_MAX_HEAD_DIM, &layer->head_dim);
    config_uint(&section, "num_key_value_heads", 1, CONFIG_MAX_HEADS, &layer->num_key_value_heads);
}

static void read_overrides(struct config_section *text, struct model_config *out)
{
    if (!config_has(text, "per_layer_config"))
        return;
    struct config_section overrides = *text;
    char path[64];
    snprintf(path, sizeof path, "%sper_layer_config.", text->path);
    overrides.path = path;
    overrides.object = json_get_present(text->object, "per_layer_config");
    if (overrides.object->type != JSON_OBJECT) {
        config_fail(text, STATUS_INVALID_ARGUMENT, "per_layer_config", "not an object");
        return;
    }
    for (uint32_t i = 0; i < overrides.object->n; i++)
        read_override(&overrides, &overrides.object->members[i], out);
}

static void check_heads(struct config_section *text, const struct model_config *out)
{
    for (uint32_t i = 0; i < out->num_hidden_layers; i++) {
        const struct layer_config *layer = &out->layers[i];
        uint32_t heads = out->num_attention_heads;
        if (layer->num_key_value_heads == 0 || heads % layer->num_key_value_heads != 0)
            config_fail(text, STATUS_INVALID_ARGUMENT, "num_key_value_heads",
                        "layer %u has %u, which does not divide num_attention_heads, %u", i,
                        layer->num_key_value_heads, heads);
        if (layer->head_dim % 2 != 0)
            config_fail(text, STATUS_INVALID_ARGUMENT, "head_dim", "layer %u has %u, not even", i,
                        layer->head_dim);
        if (heads * layer->head_dim > CONFIG_MAX_COLUMNS)
            config_fail(text, STATUS_INVALID_ARGUMENT, "head_dim",
                        "layer %u has %u heads of %u, above %u together", i, heads, layer->head_dim,
                        CONFIG_MAX_COLUMNS);
    }
}

static uint32_t source_of(const struct model_config *config, uint32_t layer)
{
    for (uint32_t i = config->first_kv_shared_layer; i > 0; i--)
        if (config->layers[i - 1].kind == config->layers[layer].kind)
            return i - 1;
    return UINT32_MAX;
}

static void read_sharing(struct config_section *text, struct model_config *out)
{
    uint32_t n = out->num_hidden_layers, n_shared = 0;
    config_uint(text, "num_kv_shared_layers", 0, n > 0 ? n - 1 : 0, &n_shared);
    out->first_kv_shared_layer = n - n_shared;
    for (uint32_t i = 0; i < n && *text->status == STATUS_OK; i++) {
        struct layer_config *layer = &out->layers[i];
        layer->kv_source = i;
        layer->kv_shared = i >= out->first_kv_shared_layer;
        if (!layer->kv_shared)
            continue;
        uint32_t source = source_of(out, i);
        if (source == UINT32_MAX) {
            config_fail(text, STATUS_INVALID_ARGUMENT, "num_kv_shared_layers",
                        "layer %u shares, but no layer of its type before %u has keys and values",
                        i, out->first_kv_shared_layer);
            return;
        }
        layer->kv_source = source;
        if (layer->head_dim != out->layers[source].head_dim ||
            layer->num_key_value_heads != out->layers[source].num_key_value_heads)
            config_fail(text, STATUS_INVALID_ARGUMENT, "num_kv_shared_layers",
                        "layer %u and the layer %u that it shares with have different heads", i,
                        source);
    }
}

static void read_widths(struct config_section *text, struct model_config *out)
{
    uint32_t width = 0;
    bool doubled = false;
    config_bool(text, "use_double_wide_mlp", &doubled);
    config_uint(text, "intermediate_size", 1, CONFIG_MAX_COLUMNS / (doubled ? 2 : 1), &width);
    for (uint32_t i = 0; i < out->num_hidden_layers; i++)
        out->layers[i].intermediate_size = doubled && out->layers[i].kv_shared ? 2 * width : width;
}

void config_layers_read(struct config_section *text, struct model_config *out)
{
    if (*text->status != STATUS_OK)
        return;
    read_kinds(text, out);
    read_heads(text, out);
    read_overrides(text, out);
    check_heads(text, out);
    read_sharing(text, out);
    read_widths(text, out);
}
