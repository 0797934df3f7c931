/* media/mel.c - in f64: a clip has at most 2999 frames, so this takes some tens of milliseconds,
 * and the reference's rounding does not have to be imitated. Checked by tests/media/test_mel.c. */
#include "media/mel.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "media/media.h"

enum { HOP = 160, WINDOW = 320, FFT = 512, FFT_LOG2 = 9, BINS = FFT / 2 + 1 };

static struct {
    bool made;
    double window[WINDOW];
    double cosines[FFT / 2], sines[FFT / 2];
    uint16_t reversed[FFT];
    double filters[MEDIA_MEL_BINS][BINS];
    uint16_t first[MEDIA_MEL_BINS], end[MEDIA_MEL_BINS]; // bins in which a filter is not 0
} tables;

static double hertz(double mel)
{
    return 700.0 * (pow(10.0, mel / 2595.0) - 1.0);
}

// Triangles in Hz between neighbouring points of the mel scale, of height 1.
static void make_filter(int filter, double step)
{
    double left = hertz(filter * step), middle = hertz((filter + 1) * step);
    double right = hertz((filter + 2) * step);
    tables.first[filter] = BINS;
    for (uint16_t bin = 0; bin < BINS; bin++) {
        double at = bin * (MEL_SAMPLE_RATE / 2.0) / (BINS - 1);
        double rise = (at - left) / (middle - left), fall = (right - at) / (right - middle);
        double height = fmax(0, fmin(rise, fall));
        tables.filters[filter][bin] = height;
        if (height > 0 && tables.first[filter] == BINS)
            tables.first[filter] = bin;
        if (height > 0)
            tables.end[filter] = bin + 1;
    }
}

static void make_tables(void)
{
    const double turn = 2 * M_PI;
    for (int i = 0; i < WINDOW; i++)
        tables.window[i] = 0.5 - 0.5 * cos(turn * i / WINDOW);
    for (int i = 0; i < FFT / 2; i++) {
        tables.cosines[i] = cos(turn * i / FFT);
        tables.sines[i] = -sin(turn * i / FFT);
    }
    for (int i = 0; i < FFT; i++)
        for (int bit = 0; bit < FFT_LOG2; bit++)
            tables.reversed[i] |= (uint16_t)((i >> bit & 1) << (FFT_LOG2 - 1 - bit));
    double step = 2595.0 * log10(1.0 + MEL_SAMPLE_RATE / 2.0 / 700.0) / (MEDIA_MEL_BINS + 1);
    for (int filter = 0; filter < MEDIA_MEL_BINS; filter++)
        make_filter(filter, step);
    tables.made = true;
}

// In place, input in bit-reversed order.
static void transform(double *re, double *im)
{
    for (int half = 1; half < FFT; half *= 2) {
        int stride = FFT / 2 / half;
        for (int begin = 0; begin < FFT; begin += 2 * half)
            for (int i = begin, t = 0; i < begin + half; i++, t += stride) {
                double c = tables.cosines[t], s = tables.sines[t];
                double x = re[i + half] * c - im[i + half] * s;
                double y = re[i + half] * s + im[i + half] * c;
                re[i + half] = re[i] - x;
                im[i + half] = im[i] - y;
                re[i] += x;
                im[i] += y;
            }
    }
}

// Samples before the audio are 0.
static void write_frame(const float *samples, ptrdiff_t begin, float *out)
{
    double re[FFT] = {0}, im[FFT] = {0}, magnitudes[BINS];
    for (int i = 0; i < WINDOW; i++)
        if (begin + i >= 0)
            re[tables.reversed[i]] = samples[begin + i] * tables.window[i];
    transform(re, im);
    for (int bin = 0; bin < BINS; bin++)
        magnitudes[bin] = sqrt(re[bin] * re[bin] + im[bin] * im[bin]);
    for (int filter = 0; filter < MEDIA_MEL_BINS; filter++) {
        double sum = 0;
        for (int bin = tables.first[filter]; bin < tables.end[filter]; bin++)
            sum += magnitudes[bin] * tables.filters[filter][bin];
        out[filter] = (float)log(sum + 0.001);
    }
}

uint32_t mel_n_frames(size_t n_samples)
{
    return n_samples > HOP ? (uint32_t)((n_samples - HOP - 1) / HOP + 1) : 0;
}

void mel_features(const float *samples, size_t n_samples, float *out)
{
    if (!tables.made)
        make_tables();
    uint32_t n_frames = mel_n_frames(n_samples);
    for (uint32_t frame = 0; frame < n_frames; frame++)
        write_frame(samples, (ptrdiff_t)frame * HOP - HOP, out + (size_t)frame * MEDIA_MEL_BINS);
}
