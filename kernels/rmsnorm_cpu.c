/* kernels/rmsnorm_cpu.c - rows over threads, each row read twice: the second time from L1. */
#include "kernels/rmsnorm.h"

#include "kernels/norm_factor.h"
#include "kernels/spread.h"

struct norm_task {
    float *out;
    size_t out_stride;
    const float *x, *x2;
    size_t x_stride;
    const float *w1, *w2, *weight;
    uint32_t n_rows, dim;
    float eps, scale;
    struct device_stream *stream;
};

static void norm_rows(void *context, uint32_t thread, uint32_t n_threads)
{
    const struct norm_task *task = context;
    size_t begin, end;
    device_share(task->n_rows, 1, thread, n_threads, &begin, &end);
    uint32_t dim = task->dim;
    for (size_t r = begin; r < end; r++) {
        const float *x = task->x + r * task->x_stride;
        float *out = task->out + r * task->out_stride;
        float factor = norm_factor(x, dim, task->eps);
        for (uint32_t i = 0; i < dim; i += VF_LANES) {
            const float *weight = task->weight ? task->weight + i : NULL;
            vf_store_n(out + i, vf_normed(vf_load_n(x + i, dim - i), factor, weight, dim - i),
                       dim - i);
        }
    }
}

// h = R(R(h + norm(R(x), weight)) * scale), one row
static void add_normed(float *h, const float *x, const float *weight, uint32_t dim, float eps,
                       float scale)
{
    float factor = norm_factor_scaled(x, dim, 1.0F, eps);
    for (uint32_t i = 0; i < dim; i += VF_LANES) {
        vf value = vf_normed(vf_rounded(vf_load_n(x + i, dim - i)), factor, weight + i, dim - i);
        vf sum = vf_rounded(vf_add(vf_load_n(h + i, dim - i), value));
        vf_store_n(h + i, vf_rounded(vf_mul(sum, vf_set1(scale))), dim - i);
    }
}

static void residual_rows(void *context, uint32_t thread, uint32_t n_threads)
{
    const struct norm_task *task = context;
    size_t begin, end;
    device_share(task->n_rows, 1, thread, n_threads, &begin, &end);
    for (size_t r = begin; r < end; r++)
        add_normed(task->out + r * task->out_stride, task->x + r * task->x_stride, task->weight,
                   task->dim, task->eps, task->scale);
}

static void residual_moe_rows(void *context, uint32_t thread, uint32_t n_threads)
{
    const struct norm_task *task = context;
    size_t begin, end;
    device_share(task->n_rows, 1, thread, n_threads, &begin, &end);
    uint32_t dim = task->dim;
    float *sum = device_stream_scratch(task->stream, thread, dim * sizeof *sum);
    for (size_t r = begin; r < end; r++) {
        const float *x1 = task->x + r * task->x_stride;
        const float *x2 = task->x2 + r * task->x_stride;
        float factor1 = norm_factor_scaled(x1, dim, 1.0F, task->eps);
        float factor2 = norm_factor_scaled(x2, dim, 1.0F, task->eps);
        for (uint32_t i = 0; i < dim; i += VF_LANES) {
            uint32_t n = dim - i;
            vf a = vf_normed(vf_rounded(vf_load_n(x1 + i, n)), factor1, task->w1 + i, n);
            vf b = vf_normed(vf_rounded(vf_load_n(x2 + i, n)), factor2, task->w2 + i, n);
            vf_store_n(sum + i, vf_rounded(vf_add(a, b)), n);
        }
        add_normed(task->out + r * task->out_stride, sum, task->weight, dim, task->eps,
                   task->scale);
    }
}

static void rmsnorm(float *out, uint32_t out_stride, const float *x, uint32_t x_stride,
                    const float *weight, uint32_t n_rows, uint32_t dim, float eps,
                    struct device_stream *stream)
{
    struct norm_task task = {.out = out,
                             .out_stride = out_stride,
                             .x = x,
                             .x_stride = x_stride,
                             .weight = weight,
                             .n_rows = n_rows,
                             .dim = dim,
                             .eps = eps};
    spread(stream, norm_rows, &task, n_rows, dim);
}

static void residual_norm(float *h, const float *x, const float *weight, uint32_t n_rows,
                          uint32_t dim, float eps, float scale, struct device_stream *stream)
{
    struct norm_task task = {.out = h,
                             .out_stride = dim,
                             .x = x,
                             .x_stride = dim,
                             .weight = weight,
                             .n_rows = n_rows,
                             .dim = dim,
                             .eps = eps,
                             .scale = scale};
    spread(stream, residual_rows, &task, n_rows, dim);
}

static void residual_norm_moe(float *h, const float *x1, const float *x2, uint32_t x_stride,
                              const float *w1, const float *w2, const float *w, uint32_t n_rows,
                              uint32_t dim, float eps, float scale, struct device_stream *stream)
{
    struct norm_task task = {.out = h,
                             .out_stride = dim,
                             .x = x1,
                             .x2 = x2,
                             .x_stride = x_stride,
                             .w1 = w1,
                             .w2 = w2,
                             .weight = w,
                             .n_rows = n_rows,
                             .dim = dim,
                             .eps = eps,
                             .scale = scale,
                             .stream = stream};
    spread(stream, residual_moe_rows, &task, n_rows, dim);
}

void KERNEL_PUT(rmsnorm)(struct ops *out)
{
    out->rmsnorm = rmsnorm;
    out->residual_norm = residual_norm;
    out->residual_norm_moe = residual_norm_moe;
}
