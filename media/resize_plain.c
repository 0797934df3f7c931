/* media/resize_plain.c - both passes as they are defined. */
#include "media/resize_steps.h"

enum { CHANNELS = 3, HALF = 1 << (RESIZE_FRACTION_BITS - 1) };

static void rows_plain(const unsigned char *in, uint32_t n_rows, size_t in_bytes,
                       const struct resize_weights *w, unsigned char *out)
{
    for (uint32_t y = 0; y < n_rows; y++, in += in_bytes) {
        for (uint32_t i = 0; i < w->n_out; i++, out += CHANNELS) {
            const unsigned char *from = in + (size_t)w->first[i] * CHANNELS;
            const int32_t *weight = w->values + (size_t)i * w->n_taps;
            int32_t sums[CHANNELS] = {HALF, HALF, HALF};
            for (uint32_t x = 0; x < w->n[i]; x++, from += CHANNELS)
                for (int c = 0; c < CHANNELS; c++)
                    sums[c] += from[c] * weight[x];
            for (int c = 0; c < CHANNELS; c++)
                out[c] = resize_rounded(sums[c]);
        }
    }
}

static void columns_plain(const unsigned char *in, size_t row_bytes, const struct resize_weights *w,
                          unsigned char *out)
{
    for (uint32_t i = 0; i < w->n_out; i++, out += row_bytes) {
        const unsigned char *from = in + w->first[i] * row_bytes;
        const int32_t *weight = w->values + (size_t)i * w->n_taps;
        for (size_t b = 0; b < row_bytes; b++) {
            int32_t sum = HALF;
            for (uint32_t y = 0; y < w->n[i]; y++)
                sum += from[y * row_bytes + b] * weight[y];
            out[b] = resize_rounded(sum);
        }
    }
}

const struct resize_steps resize_steps_plain = {rows_plain, columns_plain};
