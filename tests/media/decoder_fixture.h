/* tests/media/decoder_fixture.h - a decoder with the children of this build, and a file of each
 * format that it takes. */
#ifndef GEMMAD_TESTS_DECODER_FIXTURE_H
#define GEMMAD_TESTS_DECODER_FIXTURE_H

#include "base/clock.h"
#include "media/decoder.h"
#include "tests/media/media_fixture.h"

static inline struct media_decoder_config default_config(void)
{
    static char program[4096];
    const char *build = getenv("GEMMAD_BUILD_DIR");
    if (!build)
        test_skip("GEMMAD_BUILD_DIR is not set");
    snprintf(program, sizeof program, "%s/daemon/gemmad-media", build);
    return (struct media_decoder_config){.program = program,
                                         .n_children = 2,
                                         .max_file_bytes = 64 << 20,
                                         .max_pixels = 100 << 20,
                                         .max_seconds = 600,
                                         .timeout_ns = 60 * NS_PER_S,
                                         .max_child_bytes = (size_t)1 << 30,
                                         .audio = MEDIA_AUDIO_MEL};
}

static inline struct media_decoder *new_decoder(const struct media_decoder_config *config)
{
    struct media_decoder *decoder;
    struct error err = {0};
    ASSERT_OK_ERR(media_decoder_create(config, &decoder, &err), err);
    return decoder;
}

static inline struct media_decoder_stats stats_of(struct media_decoder *decoder)
{
    struct media_decoder_stats stats;
    media_decoder_get_stats(decoder, &stats);
    return stats;
}

static const struct {
    const char *name;
    enum media_kind kind;
} samples[] = {
    {"h264.mp4", MEDIA_VIDEO},        {"h264_fragments.mp4", MEDIA_VIDEO},
    {"h264.mkv", MEDIA_VIDEO},        {"hevc.mp4", MEDIA_VIDEO},
    {"mpeg4.mp4", MEDIA_VIDEO},       {"vp8.webm", MEDIA_VIDEO},
    {"vp9.webm", MEDIA_VIDEO},        {"av1.webm", MEDIA_VIDEO},
    {"animation.webp", MEDIA_VIDEO},  {"animation.gif", MEDIA_VIDEO},
    {"still.jpg", MEDIA_IMAGE},       {"still.png", MEDIA_IMAGE},
    {"still.webp", MEDIA_IMAGE},      {"animation.webp", MEDIA_IMAGE},
    {"animation.gif", MEDIA_IMAGE},   {"tone.wav", MEDIA_AUDIO},
    {"tone_float.wav", MEDIA_AUDIO},  {"tone.mp3", MEDIA_AUDIO},
    {"tone.flac", MEDIA_AUDIO},       {"tone_opus.ogg", MEDIA_AUDIO},
    {"tone_vorbis.ogg", MEDIA_AUDIO}, {"tone.m4a", MEDIA_AUDIO},
    {"tone.webm", MEDIA_AUDIO},       {"tone_alac.m4a", MEDIA_AUDIO},
};

#endif
