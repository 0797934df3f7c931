/* text/template_parser.c - statements: recursive descent, in Jinja's grammar.
 * What Jinja has and this engine has not is refused here by name, so that a checkpoint's template
 * fails when it is loaded and not in the middle of a conversation. */
#include "text/template_parser.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

_Noreturn void parser_fail(struct parser *parser, const char *format, ...)
{
    char cause[400];
    va_list args;
    va_start(args, format);
    vsnprintf(cause, sizeof cause, format, args);
    va_end(args);
    parser->budget->line = parser->token->line;
    budget_fail(parser->budget, STATUS_INVALID_ARGUMENT, "%s", cause);
}

void parser_enter(struct parser *parser)
{
    if (++parser->nesting > PARSER_MAX_NESTING)
        parser_fail(parser, "nested too deeply");
}

void parser_leave(struct parser *parser)
{
    parser->nesting--;
}

static bool token_is(const struct template_token *token, enum token_kind kind, const char *text)
{
    return token->kind == kind && strcmp(token->text.bytes, text) == 0;
}

bool parser_at_operator(const struct parser *parser, const char *text)
{
    return token_is(parser->token, TOKEN_OPERATOR, text);
}

bool parser_at_name(const struct parser *parser, const char *text)
{
    return token_is(parser->token, TOKEN_NAME, text);
}

bool parser_skip_operator(struct parser *parser, const char *text)
{
    bool found = parser_at_operator(parser, text);
    parser->token += found;
    return found;
}

bool parser_skip_name(struct parser *parser, const char *text)
{
    bool found = parser_at_name(parser, text);
    parser->token += found;
    return found;
}

static const char *found_text(const struct parser *parser)
{
    switch (parser->token->kind) {
    case TOKEN_END:
        return "the end of the template";
    case TOKEN_DATA:
        return "text";
    default:
        return parser->token->text.bytes;
    }
}

void parser_expect_operator(struct parser *parser, const char *text)
{
    if (!parser_skip_operator(parser, text))
        parser_fail(parser, "expected '%s', found '%.60s'", text, found_text(parser));
}

void parser_expect_kind(struct parser *parser, enum token_kind kind, const char *what)
{
    if (parser->token->kind != kind)
        parser_fail(parser, "expected %s, found '%.60s'", what, found_text(parser));
    if (kind != TOKEN_END)
        parser->token++;
}

const struct template_token *parser_expect_name(struct parser *parser)
{
    const struct template_token *token = parser->token;
    parser_expect_kind(parser, TOKEN_NAME, "a name");
    return token;
}

uint32_t parser_symbol(struct parser *parser, struct token_text name)
{
    struct symbol_table *table = &parser->symbols;
    for (uint32_t i = 0; i < table->n; i++)
        if (table->names[i].n == name.n && memcmp(table->names[i].bytes, name.bytes, name.n) == 0)
            return i;
    if (table->n == table->capacity) {
        size_t capacity = table->capacity ? table->capacity * 2 : 32;
        struct token_text *names = budget_take(parser->budget, capacity, sizeof *names);
        bool *assigned = budget_take(parser->budget, capacity, sizeof *assigned);
        if (table->n) {
            memcpy(names, table->names, table->n * sizeof *names);
            memcpy(assigned, table->assigned, table->n * sizeof *assigned);
        }
        table->names = names;
        table->assigned = assigned;
        table->capacity = capacity;
    }
    table->names[table->n] = name;
    return table->n++;
}

static uint32_t assigned_symbol(struct parser *parser, const struct template_token *name)
{
    static const char *const reserved[] = {"true", "false", "none", "True", "False", "None", "not",
                                           "and",  "or",    "in",   "is",   "if",    "else"};
    for (size_t i = 0; i < sizeof reserved / sizeof *reserved; i++)
        if (strcmp(name->text.bytes, reserved[i]) == 0)
            parser_fail(parser, "can't assign to '%s'", reserved[i]);
    uint32_t symbol = parser_symbol(parser, name->text);
    parser->symbols.assigned[symbol] = true;
    return symbol;
}

static struct assign_target parse_target_part(struct parser *parser, bool with_namespace);

static struct assign_target parse_target_tuple(struct parser *parser, bool with_namespace)
{
    struct assign_target parts[16];
    uint32_t n = 0;
    bool is_tuple = false;
    do {
        if (n && parser->token->kind != TOKEN_NAME && !parser_at_operator(parser, "("))
            break;
        if (n && parser_at_name(parser, "in"))
            break;
        if (n == sizeof parts / sizeof *parts)
            parser_fail(parser, "too many names on the left of an assignment");
        parts[n++] = parse_target_part(parser, with_namespace);
        is_tuple = is_tuple || parser_at_operator(parser, ",");
    } while (parser_skip_operator(parser, ","));
    if (!is_tuple)
        return parts[0];
    struct assign_target target = {.is_tuple = true, .n_parts = n};
    target.parts = budget_take(parser->budget, n, sizeof *target.parts);
    memcpy(target.parts, parts, n * sizeof *parts);
    return target;
}

static struct assign_target parse_target_part(struct parser *parser, bool with_namespace)
{
    struct assign_target target = {0};
    if (parser_skip_operator(parser, "(")) {
        parser_enter(parser);
        target = parse_target_tuple(parser, with_namespace);
        parser_leave(parser);
        parser_expect_operator(parser, ")");
        return target;
    }
    const struct template_token *name = parser_expect_name(parser);
    if (with_namespace && parser_skip_operator(parser, ".")) {
        target.symbol = parser_symbol(parser, name->text);
        target.attribute = parser_expect_name(parser)->text.bytes;
        return target;
    }
    target.symbol = assigned_symbol(parser, name);
    return target;
}

static struct assign_target *parse_target(struct parser *parser, bool with_namespace)
{
    struct assign_target *target = budget_take(parser->budget, 1, sizeof *target);
    *target = parse_target_tuple(parser, with_namespace);
    return target;
}

static struct statement_list parse_body(struct parser *parser, const char *const *ends);

// Statements up to a tag of one of these names, which is the next token then.
static struct statement_list parse_until(struct parser *parser, const char *end, const char *end2,
                                         const char *end3)
{
    const char *ends[] = {end, end2, end3, NULL};
    parser_enter(parser);
    struct statement_list list = parse_body(parser, ends);
    parser_leave(parser);
    return list;
}

static void end_block(struct parser *parser)
{
    parser_expect_kind(parser, TOKEN_BLOCK_END, "'%}'");
}

static void parse_if(struct parser *parser, struct statement *out)
{
    out->kind = STATEMENT_IF;
    out->expression = parse_tuple(parser);
    end_block(parser);
    out->body = parse_until(parser, "elif", "else", "endif");
    if (parser_at_name(parser, "elif")) {
        out->otherwise.n = 1;
        out->otherwise.items = budget_take(parser->budget, 1, sizeof(struct statement));
        out->otherwise.items[0].line = parser->token->line;
        parser->token++;
        parser_enter(parser);
        parse_if(parser, &out->otherwise.items[0]);
        parser_leave(parser);
        return;
    }
    if (parser_skip_name(parser, "else")) {
        end_block(parser);
        out->otherwise = parse_until(parser, "endif", NULL, NULL);
    }
    parser->token++; // endif
}

static void parse_for(struct parser *parser, struct statement *out)
{
    out->kind = STATEMENT_FOR;
    out->target = parse_target(parser, false);
    if (!parser_skip_name(parser, "in"))
        parser_fail(parser, "expected 'in', found '%.60s'", found_text(parser));
    out->expression = parse_tuple_without_choice(parser);
    if (parser_skip_name(parser, "if"))
        out->condition = parse_expression(parser);
    if (parser_at_name(parser, "recursive"))
        parser_fail(parser, "unsupported: 'recursive' loops");
    end_block(parser);
    parser->n_loops++;
    out->body = parse_until(parser, "endfor", "else", NULL);
    parser->n_loops--;
    if (parser_skip_name(parser, "else")) {
        end_block(parser);
        out->otherwise = parse_until(parser, "endfor", NULL, NULL);
    }
    parser->token++; // endfor
}

static void parse_set(struct parser *parser, struct statement *out)
{
    out->target = parse_target(parser, true);
    if (parser_skip_operator(parser, "=")) {
        out->kind = STATEMENT_SET;
        out->expression = parse_tuple(parser);
        return;
    }
    out->kind = STATEMENT_SET_BLOCK;
    out->expression = parse_filters(parser, NULL);
    end_block(parser);
    out->body = parse_until(parser, "endset", NULL, NULL);
    parser->token++; // endset
}

static void parse_filter_block(struct parser *parser, struct statement *out)
{
    out->kind = STATEMENT_FILTER;
    out->expression = parse_filters(parser, parse_filter(parser, NULL));
    end_block(parser);
    out->body = parse_until(parser, "endfilter", NULL, NULL);
    parser->token++; // endfilter
}

static void parse_parameters(struct parser *parser, struct statement *out)
{
    struct macro_parameter parameters[32];
    uint32_t n = 0;
    parser_expect_operator(parser, "(");
    while (!parser_at_operator(parser, ")")) {
        if (n)
            parser_expect_operator(parser, ",");
        if (n == sizeof parameters / sizeof *parameters)
            parser_fail(parser, "too many parameters");
        const struct template_token *name = parser_expect_name(parser);
        struct macro_parameter *parameter = &parameters[n++];
        *parameter = (struct macro_parameter){assigned_symbol(parser, name), name->text.bytes,
                                              NULL};
        if (parser_skip_operator(parser, "="))
            parameter->fallback = parse_expression(parser);
        else if (n > 1 && parameters[n - 2].fallback)
            parser_fail(parser, "a parameter without a default follows one with a default");
    }
    parser->token++;
    out->n_parameters = n;
    out->parameters = budget_take(parser->budget, n, sizeof *out->parameters);
    memcpy(out->parameters, parameters, n * sizeof *parameters);
}

static void parse_macro(struct parser *parser, struct statement *out)
{
    out->kind = STATEMENT_MACRO;
    const struct template_token *name = parser_expect_name(parser);
    out->name = name->text.bytes;
    out->symbol = assigned_symbol(parser, name);
    parse_parameters(parser, out);
    end_block(parser);
    unsigned n_loops = parser->n_loops;
    parser->n_loops = 0;
    out->body = parse_until(parser, "endmacro", NULL, NULL);
    parser->n_loops = n_loops;
    parser->token++; // endmacro
}

static void parse_generation(struct parser *parser, struct statement *out)
{
    out->kind = STATEMENT_GENERATION;
    end_block(parser);
    out->body = parse_until(parser, "endgeneration", NULL, NULL);
    parser->token++; // endgeneration
}

static void parse_loop_exit(struct parser *parser, struct statement *out)
{
    bool is_break = strcmp(parser->token[-1].text.bytes, "break") == 0;
    if (parser->n_loops == 0)
        parser_fail(parser, "'%s' outside of a loop", is_break ? "break" : "continue");
    out->kind = is_break ? STATEMENT_BREAK : STATEMENT_CONTINUE;
}

static void parse_statement(struct parser *parser, struct statement *out)
{
    static const struct {
        const char *tag;
        void (*parse)(struct parser *parser, struct statement *out);
    } tags[] = {
        {"if", parse_if},
        {"for", parse_for},
        {"set", parse_set},
        {"macro", parse_macro},
        {"filter", parse_filter_block},
        {"generation", parse_generation},
        {"break", parse_loop_exit},
        {"continue", parse_loop_exit},
    };
    const struct template_token *name = parser_expect_name(parser);
    out->line = name->line;
    for (size_t i = 0; i < sizeof tags / sizeof *tags; i++)
        if (strcmp(name->text.bytes, tags[i].tag) == 0) {
            tags[i].parse(parser, out);
            end_block(parser);
            return;
        }
    parser->token--;
    parser_fail(parser, "unsupported tag '%.60s'", name->text.bytes);
}

struct statement_writer {
    struct statement_list list;
    size_t capacity;
};

static struct statement *add_statement(struct parser *parser, struct statement_writer *writer)
{
    if (writer->list.n == writer->capacity) {
        size_t capacity = writer->capacity ? writer->capacity * 2 : 4;
        struct statement *items = budget_take(parser->budget, capacity, sizeof *items);
        if (writer->list.n)
            memcpy(items, writer->list.items, writer->list.n * sizeof *items);
        writer->list.items = items;
        writer->capacity = capacity;
    }
    struct statement *statement = &writer->list.items[writer->list.n++];
    statement->line = parser->token->line;
    return statement;
}

static bool at_end_tag(const struct parser *parser, const char *const *ends)
{
    for (size_t i = 0; ends && ends[i]; i++)
        if (token_is(&parser->token[1], TOKEN_NAME, ends[i]))
            return true;
    return false;
}

static struct statement_list parse_body(struct parser *parser, const char *const *ends)
{
    struct statement_writer writer = {0};
    for (;;) {
        struct statement statement = {.line = parser->token->line};
        switch (parser->token->kind) {
        case TOKEN_DATA:
            statement.kind = STATEMENT_DATA;
            statement.data = cord_of(parser->budget, parser->token->text.bytes,
                                     parser->token->text.n, false);
            parser->token++;
            break;
        case TOKEN_PRINT_BEGIN:
            parser->token++;
            statement.kind = STATEMENT_PRINT;
            statement.expression = parse_tuple(parser);
            parser_expect_kind(parser, TOKEN_PRINT_END, "'}}'");
            break;
        case TOKEN_BLOCK_BEGIN:
            if (at_end_tag(parser, ends)) {
                parser->token++;
                return writer.list;
            }
            parser->token++;
            parse_statement(parser, &statement);
            break;
        default:
            if (ends)
                parser_fail(parser, "the template ends where '%s' is missing",
                            ends[2] ? ends[2] : ends[0]);
            return writer.list;
        }
        *add_statement(parser, &writer) = statement;
    }
}

void template_parse(struct budget *budget, const struct template_token *tokens,
                    struct syntax_tree *out)
{
    static const char *const known[N_KNOWN_SYMBOLS] = {
        [SYMBOL_LOOP] = "loop",
        [SYMBOL_RANGE] = "range",
        [SYMBOL_NAMESPACE] = "namespace",
        [SYMBOL_DICT] = "dict",
        [SYMBOL_RAISE_EXCEPTION] = "raise_exception",
    };
    struct parser parser = {.budget = budget, .token = tokens};
    for (size_t i = 0; i < N_KNOWN_SYMBOLS; i++)
        parser_symbol(&parser, (struct token_text){known[i], strlen(known[i])});
    out->body = parse_body(&parser, NULL);
    parser_check_calls(&parser);
    out->symbols = parser.symbols;
}
