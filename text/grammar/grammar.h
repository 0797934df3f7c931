/* text/grammar/grammar.h - a context-free grammar over bytes and special tokens: what all front
 * ends (JSON Schema, regex, Lark, tool calls) build, and what a matcher (text/grammar/matcher.h)
 * follows.
 *
 * A builder makes symbols bottom up; a symbol stands for a set of byte strings (in which special
 * tokens may occur as whole symbols). Rules may be recursive in any way, also to the left. There is
 * no lexer: a text belongs to the grammar if any way of cutting it fits.
 * Building never fails by itself: what is too large makes grammar_build fail.
 * Thread: a builder has one owner. A built grammar is counted; references are taken and dropped
 * from any thread, everything else in it belongs to the thread that runs matchers. */
#ifndef GEMMAD_TEXT_GRAMMAR_GRAMMAR_H
#define GEMMAD_TEXT_GRAMMAR_GRAMMAR_H

#include "base/status.h"
#include "text/grammar/expression.h"

struct grammar;
struct grammar_builder;

typedef struct grammar_symbol {
    uint32_t id;
} grammar_symbol;

struct grammar_limits {
    uint32_t max_symbols;     /* 0: 1 << 17 */
    uint32_t max_expressions; /* 0: 1 << 18 */
};

struct grammar_builder *grammar_builder_create(const struct grammar_limits *limits); /* or NULL */
void grammar_builder_destroy(struct grammar_builder *builder);
/* Where expressions of terminals are made. */
struct expression_pool *grammar_builder_pool(struct grammar_builder *builder);

grammar_symbol grammar_terminal(struct grammar_builder *builder, uint32_t expression);
grammar_symbol grammar_text(struct grammar_builder *builder, const char *bytes, size_t n);
/* One of these token ids, which are specials: not reachable by bytes. */
grammar_symbol grammar_tokens(struct grammar_builder *builder, const uint32_t *ids, size_t n);
grammar_symbol grammar_sequence(struct grammar_builder *builder, const grammar_symbol *symbols,
                                size_t n); /* n = 0: the empty text */
grammar_symbol grammar_choice(struct grammar_builder *builder, const grammar_symbol *symbols,
                              size_t n); /* n = 0: nothing matches */
grammar_symbol grammar_repeat(struct grammar_builder *builder, grammar_symbol symbol, uint32_t min,
                              uint32_t max); /* max may be EXPRESSION_UNLIMITED */
/* A rule that may be used before it is defined, once. The name is for messages. */
grammar_symbol grammar_rule(struct grammar_builder *builder, const char *name);
void grammar_define(struct grammar_builder *builder, grammar_symbol rule, grammar_symbol body);
/* Number of symbols so far: front ends that generate stop early when it grows beyond limits. */
uint32_t grammar_builder_n_symbols(const struct grammar_builder *builder);

/* Takes the builder over (it is destroyed in any case). INVALID_ARGUMENT: a rule without a
 * definition, no text belongs to the grammar, or it is too large; says which. */
NODISCARD enum status grammar_build(struct grammar_builder *builder, grammar_symbol root,
                                    struct grammar **out, struct error *err);
struct grammar *grammar_ref(struct grammar *grammar);
void grammar_drop(struct grammar *grammar); /* NULL is fine */
/* Memory, for caches: as it was when the grammar was built, or its last matcher destroyed. Any
 * thread. */
size_t grammar_n_bytes(const struct grammar *grammar);

#endif
