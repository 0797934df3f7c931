/* text/grammar/json_array.c - lists: the positions that prefixItems names one by one, then a
 * repeat. Drafts before 2020-12 wrote prefixItems as a list of items, and items as additionalItems.
 */
#include <stdlib.h>

#include "base/mem.h"
#include "text/grammar/json_compiler.h"

#define MAX_POSITIONS 4096U

static const struct json_value *prefix_of(const struct json_part *part)
{
    if (part->kind == JSON_PART_VALUE)
        return part->value;
    const struct json_value *prefix = json_get(part->value, "prefixItems");
    if (!prefix)
        prefix = json_get(part->value, "items");
    return prefix && prefix->type == JSON_ARRAY ? prefix : NULL;
}

// What a part says of the items behind its prefix; NULL: nothing.
static const struct json_value *rest_of(const struct json_part *part)
{
    if (part->kind == JSON_PART_VALUE)
        return &json_false_schema;
    const struct json_value *items = json_get(part->value, "items");
    return items && items->type == JSON_ARRAY ? json_get(part->value, "additionalItems") : items;
}

static grammar_symbol item_at(struct json_compiler *compiler, const struct json_parts *parts,
                              uint32_t position)
{
    struct json_parts item = {.n = 0};
    for (uint32_t i = 0; i < parts->n; i++) {
        const struct json_part *part = &parts->items[i];
        const struct json_value *prefix = prefix_of(part), *rest = rest_of(part);
        if (prefix && position < prefix->n)
            json_parts_add(&item, &prefix->items[position],
                           part->kind == JSON_PART_VALUE ? JSON_PART_VALUE : JSON_PART_SCHEMA);
        else if (rest)
            json_parts_add(&item, rest, JSON_PART_SCHEMA);
    }
    return json_compile(compiler, &item);
}

struct array {
    struct json_compiler *compiler;
    uint32_t n_positions, min, max;
    grammar_symbol rest; /* an item behind the positions */
};

static void read_counts(struct array *array, const struct json_parts *parts)
{
    for (uint32_t i = 0; i < parts->n; i++) {
        const struct json_part *part = &parts->items[i];
        const struct json_value *prefix = prefix_of(part);
        if (prefix && prefix->n > array->n_positions)
            array->n_positions = prefix->n;
        json_keyword_min(array->compiler, part, "minItems", &array->min);
        json_keyword_max(array->compiler, part, "maxItems", &array->max);
        if (part->kind == JSON_PART_VALUE && prefix && prefix->n > array->min)
            array->min = prefix->n;
    }
    if (array->n_positions > array->max)
        array->n_positions = array->max;
    if (array->n_positions > MAX_POSITIONS) {
        json_fail(array->compiler, parts->items[0].value, "more than %u positions", MAX_POSITIONS);
        array->n_positions = 0;
    }
}

// Items behind the positions, each after a comma, and the closing bracket.
static grammar_symbol tail(const struct array *array, bool is_open)
{
    struct json_compiler *compiler = array->compiler;
    grammar_symbol close = is_open ? compiler->close_array : compiler->close_empty_array;
    uint32_t min = array->min > array->n_positions ? array->min - array->n_positions : 0;
    uint32_t max = array->max;
    if (max != EXPRESSION_UNLIMITED)
        max -= array->n_positions;
    if (max == 0 || json_is_nothing(compiler, array->rest))
        return min ? compiler->nothing : close;
    grammar_symbol next = json_sequence(compiler, (grammar_symbol[]){compiler->comma, array->rest},
                                        2);
    if (is_open)
        return json_sequence(
            compiler, (grammar_symbol[]){grammar_repeat(compiler->builder, next, min, max), close},
            2);
    grammar_symbol more = grammar_repeat(compiler->builder, next, min ? min - 1 : 0,
                                         max == EXPRESSION_UNLIMITED ? max : max - 1);
    grammar_symbol full =
        json_sequence(compiler, (grammar_symbol[]){array->rest, more, compiler->close_array}, 3);
    return json_choice(compiler, (grammar_symbol[]){full, min ? compiler->nothing : close}, 2);
}

grammar_symbol json_array_parts(struct json_compiler *compiler, const struct json_parts *parts)
{
    struct array array = {.compiler = compiler, .max = EXPRESSION_UNLIMITED};
    read_counts(&array, parts);
    if (array.min > array.max || compiler->status != STATUS_OK)
        return compiler->nothing;
    array.rest = array.n_positions < array.max ? item_at(compiler, parts, array.n_positions)
                                               : compiler->nothing;
    grammar_symbol from = tail(&array, array.n_positions > 0);
    for (uint32_t i = array.n_positions; i-- > 0;) {
        grammar_symbol item[] = {compiler->comma, item_at(compiler, parts, i), from};
        grammar_symbol close = i ? compiler->close_array : compiler->close_empty_array;
        grammar_symbol full = json_sequence(compiler, i ? item : item + 1, i ? 3 : 2);
        from = json_choice(compiler,
                           (grammar_symbol[]){full, i < array.min ? compiler->nothing : close}, 2);
    }
    return json_sequence(compiler, (grammar_symbol[]){compiler->open_array, from}, 2);
}
