/* text/grammar/lark_compiler.h - what the files of the Lark compiler share; nothing else includes
 * this.
 *
 * Bodies of rules are compiled straight from their words, when first referred to. A part is kept as
 * an expression while it is regular, because one expression is followed faster than a rule of many
 * terminals; a rule that is large becomes a terminal of its own, so that its states are shared by
 * those who refer to it. A rule met inside itself is a rule of the builder. */
#ifndef GEMMAD_TEXT_GRAMMAR_LARK_COMPILER_H
#define GEMMAD_TEXT_GRAMMAR_LARK_COMPILER_H

#include "text/grammar/lark.h"
#include "text/grammar/lark_lexer.h"
#include "text/grammar/regex.h"

struct lark_part {
    bool is_regular;
    uint32_t expression;   /* if regular */
    uint32_t weight;       /* leaves of the expression */
    grammar_symbol symbol; /* if not */
};

enum lark_rule_state { LARK_RULE_NEW, LARK_RULE_ACTIVE, LARK_RULE_DONE };

struct lark_rule {
    const char *name; /* [n], in the text */
    size_t n;
    uint32_t body, end; /* words; none if it was imported (done from the start) */
    enum lark_rule_state state;
    bool is_terminal, has_symbol;
    grammar_symbol symbol; /* made for those who refer to it before it is done */
    struct lark_part part; /* if done */
};

struct lark_compiler {
    struct grammar_builder *builder;
    struct expression_pool *pool;
    const struct lark_options *options;
    struct lark_words words;
    struct lark_rule *rules;
    size_t n_rules, rules_capacity;
    uint32_t *by_name; /* [n_rules] */
    uint32_t ignored;  /* what may stand behind a terminal; EXPRESSION_EMPTY: nothing */
    size_t at, end;    /* the word that is next, and where this body ends */
    bool in_terminal;
    struct regex_memo *memo; /* of all its patterns */
    uint32_t n_schemas;
    uint32_t depth;          /* of groups and terminals */
    uint32_t rule_depth;     /* of rules within rules */
    struct lark_part *parts; /* of sequences and choices that are being read */
    size_t n_parts, parts_capacity;
    struct error *err;
};

/* lark_rules.c: words. Indices beyond the last are no word of any kind. */
bool lark_is_kind(const struct lark_compiler *c, size_t word, enum lark_word_kind kind);
bool lark_is_sign(const struct lark_compiler *c, size_t word, char sign);
bool lark_word_is(const struct lark_compiler *c, size_t word, const char *text);
bool lark_skip_sign(struct lark_compiler *c, char sign);
/* Where the body ends that goes on at word. */
size_t lark_body_end(const struct lark_compiler *c, size_t word);
enum status lark_refuse_word(const struct lark_compiler *c, size_t word, const char *why);
/* Fills the table of rules. */
enum status lark_collect_rules(struct lark_compiler *c);
struct lark_rule *lark_find_rule(const struct lark_compiler *c, const char *name, size_t n);

/* lark_atom.c: parts from single words (the word at c->at, which is read). */
enum status lark_string(struct lark_compiler *c, struct lark_part *out); /* and "a".."z" */
enum status lark_regex(struct lark_compiler *c, struct lark_part *out);
enum status lark_special(struct lark_compiler *c, struct lark_part *out);
enum status lark_json(struct lark_compiler *c, struct lark_part *out);
struct lark_part lark_any_code_point(struct lark_compiler *c);

/* lark_common.c: the pattern of a terminal of Lark's common library; NULL: there is none. */
const char *lark_common(const char *name, size_t n);

#endif
