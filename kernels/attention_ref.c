/* kernels/attention_ref.c - the twin of kernels/attention.h: f64, and each score computed twice, as
 * there is nowhere to keep them. */
#include "kernels/attention.h"

#include <math.h>

#include "kernels/rope.h"
#include "kernels/variant.h"

// One sequence's keys and values of one head.
struct head {
    const struct kv_view *view;
    const uint32_t *block_table;
    uint32_t number;
};

static uint32_t slot_of(const struct head *head, uint32_t position)
{
    uint32_t page_tokens = head->view->page_tokens;
    return head->block_table[position / page_tokens] * page_tokens + position % page_tokens;
}

static double element(const struct kv_view *view, const unsigned char *at)
{
    float wide;
    uint16_t half;
    if (view->dtype == DTYPE_F32) {
        memcpy(&wide, at, sizeof wide);
        return wide;
    }
    memcpy(&half, at, sizeof half);
    return bf16_to_f32(half);
}

static double value(const struct head *head, uint32_t position, uint32_t i)
{
    const struct kv_view *view = head->view;
    const unsigned char *row = kv_view_value(view, slot_of(head, position), head->number);
    return element(view, row + i * dtype_bytes(view->dtype));
}

static double score(const struct head *head, const float *q, uint32_t position)
{
    const struct kv_view *view = head->view;
    uint32_t slot = slot_of(head, position);
    double sum = 0;
    for (uint32_t i = 0; i < view->k_dim; i++)
        sum += q[i] * element(view, kv_view_key(view, slot, head->number, i));
    for (uint32_t i = 0; view->k_from_v && i < view->v_dim; i++)
        sum += q[view->k_dim + i] * value(head, position, i);
    return sum;
}

static void attend(float *out, const float *q, const struct head *head, uint32_t first,
                   uint32_t last, double *values)
{
    const struct kv_view *view = head->view;
    double max = -INFINITY;
    for (uint32_t j = first; j <= last; j++)
        max = fmax(max, score(head, q, j));
    double sum = 0;
    memset(values, 0, view->v_dim * sizeof *values);
    for (uint32_t j = first; j <= last; j++) {
        double weight = exp(score(head, q, j) - max);
        sum += weight;
        for (uint32_t i = 0; i < view->v_dim; i++)
            values[i] += weight * value(head, j, i);
    }
    for (uint32_t i = 0; i < view->v_dim; i++)
        out[i] = rounded((float)(values[i] / sum));
}

static void attention_paged(float *out, const float *q, uint32_t n_heads,
                            const struct kv_view *view, const struct attention_batch *batch,
                            uint32_t window, struct device_stream *stream)
{
    double *values = device_stream_scratch(stream, 0, view->v_dim * sizeof *values);
    uint32_t group = n_heads / view->n_kv_heads;
    for (uint32_t s = 0; s < batch->n_seqs; s++) {
        for (size_t r = batch->row_offsets[s]; r < batch->row_offsets[s + 1]; r++) {
            uint32_t position = batch->first_position[s] + (uint32_t)(r - batch->row_offsets[s]);
            for (uint32_t h = 0; h < n_heads; h++) {
                struct head head = {view, batch->block_tables[s], h / group};
                attend(out + (r * n_heads + h) * view->v_dim,
                       q + (r * n_heads + h) * query_head_width(view), &head,
                       attention_first_key(position, window), attention_last_key(batch, s, r),
                       values);
            }
        }
    }
}

void KERNEL_PUT(attention)(struct ops *out)
{
    out->attention_paged = attention_paged;
}
