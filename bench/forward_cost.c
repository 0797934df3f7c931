/* bench/forward_cost.c - sums over the packed matrices that a step of decoding multiplies by. */
#include "bench/forward_cost.h"

#include "bench/peaks.h"
#include "kernels/matmul.h"
#include "model/kv_layout.h"
#include "tests/test.h"

typedef uint64_t matrix_cost_fn(const struct packed_matrix *matrix);

static uint64_t matrix_bytes(const struct packed_matrix *matrix)
{
    return matrix->data ? packed_matrix_bytes(matrix) : 0;
}

static uint64_t matrix_flops(const struct packed_matrix *matrix)
{
    return matrix->data ? 2 * (uint64_t)matrix->n * matrix->k : 0;
}

// Of one rank, and of the first n_experts of its experts in each layer.
static uint64_t rank_cost(const struct model_weights *w, uint32_t n_experts, matrix_cost_fn *cost)
{
    uint64_t sum = cost(&w->lm_head) + cost(&w->per_layer_model_projection);
    for (uint32_t i = 0; i < w->n_layers; i++) {
        const struct layer_weights *layer = &w->layers[i];
        sum += cost(&layer->qkv) + cost(&layer->o) + cost(&layer->gate_up) + cost(&layer->down) +
               cost(&layer->per_layer_input_gate) + cost(&layer->per_layer_projection) +
               cost(&layer->router);
        for (uint32_t e = 0; e < n_experts; e++)
            sum += cost(&layer->expert_gate_up[e]) + cost(&layer->expert_down[e]);
    }
    return sum;
}

uint64_t forward_weight_bytes(const struct rank_group *group, uint32_t world_size, uint32_t batch)
{
    uint64_t sum = 0, chosen = (uint64_t)batch * rank_group_model(group)->top_k_experts;
    for (uint32_t r = 0; r < world_size; r++) {
        const struct model_weights *w = rank_group_weights(group, r);
        sum += rank_cost(w, chosen < w->n_experts ? (uint32_t)chosen : w->n_experts, matrix_bytes);
    }
    return sum;
}

uint64_t forward_flops(const struct rank_group *group, uint32_t world_size)
{
    uint64_t sum = 0;
    for (uint32_t r = 0; r < world_size; r++)
        sum += rank_cost(rank_group_weights(group, r), 0, matrix_flops);
    uint32_t top_k = rank_group_model(group)->top_k_experts; // all alike, on whatever rank
    const struct model_weights *w = rank_group_weights(group, 0);
    if (top_k > 0)
        sum += top_k * (rank_cost(w, 1, matrix_flops) - rank_cost(w, 0, matrix_flops));
    return sum;
}

uint64_t forward_kv_bytes(const struct rank_group *group, uint32_t world_size, uint32_t context)
{
    const struct model_config *config = rank_group_model(group);
    const struct kv_layout *layout = rank_group_kv_layout(group);
    struct error err = {0};
    uint64_t sum = 0;
    for (uint32_t r = 0; r < world_size; r++) {
        uint32_t heads[KV_MAX_GROUPS];
        ASSERT_OK_ERR(kv_layout_rank_heads(layout, r, world_size, heads, &err), err);
        for (uint32_t i = 0; i < config->num_hidden_layers; i++) {
            uint32_t g = layout->group[i], window = layout->params.groups[g].window;
            uint64_t seen = window && window < context + 1 ? window : context + 1;
            sum += seen * kv_layer_page_bytes(&layout->params, g, heads[g]) /
                   layout->params.page_tokens;
        }
    }
    return sum;
}

double forward_read_rate(const struct rank_group *group, uint32_t world_size,
                         struct device_stream *stream)
{
    uint64_t bytes = 0, ns = 0;
    for (uint32_t r = 0; r < world_size; r++) {
        const struct device_buffer *memory = &rank_group_weights(group, r)->memory;
        bytes += memory->bytes;
        ns += peak_read_ns(stream, memory->data, memory->bytes);
    }
    return (double)bytes * 1e9 / (double)ns;
}

double forward_compute_rate(const struct rank_group *group, enum compute compute,
                            struct device_stream *stream)
{
    enum kernels_variant variant = kernels_best_variant();
    if (compute == COMPUTE_F32 && variant > KERNELS_AVX512_VNNI)
        variant = KERNELS_AVX512_VNNI; // no dot products of bf16 pairs
    return 1e9 *
           peak_gflops(stream, variant, rank_group_weights(group, 0)->layers[0].gate_up.dtype);
}
