/* kernels/rmsnorm_ref.c - the twins of kernels/rmsnorm.h. */
#include "kernels/rmsnorm.h"

#include <math.h>

#include "kernels/variant.h"

static float identity(float value)
{
    return value;
}

// 1 / sqrt(mean(prepare(x)^2) + eps)
static double norm_factor(const float *x, uint32_t dim, float eps, float (*prepare)(float))
{
    double sum = 0;
    for (uint32_t i = 0; i < dim; i++) {
        double value = prepare(x[i]);
        sum += value * value;
    }
    return 1 / sqrt(sum / dim + eps);
}

static float normed(float x, double factor, const float *weight, uint32_t i)
{
    double value = x * factor;
    return rounded((float)(weight ? value * weight[i] : value));
}

static void rmsnorm(float *out, uint32_t out_stride, const float *x, uint32_t x_stride,
                    const float *weight, uint32_t n_rows, uint32_t dim, float eps,
                    struct device_stream *stream)
{
    (void)stream;
    for (size_t r = 0; r < n_rows; r++) {
        const float *row = x + r * x_stride;
        double factor = norm_factor(row, dim, eps, identity);
        for (uint32_t i = 0; i < dim; i++)
            out[r * out_stride + i] = normed(row[i], factor, weight, i);
    }
}

static void residual_norm(float *h, const float *x, const float *weight, uint32_t n_rows,
                          uint32_t dim, float eps, float scale, struct device_stream *stream)
{
    (void)stream;
    for (size_t r = 0; r < n_rows; r++, h += dim, x += dim) {
        double factor = norm_factor(x, dim, eps, rounded);
        for (uint32_t i = 0; i < dim; i++)
            h[i] = rounded(rounded(h[i] + normed(rounded(x[i]), factor, weight, i)) * scale);
    }
}

static void residual_norm_moe(float *h, const float *x1, const float *x2, uint32_t x_stride,
                              const float *w1, const float *w2, const float *w, uint32_t n_rows,
                              uint32_t dim, float eps, float scale, struct device_stream *stream)
{
    float *sum = device_stream_scratch(stream, 0, dim * sizeof *sum);
    for (size_t r = 0; r < n_rows; r++, h += dim, x1 += x_stride, x2 += x_stride) {
        double factor1 = norm_factor(x1, dim, eps, rounded);
        double factor2 = norm_factor(x2, dim, eps, rounded);
        for (uint32_t i = 0; i < dim; i++)
            sum[i] = rounded(normed(rounded(x1[i]), factor1, w1, i) +
                             normed(rounded(x2[i]), factor2, w2, i));
        double factor = norm_factor(sum, dim, eps, identity);
        for (uint32_t i = 0; i < dim; i++)
            h[i] = rounded(rounded(h[i] + normed(sum[i], factor, w, i)) * scale);
    }
}

void KERNEL_PUT(rmsnorm)(struct ops *out)
{
    out->rmsnorm = rmsnorm;
    out->residual_norm = residual_norm;
    out->residual_norm_moe = residual_norm_moe;
}
