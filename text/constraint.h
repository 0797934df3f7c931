/* text/constraint.h - what a sequence's next token may be: its grammar, suspended while the model
 * thinks, and the limit of thinking. gemma4-text.md section 4.4.
 *
 * Where thinking may still begin (REASONING_EXPECT) the mask is the grammar's first tokens and
 * <|channel>; inside, everything but what would end the text, and <|tool_call> where the grammar
 * has one next; behind, the grammar alone. Without a grammar there is only the budget.
 * Thread: the engine's. */
#ifndef GEMMAD_TEXT_CONSTRAINT_H
#define GEMMAD_TEXT_CONSTRAINT_H

#include "text/grammar/matcher.h"
#include "text/reasoning.h"

#define CONSTRAINT_NO_BUDGET UINT32_MAX

struct constraint_config {
    struct grammar *grammar;             /* a reference is taken; NULL: none */
    const struct vocabulary *vocabulary; /* with a grammar */
    struct reasoning_tokens tokens;
    enum reasoning_state start;
    /* Reasoning tokens (delimiters do not count), then the channel is closed and none is opened. */
    uint32_t thinking_budget;
    const uint32_t *stop_ids; /* [n_stop_ids], of the model and the request; lives as long */
    size_t n_stop_ids;
    uint32_t n_ids; /* of the head; with a grammar the vocabulary's */
};

struct constraint;

struct constraint *constraint_create(const struct constraint_config *config);
void constraint_destroy(struct constraint *constraint); /* NULL is fine */
/* Takes a sampled or forced token, stop tokens excepted. False, and the state stays: the mask did
 * not hold it (a bug, as a rule), or the match became too ambiguous. */
bool constraint_accept(struct constraint *constraint, uint32_t token);
/* Takes back the last tokens, at most all. */
void constraint_rollback(struct constraint *constraint, uint32_t n_tokens);
/* The grammar's text is complete and nothing may follow it: the answer may end here and now. Only
 * stop tokens are in the mask; if there are none, it has to. */
bool constraint_is_over(struct constraint *constraint);

enum constraint_mask_kind {
    CONSTRAINT_ALL,    /* every token */
    CONSTRAINT_ONE,    /* token alone */
    CONSTRAINT_NOT,    /* all but ids[n] (few) */
    CONSTRAINT_BITS,   /* bits */
    CONSTRAINT_FAILED, /* no token is left: the request must end with an error */
};
#define CONSTRAINT_MAX_NOT 16
struct constraint_mask {
    enum constraint_mask_kind kind;
    uint32_t token;
    uint32_t n;
    uint32_t ids[CONSTRAINT_MAX_NOT];
};
/* What may come next. bits [(n_ids + 31) / 32] is scratch, and the answer with CONSTRAINT_BITS;
 * stop tokens are in it where the text may end. */
void constraint_mask(struct constraint *constraint, struct constraint_mask *out, uint32_t *bits);

/* Tokens that must follow whatever is sampled, at most max (jump-forward): the canonical tokens of
 * the forced text, up to where a longer token could still go on. All of them in a row would be
 * accepted; none is taken yet. 0 while the model thinks or may begin to.
 * encoder: of the vocabulary's tokenizer. */
uint32_t constraint_forced(struct constraint *constraint, struct tokenizer_encoder *encoder,
                           uint32_t *out, uint32_t max);

#endif
