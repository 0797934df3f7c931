/* media/resize.c - the weights, and two passes of weighted sums: rows, then columns, always in this
 * order, which is torchvision's (Pillow 13 chooses by the shape).
 * Checked against Pillow by tests/media/test_image_parity.py. */
#include "media/resize.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "media/resize_steps.h"

enum { CHANNELS = 3 };

static const double support = 2.0; // of the filter, in input pixels of an enlargement

static double bicubic(double x)
{
    const double a = -0.5;
    x = fabs(x);
    if (x < 1.0)
        return ((a + 2.0) * x - (a + 3.0)) * x * x + 1;
    if (x < 2.0)
        return (((x - 5) * x + 8) * x - 4) * a;
    return 0.0;
}

static struct resize_weights make_weights(uint32_t n_in, uint32_t n_out)
{
    double scale = (double)n_in / n_out;
    double stretch = scale < 1.0 ? 1.0 : scale;
    double reach = support * stretch;
    const uint32_t n_taps = (uint32_t)ceil(reach) * 2 + 1;
    struct resize_weights w = {.n_out = n_out, .n_taps = (n_taps + 3) / 4 * 4};
    w.first = mem_zeroed(n_out, sizeof *w.first);
    w.n = mem_zeroed(n_out, sizeof *w.n);
    w.values = mem_zeroed((size_t)n_out * w.n_taps, sizeof *w.values);
    double *taps = mem_zeroed(w.n_taps, sizeof *taps);
    for (uint32_t i = 0; i < n_out; i++) {
        double center = (i + 0.5) * scale, sum = 0;
        double low = center - reach + 0.5, high = center + reach + 0.5;
        uint32_t first = low < 0 ? 0 : (uint32_t)low;
        uint32_t end = high > n_in ? n_in : (uint32_t)high;
        for (uint32_t x = first; x < end; x++) {
            taps[x - first] = bicubic((x - center + 0.5) * (1.0 / stretch));
            sum += taps[x - first];
        }
        w.first[i] = first;
        w.n[i] = end - first;
        for (uint32_t x = 0; x < end - first; x++) {
            double value = (sum != 0 ? taps[x] / sum : taps[x]) * (1 << RESIZE_FRACTION_BITS);
            w.values[(size_t)i * w.n_taps + x] = (int32_t)(value < 0 ? value - 0.5 : value + 0.5);
        }
    }
    free(taps);
    return w;
}

static void free_weights(struct resize_weights *w)
{
    free(w->first);
    free(w->n);
    free(w->values);
}

// A step may read beyond its last row: the rows with too little behind them are copied.
static unsigned char *resize_rows(const struct image *image, uint32_t out_width,
                                  const struct resize_steps *steps)
{
    size_t in_bytes = (size_t)image->width * CHANNELS, out_bytes = (size_t)out_width * CHANNELS;
    unsigned char *out = mem_resized(NULL, image->height, out_bytes);
    unsigned char *last = mem_zeroed(in_bytes + RESIZE_SLACK_BYTES, 1);
    struct resize_weights w = make_weights(image->width, out_width);
    uint32_t n_free = image->height - 1;
    while (n_free > 0 && (image->height - n_free) * in_bytes < RESIZE_SLACK_BYTES)
        n_free--;
    steps->rows(image->pixels, n_free, in_bytes, &w, out);
    for (uint32_t y = n_free; y < image->height; y++) {
        memcpy(last, image->pixels + y * in_bytes, in_bytes);
        steps->rows(last, 1, in_bytes, &w, out + y * out_bytes);
    }
    free_weights(&w);
    free(last);
    return out;
}

void resize_with(const struct resize_steps *steps, const struct image *image, uint32_t out_width,
                 uint32_t out_height, unsigned char *out)
{
    size_t row_bytes = (size_t)out_width * CHANNELS;
    unsigned char *narrow = NULL;
    const unsigned char *rows = image->pixels;
    if (out_width != image->width) // a pass that changes nothing is left out, as Pillow does
        rows = narrow = resize_rows(image, out_width, steps);
    if (out_height == image->height) {
        memcpy(out, rows, row_bytes * out_height);
    } else {
        struct resize_weights w = make_weights(image->height, out_height);
        steps->columns(rows, row_bytes, &w, out);
        free_weights(&w);
    }
    free(narrow);
}

void resize_bicubic(const struct image *image, uint32_t out_width, uint32_t out_height,
                    unsigned char *out)
{
    const struct resize_steps *steps = __builtin_cpu_supports("avx2") ? &resize_steps_avx2
                                                                      : &resize_steps_plain;
    resize_with(steps, image, out_width, out_height, out);
}
