/* kernels/encode_ref.c - the twins of kernels/encode.h. */
#include "kernels/encode.h"

#include <math.h>

#include "kernels/variant.h"

static void clamp(float *out, const float *x, float low, float high, size_t n,
                  struct device_stream *stream)
{
    (void)stream;
    for (size_t i = 0; i < n; i++)
        out[i] = x[i] < low ? low : x[i] > high ? high : x[i];
}

static float table_at(const struct raw_matrix *table, uint32_t row, uint32_t i)
{
    size_t at = (size_t)row * table->row_length + i;
    if (table->dtype == DTYPE_F32)
        return ((const float *)table->data)[at];
    uint16_t half = ((const uint16_t *)table->data)[at];
    return table->dtype == DTYPE_BF16 ? bf16_to_f32(half) : f16_to_f32(half);
}

static void add_table_rows(float *h, const struct raw_matrix *table, const uint32_t *a,
                           const uint32_t *b, uint32_t n_rows, struct device_stream *stream)
{
    (void)stream;
    for (size_t r = 0; r < n_rows; r++)
        for (uint32_t i = 0; i < table->row_length; i++) {
            float *value = &h[r * table->row_length + i];
            *value = rounded(*value + rounded(table_at(table, a[r], i) + table_at(table, b[r], i)));
        }
}

static void pool_rows(float *out, const float *x, uint32_t group, float scale, const float *bias,
                      const float *factor, uint32_t n_rows, uint32_t dim,
                      struct device_stream *stream)
{
    (void)stream;
    for (size_t r = 0; r < n_rows; r++)
        for (uint32_t i = 0; i < dim; i++) {
            double sum = 0;
            for (size_t g = 0; g < group; g++)
                sum += (double)x[(r * group + g) * dim + i];
            float value = rounded((float)(sum / group)) * scale;
            out[r * dim + i] = rounded(bias ? (value - bias[i]) * factor[i] : value);
        }
}

static void layer_norm(float *out, const float *x, const float *added, const float *weight,
                       const float *bias, uint32_t n_rows, uint32_t dim, float eps,
                       struct device_stream *stream)
{
    (void)stream;
    for (size_t r = 0; r < n_rows; r++) {
        const float *from = x + r * dim;
        float *to = out + r * dim;
        double sum = 0, squares = 0;
        for (uint32_t i = 0; i < dim; i++) {
            to[i] = added ? rounded(from[i] + added[i]) : from[i];
            sum += (double)to[i];
        }
        double mean = sum / dim;
        for (uint32_t i = 0; i < dim; i++)
            squares += ((double)to[i] - mean) * ((double)to[i] - mean);
        double inverse = 1 / sqrt(squares / dim + (double)eps);
        for (uint32_t i = 0; i < dim; i++)
            to[i] = rounded((float)(((double)to[i] - mean) * inverse * (double)weight[i] +
                                    (bias ? (double)bias[i] : 0)));
    }
}

void KERNEL_PUT(encode)(struct ops *out)
{
    out->clamp = clamp;
    out->add_table_rows = add_table_rows;
    out->pool_rows = pool_rows;
    out->layer_norm = layer_norm;
}
