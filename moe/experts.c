/* moe/experts.c - tokens are grouped by expert (a counting sort), so that each expert's weights are
 * read once a step, and the results are put back by a table of (row, source) entries.
 * Grouping keeps rows in ascending order inside an expert, which no result depends on: every row
 * of a matmul is computed alone. */
#include "moe/experts.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "device/memory.h"

struct moe_scratch {
    struct device_buffer memory;
    float *normed;            /* [max_rows, hidden_size]: router input, then the experts' input */
    float *scores;            /* [max_rows, num_experts] */
    float *top_weights;       /* [max_rows, top_k] */
    float *grouped;           /* [max_rows * top_k, hidden_size]: inputs by expert, then outputs */
    float *gate_up;           /* [max_rows * top_k, 2 moe_intermediate] */
    float *activated;         /* [max_rows * top_k, moe_intermediate] */
    float *entry_weight;      /* [max_rows * top_k] */
    uint32_t *top_ids;        /* [max_rows, top_k] */
    uint32_t *group_rows;     /* [max_rows * top_k]: input row of each grouped row */
    uint32_t *entry_source;   /* [max_rows * top_k] */
    uint32_t *entry_leaf;     /* [max_rows * top_k] */
    uint32_t *entry_offsets;  /* [max_rows + 1] */
    uint32_t *expert_offsets; /* [n_experts + 1] */
    uint32_t *expert_fill;    /* [n_experts] */
};

// All elements are four bytes wide.
static size_t lay_out(const struct moe_shape *shape, uint32_t max_rows, struct moe_scratch *s)
{
    const struct device_buffer *m = &s->memory;
    size_t rows = max_rows;
    size_t entries = rows * shape->top_k_experts;
    size_t at = 0;
    s->normed = device_buffer_carve(m, &at, rows * shape->hidden_size, sizeof(float));
    s->scores = device_buffer_carve(m, &at, rows * shape->num_experts, sizeof(float));
    s->top_weights = device_buffer_carve(m, &at, entries, sizeof(float));
    s->grouped = device_buffer_carve(m, &at, entries * shape->hidden_size, sizeof(float));
    s->gate_up = device_buffer_carve(m, &at, entries * 2 * shape->moe_intermediate_size,
                                     sizeof(float));
    s->activated = device_buffer_carve(m, &at, entries * shape->moe_intermediate_size,
                                       sizeof(float));
    s->entry_weight = device_buffer_carve(m, &at, entries, sizeof(float));
    s->top_ids = device_buffer_carve(m, &at, entries, sizeof(float));
    s->group_rows = device_buffer_carve(m, &at, entries, sizeof(float));
    s->entry_source = device_buffer_carve(m, &at, entries, sizeof(float));
    s->entry_leaf = device_buffer_carve(m, &at, entries, sizeof(float));
    s->entry_offsets = device_buffer_carve(m, &at, rows + 1, sizeof(float));
    s->expert_offsets = device_buffer_carve(m, &at, (size_t)shape->n_experts + 1, sizeof(float));
    s->expert_fill = device_buffer_carve(m, &at, shape->n_experts, sizeof(float));
    return at;
}

size_t moe_scratch_bytes(const struct moe_shape *shape, uint32_t max_rows)
{
    struct moe_scratch counted = {0};
    return lay_out(shape, max_rows, &counted);
}

enum status moe_scratch_create(const struct moe_shape *shape, uint32_t max_rows,
                               struct moe_scratch **out, struct error *err)
{
    struct moe_scratch *scratch = mem_zeroed(1, sizeof *scratch);
    enum status st = device_buffer_create(moe_scratch_bytes(shape, max_rows), "expert activations",
                                          &scratch->memory, err);
    if (st != STATUS_OK) {
        free(scratch);
        return st;
    }
    lay_out(shape, max_rows, scratch);
    *out = scratch;
    return STATUS_OK;
}

void moe_scratch_destroy(struct moe_scratch *scratch)
{
    if (!scratch)
        return;
    device_buffer_destroy(&scratch->memory);
    free(scratch);
}

static uint32_t leaf_of(uint32_t expert, uint32_t num_experts)
{
    uint32_t leaf = (uint32_t)((uint64_t)expert * N_LEAVES / num_experts);
    while ((uint64_t)(leaf + 1) * num_experts / N_LEAVES <= expert)
        leaf++;
    return leaf;
}

// Sorts this rank's (row, expert) choices by expert and lists each row's entries in top-k order.
static void group_by_expert(const struct moe_shape *shape, struct moe_scratch *s, uint32_t n_rows)
{
    uint32_t k = shape->top_k_experts;
    uint32_t first_leaf = shape->rank * (N_LEAVES / shape->world_size);
    memset(s->expert_fill, 0, shape->n_experts * sizeof *s->expert_fill);
    for (size_t i = 0; i < (size_t)n_rows * k; i++) {
        uint32_t local = s->top_ids[i] - shape->expert_begin;
        if (local < shape->n_experts)
            s->expert_fill[local]++;
    }
    uint32_t sum = 0;
    for (uint32_t e = 0; e < shape->n_experts; e++) {
        s->expert_offsets[e] = sum;
        sum += s->expert_fill[e];
        s->expert_fill[e] = s->expert_offsets[e];
    }
    s->expert_offsets[shape->n_experts] = sum;
    uint32_t n_entries = 0;
    for (uint32_t row = 0; row < n_rows; row++) {
        s->entry_offsets[row] = n_entries;
        for (uint32_t j = 0; j < k; j++) {
            uint32_t expert = s->top_ids[(size_t)row * k + j];
            uint32_t local = expert - shape->expert_begin;
            if (local >= shape->n_experts)
                continue;
            uint32_t at = s->expert_fill[local]++;
            s->group_rows[at] = row;
            s->entry_source[n_entries] = at;
            s->entry_weight[n_entries] = s->top_weights[(size_t)row * k + j];
            s->entry_leaf[n_entries] = leaf_of(expert, shape->num_experts) - first_leaf;
            n_entries++;
        }
    }
    s->entry_offsets[n_rows] = n_entries;
}

static void route(const struct moe_shape *shape, const struct moe_weights *weights,
                  const struct ops *ops, struct device_stream *stream, struct moe_scratch *s,
                  const float *r, uint32_t n_rows)
{
    uint32_t hidden = shape->hidden_size;
    ops->router_input(s->normed, r, weights->router_scale, n_rows, hidden, shape->rms_norm_eps,
                      stream);
    ops->matmul(s->scores, shape->num_experts, s->normed, hidden, n_rows, weights->router, stream);
    ops->router_top_k(s->top_ids, s->top_weights, s->scores, weights->per_expert_scale, n_rows,
                      shape->num_experts, shape->top_k_experts, stream);
}

void moe_experts_forward(const struct moe_shape *shape, const struct moe_weights *weights,
                         const struct ops *ops, struct device_stream *stream, struct moe_scratch *s,
                         const float *r, uint32_t n_rows, float *out, uint32_t out_stride)
{
    uint32_t hidden = shape->hidden_size;
    uint32_t inner = shape->moe_intermediate_size;
    route(shape, weights, ops, stream, s, r, n_rows);
    group_by_expert(shape, s, n_rows);
    uint32_t n_grouped = s->expert_offsets[shape->n_experts];
    ops->rmsnorm(s->normed, hidden, r, hidden, weights->norm, n_rows, hidden, shape->rms_norm_eps,
                 stream);
    ops->gather_activations(s->grouped, s->normed, hidden, s->group_rows, n_grouped, hidden,
                            stream);
    for (uint32_t e = 0; e < shape->n_experts; e++) {
        size_t at = s->expert_offsets[e];
        uint32_t n = s->expert_offsets[e + 1] - s->expert_offsets[e];
        if (n)
            ops->matmul(s->gate_up + at * 2 * inner, 2 * inner, s->grouped + at * hidden, hidden, n,
                        &weights->gate_up[e], stream);
    }
    ops->gelu_mul(s->activated, inner, s->gate_up, 2 * inner, s->gate_up + inner, 2 * inner,
                  n_grouped, inner, stream);
    for (uint32_t e = 0; e < shape->n_experts; e++) {
        size_t at = s->expert_offsets[e];
        uint32_t n = s->expert_offsets[e + 1] - s->expert_offsets[e];
        if (n)
            ops->matmul(s->grouped + at * hidden, hidden, s->activated + at * inner, inner, n,
                        &weights->down[e], stream);
    }
    ops->moe_combine(out, out_stride, s->grouped, s->entry_offsets, s->entry_source,
                     s->entry_weight, s->entry_leaf, N_LEAVES / shape->world_size, n_rows, hidden,
                     stream);
}
