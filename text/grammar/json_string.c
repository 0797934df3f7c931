/* text/grammar/json_string.c - strings: lengths, patterns, formats and values, each an expression
 * of the whole string, and all of them at once. Lengths count code points, whichever way they are
 * written.
 *
 * In the call form a string is raw, and the text of the markers must not occur in it: who parses
 * the answer's text would take it for the marker. */
#include <stdlib.h>

#include "base/mem.h"
#include "base/utf8.h"
#include "text/grammar/json_compiler.h"
#include "text/grammar/regex.h"

void json_string_begin(struct json_compiler *compiler)
{
    struct expression_pool *pool = compiler->pool;
    const struct code_point_range all = {0, 0x10FFFF};
    if (!compiler->options->call_form) {
        compiler->character = regex_json_code_points(pool, &all, 1);
        compiler->string_body = expression_repeat(pool, compiler->character, 0,
                                                  EXPRESSION_UNLIMITED);
        compiler->plain_key = compiler->string_body;
        return;
    }
    compiler->character = expression_code_points(pool, &all, 1);
    uint32_t any = expression_repeat(pool, compiler->character, 0, EXPRESSION_UNLIMITED);
    uint32_t marker = json_regex(compiler, "<\\|\"\\|>|<\\|tool_call>|<tool_call\\|>");
    uint32_t marked = expression_concat(pool, any, expression_concat(pool, marker, any));
    compiler->string_body = expression_both(pool, any, expression_not(pool, marked));
    compiler->plain_key = json_regex(compiler, "[A-Za-z_][-A-Za-z0-9_.]*");
}

static uint32_t spelling(struct json_compiler *compiler, uint32_t code_point)
{
    uint32_t *known = code_point < 128 ? &compiler->spellings[code_point] : NULL;
    if (known && *known)
        return *known;
    const struct code_point_range one = {code_point, code_point};
    uint32_t made = regex_json_code_points(compiler->pool, &one, 1);
    if (known)
        *known = made;
    return made;
}

// plain: printable ASCII stands for itself alone, which keeps a literal free of choices.
static uint32_t spelled(struct json_compiler *compiler, const char *text, size_t n, bool plain)
{
    struct expression_pool *pool = compiler->pool;
    if (compiler->options->call_form)
        return expression_text(pool, text, n);
    uint32_t expression = EXPRESSION_EMPTY;
    size_t end = n;
    while (end > 0) { // from the end: concatenation nests to the right
        size_t start = end - 1;
        while (start > 0 && ((unsigned char)text[start] & 0xC0) == 0x80)
            start--;
        uint32_t code_point;
        utf8_decode(text + start, end - start, &code_point);
        bool is_plain = code_point >= 0x20 && code_point < 0x7F && code_point != '"' &&
                        code_point != '\\';
        uint32_t first = plain && is_plain ? expression_text(pool, text + start, end - start)
                                           : spelling(compiler, code_point);
        expression = expression_concat(pool, first, expression);
        end = start;
    }
    return expression;
}

uint32_t json_literal(struct json_compiler *compiler, const char *text, size_t n)
{
    return spelled(compiler, text, n, true);
}

uint32_t json_spellings(struct json_compiler *compiler, const char *text, size_t n)
{
    return spelled(compiler, text, n, false);
}

uint32_t json_pattern(struct json_compiler *compiler, const struct json_value *where,
                      const char *pattern, size_t n, bool raw)
{
    const struct regex_options options = {.json_string = !raw && !compiler->options->call_form,
                                          .search = true,
                                          .memo = compiler->memo};
    struct error err = {0};
    uint32_t expression = EXPRESSION_NOTHING;
    if (regex_parse(compiler->pool, pattern, n, &options, &expression, &err) != STATUS_OK)
        json_fail(compiler, where, "%s", err.message);
    return expression;
}

// The strings that a part's values allow.
static uint32_t values(struct json_compiler *compiler, const struct json_part *part)
{
    if (part->kind == JSON_PART_VALUE)
        return json_literal(compiler, part->value->text, part->value->length);
    uint32_t *found = mem_zeroed((size_t)part->value->n + 1, sizeof *found);
    size_t n = 0;
    for (uint32_t i = 0; i < part->value->n; i++) {
        const struct json_value *value = &part->value->items[i];
        if (value->type == JSON_STRING)
            found[n++] = json_literal(compiler, value->text, value->length);
    }
    uint32_t expression = expression_any_of(compiler->pool, found, n);
    free(found);
    return expression;
}

static void narrow(struct json_compiler *compiler, uint32_t *expression, bool *is_narrowed,
                   uint32_t by)
{
    *expression = *is_narrowed ? expression_both(compiler->pool, *expression, by) : by;
    *is_narrowed = true;
}

uint32_t json_string_parts(struct json_compiler *compiler, const struct json_parts *parts)
{
    uint32_t expression = compiler->string_body;
    bool is_narrowed = compiler->options->call_form;
    uint32_t min = 0, max = EXPRESSION_UNLIMITED, format;
    for (uint32_t i = 0; i < parts->n; i++) {
        const struct json_part *part = &parts->items[i];
        if (part->kind != JSON_PART_SCHEMA)
            narrow(compiler, &expression, &is_narrowed, values(compiler, part));
        json_keyword_min(compiler, part, "minLength", &min);
        json_keyword_max(compiler, part, "maxLength", &max);
        const struct json_value *pattern = json_keyword(compiler, part, "pattern", JSON_STRING);
        if (pattern)
            narrow(compiler, &expression, &is_narrowed,
                   json_pattern(compiler, pattern, pattern->text, pattern->length, false));
        const struct json_value *name = json_keyword(compiler, part, "format", JSON_STRING);
        if (name && json_format(compiler, name, &format))
            narrow(compiler, &expression, &is_narrowed, format);
    }
    if (min > max)
        return EXPRESSION_NOTHING;
    if (min > 0 || max != EXPRESSION_UNLIMITED)
        narrow(compiler, &expression, &is_narrowed,
               expression_repeat(compiler->pool, compiler->character, min, max));
    return expression;
}
