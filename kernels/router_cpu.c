/* kernels/router_cpu.c - rows over threads. */
#include "kernels/router.h"

#include "base/status.h"
#include "kernels/norm_factor.h"
#include "kernels/router_choice.h"
#include "kernels/spread.h"

struct router_task {
    float *out;
    size_t out_stride;
    const float *x;
    size_t x_stride;
    const float *scale_weight;
    const uint32_t *rows;
    uint32_t n_rows, dim;
    float eps;
    // moe_combine
    const uint32_t *offsets, *source, *leaf;
    const float *weight;
    uint32_t n_leaves;
};

static void input_rows(void *context, uint32_t thread, uint32_t n_threads)
{
    const struct router_task *task = context;
    size_t begin, end;
    device_share(task->n_rows, 1, thread, n_threads, &begin, &end);
    uint32_t dim = task->dim;
    vf root = vf_set1(1.0F / sqrtf((float)dim));
    for (size_t r = begin; r < end; r++) {
        const float *x = task->x + r * dim;
        float *out = task->out + r * dim;
        float factor = norm_factor(x, dim, task->eps);
        for (uint32_t i = 0; i < dim; i += VF_LANES) {
            uint32_t n = dim - i;
            vf normed = vf_normed(vf_load_n(x + i, n), factor, NULL, n);
            vf scaled = vf_rounded(vf_mul(normed, vf_load_n(task->scale_weight + i, n)));
            vf_store_n(out + i, vf_rounded(vf_mul(scaled, root)), n);
        }
    }
}

static void router_input(float *out, const float *x, const float *scale_weight, uint32_t n_rows,
                         uint32_t dim, float eps, struct device_stream *stream)
{
    struct router_task task = {
        .out = out, .x = x, .scale_weight = scale_weight, .n_rows = n_rows, .dim = dim, .eps = eps};
    spread(stream, input_rows, &task, n_rows, dim);
}

struct choice_task {
    uint32_t *ids;
    float *weights;
    const float *scores;
    const float *per_expert_scale;
    uint32_t n_rows, n_experts, top_k;
    struct device_stream *stream;
};

static void choose_rows(void *context, uint32_t thread, uint32_t n_threads)
{
    const struct choice_task *task = context;
    float *p = device_stream_scratch(task->stream, thread, task->n_experts * sizeof *p);
    size_t begin, end;
    device_share(task->n_rows, 1, thread, n_threads, &begin, &end);
    for (size_t r = begin; r < end; r++)
        choose_experts(task->ids + r * task->top_k, task->weights + r * task->top_k,
                       task->scores + r * task->n_experts, task->per_expert_scale, p,
                       task->n_experts, task->top_k);
}

static void router_top_k(uint32_t *ids, float *weights, const float *scores,
                         const float *per_expert_scale, uint32_t n_rows, uint32_t n_experts,
                         uint32_t top_k, struct device_stream *stream)
{
    CHECK(top_k <= n_experts);
    struct choice_task task = {
        .ids = ids,
        .weights = weights,
        .scores = scores,
        .per_expert_scale = per_expert_scale,
        .n_rows = n_rows,
        .n_experts = n_experts,
        .top_k = top_k,
        .stream = stream,
    };
    // an expert is looked at once a choice
    spread(stream, choose_rows, &task, n_rows, (size_t)n_experts * top_k);
}

static void copy_rows(void *context, uint32_t thread, uint32_t n_threads)
{
    const struct router_task *task = context;
    size_t begin, end;
    device_share(task->n_rows, 1, thread, n_threads, &begin, &end);
    for (size_t i = begin; i < end; i++)
        memcpy(task->out + i * task->dim, task->x + task->rows[i] * task->x_stride,
               task->dim * sizeof *task->out);
}

static void gather_activations(float *out, const float *x, uint32_t x_stride, const uint32_t *rows,
                               uint32_t n, uint32_t dim, struct device_stream *stream)
{
    struct router_task task = {
        .out = out, .x = x, .x_stride = x_stride, .rows = rows, .n_rows = n, .dim = dim};
    spread(stream, copy_rows, &task, n, dim);
}

// 16 values of a row: a chain per leaf, then the tree.
ALWAYS_INLINE vf combined(const struct router_task *task, size_t row, uint32_t i, uint32_t n)
{
    vf sums[N_LEAVES];
    for (uint32_t leaf = 0; leaf < task->n_leaves; leaf++)
        sums[leaf] = vf_zero();
    for (uint32_t e = task->offsets[row]; e < task->offsets[row + 1]; e++) {
        const float *f = task->x + (size_t)task->source[e] * task->dim + i;
        vf *sum = &sums[task->leaf[e]];
        *sum = vf_fma(vf_set1(task->weight[e]), vf_load_n(f, n), *sum);
    }
    for (uint32_t step = 1; step < task->n_leaves; step *= 2)
        for (uint32_t leaf = 0; leaf < task->n_leaves; leaf += 2 * step)
            sums[leaf] = vf_add(sums[leaf], sums[leaf + step]);
    return sums[0];
}

static void combine_rows(void *context, uint32_t thread, uint32_t n_threads)
{
    const struct router_task *task = context;
    size_t begin, end;
    device_share(task->n_rows, 1, thread, n_threads, &begin, &end);
    for (size_t r = begin; r < end; r++)
        for (uint32_t i = 0; i < task->dim; i += VF_LANES)
            vf_store_n(task->out + r * task->out_stride + i, combined(task, r, i, task->dim - i),
                       task->dim - i);
}

static void moe_combine(float *out, uint32_t out_stride, const float *f, const uint32_t *offsets,
                        const uint32_t *source, const float *weight, const uint32_t *leaf,
                        uint32_t n_leaves, uint32_t n_rows, uint32_t dim,
                        struct device_stream *stream)
{
    CHECK(n_leaves <= N_LEAVES);
    struct router_task task = {
        .out = out,
        .out_stride = out_stride,
        .x = f,
        .n_rows = n_rows,
        .dim = dim,
        .offsets = offsets,
        .source = source,
        .leaf = leaf,
        .weight = weight,
        .n_leaves = n_leaves,
    };
    spread(stream, combine_rows, &task, n_rows, dim);
}

void KERNEL_PUT(router)(struct ops *out)
{
    out->router_input = router_input;
    out->router_top_k = router_top_k;
    out->gather_activations = gather_activations;
    out->moe_combine = moe_combine;
}
