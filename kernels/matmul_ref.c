/* kernels/matmul_ref.c - the twins of kernels/matmul.h: f64 chains, f32 leaves, the tree in f32. */
#include "kernels/matmul.h"

#include <math.h>

#include "kernels/variant.h"

// x as the matmul takes it: quantized by the leaf's blocks, when the weights are.
static double leaf_sum_quantized(const float *x, const struct packed_matrix *w, uint32_t row,
                                 uint32_t begin, uint32_t end)
{
    double sum = 0;
    for (uint32_t k = begin; k < end; k += QUANT_BLOCK) {
        uint32_t n = end - k < QUANT_BLOCK ? end - k : QUANT_BLOCK;
        int8_t q[QUANT_BLOCK];
        float scale;
        quantize_activations(x + k, n, q, &scale);
        for (uint32_t i = 0; i < n; i++)
            sum += (double)scale * q[i] * (double)packed_matrix_at(w, row, k + i);
    }
    return sum;
}

static float leaf_sum(const float *x, const struct packed_matrix *w, uint32_t row, uint32_t leaf)
{
    uint32_t begin, end;
    packed_leaf_range(w, leaf, &begin, &end);
    if (dtype_is_quantized(w->dtype))
        return (float)leaf_sum_quantized(x, w, row, begin, end);
    double sum = 0;
    for (uint32_t k = begin; k < end; k++)
        sum += (double)x[k] * (double)packed_matrix_at(w, row, k);
    return (float)sum;
}

static float tree_sum(const float *x, const struct packed_matrix *w, uint32_t row, uint32_t leaf,
                      uint32_t n_leaves)
{
    if (n_leaves == 1)
        return leaf_sum(x, w, row, leaf);
    uint32_t half = n_leaves / 2;
    return tree_sum(x, w, row, leaf, half) + tree_sum(x, w, row, leaf + half, half);
}

static void matmul_leaves(float *out, uint32_t out_stride, const float *x, uint32_t x_stride,
                          uint32_t n_rows, const struct packed_matrix *w,
                          struct device_stream *stream)
{
    (void)stream;
    for (size_t r = 0; r < n_rows; r++)
        for (uint32_t j = 0; j < w->n; j++)
            out[r * out_stride + j] = tree_sum(x + r * x_stride, w, j, 0, w->n_leaves);
}

static void matmul(float *out, uint32_t out_stride, const float *x, uint32_t x_stride,
                   uint32_t n_rows, const struct packed_matrix *w, struct device_stream *stream)
{
    matmul_leaves(out, out_stride, x, x_stride, n_rows, w, stream);
    for (size_t r = 0; r < n_rows; r++)
        for (uint32_t j = 0; j < w->n; j++)
            out[r * out_stride + j] = rounded(out[r * out_stride + j]);
}

static void logits(float *out, size_t out_stride, const float *x, uint32_t x_stride,
                   uint32_t n_rows, const struct packed_matrix *w, float cap,
                   struct device_stream *stream)
{
    matmul_leaves(out, (uint32_t)out_stride, x, x_stride, n_rows, w, stream);
    for (size_t r = 0; cap > 0 && r < n_rows; r++)
        for (uint32_t j = 0; j < w->n; j++)
            out[r * out_stride + j] = (float)(cap * tanh((double)out[r * out_stride + j] / cap));
}

void KERNEL_PUT(matmul)(struct ops *out)
{
    out->logits = logits;
    out->matmul = matmul;
    out->matmul_leaves = matmul_leaves;
}
