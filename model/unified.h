/* model/unified.h - what unified models have for encoders: soft tokens are projected from 48 x 48
 * pixels or 640 samples, each by itself (gemma4-model.md sections 5.3, 5.5). The functions are
 * those of model/encoder.h, for both kinds. Part of model/encoder.c; nothing else includes this. */
#ifndef GEMMAD_MODEL_UNIFIED_H
#define GEMMAD_MODEL_UNIFIED_H

#include "model/encoder.h"

struct unified;

uint32_t unified_n_tokens(const struct unified_config *config, const struct encoder_part *part);
uint32_t unified_count_units(const struct unified_config *config, const struct encoder_part *parts,
                             uint32_t n_parts);
size_t unified_activation_bytes(const struct model_config *config, uint32_t max_patches,
                                uint32_t max_frames);
NODISCARD enum status unified_create(const struct encoder_config *config, struct unified **out,
                                     struct error *err);
void unified_destroy(struct unified *unified);
void unified_begin(struct unified *unified, const struct encoder_part *parts, uint32_t n_parts);
NODISCARD enum status unified_run(struct unified *unified, uint32_t n_units, struct error *err);
const float *unified_output(const struct unified *unified);

#endif
