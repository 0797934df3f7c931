/* kernels/conformer_ref.c - the twins of kernels/conformer.h. */
#include "kernels/conformer.h"

#include <math.h>

#include "kernels/variant.h"

static double sigmoid(double x)
{
    return 1 / (1 + exp(-x));
}

static void silu(float *out, const float *x, size_t n, struct device_stream *stream)
{
    (void)stream;
    for (size_t i = 0; i < n; i++)
        out[i] = rounded((float)((double)x[i] * sigmoid((double)x[i])));
}

static void gated_linear(float *out, const float *x, uint32_t n_rows, uint32_t dim,
                         struct device_stream *stream)
{
    (void)stream;
    for (size_t r = 0; r < n_rows; r++)
        for (uint32_t i = 0; i < dim; i++) {
            const float *row = x + 2 * r * dim;
            out[r * dim + i] = rounded((float)((double)row[i] * sigmoid((double)row[dim + i])));
        }
}

static void add_rows(float *out, const float *x, uint32_t x_stride, uint32_t n_rows, uint32_t dim,
                     struct device_stream *stream)
{
    (void)stream;
    for (size_t r = 0; r < n_rows; r++)
        for (uint32_t i = 0; i < dim; i++)
            out[r * dim + i] = rounded(out[r * dim + i] + x[r * x_stride + i]);
}

static void causal_conv(float *out, const float *x, const uint32_t *ages, const float *w,
                        uint32_t n_taps, uint32_t n_rows, uint32_t dim,
                        struct device_stream *stream)
{
    (void)stream;
    for (size_t r = 0; r < n_rows; r++)
        for (uint32_t c = 0; c < dim; c++) {
            double sum = 0;
            for (uint32_t m = 0; m < n_taps; m++) {
                uint32_t back = n_taps - 1 - m;
                if (back <= ages[r])
                    sum += (double)w[m * dim + c] *
                           (double)x[(ptrdiff_t)((r * dim) + c) - (ptrdiff_t)back * dim];
            }
            out[r * dim + c] = rounded((float)sum);
        }
}

// One head of one query.
static void attend(const struct relative_keys *keys, const float *q, const float *k, const float *v,
                   uint32_t head, uint32_t n_keys, ptrdiff_t dim, float *out)
{
    uint32_t d = keys->head_dim;
    double logits[CONFORMER_MAX_KEYS], largest = -INFINITY, sum = 0;
    for (uint32_t back = 0; back < n_keys; back++) {
        const float *relative = keys->relative + back * dim + (size_t)head * d;
        double score = 0;
        for (uint32_t i = 0; i < d; i++)
            score += (double)q[i] * (double)keys->q_scale[i] *
                     ((double)k[i - back * dim] * (double)keys->k_scale + (double)relative[i]);
        logits[back] = (double)keys->cap * tanh(score / (double)keys->cap);
        largest = fmax(largest, logits[back]);
    }
    for (uint32_t back = 0; back < n_keys; back++)
        sum += exp(logits[back] - largest);
    for (uint32_t i = 0; i < d; i++) {
        double value = 0;
        for (uint32_t back = 0; back < n_keys; back++)
            value += exp(logits[back] - largest) * (double)v[i - back * dim];
        out[i] = rounded((float)(value / sum));
    }
}

static void relative_attention(float *out, const float *q, const float *k, const float *v,
                               const uint32_t *ages, const struct relative_keys *keys,
                               uint32_t n_rows, struct device_stream *stream)
{
    (void)stream;
    ptrdiff_t dim = (ptrdiff_t)keys->n_heads * keys->head_dim;
    for (uint32_t r = 0; r < n_rows; r++) {
        uint32_t n_keys = ages[r] < keys->n_keys ? ages[r] + 1 : keys->n_keys;
        for (uint32_t head = 0; head < keys->n_heads; head++) {
            ptrdiff_t at = r * dim + (ptrdiff_t)head * keys->head_dim;
            attend(keys, q + at, k + at, v + at, head, n_keys, dim, out + at);
        }
    }
}

static void mel_conv(float *out, const float *x, uint32_t n_frames, uint32_t n_bins, const float *w,
                     uint32_t n_channels, uint32_t first_row, uint32_t n_rows,
                     struct device_stream *stream)
{
    (void)stream;
    for (int64_t t = first_row; t < (int64_t)first_row + n_rows; t++)
        for (int64_t f = 0; f < n_bins / 2; f++)
            for (uint32_t c = 0; c < n_channels; c++) {
                double sum = 0;
                for (int i = 0; i < 9; i++) {
                    int64_t frame = 2 * t - 1 + i / 3, bin = 2 * f - 1 + i % 3;
                    if (frame >= 0 && frame < n_frames && bin >= 0 && bin < n_bins)
                        sum += (double)w[(size_t)i * n_channels + c] *
                               (double)rounded(x[frame * n_bins + bin]);
                }
                size_t row = (size_t)(t - first_row) * (n_bins / 2) + (size_t)f;
                out[row * n_channels + c] = rounded((float)sum);
            }
}

static void unfold_conv(float *out, const struct unfold_input *in, uint32_t first_row,
                        uint32_t n_rows, struct device_stream *stream)
{
    (void)stream;
    for (int64_t t = first_row; t < (int64_t)first_row + n_rows; t++)
        for (int64_t f = 0; f < in->n_bins / 2; f++)
            for (uint32_t c = 0; c < in->n_channels; c++)
                for (int i = 0; i < 9; i++) {
                    int64_t row = 2 * t - 1 + i / 3, bin = 2 * f - 1 + i % 3;
                    bool inside = row >= 0 && row < in->n_rows && bin >= 0 && bin < in->n_bins;
                    *out++ =
                        inside
                            ? in->x[((row - in->first_row) * in->n_bins + bin) * in->n_channels + c]
                            : 0;
                }
}

void KERNEL_PUT(conformer)(struct ops *out)
{
    out->silu = silu;
    out->gated_linear = gated_linear;
    out->add_rows = add_rows;
    out->causal_conv = causal_conv;
    out->relative_attention = relative_attention;
    out->mel_conv = mel_conv;
    out->unfold_conv = unfold_conv;
}
