/* kernels/encode_cpu.c - rows over threads; clamp in pieces. */
#include "kernels/encode.h"

#include <math.h>

#include "kernels/simd.h"
#include "kernels/spread.h"

enum { PIECE = 4096 }; // values of clamp that are one unit

struct rows {
    size_t begin, end;
};

static struct rows share(size_t n_rows, uint32_t thread, uint32_t n_threads)
{
    struct rows rows;
    device_share(n_rows, 1, thread, n_threads, &rows.begin, &rows.end);
    return rows;
}

struct clamp_task {
    float *out;
    const float *x;
    float low, high;
    size_t n;
};

static void run_clamp(void *context, uint32_t thread, uint32_t n_threads)
{
    const struct clamp_task *task = context;
    struct rows values;
    device_share(task->n, PIECE, thread, n_threads, &values.begin, &values.end);
    vf low = vf_set1(task->low), high = vf_set1(task->high);
    for (size_t i = values.begin; i < values.end; i += VF_LANES) {
        vf x = vf_load_n(task->x + i, values.end - i);
        vf_store_n(task->out + i, vf_min(high, vf_max(low, x)), values.end - i);
    }
}

static void clamp(float *out, const float *x, float low, float high, size_t n,
                  struct device_stream *stream)
{
    struct clamp_task task = {out, x, low, high, n};
    spread(stream, run_clamp, &task, (n + PIECE - 1) / PIECE, PIECE);
}

struct table_task {
    float *h;
    const struct raw_matrix *table;
    const uint32_t *a, *b;
    uint32_t n_rows;
};

static void run_table(void *context, uint32_t thread, uint32_t n_threads)
{
    const struct table_task *task = context;
    const struct raw_matrix *table = task->table;
    struct rows rows = share(task->n_rows, thread, n_threads);
    size_t dim = table->row_length;
    for (size_t r = rows.begin; r < rows.end; r++) {
        float *h = task->h + r * dim;
        for (size_t i = 0; i < dim; i += VF_LANES) {
            vf a = vf_load_elements(table->data, table->dtype, task->a[r] * dim + i, dim - i);
            vf b = vf_load_elements(table->data, table->dtype, task->b[r] * dim + i, dim - i);
            vf sum = vf_add(vf_load_n(h + i, dim - i), vf_rounded(vf_add(a, b)));
            vf_store_n(h + i, vf_rounded(sum), dim - i);
        }
    }
}

static void add_table_rows(float *h, const struct raw_matrix *table, const uint32_t *a,
                           const uint32_t *b, uint32_t n_rows, struct device_stream *stream)
{
    struct table_task task = {h, table, a, b, n_rows};
    spread(stream, run_table, &task, n_rows, table->row_length);
}

struct pool_task {
    float *out;
    const float *x;
    uint32_t group;
    float scale;
    const float *bias, *factor;
    uint32_t n_rows, dim;
};

static void run_pool(void *context, uint32_t thread, uint32_t n_threads)
{
    const struct pool_task *task = context;
    struct rows rows = share(task->n_rows, thread, n_threads);
    size_t dim = task->dim;
    for (size_t r = rows.begin; r < rows.end; r++) {
        const float *x = task->x + r * task->group * dim;
        for (size_t i = 0; i < dim; i += VF_LANES) {
            vf sum = vf_load_n(x + i, dim - i);
            for (size_t g = 1; g < task->group; g++)
                sum = vf_add(sum, vf_load_n(x + g * dim + i, dim - i));
            vf mean = vf_rounded(vf_div(sum, vf_set1((float)task->group)));
            vf value = vf_mul(mean, vf_set1(task->scale));
            if (task->bias) {
                value = vf_sub(value, vf_load_n(task->bias + i, dim - i));
                value = vf_mul(value, vf_load_n(task->factor + i, dim - i));
            }
            vf_store_n(task->out + r * dim + i, vf_rounded(value), dim - i);
        }
    }
}

static void pool_rows(float *out, const float *x, uint32_t group, float scale, const float *bias,
                      const float *factor, uint32_t n_rows, uint32_t dim,
                      struct device_stream *stream)
{
    struct pool_task task = {out, x, group, scale, bias, factor, n_rows, dim};
    spread(stream, run_pool, &task, n_rows, (size_t)group * dim);
}

struct norm_task {
    float *out;
    const float *x, *added, *weight, *bias;
    uint32_t n_rows, dim;
    float eps;
};

// out becomes what is normed.
static float mean_of(const struct norm_task *task, float *out, const float *x)
{
    vf sum = vf_zero();
    for (size_t i = 0; i < task->dim; i += VF_LANES) {
        vf value = vf_load_n(x + i, task->dim - i);
        if (task->added)
            value = vf_rounded(vf_add(value, vf_load_n(task->added + i, task->dim - i)));
        vf_store_n(out + i, value, task->dim - i);
        sum = vf_add(sum, value);
    }
    return vf_sum(sum) / (float)task->dim;
}

static float inverse_deviation(const struct norm_task *task, const float *x, float mean)
{
    float squares = 0;
    vf sum = vf_zero();
    size_t whole = task->dim / VF_LANES * VF_LANES;
    for (size_t i = 0; i < whole; i += VF_LANES) {
        vf value = vf_sub(vf_load(x + i), vf_set1(mean));
        sum = vf_fma(value, value, sum);
    }
    for (size_t i = whole; i < task->dim; i++) // lanes beyond the row would count the mean
        squares = fmaf(x[i] - mean, x[i] - mean, squares);
    return 1.0F / sqrtf((vf_sum(sum) + squares) / (float)task->dim + task->eps);
}

static void run_norm(void *context, uint32_t thread, uint32_t n_threads)
{
    const struct norm_task *task = context;
    struct rows rows = share(task->n_rows, thread, n_threads);
    size_t dim = task->dim;
    for (size_t r = rows.begin; r < rows.end; r++) {
        float *out = task->out + r * dim;
        float mean = mean_of(task, out, task->x + r * dim);
        float inverse = inverse_deviation(task, out, mean);
        for (size_t i = 0; i < dim; i += VF_LANES) {
            vf value = vf_mul(vf_sub(vf_load_n(out + i, dim - i), vf_set1(mean)), vf_set1(inverse));
            vf bias = task->bias ? vf_load_n(task->bias + i, dim - i) : vf_zero();
            value = vf_fma(value, vf_load_n(task->weight + i, dim - i), bias);
            vf_store_n(out + i, vf_rounded(value), dim - i);
        }
    }
}

static void layer_norm(float *out, const float *x, const float *added, const float *weight,
                       const float *bias, uint32_t n_rows, uint32_t dim, float eps,
                       struct device_stream *stream)
{
    struct norm_task task = {out, x, added, weight, bias, n_rows, dim, eps};
    spread(stream, run_norm, &task, n_rows, dim);
}

void KERNEL_PUT(encode)(struct ops *out)
{
    out->clamp = clamp;
    out->add_table_rows = add_table_rows;
    out->pool_rows = pool_rows;
    out->layer_norm = layer_norm;
}
