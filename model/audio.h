/* model/audio.h - the audio tower of one rank: the audio part of model/encoder.h, which says what
 * the functions do. Part of model/encoder.c; nothing else includes this.
 *
 * Rows are points in time, of which four frames make one; the rows of a job's clips stand behind
 * each other. A row needs nothing of later rows and, in a layer, of at most a dozen before it, so a
 * unit is some rows of half a layer, in order. */
#ifndef GEMMAD_MODEL_AUDIO_H
#define GEMMAD_MODEL_AUDIO_H

#include "model/encoder.h"

struct audio;

uint32_t audio_n_tokens(const struct encoder_part *part);
uint32_t audio_count_units(const struct audio_config *config, const struct encoder_part *parts,
                           uint32_t n_parts);
size_t audio_activation_bytes(const struct model_config *config, uint32_t max_frames,
                              uint32_t max_parts);
NODISCARD enum status audio_create(const struct encoder_config *config, struct audio **out,
                                   struct error *err);
void audio_destroy(struct audio *audio); /* NULL is fine */
void audio_begin(struct audio *audio, const struct encoder_part *parts, uint32_t n_parts);
NODISCARD enum status audio_run(struct audio *audio, uint32_t n_units, struct error *err);
const float *audio_output(const struct audio *audio);

#endif
