/* text/grammar/matcher.h - one text on its way through a grammar: which tokens may come next.
 *
 * Thread: all matchers of one grammar run on one thread (the engine's), because derivatives and
 * masks are made lazily in the grammar. */
#ifndef GEMMAD_TEXT_GRAMMAR_MATCHER_H
#define GEMMAD_TEXT_GRAMMAR_MATCHER_H

#include "text/grammar/grammar.h"
#include "text/grammar/vocabulary.h"

struct matcher;

/* Holds a reference to the grammar, all of whose matchers have the same vocabulary. */
struct matcher *matcher_create(struct grammar *grammar, const struct vocabulary *vocabulary);
void matcher_destroy(struct matcher *matcher); /* NULL is fine */

/* Goes on by a token. False: the grammar forbids it (or the match became too ambiguous:
 * matcher_failed); the state stays as it was. Tokens that end a text are not for it. */
bool matcher_accept(struct matcher *matcher, uint32_t token);
/* Takes back the last n accepted tokens, n at most all. */
void matcher_rollback(struct matcher *matcher, uint32_t n);
/* May the text end here? */
bool matcher_is_complete(const struct matcher *matcher);
/* May nothing but the end follow? */
bool matcher_is_over(struct matcher *matcher);
/* Bit id of bits[(n_ids + 31) / 32] says whether id may come next. Stop tokens get no bit: callers
 * add them when matcher_is_complete. Returns how many bits are set, 0: none (over, or failed). */
uint32_t matcher_mask(struct matcher *matcher, uint32_t *bits);
/* May this one token come next? Without a mask. */
bool matcher_allows(struct matcher *matcher, uint32_t token);
/* The bytes that must come next, whatever is sampled: appended up to max bytes to out; returns the
 * number. 0: a choice is open, or the text may end. */
size_t matcher_forced_bytes(struct matcher *matcher, char *out, size_t max);
/* A limit was reached (ways to match at once, expressions, states that one mask makes): the match
 * cannot go on. */
bool matcher_failed(const struct matcher *matcher);

#endif
