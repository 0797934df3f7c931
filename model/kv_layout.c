/* model/kv_layout.c - groups are numbered in the order in which layers need them, so that every
 * process derives the same ones from the same config. */
#include "model/kv_layout.h"

#include "kernels/attention.h"
#include "tp/shard.h"

static struct kv_group_params group_of(const struct model_config *config,
                                       const struct layer_config *layer)
{
    uint32_t rotated = model_rotated(config, layer->kind, layer->head_dim);
    bool k_from_v = layer->k_eq_v && rotated > 0 &&
                    attention_takes_k_from_v(2 * rotated, layer->head_dim);
    return (struct kv_group_params){
        .n_kv_heads = layer->num_key_value_heads,
        .head_dim = layer->head_dim,
        .k_dim = k_from_v ? 2 * rotated : layer->head_dim,
        .window = layer->kind == LAYER_SLIDING ? config->sliding_window : 0,
        .k_from_v = k_from_v,
    };
}

static bool is_same_group(const struct kv_group_params *a, const struct kv_group_params *b)
{
    return a->n_kv_heads == b->n_kv_heads && a->head_dim == b->head_dim && a->k_dim == b->k_dim &&
           a->window == b->window && a->k_from_v == b->k_from_v;
}

enum status kv_layout_init(const struct model_config *config, uint32_t page_tokens,
                           enum compute compute, struct kv_layout *out, struct error *err)
{
    if (page_tokens < 16 || page_tokens > 256 || (page_tokens & (page_tokens - 1)) != 0)
        return error_set(err, STATUS_INVALID_ARGUMENT,
                         "page_tokens=%u: not a power of two in 16..256", page_tokens);
    struct kv_layout layout = {
        .params = {.page_tokens = page_tokens, .element_bytes = compute == COMPUTE_BF16 ? 2 : 4}};
    struct kv_params *params = &layout.params;
    for (uint32_t l = 0; l < config->num_hidden_layers; l++) {
        uint32_t source = config->layers[l].kv_source;
        if (source != l) {
            layout.group[l] = layout.group[source];
            layout.index[l] = layout.index[source];
            continue;
        }
        struct kv_group_params group = group_of(config, &config->layers[l]);
        uint32_t g = 0;
        while (g < params->n_groups && !is_same_group(&params->groups[g], &group))
            g++;
        if (g == KV_MAX_GROUPS)
            return error_set(err, STATUS_UNIMPLEMENTED,
                             "layer %u: more than %d kinds of attention layers (by type, KV heads "
                             "and head_dim)",
                             l, KV_MAX_GROUPS);
        if (g == params->n_groups)
            params->groups[params->n_groups++] = group;
        layout.group[l] = g;
        layout.index[l] = params->groups[g].n_layers++;
    }
    *out = layout;
    return STATUS_OK;
}

enum status kv_layout_rank_heads(const struct kv_layout *layout, uint32_t rank, uint32_t world_size,
                                 uint32_t out[KV_MAX_GROUPS], struct error *err)
{
    for (uint32_t g = 0; g < KV_MAX_GROUPS; g++) {
        uint32_t first;
        out[g] = 0;
        if (g >= layout->params.n_groups)
            continue;
        enum status st = shard_kv_heads(layout->params.groups[g].n_kv_heads, rank, world_size,
                                        &first, &out[g], err);
        if (st != STATUS_OK)
            return st;
    }
    return STATUS_OK;
}
