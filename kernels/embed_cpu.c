/* kernels/embed_cpu.c - tokens over threads. A row of a packed table lies scattered, one element
 * (or pair) per row of its panel; there is nothing to load with vectors, but many loads in flight.
 */
#include "kernels/embed.h"

#include "base/status.h"
#include "kernels/matmul.h"
#include "kernels/simd.h"
#include "kernels/spread.h"

struct embed_task {
    float *out;
    const struct packed_matrix *packed; // or
    const struct raw_matrix *raw;
    const uint32_t *ids;
    uint32_t n_tokens;
    uint32_t vocab_begin;
    float scale;
};

static float scaled(float element, float scale)
{
    return rounded(element * scale) + 0.0F; // never -0.0
}

static void read_pairs(float *out, const uint16_t *pairs, uint32_t k, float scale)
{
    for (uint32_t i = 0; i < k; i++)
        out[i] = scaled(bf16_to_f32(pairs[(size_t)(i / 2) * (2 * PACK_ROWS) + i % 2]), scale);
}

static void read_row(float *out, const struct packed_matrix *table, uint32_t row, float scale)
{
    const unsigned char *panel = (const unsigned char *)table->data +
                                 row / PACK_ROWS * packed_panel_bytes(table);
    size_t lane = row % PACK_ROWS;
    if (table->dtype == DTYPE_BF16) {
        read_pairs(out, (const uint16_t *)(const void *)panel + 2 * lane, table->k, scale);
        return;
    }
    const float *wide = (const float *)(const void *)panel + lane;
    const uint16_t *half = (const uint16_t *)(const void *)panel + lane;
    for (size_t i = 0; i < table->k; i++) {
        float element;
        if (dtype_is_quantized(table->dtype))
            element = packed_matrix_at(table, row, (uint32_t)i);
        else
            element = table->dtype == DTYPE_F32 ? wide[i * PACK_ROWS]
                                                : f16_to_f32(half[i * PACK_ROWS]);
        out[i] = scaled(element, scale);
    }
}

static void embed_tokens(void *context, uint32_t thread, uint32_t n_threads)
{
    const struct embed_task *task = context;
    size_t begin, end;
    device_share(task->n_tokens, 1, thread, n_threads, &begin, &end);
    for (size_t t = begin; t < end; t++) {
        uint32_t row = task->ids[t] - task->vocab_begin; // wraps for lower ids
        float *out = task->out + t * task->packed->k;
        if (row < task->packed->n)
            read_row(out, task->packed, row, task->scale);
        else
            memset(out, 0, task->packed->k * sizeof *out);
    }
}

static void embed_rows(float *out, const struct packed_matrix *table, const uint32_t *ids,
                       uint32_t n_tokens, uint32_t vocab_begin, float scale,
                       struct device_stream *stream)
{
    CHECK(table->n_leaves == 1);
    struct embed_task task = {
        .out = out,
        .packed = table,
        .ids = ids,
        .n_tokens = n_tokens,
        .vocab_begin = vocab_begin,
        .scale = scale,
    };
    spread(stream, embed_tokens, &task, n_tokens, table->k);
}

static void gather_tokens(void *context, uint32_t thread, uint32_t n_threads)
{
    const struct embed_task *task = context;
    const struct raw_matrix *table = task->raw;
    size_t begin, end;
    device_share(task->n_tokens, 1, thread, n_threads, &begin, &end);
    size_t length = table->row_length;
    for (size_t t = begin; t < end; t++) {
        float *out = task->out + t * length;
        size_t row = task->ids[t] * length;
        for (size_t i = 0; i < length; i += VF_LANES) {
            vf x = vf_load_elements(table->data, table->dtype, row + i, length - i);
            vf_store_n(out + i, vf_rounded(vf_mul(x, vf_set1(task->scale))), length - i);
        }
    }
}

static void gather_rows(float *out, const struct raw_matrix *table, const uint32_t *ids,
                        uint32_t n_tokens, float scale, struct device_stream *stream)
{
    struct embed_task task = {
        .out = out, .raw = table, .ids = ids, .n_tokens = n_tokens, .scale = scale};
    spread(stream, gather_tokens, &task, n_tokens, table->row_length);
}

void KERNEL_PUT(embed)(struct ops *out)
{
    out->embed_rows = embed_rows;
    out->gather_rows = gather_rows;
}
