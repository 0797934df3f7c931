/* engine/choice_constraint.c - a sampled token is taken by the constraint when the next mask is
 * asked for, not when it comes: the client has its delta by then. */
#include "engine/choice_constraint.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

// Forced runs are keys, quotes and braces of a schema: longer ones come in parts.
#define MAX_FORCED 64

struct choice_constraint {
    struct constraint *constraint;
    uint32_t sampled;  // that the constraint has not taken yet, or TOKEN_NONE
    uint32_t n_forced; // that the constraint has taken and that have not come yet
    uint32_t forced[MAX_FORCED];
};

struct choice_constraint *choice_constraint_create(const struct constraint_config *config)
{
    struct choice_constraint *c = mem_zeroed(1, sizeof *c);
    c->constraint = constraint_create(config);
    c->sampled = TOKEN_NONE;
    return c;
}

void choice_constraint_destroy(struct choice_constraint *c)
{
    if (!c)
        return;
    constraint_destroy(c->constraint);
    free(c);
}

static void find_forced(struct choice_constraint *c, struct tokenizer_encoder *encoder,
                        uint32_t n_left)
{
    uint32_t max = n_left < MAX_FORCED ? n_left : MAX_FORCED;
    uint32_t n = constraint_forced(c->constraint, encoder, c->forced, max);
    while (c->n_forced < n && constraint_accept(c->constraint, c->forced[c->n_forced]))
        c->n_forced++;
}

static enum choice_mask tell(struct choice_constraint *c, uint32_t *bits, struct sequence_mask *out)
{
    struct constraint_mask mask;
    constraint_mask(c->constraint, &mask, bits);
    switch (mask.kind) {
    case CONSTRAINT_ALL:
        out->kind = STEP_MASK_ALL;
        break;
    case CONSTRAINT_ONE:
        out->kind = STEP_MASK_ONE;
        out->ids[0] = mask.token;
        break;
    case CONSTRAINT_NOT:
        out->kind = STEP_MASK_NOT;
        out->n_ids = mask.n;
        memcpy(out->ids, mask.ids, mask.n * sizeof *out->ids);
        break;
    case CONSTRAINT_BITS:
        out->kind = STEP_MASK_BITS;
        out->bits = bits;
        break;
    case CONSTRAINT_FAILED:
        return constraint_is_over(c->constraint) ? CHOICE_MASK_OVER : CHOICE_MASK_FAILED;
    }
    return CHOICE_MASK_TOLD;
}

enum choice_mask choice_constraint_mask(struct choice_constraint *c,
                                        struct tokenizer_encoder *encoder, uint32_t n_left,
                                        uint32_t *bits, struct sequence_mask *out)
{
    if (c->sampled != TOKEN_NONE && !constraint_accept(c->constraint, c->sampled))
        return CHOICE_MASK_FAILED;
    c->sampled = TOKEN_NONE;
    if (c->n_forced == 0) // else they were told, and the step was lost with its workers
        find_forced(c, encoder, n_left);
    if (c->n_forced == 0)
        return tell(c, bits, out);
    out->kind = STEP_MASK_ONE;
    out->ids[0] = c->forced[0];
    out->forced = c->forced + 1;
    out->n_forced = c->n_forced - 1;
    return CHOICE_MASK_TOLD;
}

bool choice_constraint_take(struct choice_constraint *c, uint32_t token)
{
    bool forced = c->n_forced > 0;
    if (!forced)
        c->sampled = token;
    c->n_forced = 0;
    return forced;
}
