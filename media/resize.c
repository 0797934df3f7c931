/* media/resize.c - two passes of weighted sums. In the second, a row of sums is added up over whole
 * input rows, which vectorises; the first walks along a row, pixel by pixel.
 * Checked against Pillow by tests/media/test_image_parity.py. */
#include "media/resize.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

enum { FRACTION_BITS = 22, CHANNELS = 3 };

static const double support = 2.0; // of the filter, in input pixels of an enlargement

// For each place of the output: which inputs count, and how much.
struct weights {
    uint32_t n_taps; // room for each output
    uint32_t *first, *n;
    int32_t *values; // [outputs, n_taps]
};

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

static struct weights make_weights(uint32_t n_in, uint32_t n_out)
{
    double scale = (double)n_in / n_out;
    double stretch = scale < 1.0 ? 1.0 : scale;
    double reach = support * stretch;
    struct weights w = {.n_taps = (uint32_t)ceil(reach) * 2 + 1};
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
            double value = (sum != 0 ? taps[x] / sum : taps[x]) * (1 << FRACTION_BITS);
            w.values[(size_t)i * w.n_taps + x] = (int32_t)(value < 0 ? value - 0.5 : value + 0.5);
        }
    }
    free(taps);
    return w;
}

static void free_weights(struct weights *w)
{
    free(w->first);
    free(w->n);
    free(w->values);
}

static unsigned char rounded(int32_t sum)
{
    int32_t value = sum >> FRACTION_BITS;
    return (unsigned char)(value < 0 ? 0 : value > 255 ? 255 : value);
}

static void resize_row(const unsigned char *in, const struct weights *w, uint32_t n_out,
                       unsigned char *out)
{
    for (uint32_t i = 0; i < n_out; i++, out += CHANNELS) {
        const unsigned char *from = in + (size_t)w->first[i] * CHANNELS;
        const int32_t *weight = w->values + (size_t)i * w->n_taps;
        int32_t red = 1 << (FRACTION_BITS - 1), green = red, blue = red;
        for (uint32_t x = 0; x < w->n[i]; x++, from += CHANNELS) {
            red += from[0] * weight[x];
            green += from[1] * weight[x];
            blue += from[2] * weight[x];
        }
        out[0] = rounded(red);
        out[1] = rounded(green);
        out[2] = rounded(blue);
    }
}

// Rows of n_bytes.
static void resize_columns(const unsigned char *in, size_t n_bytes, const struct weights *w,
                           uint32_t n_out, unsigned char *out)
{
    int32_t *sums = mem_zeroed(n_bytes, sizeof *sums);
    for (uint32_t i = 0; i < n_out; i++, out += n_bytes) {
        const int32_t *weight = w->values + (size_t)i * w->n_taps;
        for (size_t b = 0; b < n_bytes; b++)
            sums[b] = 1 << (FRACTION_BITS - 1);
        for (uint32_t y = 0; y < w->n[i]; y++) {
            const unsigned char *row = in + (w->first[i] + y) * n_bytes;
            for (size_t b = 0; b < n_bytes; b++)
                sums[b] += row[b] * weight[y];
        }
        for (size_t b = 0; b < n_bytes; b++)
            out[b] = rounded(sums[b]);
    }
    free(sums);
}

// A pass that changes nothing is left out, as Pillow does: its weights would not.
static unsigned char *resize_rows(const struct image *image, uint32_t out_width)
{
    size_t in_bytes = (size_t)image->width * CHANNELS, out_bytes = (size_t)out_width * CHANNELS;
    unsigned char *out = mem_zeroed(image->height * out_bytes, 1);
    struct weights w = make_weights(image->width, out_width);
    for (uint32_t y = 0; y < image->height; y++)
        resize_row(image->pixels + y * in_bytes, &w, out_width, out + y * out_bytes);
    free_weights(&w);
    return out;
}

void resize_bicubic(const struct image *image, uint32_t out_width, uint32_t out_height,
                    unsigned char *out)
{
    size_t row_bytes = (size_t)out_width * CHANNELS;
    unsigned char *narrow = NULL;
    const unsigned char *rows = image->pixels;
    if (out_width != image->width)
        rows = narrow = resize_rows(image, out_width);
    if (out_height == image->height) {
        memcpy(out, rows, row_bytes * out_height);
    } else {
        struct weights w = make_weights(image->height, out_height);
        resize_columns(rows, row_bytes, &w, out_height, out);
        free_weights(&w);
    }
    free(narrow);
}
