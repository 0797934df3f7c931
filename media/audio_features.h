/* media/audio_features.h - 16 kHz mono samples as the model's audio encoder takes them: log-mel
 * frames (media/mel.h), or the samples themselves in frames of MEDIA_RAW_FRAME_SAMPLES, the last
 * one filled up with zeros. */
#ifndef GEMMAD_MEDIA_AUDIO_FEATURES_H
#define GEMMAD_MEDIA_AUDIO_FEATURES_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

struct audio_features_plan {
    uint32_t form; /* enum media_audio_form */
    uint32_t n_frames, n_tokens;
    size_t n_bytes;
};

/* Of n_samples, at most AUDIO_FILE_MAX_SAMPLES. INVALID_ARGUMENT: too few for one soft token. */
NODISCARD enum status audio_features_plan(uint32_t form, size_t n_samples,
                                          struct audio_features_plan *out, struct error *err);
/* out [plan->n_bytes]. */
void audio_features_write(const struct audio_features_plan *plan, const float *samples,
                          size_t n_samples, float *out);

#endif
