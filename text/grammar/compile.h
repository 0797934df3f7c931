/* text/grammar/compile.h - what a request wants of its answer's form, made into a grammar.
 *
 * For the threads that take requests, never for the engine's. Time is bounded by the limits of the
 * front ends and of the builder. Thread: any. */
#ifndef GEMMAD_TEXT_GRAMMAR_COMPILE_H
#define GEMMAD_TEXT_GRAMMAR_COMPILE_H

#include "text/grammar/grammar.h"
#include "text/tokenizer.h"

#define GRAMMAR_MAX_BYTES (256U << 10) /* of all texts of a request */
#define GRAMMAR_MAX_CHOICES 16384U

enum grammar_kind {
    GRAMMAR_ANY_TEXT,    /* of requests with tools: only calls have a form */
    GRAMMAR_JSON_OBJECT, /* any JSON object; no text */
    GRAMMAR_JSON_SCHEMA, /* text: the schema */
    GRAMMAR_REGEX,       /* text: the pattern, which the whole answer matches */
    GRAMMAR_CHOICE,      /* one of choices */
    GRAMMAR_EBNF,        /* text: Lark, GBNF or xgrammar's EBNF */
};

struct grammar_text {
    const char *bytes;
    size_t n;
};

struct grammar_request {
    enum grammar_kind kind;
    struct grammar_text text;
    const struct grammar_text *choices; /* [n_choices]; GRAMMAR_CHOICE only */
    size_t n_choices;
    bool strict; /* of schemas: json_schema_options.strict and compact */

    /* With tools, an answer is calls, or (tool_choice auto) what kind says; tool_grammar.h. */
    struct grammar_text tools;       /* OpenAI's JSON array; n = 0: none */
    struct grammar_text tool_choice; /* JSON; n = 0: "auto" */
    bool parallel_tool_calls;
};

/* INVALID_ARGUMENT: more than GRAMMAR_MAX_BYTES or GRAMMAR_MAX_CHOICES. */
NODISCARD enum status grammar_check_size(const struct grammar_request *request, struct error *err);

/* INVALID_ARGUMENT: a text is malformed, asks for what is not supported, or is too large; names
 * the place. tokenizer: of special tokens; NULL: there are none, which calls cannot do without
 * (FAILED_PRECONDITION). */
NODISCARD enum status grammar_compile(const struct grammar_request *request,
                                      const struct tokenizer *tokenizer, struct grammar **out,
                                      struct error *err);

#endif
