/* kernels/embed_ref.c - the twins of kernels/embed.h. */
#include "kernels/embed.h"

#include "kernels/matmul.h"
#include "kernels/variant.h"

static void embed_rows(float *out, const struct packed_matrix *table, const uint32_t *ids,
                       uint32_t n_tokens, uint32_t vocab_begin, float scale,
                       struct device_stream *stream)
{
    (void)stream;
    for (size_t t = 0; t < n_tokens; t++) {
        uint32_t row = ids[t] - vocab_begin; // wraps for lower ids
        for (uint32_t i = 0; i < table->k; i++)
            out[t * table->k + i] = row < table->n
                                        ? rounded(packed_matrix_at(table, row, i) * scale) + 0.0F
                                        : 0.0F;
    }
}

static float raw_element(const struct raw_matrix *table, size_t i)
{
    const unsigned char *bytes = (const unsigned char *)table->data + i * dtype_bytes(table->dtype);
    float wide;
    uint16_t half;
    if (table->dtype == DTYPE_F32) {
        memcpy(&wide, bytes, sizeof wide);
        return wide;
    }
    memcpy(&half, bytes, sizeof half);
    return table->dtype == DTYPE_BF16 ? bf16_to_f32(half) : f16_to_f32(half);
}

static void gather_rows(float *out, const struct raw_matrix *table, const uint32_t *ids,
                        uint32_t n_tokens, float scale, struct device_stream *stream)
{
    (void)stream;
    size_t length = table->row_length;
    for (size_t t = 0; t < n_tokens; t++)
        for (size_t i = 0; i < length; i++)
            out[t * length + i] = rounded(raw_element(table, ids[t] * length + i) * scale);
}

void KERNEL_PUT(embed)(struct ops *out)
{
    out->embed_rows = embed_rows;
    out->gather_rows = gather_rows;
}
