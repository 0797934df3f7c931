/* text/grammar/matcher.c - a matcher is the list of states it has been in, so that taking tokens
 * back is shortening the list. */
#include "text/grammar/matcher.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "text/grammar/grammar_states.h"
#include "text/grammar/grammar_tables.h"
#include "text/grammar/matcher_mask.h"
#include "text/grammar/vocabulary_tables.h"

#define MAX_STATES_BYTES (64U << 20) /* of one grammar; then those of no use are forgotten */

struct matcher {
    struct grammar *grammar;
    struct matcher *previous, *next; // of the grammar's
    const struct vocabulary *vocabulary;
    uint32_t *states; // [n_states], the last is where the match is; [0] is the start
    size_t n_states, capacity;
    bool failed;
};

struct matcher *matcher_create(struct grammar *grammar, const struct vocabulary *vocabulary)
{
    struct matcher *matcher = mem_zeroed(1, sizeof *matcher);
    matcher->grammar = grammar_ref(grammar);
    matcher->vocabulary = vocabulary;
    if (!grammar->states) {
        grammar->states = grammar_states_create(grammar);
        grammar->masks = mask_table_create(grammar->states, vocabulary);
        grammar->n_bytes_when_to_shrink = MAX_STATES_BYTES;
    }
    matcher->next = grammar->matchers;
    if (matcher->next)
        matcher->next->previous = matcher;
    grammar->matchers = matcher;
    mem_reserve(&matcher->states, &matcher->capacity, 64, sizeof *matcher->states);
    matcher->states[matcher->n_states++] = grammar_states_start(grammar->states);
    matcher->failed = matcher->states[0] == STATE_FAILED;
    return matcher;
}

void matcher_destroy(struct matcher *matcher)
{
    if (!matcher)
        return;
    grammar_measure(matcher->grammar);
    if (matcher->next)
        matcher->next->previous = matcher->previous;
    if (matcher->previous)
        matcher->previous->next = matcher->next;
    else
        matcher->grammar->matchers = matcher->next;
    grammar_drop(matcher->grammar);
    free(matcher->states);
    free(matcher);
}

// A grammar is kept long, and nested texts have new states for ever: all but the states that
// matchers are in, or may come back to, are forgotten when they are many. Not below a step.
static void bound_states(struct grammar *grammar)
{
    struct grammar_states *states = grammar->states;
    if (grammar_states_n_bytes(states) <= grammar->n_bytes_when_to_shrink)
        return;
    bool *keep = mem_zeroed(grammar_states_n(states), sizeof *keep);
    uint32_t *new_ids = mem_zeroed(grammar_states_n(states), sizeof *new_ids);
    for (const struct matcher *m = grammar->matchers; m; m = m->next)
        for (size_t i = 0; i < m->n_states; i++)
            keep[m->states[i]] = true;
    grammar_states_shrink(states, keep, new_ids);
    for (struct matcher *m = grammar->matchers; m; m = m->next)
        for (size_t i = 0; i < m->n_states; i++)
            m->states[i] = new_ids[m->states[i]];
    mask_table_clear(grammar->masks);
    size_t twice = 2 * grammar_states_n_bytes(states);
    grammar->n_bytes_when_to_shrink = twice > MAX_STATES_BYTES ? twice : MAX_STATES_BYTES;
    free(keep);
    free(new_ids);
}

static uint32_t current(const struct matcher *matcher)
{
    return matcher->states[matcher->n_states - 1];
}

// The state behind token.
static uint32_t step(const struct matcher *matcher, uint32_t token)
{
    struct grammar_states *states = matcher->grammar->states;
    const struct tokenizer *tokenizer = matcher->vocabulary->tokenizer;
    if (token >= matcher->vocabulary->n_ids)
        return STATE_DEAD;
    size_t n;
    bool is_byte;
    const char *bytes = tokenizer_token_bytes(tokenizer, token, &n, &is_byte);
    uint32_t state = current(matcher);
    if (!bytes || n == 0 || tokenizer_is_special(tokenizer, token))
        return grammar_states_step_token(states, state, token);
    for (size_t i = 0; i < n && state > STATE_FAILED; i++)
        state = grammar_states_step(states, state, (uint8_t)bytes[i]);
    return state;
}

bool matcher_accept(struct matcher *matcher, uint32_t token)
{
    bound_states(matcher->grammar);
    uint32_t state = step(matcher, token);
    if (state <= STATE_FAILED) {
        matcher->failed |= state == STATE_FAILED;
        return false;
    }
    mem_reserve(&matcher->states, &matcher->capacity, matcher->n_states + 1,
                sizeof *matcher->states);
    matcher->states[matcher->n_states++] = state;
    return true;
}

void matcher_rollback(struct matcher *matcher, uint32_t n)
{
    CHECK(n < matcher->n_states);
    matcher->n_states -= n;
}

bool matcher_is_complete(const struct matcher *matcher)
{
    return grammar_state_is_complete(matcher->grammar->states, current(matcher));
}

// The bytes that lead on from state, 0, 1 or 2 (then: or more); the first of them.
static int count_steps(const struct matcher *matcher, uint32_t state, uint8_t *out_byte)
{
    struct byte_set first = grammar_state_first(matcher->grammar->states, state);
    int n = 0;
    for (unsigned byte = 0; byte < 256 && n < 2; byte++) {
        if (!(first.bits[byte >> 6] >> (byte & 63) & 1) ||
            grammar_states_step(matcher->grammar->states, state, (uint8_t)byte) == STATE_DEAD)
            continue;
        if (n++ == 0)
            *out_byte = (uint8_t)byte;
    }
    return n;
}

bool matcher_is_over(struct matcher *matcher)
{
    uint8_t byte;
    return matcher_is_complete(matcher) &&
           !grammar_state_has_tokens(matcher->grammar->states, current(matcher)) &&
           count_steps(matcher, current(matcher), &byte) == 0;
}

bool matcher_allows(struct matcher *matcher, uint32_t token)
{
    return step(matcher, token) > STATE_FAILED;
}

size_t matcher_forced_bytes(struct matcher *matcher, char *out, size_t max)
{
    struct grammar_states *states = matcher->grammar->states;
    uint32_t state = current(matcher);
    size_t n = 0;
    uint8_t byte = 0;
    while (n < max && !grammar_state_is_complete(states, state) &&
           !grammar_state_has_tokens(states, state) && count_steps(matcher, state, &byte) == 1) {
        state = grammar_states_step(states, state, byte);
        if (state <= STATE_FAILED)
            break;
        out[n++] = (char)byte;
    }
    return n;
}

uint32_t matcher_mask(struct matcher *matcher, uint32_t *bits)
{
    bool lost = false;
    bound_states(matcher->grammar);
    uint32_t n = mask_table_write(matcher->grammar->masks, current(matcher), bits, &lost);
    matcher->failed |= lost && n == 0;
    return n;
}

bool matcher_failed(const struct matcher *matcher)
{
    return matcher->failed;
}
