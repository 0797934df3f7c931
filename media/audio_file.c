/* media/audio_file.c - decoding stops when 30 s are there, however long the file is. */
#include "media/audio_file.h"

#include <libavutil/channel_layout.h>
#include <libswresample/swresample.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>

#include "base/mem.h"
#include "media/container.h"

#define MAX_CHANNELS 32
#define MAX_SOURCE_HZ 768000
#define MAX_COVER_PIXELS 16000000 /* of a picture beside the audio: its header is read */
#define MAX_SAMPLE 2.0f

struct clip {
    struct container container;
    struct SwrContext *resampler; /* of the format below */
    AVChannelLayout layout;
    int sample_rate;
    int sample_format;
    float *samples; /* [AUDIO_FILE_MAX_SAMPLES] */
    size_t n_samples;
};

static enum status cannot_resample(const AVFrame *frame, struct error *err)
{
    return error_set(err, STATUS_INVALID_ARGUMENT,
                     "audio of %d channels at %d Hz cannot be resampled",
                     frame->ch_layout.nb_channels, frame->sample_rate);
}

static enum status open_resampler(struct clip *clip, AVFrame *frame, struct error *err)
{
    int n_channels = frame->ch_layout.nb_channels;
    if (n_channels < 1 || n_channels > MAX_CHANNELS || frame->sample_rate < 1 ||
        frame->sample_rate > MAX_SOURCE_HZ)
        return cannot_resample(frame, err);
    AVChannelLayout mono = AV_CHANNEL_LAYOUT_MONO;
    double mean[MAX_CHANNELS];
    for (int c = 0; c < n_channels; c++)
        mean[c] = 1.0 / n_channels;
    int failed = swr_alloc_set_opts2(&clip->resampler, &mono, AV_SAMPLE_FMT_FLT, AUDIO_FILE_HZ,
                                     &frame->ch_layout, frame->format, frame->sample_rate, 0, NULL);
    if (failed >= 0)
        failed = swr_set_matrix(clip->resampler, mean, n_channels);
    if (failed >= 0)
        failed = swr_init(clip->resampler);
    if (failed >= 0)
        failed = av_channel_layout_copy(&clip->layout, &frame->ch_layout);
    clip->sample_rate = frame->sample_rate;
    clip->sample_format = frame->format;
    return failed < 0 ? cannot_resample(frame, err) : STATUS_OK;
}

// frame NULL: what the resampler still holds.
static enum status resample(struct clip *clip, const AVFrame *frame, struct error *err)
{
    uint8_t *out = (uint8_t *)(clip->samples + clip->n_samples);
    int room = (int)(AUDIO_FILE_MAX_SAMPLES - clip->n_samples);
    int n = swr_convert(clip->resampler, &out, room,
                        frame ? (const uint8_t **)frame->extended_data : NULL,
                        frame ? frame->nb_samples : 0);
    if (n < 0)
        return error_set(err, STATUS_INVALID_ARGUMENT, "the audio cannot be resampled");
    clip->n_samples += (size_t)n;
    return STATUS_OK;
}

static enum status close_resampler(struct clip *clip, struct error *err)
{
    enum status st = clip->resampler ? resample(clip, NULL, err) : STATUS_OK;
    swr_free(&clip->resampler);
    av_channel_layout_uninit(&clip->layout);
    return st;
}

static enum status take_frame(struct clip *clip, struct error *err)
{
    AVFrame *frame = clip->container.frame;
    enum status st = STATUS_OK;
    bool changed = clip->resampler && (clip->sample_rate != frame->sample_rate ||
                                       clip->sample_format != frame->format ||
                                       av_channel_layout_compare(&clip->layout, &frame->ch_layout));
    if (changed)
        st = close_resampler(clip, err);
    if (st == STATUS_OK && !clip->resampler)
        st = open_resampler(clip, frame, err);
    return st == STATUS_OK ? resample(clip, frame, err) : st;
}

// A packet that is not audio after all gives no frames; the next may.
static enum status decode_packet(struct clip *clip, const AVPacket *packet, struct error *err)
{
    if (container_decode(&clip->container, packet, NULL) != STATUS_OK)
        return STATUS_OK;
    while (clip->n_samples < AUDIO_FILE_MAX_SAMPLES) {
        int some;
        if (container_take(&clip->container, &some, NULL) != STATUS_OK || !some)
            return STATUS_OK;
        enum status st = take_frame(clip, err);
        if (st != STATUS_OK)
            return st;
    }
    return STATUS_OK;
}

static enum status decode_all(struct clip *clip, struct error *err)
{
    int end = 0;
    while (!end && clip->n_samples < AUDIO_FILE_MAX_SAMPLES) {
        enum status st = container_read(&clip->container, &end, err);
        if (st == STATUS_OK)
            st = decode_packet(clip, end ? NULL : clip->container.packet, err);
        if (st != STATUS_OK)
            return st;
    }
    enum status st = close_resampler(clip, err);
    if (st == STATUS_OK && clip->n_samples == 0)
        return error_set(err, STATUS_INVALID_ARGUMENT, "no audio of the file can be decoded");
    return st;
}

// Float formats may hold anything; what resampling overshoots is kept.
static void bound(struct clip *clip)
{
    for (size_t i = 0; i < clip->n_samples; i++) {
        float x = clip->samples[i];
        clip->samples[i] = isnan(x) ? 0 : fminf(fmaxf(x, -MAX_SAMPLE), MAX_SAMPLE);
    }
}

enum status audio_file_decode(const unsigned char *bytes, size_t n_bytes, uint32_t max_seconds,
                              float **out_samples, size_t *out_n_samples, struct error *err)
{
    struct clip clip = {0};
    struct container_limits limits = {AVMEDIA_TYPE_AUDIO, MAX_COVER_PIXELS, max_seconds};
    enum status st = container_open(&clip.container, bytes, n_bytes, &limits, err);
    if (st != STATUS_OK)
        return st;
    clip.samples = mem_zeroed(AUDIO_FILE_MAX_SAMPLES, sizeof *clip.samples);
    st = decode_all(&clip, err);
    swr_free(&clip.resampler);
    av_channel_layout_uninit(&clip.layout);
    container_close(&clip.container);
    if (st != STATUS_OK) {
        free(clip.samples);
        return st;
    }
    bound(&clip);
    *out_samples = clip.samples;
    *out_n_samples = clip.n_samples;
    return STATUS_OK;
}
