/* text/grammar/lark.h - grammars as clients write them, made into symbols of a builder.
 *
 * Two dialects, told apart by the first rule: Lark ("start: ...", as llguidance takes it) and GBNF
 * ("root ::= ...", llama.cpp's, and xgrammar's EBNF).
 *
 * Lark: rules, TERMINALS, "text"i, "a".."z", /regex/is, | ? * + ~n ~m..n {m,n} ( ) [optional],
 * aliases and the ? and ! of rules (no effect on the language), // and # comments, %ignore, %import
 * common.X, %json {schema}, %llguidance {}, and special tokens: <[id]>, <[id,first-last]>,
 * <|name|>. There is no lexer: terminals are cut in any way that fits, what %ignore names may stand
 * behind every terminal of a rule and before the first.
 *
 * GBNF: names of letters, digits, - _ ., "text", [class], ., | ? * + {m,n} ( ), # comments, tokens.
 *
 * Priorities, templates, rule attributes, %declare, %override, %extend: refused by name.
 *
 * Thread: the builder's. */
#ifndef GEMMAD_TEXT_GRAMMAR_LARK_H
#define GEMMAD_TEXT_GRAMMAR_LARK_H

#include "text/grammar/json_schema.h"
#include "text/tokenizer.h"

#define LARK_MAX_BYTES (256U << 10)
#define LARK_MAX_DEPTH 200U    /* nested groups, terminals within terminals */
#define LARK_MAX_REPEAT 65535U /* in {m,n} */
#define LARK_MAX_TOKENS 4096U  /* in one <[...]> */
#define LARK_MAX_SCHEMAS 64U   /* %json in a grammar */

struct lark_options {
    const struct tokenizer *tokenizer; /* of special tokens; NULL: there are none */
    struct json_schema_options json;   /* for %json */
};

/* INVALID_ARGUMENT: "grammar, line 3, column 7: ..."; also for a limit above. */
NODISCARD enum status lark_symbol(struct grammar_builder *builder, const char *text, size_t n,
                                  const struct lark_options *options, grammar_symbol *out,
                                  struct error *err);

#endif
