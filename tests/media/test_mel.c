/* tests/media/test_mel.c - media/mel.h against the reference's features of the fixture's clips, and
 * frame counts. */
#include "media/mel.h"

#include <math.h>

#include "media/media.h"
#include "model/safetensors.h"
#include "tests/test.h"

TEST(frames_are_counted_as_the_reference_counts_valid_ones)
{
    ASSERT_EQ(mel_n_frames(0), 0);
    ASSERT_EQ(mel_n_frames(160), 0);
    ASSERT_EQ(mel_n_frames(161), 1);
    ASSERT_EQ(mel_n_frames(320), 1);
    ASSERT_EQ(mel_n_frames(321), 2);
    ASSERT_EQ(mel_n_frames(2080), 12);
    ASSERT_EQ(mel_n_frames(16000), 99);
    ASSERT_EQ(mel_n_frames(16777), 104);
    ASSERT_EQ(mel_n_frames(37936), 237);
    ASSERT_EQ(mel_n_frames(MEL_MAX_SAMPLES), 2999);
}

static unsigned char *read_file(const char *path, size_t *out_n)
{
    FILE *file = fopen(path, "rb");
    ASSERT(file != NULL);
    fseek(file, 0, SEEK_END);
    *out_n = (size_t)ftell(file);
    rewind(file);
    unsigned char *bytes = malloc(*out_n);
    ASSERT(bytes && fread(bytes, 1, *out_n, file) == *out_n);
    fclose(file);
    return bytes;
}

// The fixture's clips: 16-bit mono at 16 kHz behind a header of 44 bytes.
static float *read_clip(const char *name, size_t *out_n)
{
    char path[256];
    size_t n;
    snprintf(path, sizeof path, "data/goldens/ple/audio/%s.wav", name);
    unsigned char *bytes = read_file(test_path(path), &n);
    *out_n = (n - 44) / 2;
    float *samples = malloc(*out_n * sizeof *samples);
    ASSERT(samples != NULL);
    for (size_t i = 0; i < *out_n; i++) {
        int16_t value;
        memcpy(&value, bytes + 44 + 2 * i, sizeof value);
        samples[i] = (float)value / 32768.0F;
    }
    free(bytes);
    return samples;
}

TEST(features_equal_the_references)
{
    static const char *const names[] = {"second", "odd", "short"};
    size_t n_bytes;
    unsigned char *bytes = read_file(test_path("data/goldens/ple/audio.safetensors"), &n_bytes);
    struct safetensors *arrays;
    ASSERT_OK(safetensors_parse(bytes, n_bytes, "audio", &arrays, NULL));
    for (size_t k = 0; k < sizeof names / sizeof *names; k++) {
        char name[64];
        snprintf(name, sizeof name, "%s.features", names[k]);
        const float *want = (const void *)safetensors_find(arrays, name)->data;
        size_t n_samples;
        float *samples = read_clip(names[k], &n_samples);
        uint32_t n_frames = mel_n_frames(n_samples);
        ASSERT(n_frames > 0);
        float *got = malloc((size_t)n_frames * MEDIA_MEL_BINS * sizeof *got);
        mel_features(samples, n_samples, got);
        for (size_t i = 0; i < (size_t)n_frames * MEDIA_MEL_BINS; i++)
            ASSERT_NEAR((double)got[i], (double)want[i], 1e-3);
        free(got);
        free(samples);
    }
    safetensors_destroy(arrays);
    free(bytes);
}

TEST(silence_is_the_log_of_the_floor_and_a_tone_stands_in_its_band)
{
    static float samples[1600], out[10 * MEDIA_MEL_BINS];
    ASSERT_EQ(mel_n_frames(1600), 9);
    mel_features(samples, 1600, out);
    ASSERT_NEAR((double)out[5 * MEDIA_MEL_BINS + 64], log(0.001), 1e-6);
    for (int i = 0; i < 1600; i++)
        samples[i] = (float)sin(2 * M_PI * 1000 * i / MEL_SAMPLE_RATE);
    mel_features(samples, 1600, out);
    int loudest = 0;
    for (int bin = 0; bin < MEDIA_MEL_BINS; bin++)
        if (out[5 * MEDIA_MEL_BINS + bin] > out[5 * MEDIA_MEL_BINS + loudest])
            loudest = bin;
    // 1000 Hz is 1000 mel of 2840, and a filter's middle stands at (filter + 1) / 129 of them
    ASSERT_NEAR(loudest, 1000.0 / 2840 * 129 - 1, 1);
}
