/* text/template_syntax.h - a template's tokens and its tree: what the lexer hands to the parser
 * and the parser to the renderer. All of it lives in the compiled template's budget and is
 * read-only afterwards. Part of the template engine. */
#ifndef GEMMAD_TEXT_TEMPLATE_SYNTAX_H
#define GEMMAD_TEXT_TEMPLATE_SYNTAX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "text/template_budget.h"
#include "text/template_value.h"

enum token_kind {
    TOKEN_END,
    TOKEN_DATA,
    TOKEN_BLOCK_BEGIN,
    TOKEN_BLOCK_END,
    TOKEN_PRINT_BEGIN,
    TOKEN_PRINT_END,
    TOKEN_NAME,
    TOKEN_STRING,
    TOKEN_INTEGER,
    TOKEN_FLOAT,
    TOKEN_OPERATOR,
};

struct token_text {
    const char *bytes; /* NUL-terminated */
    size_t n;
};

struct template_token {
    enum token_kind kind;
    uint32_t line;
    struct token_text text; /* strings unescaped; operators as written */
};

/* Cuts source into tokens (the last is TOKEN_END) as Jinja does with trim_blocks and
 * lstrip_blocks. */
struct template_token *template_lex(struct budget *budget, const char *source, size_t n);

/* Expressions. */
enum expression_kind {
    EXPRESSION_CONSTANT,  /* constant */
    EXPRESSION_NAME,      /* symbol */
    EXPRESSION_ATTRIBUTE, /* items[0].text */
    EXPRESSION_ITEM,      /* items[0][items[1]] */
    EXPRESSION_SLICE,     /* items[0][items[1]:items[2]:items[3]], 1..3 may be NULL */
    EXPRESSION_CALL,      /* items[0](arguments) */
    EXPRESSION_FILTER,    /* items[0] | filter(arguments); items[0] NULL: of a block */
    EXPRESSION_TEST,      /* items[0] is test(arguments) */
    EXPRESSION_NOT,
    EXPRESSION_NEGATE,
    EXPRESSION_PLUS,
    EXPRESSION_ARITHMETIC, /* items[0] operator items[1] */
    EXPRESSION_AND,
    EXPRESSION_OR,
    EXPRESSION_COMPARE, /* items[0] operators[0] items[1] operators[1] items[2] ... */
    EXPRESSION_CONCAT,  /* items[0] ~ items[1] ~ ... */
    EXPRESSION_CHOICE,  /* items[1] if items[0] else items[2], which may be NULL */
    EXPRESSION_LIST,
    EXPRESSION_TUPLE,
    EXPRESSION_DICT, /* items: key, value, key, value, ... */
};

enum operation {
    OPERATION_ADD,
    OPERATION_SUBTRACT,
    OPERATION_MULTIPLY,
    OPERATION_DIVIDE,
    OPERATION_FLOOR_DIVIDE,
    OPERATION_MODULO,
    OPERATION_EQUAL,
    OPERATION_NOT_EQUAL,
    OPERATION_LESS,
    OPERATION_LESS_EQUAL,
    OPERATION_GREATER,
    OPERATION_GREATER_EQUAL,
    OPERATION_IN,
    OPERATION_NOT_IN,
};

struct template_filter;
struct template_test;

struct keyword_argument {
    const char *name;
    const struct expression *value;
};

struct expression {
    enum expression_kind kind;
    uint32_t line;
    uint32_t symbol; /* EXPRESSION_NAME */
    uint32_t n_items;
    const struct expression **items;
    struct value constant;
    struct token_text text;           /* EXPRESSION_NAME, EXPRESSION_ATTRIBUTE */
    enum operation operation;         /* EXPRESSION_ARITHMETIC */
    const enum operation *operations; /* EXPRESSION_COMPARE: [n_items - 1] */
    const struct template_filter *filter;
    const struct template_test *test;
    uint32_t n_arguments, n_keywords; /* calls, filters, tests */
    const struct expression **arguments;
    const struct keyword_argument *keywords;
};

/* What is assigned to: a name, an attribute of a namespace, or a tuple of targets. */
struct assign_target {
    uint32_t symbol;
    const char *attribute; /* NULL: the name itself */
    uint32_t n_parts;      /* a tuple of parts, if is_tuple */
    bool is_tuple;
    struct assign_target *parts;
};

enum statement_kind {
    STATEMENT_DATA,      /* data */
    STATEMENT_PRINT,     /* expression */
    STATEMENT_IF,        /* expression, body, otherwise */
    STATEMENT_FOR,       /* target in expression if condition: body; otherwise */
    STATEMENT_SET,       /* target = expression */
    STATEMENT_SET_BLOCK, /* target = body, through the filters of expression (may be NULL) */
    STATEMENT_FILTER,    /* body through the filters of expression */
    STATEMENT_MACRO,
    STATEMENT_GENERATION, /* body */
    STATEMENT_BREAK,
    STATEMENT_CONTINUE,
};

struct statement_list {
    uint32_t n;
    struct statement *items;
};

struct macro_parameter {
    uint32_t symbol;
    const char *name;
    const struct expression *fallback; /* NULL: none */
};

struct statement {
    enum statement_kind kind;
    uint32_t line;
    struct cord *data;
    const struct expression *expression;
    const struct expression *condition;
    struct assign_target *target;
    struct statement_list body, otherwise;
    uint32_t symbol; /* of a macro */
    const char *name;
    uint32_t n_parameters;
    struct macro_parameter *parameters;
};

/* Names are numbered, so that a look-up compares numbers. */
struct symbol_table {
    struct token_text *names; /* [n] */
    uint32_t n;
    size_t capacity;
    bool *assigned; /* [n] by set, for, a macro or a parameter, somewhere in the template */
};

/* Symbols that the renderer itself knows. */
enum known_symbol {
    SYMBOL_LOOP,
    SYMBOL_RANGE,
    SYMBOL_NAMESPACE,
    SYMBOL_DICT,
    SYMBOL_RAISE_EXCEPTION,
    N_KNOWN_SYMBOLS,
};

struct syntax_tree {
    struct statement_list body;
    struct symbol_table symbols;
};

/* Parses tokens into *out; everything is taken from the budget. */
void template_parse(struct budget *budget, const struct template_token *tokens,
                    struct syntax_tree *out);

#endif
