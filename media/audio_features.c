#include "media/audio_features.h"

#include <stdbool.h>
#include <string.h>

#include "media/decoder.h"
#include "media/mel.h"
#include "media/protocol.h"

enum status audio_features_plan(uint32_t form, size_t n_samples, struct audio_features_plan *out,
                                struct error *err)
{
    bool mel = form == MEDIA_AUDIO_MEL;
    uint32_t n_frames =
        mel ? mel_n_frames(n_samples)
            : (uint32_t)((n_samples + MEDIA_RAW_FRAME_SAMPLES - 1) / MEDIA_RAW_FRAME_SAMPLES);
    if (n_frames == 0)
        return error_set(err, STATUS_INVALID_ARGUMENT,
                         "%zu samples of audio are too few: not one soft token", n_samples);
    size_t values = mel ? MEDIA_MEL_BINS : MEDIA_RAW_FRAME_SAMPLES;
    *out = (struct audio_features_plan){.form = form,
                                        .n_frames = n_frames,
                                        .n_tokens = protocol_audio_tokens(form, n_frames),
                                        .n_bytes = n_frames * values * sizeof(float)};
    return STATUS_OK;
}

void audio_features_write(const struct audio_features_plan *plan, const float *samples,
                          size_t n_samples, float *out)
{
    if (plan->form == MEDIA_AUDIO_MEL) {
        mel_features(samples, n_samples, out);
        return;
    }
    memset(out, 0, plan->n_bytes);
    memcpy(out, samples, n_samples * sizeof *samples);
}
