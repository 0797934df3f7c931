/* engine/scheduler_masks.c - the masks of the step prepared last.
 *
 * A mask can be told when all tokens before it are known: when every older step is complete, or at
 * once when the sequence has no other token in flight (a prefill's end). All masks of a step are
 * one message, so the slowest row decides. No further step is prepared before, which keeps two
 * things simple: a masked sequence has one token in flight when it is asked, so forced tokens stand
 * behind that one, and masks need no place among later messages of the ring. */
#include "engine/scheduler_state.h"

#include <string.h>

#include "base/mem.h"

static const struct planned_step *last_step(const struct scheduler *s)
{
    return &s->steps[s->n_prepared % SCHEDULER_MAX_STEPS_IN_FLIGHT];
}

bool scheduler_masks_are_due(const struct scheduler *s)
{
    if (!s->masks_missing || s->n_completed + 1 == s->n_prepared)
        return s->masks_missing;
    const struct planned_step *step = last_step(s);
    for (uint32_t i = 0; i < step->n_seqs; i++) {
        const struct planned_rows *rows = &step->rows[i];
        if ((rows->flags & STEP_MASKED) && rows->sequence->state != SEQUENCE_REMOVED &&
            rows->sequence->n_pending > 1)
            return false;
    }
    return true;
}

static uint32_t take_ids(const uint32_t *ids, uint32_t n, uint32_t n_text_ids, uint32_t *out)
{
    CHECK(n <= STEP_MASK_MAX_IDS);
    uint32_t n_taken = 0;
    for (uint32_t i = 0; i < n; i++)
        if (ids[i] < n_text_ids) // others are not allowed anyway
            out[n_taken++] = ids[i];
    return n_taken;
}

static void take_forced(struct sequence *sequence, const struct sequence_mask *mask)
{
    uint32_t n = mask->n_forced;
    uint32_t n_left = sequence->c.max_tokens - sequence->n_generated;
    CHECK(mask->kind == STEP_MASK_ONE && n < n_left);
    CHECK(sequence->n_pending == 1 && sequence->n_forced == 0);
    uint32_t *at = sequence->generated + sequence->n_generated;
    at[0] = mask->ids[0];
    memcpy(at + 1, mask->forced, n * sizeof *at);
    sequence->n_forced = n;
}

// The row is computed once more in the next step: it is the last one, its token is known, and it
// writes the same keys and values.
static void put_off(struct scheduler *s, struct planned_rows *rows)
{
    struct sequence *sequence = rows->sequence;
    CHECK(sequence->n_pending == 1 && sequence->n_forced == 0);
    sequence->n_pending = 0;
    sequence->n_computed--;
    rows->later = true;
    scheduler_promise_pages(s, sequence);
}

// Returns the number of words that the mask takes.
static uint32_t write_mask(struct scheduler *s, struct planned_rows *rows, uint32_t *words,
                           scheduler_mask_fn *mask_fn, void *context, uint32_t *out_kind)
{
    uint32_t n_text_ids = s->c.n_text_ids;
    uint32_t n_bits_words = step_mask_bits_words(s->c.limits.vocab_size);
    struct sequence *sequence = rows->sequence;
    struct sequence_mask mask = {.kind = STEP_MASK_ALL};
    if (sequence->state != SEQUENCE_REMOVED)
        mask_fn(context, sequence->c.owner, &mask);
    if (sequence->state == SEQUENCE_REMOVED) // whatever it samples is dropped
        mask.kind = STEP_MASK_ALL;
    else if (mask.n_forced > 0)
        take_forced(sequence, &mask);
    *out_kind = mask.kind;
    switch (mask.kind) {
    case STEP_MASK_ALL:
        return 0;
    case STEP_MASK_LATER:
        put_off(s, rows);
        return 0;
    case STEP_MASK_ONE:
        words[0] = mask.ids[0];
        if (words[0] < n_text_ids)
            return 1;
        *out_kind = STEP_MASK_BITS; // a grammar may name any id: then nothing is left
        memset(words, 0, n_bits_words * sizeof *words);
        return n_bits_words;
    case STEP_MASK_NOT:
        return take_ids(mask.ids, mask.n_ids, n_text_ids, words);
    case STEP_MASK_BITS:
        memcpy(words, mask.bits, n_bits_words * sizeof *words);
        return n_bits_words;
    }
    return 0;
}

// Where asking begins: with the one that was put off first, so that slow masks in front of it do
// not put it off for ever.
static uint32_t first_row(const struct scheduler *s, const struct planned_step *step)
{
    for (uint32_t i = 0; i < step->n_seqs; i++)
        if (step->rows[i].slot == s->first_asked)
            return i;
    return 0;
}

size_t scheduler_write_masks(struct scheduler *s, void *message, scheduler_mask_fn *mask_fn,
                             void *context)
{
    CHECK(scheduler_masks_are_due(s));
    struct planned_step *step = &s->steps[s->n_prepared % SCHEDULER_MAX_STEPS_IN_FLIGHT];
    struct step_masks_header header = {
        .step_id = step->step_id, .n_masks = step->n_masked, .n_ids = s->c.n_text_ids};
    struct step_mask *masks = (struct step_mask *)((struct step_masks_header *)message + 1);
    uint32_t *words = step_masks_words(message, step->n_masked);
    uint32_t first = first_row(s, step);
    uint32_t n_before = 0; // masks of the rows in front of it
    for (uint32_t i = 0; i < first; i++)
        n_before += (step->rows[i].flags & STEP_MASKED) != 0;
    uint32_t at = n_before;
    bool any_later = false;
    for (uint32_t k = 0; k < step->n_seqs; k++) {
        struct planned_rows *rows = &step->rows[(first + k) % step->n_seqs];
        if (!(rows->flags & STEP_MASKED))
            continue;
        struct step_mask mask = {.slot = rows->slot, .first_word = header.n_words};
        mask.n_words = write_mask(s, rows, words + header.n_words, mask_fn, context, &mask.kind);
        header.n_words += mask.n_words;
        masks[at++ % step->n_masked] = mask;
        if (rows->later && !any_later)
            s->first_asked = rows->slot;
        any_later |= rows->later;
    }
    s->masks_missing = false;
    memcpy(message, &header, sizeof header);
    return step_masks_bytes(header.n_masks, header.n_words);
}
