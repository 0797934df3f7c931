/* kernels/conformer_cpu.c - rows over threads; within a row lanes over channels, or over a head's
 * dimensions. */
#include "kernels/conformer.h"

#include <math.h>

#include "kernels/simd.h"
#include "kernels/spread.h"

enum { PIECE = 4096 }; // values of silu that are one unit

struct rows {
    size_t begin, end;
};

static struct rows share(size_t n_rows, size_t unit, uint32_t thread, uint32_t n_threads)
{
    struct rows rows;
    device_share(n_rows, unit, thread, n_threads, &rows.begin, &rows.end);
    return rows;
}

ALWAYS_INLINE vf sigmoid_of(vf x)
{
    return vf_div(vf_set1(1.0F), vf_add(vf_set1(1.0F), vf_exp(vf_sub(vf_zero(), x))));
}

struct silu_task {
    float *out;
    const float *x;
    size_t n;
};

static void run_silu(void *context, uint32_t thread, uint32_t n_threads)
{
    const struct silu_task *task = context;
    struct rows values = share(task->n, PIECE, thread, n_threads);
    for (size_t i = values.begin; i < values.end; i += VF_LANES) {
        vf x = vf_load_n(task->x + i, values.end - i);
        vf_store_n(task->out + i, vf_rounded(vf_mul(x, sigmoid_of(x))), values.end - i);
    }
}

static void silu(float *out, const float *x, size_t n, struct device_stream *stream)
{
    struct silu_task task = {out, x, n};
    spread(stream, run_silu, &task, (n + PIECE - 1) / PIECE, PIECE);
}

struct rows_task {
    float *out;
    const float *x;
    size_t x_stride;
    uint32_t n_rows, dim;
    const uint32_t *ages;
    const float *w;
    uint32_t n_taps;
};

static void run_gated(void *context, uint32_t thread, uint32_t n_threads)
{
    const struct rows_task *task = context;
    struct rows rows = share(task->n_rows, 1, thread, n_threads);
    size_t dim = task->dim;
    for (size_t r = rows.begin; r < rows.end; r++) {
        const float *value = task->x + 2 * r * dim, *gate = value + dim;
        for (size_t i = 0; i < dim; i += VF_LANES) {
            vf opened = sigmoid_of(vf_load_n(gate + i, dim - i));
            vf product = vf_mul(vf_load_n(value + i, dim - i), opened);
            vf_store_n(task->out + r * dim + i, vf_rounded(product), dim - i);
        }
    }
}

static void gated_linear(float *out, const float *x, uint32_t n_rows, uint32_t dim,
                         struct device_stream *stream)
{
    struct rows_task task = {.out = out, .x = x, .n_rows = n_rows, .dim = dim};
    spread(stream, run_gated, &task, n_rows, dim);
}

static void run_add(void *context, uint32_t thread, uint32_t n_threads)
{
    const struct rows_task *task = context;
    struct rows rows = share(task->n_rows, 1, thread, n_threads);
    size_t dim = task->dim;
    for (size_t r = rows.begin; r < rows.end; r++) {
        const float *x = task->x + r * task->x_stride;
        float *out = task->out + r * dim;
        for (size_t i = 0; i < dim; i += VF_LANES) {
            vf sum = vf_add(vf_load_n(out + i, dim - i), vf_load_n(x + i, dim - i));
            vf_store_n(out + i, vf_rounded(sum), dim - i);
        }
    }
}

static void add_rows(float *out, const float *x, uint32_t x_stride, uint32_t n_rows, uint32_t dim,
                     struct device_stream *stream)
{
    struct rows_task task = {
        .out = out, .x = x, .x_stride = x_stride, .n_rows = n_rows, .dim = dim};
    spread(stream, run_add, &task, n_rows, dim);
}

static void run_conv(void *context, uint32_t thread, uint32_t n_threads)
{
    const struct rows_task *task = context;
    struct rows rows = share(task->n_rows, 1, thread, n_threads);
    size_t dim = task->dim;
    for (size_t r = rows.begin; r < rows.end; r++) {
        uint32_t last = task->n_taps - 1;
        uint32_t first = last > task->ages[r] ? last - task->ages[r] : 0; // before: another clip
        for (size_t i = 0; i < dim; i += VF_LANES) {
            vf sum = vf_zero();
            for (uint32_t m = first; m <= last; m++) {
                const float *x = task->x + r * dim + i - (size_t)(last - m) * dim;
                vf weight = vf_load_n(task->w + m * dim + i, dim - i);
                sum = vf_fma(weight, vf_load_n(x, dim - i), sum);
            }
            vf_store_n(task->out + r * dim + i, vf_rounded(sum), dim - i);
        }
    }
}

static void causal_conv(float *out, const float *x, const uint32_t *ages, const float *w,
                        uint32_t n_taps, uint32_t n_rows, uint32_t dim,
                        struct device_stream *stream)
{
    struct rows_task task = {
        .out = out, .x = x, .n_rows = n_rows, .dim = dim, .ages = ages, .w = w, .n_taps = n_taps};
    spread(stream, run_conv, &task, n_rows, (size_t)dim * n_taps);
}

struct attention_task {
    float *out;
    const float *q, *k, *v;
    const uint32_t *ages;
    const struct relative_keys *keys;
    uint32_t n_rows;
};

// The scores of one head of a query, after the cap; returns the largest.
static float score_keys(const struct relative_keys *keys, const float *q, const float *k,
                        const float *relative, uint32_t n_keys, float *scores)
{
    size_t dim = (size_t)keys->n_heads * keys->head_dim, d = keys->head_dim;
    float scaled[CONFORMER_MAX_HEAD_DIM + VF_LANES];
    for (size_t i = 0; i < d; i += VF_LANES)
        vf_store(scaled + i, vf_mul(vf_load_n(q + i, d - i), vf_load_n(keys->q_scale + i, d - i)));
    for (uint32_t back = 0; back < n_keys; back++) {
        vf sum = vf_zero();
        for (size_t i = 0; i < d; i += VF_LANES) {
            vf key = vf_load_n(k + i - back * dim, d - i);
            key = vf_fma(key, vf_set1(keys->k_scale), vf_load_n(relative + back * dim + i, d - i));
            sum = vf_fma(vf_load(scaled + i), key, sum);
        }
        scores[back] = vf_sum(sum);
    }
    float largest = -INFINITY;
    for (uint32_t back = 0; back < n_keys; back += VF_LANES) {
        vf capped = vf_tanh(vf_div(vf_load(scores + back), vf_set1(keys->cap)));
        vf_store(scores + back, vf_mul(capped, vf_set1(keys->cap)));
    }
    for (uint32_t back = 0; back < n_keys; back++)
        largest = fmaxf(largest, scores[back]);
    return largest;
}

static void attend(const struct attention_task *task, size_t at, uint32_t head, uint32_t n_keys)
{
    const struct relative_keys *keys = task->keys;
    size_t dim = (size_t)keys->n_heads * keys->head_dim, d = keys->head_dim;
    float scores[CONFORMER_MAX_KEYS + VF_LANES] = {0}, sum = 0;
    float largest = score_keys(keys, task->q + at, task->k + at, keys->relative + head * d, n_keys,
                               scores);
    for (uint32_t back = 0; back < n_keys; back += VF_LANES)
        vf_store(scores + back, vf_exp(vf_sub(vf_load(scores + back), vf_set1(largest))));
    for (uint32_t back = 0; back < n_keys; back++)
        sum += scores[back];
    for (size_t i = 0; i < d; i += VF_LANES) {
        vf value = vf_zero();
        for (uint32_t back = 0; back < n_keys; back++)
            value = vf_fma(vf_set1(scores[back]), vf_load_n(task->v + at + i - back * dim, d - i),
                           value);
        vf_store_n(task->out + at + i, vf_rounded(vf_div(value, vf_set1(sum))), d - i);
    }
}

static void run_attention(void *context, uint32_t thread, uint32_t n_threads)
{
    const struct attention_task *task = context;
    const struct relative_keys *keys = task->keys;
    struct rows rows = share(task->n_rows, 1, thread, n_threads);
    for (size_t r = rows.begin; r < rows.end; r++) {
        uint32_t age = task->ages[r];
        uint32_t n_keys = age < keys->n_keys ? age + 1 : keys->n_keys;
        for (uint32_t head = 0; head < keys->n_heads; head++)
            attend(task, (r * keys->n_heads + head) * keys->head_dim, head, n_keys);
    }
}

static void relative_attention(float *out, const float *q, const float *k, const float *v,
                               const uint32_t *ages, const struct relative_keys *keys,
                               uint32_t n_rows, struct device_stream *stream)
{
    CHECK(keys->n_keys <= CONFORMER_MAX_KEYS && keys->head_dim <= CONFORMER_MAX_HEAD_DIM);
    struct attention_task task = {out, q, k, v, ages, keys, n_rows};
    spread(stream, run_attention, &task, n_rows,
           (size_t)keys->n_heads * keys->head_dim * keys->n_keys);
}

struct mel_task {
    float *out;
    const float *x, *w;
    uint32_t n_frames, n_bins, n_channels, first_row, n_rows;
};

// One output place: channels in lanes.
static void convolve(const struct mel_task *task, int64_t t, int64_t f, float *out)
{
    size_t n = task->n_channels;
    for (size_t c = 0; c < n; c += VF_LANES) {
        vf sum = vf_zero();
        for (int i = 0; i < 9; i++) {
            int64_t frame = 2 * t - 1 + i / 3, bin = 2 * f - 1 + i % 3;
            if (frame < 0 || frame >= task->n_frames || bin < 0 || bin >= task->n_bins)
                continue;
            vf value = vf_set1(rounded(task->x[frame * task->n_bins + bin]));
            sum = vf_fma(vf_load_n(task->w + (size_t)i * n + c, n - c), value, sum);
        }
        vf_store_n(out + c, vf_rounded(sum), n - c);
    }
}

static void run_mel(void *context, uint32_t thread, uint32_t n_threads)
{
    const struct mel_task *task = context;
    struct rows rows = share(task->n_rows, 1, thread, n_threads);
    uint32_t n_out = task->n_bins / 2;
    for (size_t r = rows.begin; r < rows.end; r++)
        for (uint32_t f = 0; f < n_out; f++)
            convolve(task, (int64_t)(task->first_row + r), f,
                     task->out + (r * n_out + f) * task->n_channels);
}

static void mel_conv(float *out, const float *x, uint32_t n_frames, uint32_t n_bins, const float *w,
                     uint32_t n_channels, uint32_t first_row, uint32_t n_rows,
                     struct device_stream *stream)
{
    struct mel_task task = {out, x, w, n_frames, n_bins, n_channels, first_row, n_rows};
    spread(stream, run_mel, &task, n_rows, (size_t)n_bins / 2 * n_channels * 9);
}

struct unfold_task {
    float *out;
    const struct unfold_input *in;
    uint32_t first_row, n_rows;
};

// One output place: its nine neighbours, a channel after the other.
static void unfold(const struct unfold_input *in, int64_t t, int64_t f, float *out)
{
    for (int i = 0; i < 9; i++) {
        int64_t row = 2 * t - 1 + i / 3, bin = 2 * f - 1 + i % 3;
        bool inside = row >= 0 && row < in->n_rows && bin >= 0 && bin < in->n_bins;
        const float *x = in->x;
        if (inside)
            x += ((size_t)(row - in->first_row) * in->n_bins + (size_t)bin) * in->n_channels;
        for (uint32_t c = 0; c < in->n_channels; c++)
            out[c * 9 + (uint32_t)i] = inside ? x[c] : 0;
    }
}

static void run_unfold(void *context, uint32_t thread, uint32_t n_threads)
{
    const struct unfold_task *task = context;
    const struct unfold_input *in = task->in;
    struct rows rows = share(task->n_rows, 1, thread, n_threads);
    uint32_t n_out = in->n_bins / 2;
    for (size_t r = rows.begin; r < rows.end; r++)
        for (uint32_t f = 0; f < n_out; f++)
            unfold(in, (int64_t)(task->first_row + r), f,
                   task->out + (r * n_out + f) * in->n_channels * 9);
}

static void unfold_conv(float *out, const struct unfold_input *in, uint32_t first_row,
                        uint32_t n_rows, struct device_stream *stream)
{
    struct unfold_task task = {out, in, first_row, n_rows};
    spread(stream, run_unfold, &task, n_rows, (size_t)in->n_bins / 2 * in->n_channels * 9);
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
