/* text/template_parser.h - the state that statements (template_parser.c) and expressions
 * (template_expression.c) share while parsing. Part of the template engine. */
#ifndef GEMMAD_TEXT_TEMPLATE_PARSER_H
#define GEMMAD_TEXT_TEMPLATE_PARSER_H

#include <stdbool.h>

#include "text/template_syntax.h"

#define PARSER_MAX_NESTING 200 /* statements and expressions inside each other */

struct parser {
    struct budget *budget;
    const struct template_token *token; /* the next one */
    struct symbol_table symbols;
    unsigned nesting;
    unsigned n_loops;         /* open around this place, in this macro */
    struct call_check *calls; /* of plain names, checked at the end */
};

_Noreturn void parser_fail(struct parser *parser, const char *format, ...) PRINTF_LIKE(2, 3);
void parser_enter(struct parser *parser);
void parser_leave(struct parser *parser);

bool parser_at_operator(const struct parser *parser, const char *text);
bool parser_at_name(const struct parser *parser, const char *text);
/* Steps over the token if it is that one. */
bool parser_skip_operator(struct parser *parser, const char *text);
bool parser_skip_name(struct parser *parser, const char *text);
void parser_expect_operator(struct parser *parser, const char *text);
void parser_expect_kind(struct parser *parser, enum token_kind kind, const char *what);
/* A name, stepped over. */
const struct template_token *parser_expect_name(struct parser *parser);
uint32_t parser_symbol(struct parser *parser, struct token_text name);

/* Calls of a plain name that nothing assigns are refused once the whole template is read. */
void parser_check_calls(struct parser *parser);

const struct expression *parse_expression(struct parser *parser);
/* An expression, or a tuple without brackets. */
const struct expression *parse_tuple(struct parser *parser);
/* The same, where an "if" belongs to what follows. */
const struct expression *parse_tuple_without_choice(struct parser *parser);
/* One filter by its name, "trim(...)", on an item that may be NULL (the body of a block). */
const struct expression *parse_filter(struct parser *parser, const struct expression *item);
/* "| upper | trim(...)" behind such an item; just the item if there is no filter. */
const struct expression *parse_filters(struct parser *parser, const struct expression *item);

#endif
