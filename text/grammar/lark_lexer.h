/* text/grammar/lark_lexer.h - the words of a grammar in Lark or GBNF.
 *
 * Thread: a list has one owner. */
#ifndef GEMMAD_TEXT_GRAMMAR_LARK_LEXER_H
#define GEMMAD_TEXT_GRAMMAR_LARK_LEXER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

enum lark_word_kind {
    LARK_END,
    LARK_NAME,
    LARK_NUMBER,
    LARK_STRING,    /* with its quotes, and the flag i */
    LARK_REGEX,     /* with its slashes and flags; in GBNF: a class with its brackets */
    LARK_SPECIAL,   /* with its angle brackets */
    LARK_DIRECTIVE, /* with its percent sign */
    LARK_JSON,      /* the value behind %json */
    LARK_DEFINE,    /* : or ::= */
    LARK_ARROW,     /* -> */
    LARK_DOTS,      /* .. */
    LARK_SIGN,      /* one character of |?*+()[]{},~.! */
};

struct lark_word {
    enum lark_word_kind kind;
    bool first_on_line;
    uint32_t at, n; /* bytes of the text */
};

struct lark_words {
    const char *text;
    size_t n_bytes;
    bool gbnf;
    struct lark_word *items; /* [n], the last is LARK_END */
    size_t n, capacity;
};

/* Cuts the text, which lives as long. Finish it in any case. */
NODISCARD enum status lark_words_init(struct lark_words *words, const char *text, size_t n,
                                      struct error *err);
void lark_words_finish(struct lark_words *words);
/* Words an error at a byte of the text: "grammar, line 3, column 7: why". */
enum status lark_refuse(const struct lark_words *words, size_t at, struct error *err,
                        const char *why);

#endif
