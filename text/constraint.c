/* text/constraint.c - the reasoning machine decides whether a token is the grammar's; a byte of
 * history for each token takes it back.
 * Invariant: the matcher has taken exactly the content tokens. */
#include "text/constraint.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/utf8.h"

#define MAX_FORCED_BYTES 1024

// A token's entry in the history: the state before it, and what it counted as.
#define HISTORY_STATE 3U
#define HISTORY_REASONING 4U
#define HISTORY_MATCHED 8U

struct constraint {
    struct constraint_config config;
    struct matcher *matcher; // NULL: no grammar
    enum reasoning_state state;
    uint32_t n_reasoning;
    uint8_t *history; // [n_tokens]
    size_t n_tokens, capacity;
};

struct constraint *constraint_create(const struct constraint_config *config)
{
    struct constraint *constraint = mem_zeroed(1, sizeof *constraint);
    constraint->config = *config;
    constraint->state = config->start;
    if (config->tokens.channel_end == TOKEN_NONE) // nothing could close it
        constraint->config.thinking_budget = CONSTRAINT_NO_BUDGET;
    if (config->grammar) {
        CHECK(vocabulary_n_ids(config->vocabulary) == config->n_ids);
        constraint->matcher = matcher_create(config->grammar, config->vocabulary);
    }
    return constraint;
}

void constraint_destroy(struct constraint *constraint)
{
    if (!constraint)
        return;
    matcher_destroy(constraint->matcher);
    free(constraint->history);
    free(constraint);
}

static bool budget_is_used(const struct constraint *constraint)
{
    uint32_t budget = constraint->config.thinking_budget;
    return budget != CONSTRAINT_NO_BUDGET && constraint->n_reasoning >= budget;
}

// May <|channel> come next, where the model is not thinking?
static bool may_think(const struct constraint *constraint)
{
    if (constraint->config.tokens.channel == TOKEN_NONE || budget_is_used(constraint))
        return false;
    return !constraint->matcher || constraint->state == REASONING_EXPECT;
}

// May a token that belongs to no grammar come next?
static bool allows_unmatched(const struct constraint *constraint, enum reasoning_kind kind,
                             uint32_t token)
{
    const struct reasoning_tokens *tokens = &constraint->config.tokens;
    if (constraint->state == REASONING_INSIDE)
        return token == tokens->channel_end || !budget_is_used(constraint);
    if (kind == REASONING_DELIMITER && token == tokens->channel)
        return may_think(constraint);
    return !constraint->matcher;
}

bool constraint_accept(struct constraint *constraint, uint32_t token)
{
    enum reasoning_state before = constraint->state, after = before;
    enum reasoning_kind kind = reasoning_push(&constraint->config.tokens, &after, token);
    bool matched = kind == REASONING_CONTENT && constraint->matcher;
    if (matched ? !matcher_accept(constraint->matcher, token)
                : !allows_unmatched(constraint, kind, token))
        return false;
    mem_reserve(&constraint->history, &constraint->capacity, constraint->n_tokens + 1, 1);
    constraint->history[constraint->n_tokens++] =
        (uint8_t)(before | (kind == REASONING_TEXT ? HISTORY_REASONING : 0) |
                  (matched ? HISTORY_MATCHED : 0));
    constraint->state = after;
    constraint->n_reasoning += kind == REASONING_TEXT;
    return true;
}

void constraint_rollback(struct constraint *constraint, uint32_t n_tokens)
{
    CHECK(n_tokens <= constraint->n_tokens);
    uint32_t n_matched = 0;
    for (uint32_t i = 0; i < n_tokens; i++) {
        uint8_t entry = constraint->history[--constraint->n_tokens];
        constraint->state = (enum reasoning_state)(entry & HISTORY_STATE);
        constraint->n_reasoning -= (entry & HISTORY_REASONING) != 0;
        n_matched += (entry & HISTORY_MATCHED) != 0;
    }
    if (n_matched > 0)
        matcher_rollback(constraint->matcher, n_matched);
}

bool constraint_is_over(struct constraint *constraint)
{
    return constraint->matcher && constraint->state == REASONING_OUTSIDE &&
           matcher_is_over(constraint->matcher);
}

// Sets or clears a bit; returns by how much the number of bits grows.
static int put_bit(uint32_t *bits, uint32_t n_ids, uint32_t id, bool value)
{
    if (id >= n_ids)
        return 0;
    uint32_t bit = UINT32_C(1) << (id % 32);
    int before = (bits[id / 32] & bit) != 0;
    bits[id / 32] = value ? bits[id / 32] | bit : bits[id / 32] & ~bit;
    return value - before;
}

static void mask_not(const struct constraint *constraint, struct constraint_mask *out,
                     uint32_t *bits, const uint32_t *ids, size_t n)
{
    if (n <= CONSTRAINT_MAX_NOT) {
        out->kind = n > 0 ? CONSTRAINT_NOT : CONSTRAINT_ALL;
        out->n = (uint32_t)n;
        memcpy(out->ids, ids, n * sizeof *ids);
        return;
    }
    uint32_t n_ids = constraint->config.n_ids;
    memset(bits, 0xFF, ((size_t)n_ids + 31) / 32 * sizeof *bits);
    for (size_t i = 0; i < n; i++)
        put_bit(bits, n_ids, ids[i], false);
    out->kind = CONSTRAINT_BITS;
}

static void mask_inside(struct constraint *constraint, struct constraint_mask *out, uint32_t *bits)
{
    const struct constraint_config *config = &constraint->config;
    if (budget_is_used(constraint)) {
        out->kind = CONSTRAINT_ONE;
        out->token = config->tokens.channel_end;
        return;
    }
    if (!constraint->matcher) {
        out->kind = CONSTRAINT_ALL;
        return;
    }
    uint32_t *ids = mem_zeroed(config->n_stop_ids + 1, sizeof *ids);
    size_t n = config->n_stop_ids;
    if (n > 0)
        memcpy(ids, config->stop_ids, n * sizeof *ids);
    uint32_t call = config->tokens.tool_call;
    if (call != TOKEN_NONE && !matcher_allows(constraint->matcher, call))
        ids[n++] = call;
    mask_not(constraint, out, bits, ids, n);
    free(ids);
}

static uint32_t first_bit(const uint32_t *bits)
{
    uint32_t word = 0;
    while (bits[word] == 0)
        word++;
    return word * 32 + (uint32_t)__builtin_ctz(bits[word]);
}

static void mask_grammar(struct constraint *constraint, struct constraint_mask *out, uint32_t *bits)
{
    const struct constraint_config *config = &constraint->config;
    int64_t n = matcher_mask(constraint->matcher, bits);
    if (matcher_failed(constraint->matcher)) {
        out->kind = CONSTRAINT_FAILED;
        return;
    }
    n += put_bit(bits, config->n_ids, config->tokens.channel_end, false);
    n += put_bit(bits, config->n_ids, config->tokens.channel, may_think(constraint));
    if (matcher_is_complete(constraint->matcher)) {
        for (size_t i = 0; i < config->n_stop_ids; i++)
            n += put_bit(bits, config->n_ids, config->stop_ids[i], true);
    }
    out->kind = n > 1 ? CONSTRAINT_BITS : n == 1 ? CONSTRAINT_ONE : CONSTRAINT_FAILED;
    if (n == 1)
        out->token = first_bit(bits);
}

void constraint_mask(struct constraint *constraint, struct constraint_mask *out, uint32_t *bits)
{
    *out = (struct constraint_mask){0};
    if (constraint->state == REASONING_INSIDE)
        mask_inside(constraint, out, bits);
    else if (constraint->matcher)
        mask_grammar(constraint, out, bits);
    else if (constraint->config.tokens.channel != TOKEN_NONE && !may_think(constraint))
        mask_not(constraint, out, bits, &constraint->config.tokens.channel, 1);
    else
        out->kind = CONSTRAINT_ALL;
}

// How many of the tokens of text[0..n) stay whatever follows: those in front of the first place
// from which a token could reach beyond the end.
static size_t n_fixed_tokens(const struct constraint *constraint, const char *text, size_t n,
                             const uint32_t *ids, size_t n_ids)
{
    size_t fixed = 0;
    while (fixed < n &&
           !vocabulary_has_longer(constraint->config.vocabulary, text + fixed, n - fixed))
        fixed++;
    const struct tokenizer *tokenizer = vocabulary_tokenizer(constraint->config.vocabulary);
    size_t length = 0, count = 0;
    for (; count < n_ids; count++) {
        size_t token_length;
        bool is_byte;
        tokenizer_token_bytes(tokenizer, ids[count], &token_length, &is_byte);
        length += token_length;
        if (length > fixed)
            break;
    }
    return count;
}

// How many of the tokens the grammar takes in a row; *out_over: and then nothing may follow.
static size_t n_accepted(struct matcher *matcher, const uint32_t *ids, size_t n, bool *out_over)
{
    size_t count = 0;
    while (count < n && matcher_accept(matcher, ids[count]))
        count++;
    *out_over = count == n && matcher_is_over(matcher);
    matcher_rollback(matcher, (uint32_t)count);
    return count;
}

uint32_t constraint_forced(struct constraint *constraint, struct tokenizer_encoder *encoder,
                           uint32_t *out, uint32_t max)
{
    bool suspended = constraint->state == REASONING_INSIDE || may_think(constraint);
    char text[MAX_FORCED_BYTES];
    if (!constraint->matcher || suspended)
        return 0;
    size_t n = matcher_forced_bytes(constraint->matcher, text, sizeof text);
    size_t bad;
    if (!utf8_valid(text, n, &bad))
        n = bad; // half a character is forced, or bytes that are none
    if (n == 0)
        return 0;
    uint32_t *ids = NULL;
    size_t n_ids = 0, capacity = 0;
    tokenizer_encode(encoder, text, n, false, &ids, &n_ids, &capacity);
    bool over;
    size_t count = n_accepted(constraint->matcher, ids, n_ids, &over);
    if (!over) {
        size_t n_fixed = n_fixed_tokens(constraint, text, n, ids, n_ids);
        count = count < n_fixed ? count : n_fixed;
    }
    count = count < max ? count : max;
    if (count > 0)
        memcpy(out, ids, count * sizeof *out);
    free(ids);
    return (uint32_t)count;
}
