/* media/audio_file.h - a clip of audio as the model takes it (gemma4-model.md section 5.5): mono,
 * 16 kHz, f32 (full scale is 1, beyond 2 is cut off), at most its first 30 s.
 *
 * WAV, MP3, FLAC, Ogg (Opus, Vorbis), MP4 and WebM through media/container.h. Channels are
 * averaged. Packets that cannot be decoded are left out, as players do; one at least can be.
 * Thread: any; nothing is kept between calls. */
#ifndef GEMMAD_MEDIA_AUDIO_FILE_H
#define GEMMAD_MEDIA_AUDIO_FILE_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

#define AUDIO_FILE_HZ 16000
#define AUDIO_FILE_MAX_SAMPLES 480000

/* The caller frees *out_samples. INVALID_ARGUMENT: no audio that can be decoded, none at all in
 * it, or longer than max_seconds by its header. */
NODISCARD enum status audio_file_decode(const unsigned char *bytes, size_t n_bytes,
                                        uint32_t max_seconds, float **out_samples,
                                        size_t *out_n_samples, struct error *err);

#endif
