/* model/vision.h - the vision tower of one rank: the vision part of model/encoder.h, which says
 * what the functions do. Part of model/encoder.c; nothing else includes this.
 *
 * Rows (patches) of an image are in the order of its soft tokens, nine for each, so that the rows
 * of one are together. They are cut into pages of PAGE_TOKENS soft tokens, which are also the pages
 * of keys and values. A rank owns neighbouring pages of a job: it computes their rows, layer by
 * layer, and gives their keys and values to all. */
#ifndef GEMMAD_MODEL_VISION_H
#define GEMMAD_MODEL_VISION_H

#include "model/encoder.h"

struct vision;

uint32_t vision_n_tokens(const struct vision_config *config, const struct encoder_part *part);
uint32_t vision_count_units(const struct vision_config *config, const struct encoder_part *parts,
                            uint32_t n_parts);
size_t vision_activation_bytes(const struct model_config *config, uint32_t max_patches,
                               uint32_t max_parts);
NODISCARD enum status vision_create(const struct encoder_config *config, struct vision **out,
                                    struct error *err);
void vision_destroy(struct vision *vision);
void vision_begin(struct vision *vision, const struct encoder_part *parts, uint32_t n_parts);
NODISCARD enum status vision_run(struct vision *vision, uint32_t n_units, struct error *err);
const float *vision_output(const struct vision *vision);

#endif
