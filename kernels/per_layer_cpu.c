/* kernels/per_layer_cpu.c - one (row, layer) after the other, over threads. */
#include "kernels/per_layer.h"

#include "kernels/norm_factor.h"
#include "kernels/spread.h"

struct per_layer_task {
    float *out;
    const float *ctx, *tok, *weight;
    size_t n_units;
    uint32_t dim;
    float ctx_scale, eps;
};

static void run_layers(void *context, uint32_t thread, uint32_t n_threads)
{
    const struct per_layer_task *task = context;
    size_t begin, end;
    device_share(task->n_units, 1, thread, n_threads, &begin, &end);
    uint32_t dim = task->dim;
    for (size_t unit = begin; unit < end; unit++) {
        const float *ctx = task->ctx + unit * dim;
        const float *tok = task->tok + unit * dim;
        float *out = task->out + unit * dim;
        float factor = norm_factor_scaled(ctx, dim, task->ctx_scale, task->eps);
        for (uint32_t i = 0; i < dim; i += VF_LANES) {
            uint32_t n = dim - i;
            vf scaled = vf_rounded(vf_mul(vf_load_n(ctx + i, n), vf_set1(task->ctx_scale)));
            vf normed = vf_normed(scaled, factor, task->weight + i, n);
            vf sum = vf_rounded(vf_add(normed, vf_load_n(tok + i, n)));
            vf_store_n(out + i, vf_rounded(vf_mul(sum, vf_set1(PER_LAYER_SCALE))), n);
        }
    }
}

static void per_layer_inputs(float *out, const float *ctx, const float *tok, const float *weight,
                             uint32_t n_rows, uint32_t n_layers, uint32_t dim, float ctx_scale,
                             float eps, struct device_stream *stream)
{
    struct per_layer_task task = {
        .out = out,
        .ctx = ctx,
        .tok = tok,
        .weight = weight,
        .n_units = (size_t)n_rows * n_layers,
        .dim = dim,
        .ctx_scale = ctx_scale,
        .eps = eps,
    };
    spread(stream, run_layers, &task, task.n_units, dim);
}

void KERNEL_PUT(per_layer)(struct ops *out)
{
    out->per_layer_inputs = per_layer_inputs;
}
