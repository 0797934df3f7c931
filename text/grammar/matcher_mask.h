/* text/grammar/matcher_mask.h - the mask of a state. For matcher.c. */
#ifndef GEMMAD_TEXT_GRAMMAR_MATCHER_MASK_H
#define GEMMAD_TEXT_GRAMMAR_MATCHER_MASK_H

#include "text/grammar/grammar_states.h"
#include "text/grammar/vocabulary.h"

/* As matcher_mask. *out_lost: a token was left out because the match would become too ambiguous. */
uint32_t mask_write(struct grammar_states *states, uint32_t state,
                    const struct vocabulary *vocabulary, uint32_t *bits, bool *out_lost);

#endif
