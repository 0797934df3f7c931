/* media/resize_steps.h - the two passes of resize.c: plainly (the definition), and for AVX2 with
 * the same result, bit for bit (tests/media/test_patches.c). Pixels are 8-bit RGB. */
#ifndef GEMMAD_MEDIA_RESIZE_STEPS_H
#define GEMMAD_MEDIA_RESIZE_STEPS_H

#include "media/image.h"

enum { RESIZE_FRACTION_BITS = 22, RESIZE_SLACK_BYTES = 32 };

/* For each place of the output: which inputs count, and how much. */
struct resize_weights {
    uint32_t n_out, n_taps; /* n_taps: room for each output, a multiple of 4 */
    uint32_t *first, *n;    /* [n_out] */
    int32_t *values;        /* [n_out, n_taps]; 0 behind the first n */
};

struct resize_steps {
    /* Rows of in_bytes each become rows of n_out pixels. RESIZE_SLACK_BYTES behind the last row of
     * in may be read. */
    void (*rows)(const unsigned char *in, uint32_t n_rows, size_t in_bytes,
                 const struct resize_weights *w, unsigned char *out);
    /* Rows of row_bytes become n_out rows of the same length. */
    void (*columns)(const unsigned char *in, size_t row_bytes, const struct resize_weights *w,
                    unsigned char *out);
};

extern const struct resize_steps resize_steps_plain, resize_steps_avx2;

/* resize_bicubic by these steps, which the CPU must have. */
void resize_with(const struct resize_steps *steps, const struct image *image, uint32_t out_width,
                 uint32_t out_height, unsigned char *out);

/* A sum of weighted values, and a half, as a value. */
static inline unsigned char resize_rounded(int32_t sum)
{
    int32_t value = sum >> RESIZE_FRACTION_BITS;
    return (unsigned char)(value < 0 ? 0 : value > 255 ? 255 : value);
}

#endif
