/* engine/choice_constraint.h - the constraint of one choice (text/constraint.h), turned into the
 * masks of its steps.
 *
 * A mask is asked for each token that is sampled, when all tokens before it have come. Tokens that
 * must follow whatever is sampled are told with the mask of the first of them, and come with it.
 * They depend on the text before them alone, not on when steps run.
 * Thread: the engine's. */
#ifndef GEMMAD_ENGINE_CHOICE_CONSTRAINT_H
#define GEMMAD_ENGINE_CHOICE_CONSTRAINT_H

#include "engine/scheduler.h"
#include "text/constraint.h"

struct choice_constraint;

/* config.stop_ids lives as long. */
struct choice_constraint *choice_constraint_create(const struct constraint_config *config);
void choice_constraint_destroy(struct choice_constraint *constraint); /* NULL is fine */

enum choice_mask {
    CHOICE_MASK_TOLD,
    CHOICE_MASK_OVER,   /* the text is complete, and there is no stop token to say so */
    CHOICE_MASK_FAILED, /* no token may follow */
};
/* What the next token may be, of n_left that max_tokens leaves. bits [step_mask_bits_words] is
 * scratch, and with BITS what out points to. */
enum choice_mask choice_constraint_mask(struct choice_constraint *constraint,
                                        struct tokenizer_encoder *encoder, uint32_t n_left,
                                        uint32_t *bits, struct sequence_mask *out);
/* The token has come that the last mask was for. Returns whether it was forced; then those that
 * were told with it come too. Stop tokens are not for it. */
bool choice_constraint_take(struct choice_constraint *constraint, uint32_t token);

#endif
