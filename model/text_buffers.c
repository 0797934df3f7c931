/* model/text_buffers.c - sizes are taken over all layers, for the rank with the most. Counting and
 * cutting run through one function, so that the memory plan and the allocation cannot differ. */
#include "model/text_buffers.h"

#include "kvcache/params.h"
#include "model/text.h"
#include "moe/experts.h"

static size_t larger(size_t a, size_t b)
{
    return a > b ? a : b;
}

static bool seen_before(const struct model_config *config, uint32_t l)
{
    const struct layer_config *layers = config->layers;
    for (uint32_t i = 0; i < l; i++)
        if (layers[i].kind == layers[l].kind && layers[i].head_dim == layers[l].head_dim)
            return true;
    return false;
}

struct text_buffer_sizes text_buffer_sizes(const struct model_config *config, uint32_t world_size,
                                           uint32_t max_rows, uint32_t max_logits_rows,
                                           uint32_t max_seqs)
{
    struct text_buffer_sizes sizes = {
        .n_rows = max_rows,
        .n_seqs = max_seqs,
        .hidden_size = config->hidden_size,
        .sums_width = (size_t)config->hidden_size * (config->num_experts ? 2 : 1),
        .per_layer_width = (size_t)config->num_hidden_layers * config->hidden_size_per_layer_input,
        .wide_width = config->hidden_size_per_layer_input,
        .n_logits_rows = max_logits_rows,
        .vocab_size = config->vocab_size,
        .n_groups = KV_MAX_GROUPS,
    };
    size_t heads = (config->num_attention_heads + world_size - 1) / world_size;
    for (uint32_t l = 0; l < config->num_hidden_layers; l++) {
        const struct layer_config *layer = &config->layers[l];
        size_t kv_heads = (layer->num_key_value_heads + world_size - 1) / world_size;
        size_t mlp = (layer->intermediate_size + world_size - 1) / world_size;
        sizes.query_width = larger(sizes.query_width, heads * 2 * layer->head_dim);
        sizes.wide_width = larger(sizes.wide_width, (heads + 2 * kv_heads) * layer->head_dim);
        sizes.wide_width = larger(sizes.wide_width, 2 * mlp);
        if (!seen_before(config, l))
            sizes.angle_width += layer->head_dim;
    }
    return sizes;
}

static size_t lay_out(const struct text_buffer_sizes *s, struct text_buffers *b)
{
    const struct device_buffer *m = &b->memory;
    size_t at = 0;
    b->hidden = device_buffer_carve(m, &at, s->n_rows * s->hidden_size, sizeof(float));
    b->normed = device_buffer_carve(m, &at, s->n_rows * s->hidden_size, sizeof(float));
    b->query = device_buffer_carve(m, &at, s->n_rows * s->query_width, sizeof(float));
    b->wide = device_buffer_carve(m, &at, s->n_rows * s->wide_width, sizeof(float));
    b->sums = device_buffer_carve(m, &at, s->n_rows * s->sums_width, sizeof(float));
    b->per_layer = device_buffer_carve(m, &at, s->n_rows * s->per_layer_width, sizeof(float));
    b->context = device_buffer_carve(m, &at, s->n_rows * s->per_layer_width, sizeof(float));
    b->logits = device_buffer_carve(m, &at, s->n_logits_rows * s->vocab_size, sizeof(float));
    b->positions = device_buffer_carve(m, &at, s->n_rows, sizeof(uint32_t));
    b->embed_ids = device_buffer_carve(m, &at, s->n_rows, sizeof(uint32_t));
    b->last_positions = device_buffer_carve(m, &at, s->n_rows, sizeof(uint32_t));
    b->angles = device_buffer_carve(m, &at, s->n_rows * s->angle_width, sizeof(float));
    b->slots = device_buffer_carve(m, &at, s->n_groups * s->n_rows, sizeof(uint32_t));
    b->row_offsets = device_buffer_carve(m, &at, s->n_seqs + 1, sizeof(uint32_t));
    b->first_position = device_buffer_carve(m, &at, s->n_seqs, sizeof(uint32_t));
    b->block_tables = device_buffer_carve(m, &at, s->n_groups * s->n_seqs, sizeof(uint32_t *));
    return at;
}

size_t text_buffers_bytes(const struct text_buffer_sizes *sizes)
{
    struct text_buffers counted = {0};
    return lay_out(sizes, &counted);
}

enum status text_buffers_create(const struct text_buffer_sizes *sizes, struct text_buffers *out,
                                struct error *err)
{
    struct text_buffers buffers = {0};
    enum status st = device_buffer_create(text_buffers_bytes(sizes), "activations", &buffers.memory,
                                          err);
    if (st != STATUS_OK)
        return st;
    lay_out(sizes, &buffers);
    *out = buffers;
    return STATUS_OK;
}

void text_buffers_destroy(struct text_buffers *buffers)
{
    device_buffer_destroy(&buffers->memory);
}

size_t text_model_activation_bytes(const struct model_config *config, uint32_t world_size,
                                   uint32_t max_rows, uint32_t max_logits_rows, uint32_t max_seqs)
{
    struct text_buffer_sizes sizes = text_buffer_sizes(config, world_size, max_rows,
                                                       max_logits_rows, max_seqs);
    size_t bytes = text_buffers_bytes(&sizes);
    if (config->num_experts) {
        struct moe_shape shape = {
            .hidden_size = config->hidden_size,
            .num_experts = config->num_experts,
            .top_k_experts = config->top_k_experts,
            .moe_intermediate_size = config->moe_intermediate_size,
            .n_experts = (config->num_experts + world_size - 1) / world_size,
        };
        bytes += moe_scratch_bytes(&shape, max_rows);
    }
    return bytes;
}
