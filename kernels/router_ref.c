/* kernels/router_ref.c - the twins of kernels/router.h. */
#include "kernels/router.h"

#include <math.h>

#include "base/status.h"
#include "kernels/router_choice.h"
#include "kernels/variant.h"

static void router_input(float *out, const float *x, const float *scale_weight, uint32_t n_rows,
                         uint32_t dim, float eps, struct device_stream *stream)
{
    (void)stream;
    float root = 1.0F / sqrtf((float)dim);
    for (size_t r = 0; r < n_rows; r++, out += dim, x += dim) {
        double sum = 0;
        for (uint32_t i = 0; i < dim; i++)
            sum += (double)x[i] * (double)x[i];
        double factor = 1 / sqrt(sum / dim + eps);
        for (uint32_t i = 0; i < dim; i++)
            out[i] = rounded(rounded(rounded((float)(x[i] * factor)) * scale_weight[i]) * root);
    }
}

static void router_top_k(uint32_t *ids, float *weights, const float *scores,
                         const float *per_expert_scale, uint32_t n_rows, uint32_t n_experts,
                         uint32_t top_k, struct device_stream *stream)
{
    CHECK(top_k <= n_experts);
    float *p = device_stream_scratch(stream, 0, n_experts * sizeof *p);
    for (size_t r = 0; r < n_rows; r++)
        choose_experts(ids + r * top_k, weights + r * top_k, scores + r * n_experts,
                       per_expert_scale, p, n_experts, top_k);
}

static void gather_activations(float *out, const float *x, uint32_t x_stride, const uint32_t *rows,
                               uint32_t n, uint32_t dim, struct device_stream *stream)
{
    (void)stream;
    for (size_t i = 0; i < n; i++)
        memcpy(out + i * dim, x + (size_t)rows[i] * x_stride, dim * sizeof *out);
}

// One row's arguments of moe_combine.
struct entries {
    const float *f;
    const uint32_t *source;
    const float *weight;
    const uint32_t *leaf;
    uint32_t begin, end;
    uint32_t dim;
};

static float tree_sum(const struct entries *entries, uint32_t i, uint32_t leaf, uint32_t n_leaves)
{
    if (n_leaves > 1) {
        uint32_t half = n_leaves / 2;
        return tree_sum(entries, i, leaf, half) + tree_sum(entries, i, leaf + half, half);
    }
    float sum = 0;
    for (uint32_t e = entries->begin; e < entries->end; e++)
        if (entries->leaf[e] == leaf)
            sum = fmaf(entries->weight[e],
                       entries->f[(size_t)entries->source[e] * entries->dim + i], sum);
    return sum;
}

static void moe_combine(float *out, uint32_t out_stride, const float *f, const uint32_t *offsets,
                        const uint32_t *source, const float *weight, const uint32_t *leaf,
                        uint32_t n_leaves, uint32_t n_rows, uint32_t dim,
                        struct device_stream *stream)
{
    (void)stream;
    for (size_t r = 0; r < n_rows; r++) {
        struct entries entries = {f, source, weight, leaf, offsets[r], offsets[r + 1], dim};
        for (uint32_t i = 0; i < dim; i++)
            out[r * out_stride + i] = tree_sum(&entries, i, 0, n_leaves);
    }
}

void KERNEL_PUT(router)(struct ops *out)
{
    out->router_input = router_input;
    out->router_top_k = router_top_k;
    out->gather_activations = gather_activations;
    out->moe_combine = moe_combine;
}
