// tests/media/test_audio_file.c - a tone of every format is the same tone at 16 kHz.
#include "media/audio_file.h"

#include "tests/media/media_fixture.h"

static float amplitude_at(const float *samples, size_t n, double hz)
{
    double re = 0;
    double im = 0;
    for (size_t i = 0; i < n; i++) {
        double phase = 2 * 3.14159265358979323846 * hz * (double)i / AUDIO_FILE_HZ;
        re += samples[i] * cos(phase);
        im += samples[i] * sin(phase);
    }
    return (float)(2 * sqrt(re * re + im * im) / (double)n);
}

static const struct {
    const char *name;
    float amplitude; // of stereo files one channel is silent
} tones[] = {
    {"tone.wav", 0.25f},  {"tone_float.wav", 0.5f}, {"tone.mp3", 0.25f},
    {"tone.flac", 0.25f}, {"tone_opus.ogg", 0.25f}, {"tone_vorbis.ogg", 0.25f},
    {"tone.m4a", 0.25f},  {"tone.webm", 0.25f},     {"tone_alac.m4a", 0.25f},
};

TEST(every_format_gives_the_tone)
{
    for (size_t t = 0; t < sizeof tones / sizeof *tones; t++) {
        struct file file = read_media(tones[t].name);
        float *samples;
        size_t n;
        struct error err = {0};
        if (audio_file_decode(file.bytes, file.n_bytes, 600, &samples, &n, &err) != STATUS_OK)
            test_fail(__FILE__, __LINE__, "%s: %s", tones[t].name, err.message);
        if (n < 3900 || n > 5200) // 0.25 s, and what encoders put around it
            test_fail(__FILE__, __LINE__, "%s: %zu samples", tones[t].name, n);
        float amplitude = amplitude_at(samples + 800, 2000, 440);
        if (fabsf(amplitude - tones[t].amplitude) > 0.02f)
            test_fail(__FILE__, __LINE__, "%s: amplitude %g, want %g", tones[t].name, amplitude,
                      tones[t].amplitude);
        ASSERT(amplitude_at(samples + 800, 2000, 1000) < 0.02f);
        free(samples);
        free(file.bytes);
    }
}

static void put_u32(unsigned char *at, uint32_t value)
{
    memcpy(at, &value, sizeof value);
}

// 16-bit mono PCM of one value; the caller frees.
static struct file constant_wav(uint32_t hz, uint32_t n_samples, int16_t value)
{
    struct file file = {.n_bytes = 44 + (size_t)n_samples * 2};
    file.bytes = malloc(file.n_bytes);
    memcpy(file.bytes, "RIFF    WAVEfmt \x10\0\0\0\1\0\1\0        \2\0\x10\0data    ", 44);
    put_u32(file.bytes + 4, 36 + n_samples * 2);
    put_u32(file.bytes + 24, hz);
    put_u32(file.bytes + 28, hz * 2);
    put_u32(file.bytes + 40, n_samples * 2);
    for (uint32_t i = 0; i < n_samples; i++)
        memcpy(file.bytes + 44 + (size_t)i * 2, &value, 2);
    return file;
}

TEST(samples_of_the_right_rate_are_left_alone)
{
    struct file file = constant_wav(AUDIO_FILE_HZ, 2080, 8192);
    float *samples;
    size_t n;
    struct error err = {0};
    ASSERT_OK_ERR(audio_file_decode(file.bytes, file.n_bytes, 600, &samples, &n, &err), err);
    ASSERT_EQ(n, 2080);
    for (size_t i = 0; i < n; i++)
        ASSERT_NEAR(samples[i], 0.25, 0);
    free(samples);
    free(file.bytes);
}

TEST(what_is_beyond_30_s_is_left_out)
{
    struct file file = constant_wav(8000, 8000 * 31, 100);
    float *samples;
    size_t n;
    struct error err = {0};
    ASSERT_OK_ERR(audio_file_decode(file.bytes, file.n_bytes, 600, &samples, &n, &err), err);
    ASSERT_EQ(n, AUDIO_FILE_MAX_SAMPLES);
    free(samples);
    ASSERT_EQ(audio_file_decode(file.bytes, file.n_bytes, 30, &samples, &n, &err),
              STATUS_INVALID_ARGUMENT);
    ASSERT_CONTAINS(err.message, "31 s long, beyond the limit of 30 s");
    free(file.bytes);
}

TEST(what_is_no_audio_is_refused)
{
    float *samples;
    size_t n;
    struct error err = {0};
    struct file video = read_media("vp9.webm");
    ASSERT_EQ(audio_file_decode(video.bytes, video.n_bytes, 600, &samples, &n, &err),
              STATUS_INVALID_ARGUMENT);
    ASSERT_CONTAINS(err.message, "no audio");
    free(video.bytes);
    static const unsigned char text[] = "#EXTM3U\nfile.wav\n";
    ASSERT_EQ(audio_file_decode(text, sizeof text, 600, &samples, &n, &err),
              STATUS_INVALID_ARGUMENT);
    ASSERT_CONTAINS(err.message, "WAV, MP3");
    struct file empty = constant_wav(16000, 0, 0);
    ASSERT_EQ(audio_file_decode(empty.bytes, empty.n_bytes, 600, &samples, &n, &err),
              STATUS_INVALID_ARGUMENT);
    free(empty.bytes);
}
