/* text/grammar/tool_grammar.c - one alternative for each tool that may be called. Names become part
 * of the text as they are, so only those that the parser of calls reads back are taken. */
#include "text/grammar/tool_grammar.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "text/grammar/json_schema.h"

#define MAX_TOOLS 1024U
#define MAX_NAME_BYTES 256U

static bool is_name(const struct json_value *name)
{
    if (!name || name->type != JSON_STRING || !name->length || name->length > MAX_NAME_BYTES)
        return false;
    for (size_t i = 0; i < name->length; i++) {
        unsigned char c = (unsigned char)name->text[i];
        bool is_letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        bool is_other = (c >= '0' && c <= '9') || c == '_' || c == '.' || c == '-' || c >= 0x80;
        if (!is_letter && !is_other)
            return false;
    }
    return true;
}

static const struct json_value *function_of(const struct json_value *tool)
{
    if (!json_string_is(json_get(tool, "type"), "function"))
        return NULL;
    const struct json_value *function = json_get(tool, "function");
    return function && function->type == JSON_OBJECT ? function : NULL;
}

static enum status call_of(struct grammar_builder *builder,
                           const struct tool_grammar_options *options, uint32_t place,
                           grammar_symbol *out, struct error *err)
{
    static const struct json_value any = {.type = JSON_TRUE};
    const struct json_value *function = function_of(&options->tools->items[place]);
    const struct json_value *name = json_get(function, "name");
    const struct json_value *parameters = json_get_present(function, "parameters");
    const struct json_value *strict = json_get_present(function, "strict");
    struct json_schema_options schema = {.call_form = true, .quote_token = options->quote};
    if (strict && !json_bool(strict, &schema.strict))
        return error_set(err, STATUS_INVALID_ARGUMENT,
                         "tools[%u].function.strict must be a boolean", place);
    grammar_symbol arguments;
    enum status st = json_schema_symbol(builder, parameters ? parameters : &any, &schema,
                                        &arguments, err);
    if (st != STATUS_OK) {
        error_prefix(err, "tools[%u].function.parameters", place);
        return st;
    }
    grammar_symbol call[] = {grammar_tokens(builder, &options->call_start, 1),
                             grammar_text(builder, "call:", 5),
                             grammar_text(builder, name->text, name->length), arguments,
                             grammar_tokens(builder, &options->call_end, 1)};
    *out = grammar_sequence(builder, call, sizeof call / sizeof *call);
    return STATUS_OK;
}

// The place of a tool among the first n, or n.
static uint32_t find_tool(const struct json_value *tools, uint32_t n, const char *name)
{
    for (uint32_t i = 0; i < n; i++) {
        const struct json_value *function = function_of(&tools->items[i]);
        if (json_string_is(json_get(function, "name"), name))
            return i;
    }
    return n;
}

static enum status check_tools(const struct json_value *tools, struct error *err)
{
    if (!tools || tools->type != JSON_ARRAY || !tools->n)
        return error_set(err, STATUS_INVALID_ARGUMENT, "tools must be a list with tools in it");
    if (tools->n > MAX_TOOLS)
        return error_set(err, STATUS_INVALID_ARGUMENT, "more than %u tools", MAX_TOOLS);
    for (uint32_t i = 0; i < tools->n; i++) {
        const struct json_value *function = function_of(&tools->items[i]);
        if (!function)
            return error_set(err, STATUS_INVALID_ARGUMENT,
                             "tools[%u] must be of type function and hold a function", i);
        const struct json_value *name = json_get(function, "name");
        if (!is_name(name))
            return error_set(err, STATUS_INVALID_ARGUMENT,
                             "tools[%u].function.name must be 1 to %u of A-Z a-z 0-9 _ . - or "
                             "characters beyond ASCII",
                             i, MAX_NAME_BYTES);
        if (find_tool(tools, i, name->text) != i)
            return error_set(err, STATUS_INVALID_ARGUMENT,
                             "tools[%u].function.name: \"%s\" is there twice", i, name->text);
    }
    return STATUS_OK;
}

struct choice {
    bool is_auto;
    uint32_t first, end; /* tools that may be called */
};

static enum status read_choice(const struct tool_grammar_options *options, struct choice *out,
                               struct error *err)
{
    const struct json_value *choice = options->tool_choice;
    *out = (struct choice){.end = options->tools->n};
    out->is_auto = !choice || json_string_is(choice, "auto");
    if (out->is_auto || json_string_is(choice, "required"))
        return STATUS_OK;
    const struct json_value *name = json_get(function_of(choice), "name");
    if (!name || name->type != JSON_STRING)
        return error_set(err, STATUS_INVALID_ARGUMENT,
                         "tool_choice must be none, auto, required or name a function");
    out->first = find_tool(options->tools, options->tools->n, name->text);
    if (out->first == options->tools->n)
        return error_set(err, STATUS_INVALID_ARGUMENT, "tool_choice: no tool is named \"%.100s\"",
                         name->text);
    out->end = out->first + 1;
    return STATUS_OK;
}

// Any text without the marker of a call, which whoever reads the text would take for one.
static grammar_symbol plain_text(struct grammar_builder *builder)
{
    static const char marker[] = "<|tool_call>";
    struct expression_pool *pool = grammar_builder_pool(builder);
    const struct code_point_range all = {0, 0x10FFFF};
    uint32_t any = expression_repeat(pool, expression_code_points(pool, &all, 1), 0,
                                     EXPRESSION_UNLIMITED);
    uint32_t from = expression_concat(pool, expression_text(pool, marker, sizeof marker - 1), any);
    uint32_t marked = expression_concat(pool, any, from);
    return grammar_terminal(builder, expression_both(pool, any, expression_not(pool, marked)));
}

enum status tool_grammar_symbol(struct grammar_builder *builder,
                                const struct tool_grammar_options *options, grammar_symbol *out,
                                struct error *err)
{
    struct choice choice;
    enum status st = check_tools(options->tools, err);
    if (st == STATUS_OK)
        st = read_choice(options, &choice, err);
    if (st != STATUS_OK)
        return st;
    uint32_t n = choice.end - choice.first;
    grammar_symbol *calls = mem_zeroed(n, sizeof *calls);
    for (uint32_t i = 0; i < n && st == STATUS_OK; i++)
        st = call_of(builder, options, choice.first + i, &calls[i], err);
    if (st == STATUS_OK) {
        grammar_symbol call = grammar_choice(builder, calls, n);
        bool is_optional = choice.is_auto && !options->answer;
        grammar_symbol all = grammar_repeat(builder, call, is_optional ? 0 : 1,
                                            options->parallel ? EXPRESSION_UNLIMITED : 1);
        if (is_optional)
            all = grammar_sequence(builder, (grammar_symbol[]){plain_text(builder), all}, 2);
        else if (choice.is_auto)
            all = grammar_choice(builder, (grammar_symbol[]){all, *options->answer}, 2);
        *out = all;
    }
    free(calls);
    return st;
}
