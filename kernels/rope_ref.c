/* kernels/rope_ref.c - the twins of kernels/rope.h. */
#include "kernels/rope.h"

#include <math.h>

#include "kernels/variant.h"

static void rope_angles(float *cos_out, float *sin_out, const uint32_t *positions,
                        const float *inv_freq, uint32_t n_rows, uint32_t half_dim,
                        struct device_stream *stream)
{
    (void)stream;
    for (size_t r = 0; r < n_rows; r++) {
        for (uint32_t i = 0; i < half_dim; i++) {
            float angle = (float)positions[r] * inv_freq[i];
            cos_out[r * half_dim + i] = rounded((float)cos((double)angle));
            sin_out[r * half_dim + i] = rounded((float)sin((double)angle));
        }
    }
}

static void norm_head(float *out, const float *x, const float *weight, uint32_t dim, float eps)
{
    double sum = 0;
    for (uint32_t i = 0; i < dim; i++)
        sum += (double)x[i] * (double)x[i];
    double factor = 1 / sqrt(sum / dim + eps);
    for (uint32_t i = 0; i < dim; i++)
        out[i] = rounded((float)(weight ? x[i] * factor * weight[i] : x[i] * factor));
}

// Dimension i of the rotated head.
static float rotated(const float *x, const float *cos_row, const float *sin_row, uint32_t dim,
                     uint32_t i)
{
    uint32_t half = dim / 2;
    double c = cos_row[i % half];
    double s = sin_row[i % half];
    return rounded((float)(i < half ? x[i] * c - x[i + half] * s : x[i] * c + x[i - half] * s));
}

// The dimension of the head that place i of a stored key holds.
static uint32_t key_dimension(const struct kv_view *view, uint32_t i)
{
    if (!view->k_from_v)
        return i;
    uint32_t r = view->k_dim / 2;
    return i < r ? i : view->v_dim / 2 + (i - r);
}

static void query_finish(float *out, const float *q, uint32_t q_stride, uint32_t n_heads,
                         const float *q_norm, const float *k_norm, const float *cos,
                         const float *sin, uint32_t n_rows, float eps, const struct kv_view *view,
                         struct device_stream *stream)
{
    uint32_t dim = view->v_dim;
    float *x = device_stream_scratch(stream, 0, dim * sizeof *x);
    for (size_t r = 0; r < n_rows; r++) {
        const float *cos_row = cos + r * (dim / 2);
        const float *sin_row = sin + r * (dim / 2);
        for (uint32_t head = 0; head < n_heads; head++, out += query_head_width(view)) {
            norm_head(x, q + r * q_stride + (size_t)head * dim, q_norm, dim, eps);
            uint32_t n_rotated = view->k_from_v ? view->k_dim : dim;
            for (uint32_t i = 0; i < n_rotated; i++)
                out[i] = rotated(x, cos_row, sin_row, dim, key_dimension(view, i));
            if (!view->k_from_v)
                continue;
            float *plain = out + view->k_dim;
            for (uint32_t i = 0; i < dim; i++)
                plain[i] = x[i] * k_norm[i];
            for (uint32_t i = 0; i < n_rotated; i++)
                plain[key_dimension(view, i)] = 0;
        }
    }
}

static void store(const struct kv_view *view, unsigned char *element, float value)
{
    uint16_t half = f32_to_bf16(value);
    if (view->dtype == DTYPE_F32)
        memcpy(element, &value, sizeof value);
    else
        memcpy(element, &half, sizeof half);
}

static void kv_write(const struct kv_view *view, const uint32_t *slots, const float *k,
                     uint32_t k_stride, const float *v, uint32_t v_stride, const float *k_norm,
                     const float *cos, const float *sin, uint32_t n_rows, float eps,
                     struct device_stream *stream)
{
    uint32_t dim = view->v_dim;
    float *x = device_stream_scratch(stream, 0, dim * sizeof *x);
    for (size_t r = 0; r < n_rows; r++) {
        for (uint32_t head = 0; head < view->n_kv_heads; head++) {
            norm_head(x, k + r * k_stride + (size_t)head * dim, k_norm, dim, eps);
            for (uint32_t i = 0; i < view->k_dim; i++)
                store(view, kv_view_key(view, slots[r], head, i),
                      rotated(x, cos + r * (dim / 2), sin + r * (dim / 2), dim,
                              key_dimension(view, i)));
            norm_head(x, v + r * v_stride + (size_t)head * dim, NULL, dim, eps);
            for (uint32_t i = 0; i < dim; i++)
                store(view, kv_view_value(view, slots[r], head) + i * dtype_bytes(view->dtype),
                      x[i]);
        }
    }
}

void KERNEL_PUT(rope)(struct ops *out)
{
    out->rope_angles = rope_angles;
    out->query_finish = query_finish;
    out->kv_write = kv_write;
}
