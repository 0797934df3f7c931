/* text/grammar/json_schema.c - the conjunctions: each compiled once, split by its choices, then
 * merged type by type.
 *
 * A conjunction that is met again while it is being compiled becomes a rule; all others are plain
 * symbols, so that a schema without recursion has none. */
#include "text/grammar/json_schema.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "text/grammar/json_compiler.h"
#include "text/grammar/regex.h"

#define N_BUCKETS 1024U
#define BLANKS "[ \\t\\r\\n]{0,20}"

enum {
    TYPE_NULL = 1,
    TYPE_BOOLEAN = 2,
    TYPE_INTEGER = 4,
    TYPE_NUMBER = 8,
    TYPE_STRING = 16,
    TYPE_ARRAY = 32,
    TYPE_OBJECT = 64,
    TYPE_ALL = 127
};

struct json_conjunction {
    struct json_conjunction *next; /* of the bucket */
    struct json_part *parts;       /* [n] */
    uint32_t n;
    bool is_compiled, is_rule;
    grammar_symbol symbol; /* once compiled, or a rule */
};

const struct json_value json_false_schema = {.type = JSON_FALSE};

void json_fail(struct json_compiler *compiler, const struct json_value *where, const char *format,
               ...)
{
    if (compiler->status != STATUS_OK)
        return;
    struct text_buffer path = {0};
    json_path(compiler->root, where, &path);
    char message[256];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(message, sizeof message, format, arguments);
    va_end(arguments);
    compiler->status = error_set(compiler->err, STATUS_INVALID_ARGUMENT, "schema, %.200s: %s",
                                 path.data, message);
    text_buffer_finish(&path);
}

void json_parts_add(struct json_parts *parts, const struct json_value *value,
                    enum json_part_kind kind)
{
    if (parts->n == JSON_MAX_PARTS) {
        parts->is_truncated = true;
        return;
    }
    parts->items[parts->n++] = (struct json_part){.value = value, .kind = kind};
}

uint32_t json_checked(struct json_compiler *compiler, uint32_t expression)
{
    return expression_is_nothing(compiler->pool, expression) ? EXPRESSION_NOTHING : expression;
}

grammar_symbol json_terminal(struct json_compiler *compiler, uint32_t expression)
{
    if (json_checked(compiler, expression) == EXPRESSION_NOTHING)
        return compiler->nothing;
    return grammar_terminal(compiler->builder, expression);
}

uint32_t json_regex(struct json_compiler *compiler, const char *pattern)
{
    uint32_t expression = EXPRESSION_NOTHING;
    // ours are well formed: what fails is the pool, which grammar_build reports
    if (regex_parse(compiler->pool, pattern, strlen(pattern), NULL, &expression, NULL) != STATUS_OK)
        CHECK(expression_pool_overflowed(compiler->pool));
    return expression;
}

bool json_is_nothing(const struct json_compiler *compiler, grammar_symbol symbol)
{
    return symbol.id == compiler->nothing.id;
}

grammar_symbol json_sequence(struct json_compiler *compiler, const grammar_symbol *symbols,
                             size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (json_is_nothing(compiler, symbols[i]))
            return compiler->nothing;
    }
    return grammar_sequence(compiler->builder, symbols, n);
}

static uint32_t hash_of(const struct json_parts *parts)
{
    uint64_t hash = UINT64_C(0xCBF29CE484222325);
    for (uint32_t i = 0; i < parts->n; i++) {
        const struct json_part *part = &parts->items[i];
        hash = (hash ^ (uintptr_t)part->value ^ part->kind ^ ((uint64_t)part->done << 2)) *
               UINT64_C(0x100000001B3);
        hash ^= hash >> 29;
    }
    return (uint32_t)(hash % N_BUCKETS);
}

static bool parts_are(const struct json_conjunction *conjunction, const struct json_parts *parts)
{
    if (conjunction->n != parts->n)
        return false;
    for (uint32_t i = 0; i < parts->n; i++) {
        const struct json_part *ours = &conjunction->parts[i], *theirs = &parts->items[i];
        if (ours->value != theirs->value || ours->kind != theirs->kind ||
            ours->done != theirs->done)
            return false;
    }
    return true;
}

// The conjunction of these parts; a new one is not compiled yet.
static struct json_conjunction *find(struct json_compiler *compiler, const struct json_parts *parts,
                                     bool *out_is_new)
{
    struct json_conjunction **bucket = &compiler->buckets[hash_of(parts)];
    *out_is_new = false;
    for (struct json_conjunction *at = *bucket; at; at = at->next) {
        if (parts_are(at, parts))
            return at;
    }
    *out_is_new = true;
    compiler->n_conjunctions++;
    struct json_conjunction *made = mem_zeroed(1, sizeof *made);
    made->n = parts->n;
    made->parts = mem_zeroed(parts->n, sizeof *made->parts);
    memcpy(made->parts, parts->items, parts->n * sizeof *made->parts);
    made->next = *bucket;
    *bucket = made;
    return made;
}

static uint32_t type_of_value(const struct json_value *value)
{
    switch (value->type) {
    case JSON_NULL:
        return TYPE_NULL;
    case JSON_FALSE:
    case JSON_TRUE:
        return TYPE_BOOLEAN;
    case JSON_NUMBER:
        return TYPE_NUMBER | TYPE_INTEGER; // 1.0 too: its text decides
    case JSON_STRING:
        return TYPE_STRING;
    case JSON_ARRAY:
        return TYPE_ARRAY;
    default:
        return TYPE_OBJECT;
    }
}

static uint32_t type_of_name(struct json_compiler *compiler, const struct json_value *name)
{
    static const struct {
        const char *name;
        uint32_t types;
    } names[] = {{"null", TYPE_NULL},       {"boolean", TYPE_BOOLEAN},
                 {"integer", TYPE_INTEGER}, {"number", TYPE_NUMBER | TYPE_INTEGER},
                 {"string", TYPE_STRING},   {"array", TYPE_ARRAY},
                 {"object", TYPE_OBJECT}};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (json_string_is(name, names[i].name))
            return names[i].types;
    }
    json_fail(compiler, name,
              "type must be null, boolean, integer, number, string, array or "
              "object, or a list of them");
    return 0;
}

static uint32_t types_of_part(struct json_compiler *compiler, const struct json_part *part)
{
    if (part->kind == JSON_PART_VALUE)
        return type_of_value(part->value);
    uint32_t types = 0;
    if (part->kind == JSON_PART_SCALARS) {
        for (uint32_t i = 0; i < part->value->n; i++)
            types |= type_of_value(&part->value->items[i]);
        return types & ~(uint32_t)(TYPE_ARRAY | TYPE_OBJECT);
    }
    const struct json_value *type = json_get(part->value, "type");
    if (!type)
        return TYPE_ALL;
    if (type->type != JSON_ARRAY)
        return type_of_name(compiler, type);
    for (uint32_t i = 0; i < type->n; i++)
        types |= type_of_name(compiler, &type->items[i]);
    return types;
}

// May the value be this literal, as far as const and enum go?
static bool allows_literal(const struct json_parts *parts, enum json_type literal)
{
    for (uint32_t i = 0; i < parts->n; i++) {
        const struct json_part *part = &parts->items[i];
        bool found = part->kind == JSON_PART_SCHEMA;
        if (part->kind == JSON_PART_VALUE)
            found = part->value->type == literal;
        for (uint32_t k = 0; part->kind == JSON_PART_SCALARS && k < part->value->n; k++)
            found = found || part->value->items[k].type == literal;
        if (!found)
            return false;
    }
    return true;
}

static uint32_t literals(struct json_compiler *compiler, const struct json_parts *parts,
                         uint32_t types)
{
    static const struct {
        const char *text;
        enum json_type literal;
        uint32_t type;
    } all[] = {{"null", JSON_NULL, TYPE_NULL},
               {"true", JSON_TRUE, TYPE_BOOLEAN},
               {"false", JSON_FALSE, TYPE_BOOLEAN}};
    uint32_t found[3], n = 0;
    for (size_t i = 0; i < 3; i++) {
        if ((types & all[i].type) && allows_literal(parts, all[i].literal))
            found[n++] = expression_text(compiler->pool, all[i].text, strlen(all[i].text));
    }
    return expression_any_of(compiler->pool, found, n);
}

static uint32_t quoted(struct json_compiler *compiler, uint32_t body)
{
    uint32_t quote = expression_text(compiler->pool, "\"", 1);
    return expression_concat(compiler->pool, quote, expression_concat(compiler->pool, body, quote));
}

// No choice is left in the parts: what each type of value may be.
static grammar_symbol merge(struct json_compiler *compiler, const struct json_parts *parts)
{
    uint32_t types = TYPE_ALL;
    for (uint32_t i = 0; i < parts->n; i++)
        types &= types_of_part(compiler, &parts->items[i]);
    uint32_t scalars[3], n_scalars = 0;
    scalars[n_scalars++] = literals(compiler, parts, types);
    if (types & (TYPE_INTEGER | TYPE_NUMBER))
        scalars[n_scalars++] = json_number_parts(compiler, parts, !(types & TYPE_NUMBER));
    grammar_symbol found[4];
    size_t n = 0;
    if (types & TYPE_STRING) {
        uint32_t body = json_string_parts(compiler, parts);
        if (compiler->options->call_form) {
            grammar_symbol string[] = {compiler->quote, json_terminal(compiler, body),
                                       compiler->quote};
            found[n++] = json_sequence(compiler, string, 3);
        } else {
            scalars[n_scalars++] = quoted(compiler, body);
        }
    }
    found[n++] = json_terminal(compiler, expression_any_of(compiler->pool, scalars, n_scalars));
    if (types & TYPE_ARRAY)
        found[n++] = json_array_parts(compiler, parts);
    if (types & TYPE_OBJECT)
        found[n++] = json_object_parts(compiler, parts);
    return json_choice(compiler, found, n);
}

grammar_symbol json_choice(struct json_compiler *compiler, grammar_symbol *symbols, size_t n)
{
    size_t kept = 0;
    for (size_t i = 0; i < n; i++) {
        bool repeated = json_is_nothing(compiler, symbols[i]);
        for (size_t k = 0; k < kept && k < 16; k++)
            repeated = repeated || symbols[k].id == symbols[i].id;
        if (!repeated)
            symbols[kept++] = symbols[i];
    }
    if (kept == 0)
        return compiler->nothing;
    return kept == 1 ? symbols[0] : grammar_choice(compiler->builder, symbols, kept);
}

// parts with the one at place taken as split, and another beside it.
static grammar_symbol compile_with(struct json_compiler *compiler, const struct json_parts *parts,
                                   uint32_t place, uint32_t done, bool before,
                                   struct json_part added)
{
    struct json_parts with = {.n = 0};
    for (uint32_t i = 0; i < parts->n && parts->n < JSON_MAX_PARTS; i++) {
        if (i == place && before)
            with.items[with.n++] = added;
        with.items[with.n++] = parts->items[i];
        if (i == place)
            with.items[with.n - 1].done |= done;
        if (i == place && !before)
            with.items[with.n++] = added;
    }
    with.is_truncated = parts->n == JSON_MAX_PARTS;
    return json_compile(compiler, &with);
}

static bool is_container(const struct json_value *value)
{
    return value->type == JSON_ARRAY || value->type == JSON_OBJECT;
}

static grammar_symbol split_enum(struct json_compiler *compiler, const struct json_parts *parts,
                                 uint32_t place, const struct json_value *values)
{
    grammar_symbol *found = mem_zeroed((size_t)values->n + 1, sizeof *found);
    size_t n = 0;
    bool has_scalars = false;
    for (uint32_t i = 0; i < values->n; i++) {
        struct json_part value = {.value = &values->items[i], .kind = JSON_PART_VALUE};
        if (is_container(&values->items[i]))
            found[n++] = compile_with(compiler, parts, place, JSON_DONE_ENUM, true, value);
        else
            has_scalars = true;
    }
    if (has_scalars) {
        struct json_part scalars = {.value = values, .kind = JSON_PART_SCALARS};
        found[n++] = compile_with(compiler, parts, place, JSON_DONE_ENUM, true, scalars);
    }
    grammar_symbol symbol = json_choice(compiler, found, n);
    free(found);
    return symbol;
}

// Do choices stand in front of the schema's properties? Their members then come first too.
static bool stands_first(const struct json_value *schema, const struct json_value *choices)
{
    const struct json_value *properties = json_get(schema, "properties");
    return !properties || choices < properties; // members lie in the order of the text
}

static grammar_symbol split(struct json_compiler *compiler, const struct json_parts *parts,
                            uint32_t place, uint32_t done, const struct json_value *choices)
{
    bool before = stands_first(parts->items[place].value, choices);
    grammar_symbol *found = mem_zeroed((size_t)choices->n + 1, sizeof *found);
    for (uint32_t i = 0; i < choices->n; i++) {
        struct json_part choice = {.value = &choices->items[i], .kind = JSON_PART_SCHEMA};
        found[i] = compile_with(compiler, parts, place, done, before, choice);
    }
    grammar_symbol symbol = json_choice(compiler, found, choices->n);
    free(found);
    return symbol;
}

static grammar_symbol split_or_merge(struct json_compiler *compiler, const struct json_parts *parts)
{
    for (uint32_t i = 0; i < parts->n; i++) {
        const struct json_part *part = &parts->items[i];
        if (part->kind != JSON_PART_SCHEMA)
            continue;
        const struct json_value *values = json_keyword(compiler, part, "enum", JSON_ARRAY);
        if (values && !(part->done & JSON_DONE_ENUM))
            return split_enum(compiler, parts, i, values);
        const struct json_value *any_of = json_keyword(compiler, part, "anyOf", JSON_ARRAY);
        if (any_of && !(part->done & JSON_DONE_ANY_OF))
            return split(compiler, parts, i, JSON_DONE_ANY_OF, any_of);
        const struct json_value *one_of = json_keyword(compiler, part, "oneOf", JSON_ARRAY);
        if (one_of && !(part->done & JSON_DONE_ONE_OF))
            return split(compiler, parts, i, JSON_DONE_ONE_OF, one_of);
    }
    return merge(compiler, parts);
}

static bool has_room(struct json_compiler *compiler, const struct json_parts *parts)
{
    const struct json_value *where = parts->n ? parts->items[0].value : compiler->root;
    if (parts->is_truncated)
        json_fail(compiler, where, "more than %u schemas apply to one value", JSON_MAX_PARTS);
    else if (compiler->depth >= JSON_MAX_DEPTH)
        json_fail(compiler, where, "nested deeper than %u schemas", JSON_MAX_DEPTH);
    else if (compiler->n_conjunctions >= JSON_MAX_CONJUNCTIONS ||
             compiler->n_steps >= JSON_MAX_STEPS)
        json_fail(compiler, where, "more combinations of schemas than there is room for");
    else if (expression_pool_overflowed(compiler->pool))
        json_fail(compiler, where, "too large");
    else if (clock_now_ns() > compiler->deadline_ns)
        json_fail(compiler, where, "takes over %u s to compile", JSON_MAX_SECONDS);
    return compiler->status == STATUS_OK;
}

grammar_symbol json_compile(struct json_compiler *compiler, const struct json_parts *parts)
{
    struct json_parts flat;
    compiler->n_steps++;
    if (compiler->status != STATUS_OK)
        return compiler->nothing;
    json_flatten(compiler, parts, &flat);
    flat.is_truncated = flat.is_truncated || parts->is_truncated;
    if (flat.is_nothing || !has_room(compiler, &flat))
        return compiler->nothing;
    bool is_new;
    struct json_conjunction *conjunction = find(compiler, &flat, &is_new);
    if (!is_new && !conjunction->is_compiled && !conjunction->is_rule) {
        conjunction->symbol = grammar_rule(compiler->builder, "value");
        conjunction->is_rule = true;
    }
    if (!is_new)
        return conjunction->symbol;
    compiler->depth++;
    grammar_symbol symbol = split_or_merge(compiler, &flat);
    compiler->depth--;
    if (conjunction->is_rule)
        grammar_define(compiler->builder, conjunction->symbol, symbol);
    if (!conjunction->is_rule || json_is_nothing(compiler, symbol))
        conjunction->symbol = symbol;
    conjunction->is_compiled = true;
    return conjunction->symbol;
}

static grammar_symbol terminal_of(struct json_compiler *compiler, const char *pattern)
{
    return grammar_terminal(compiler->builder, json_regex(compiler, pattern));
}

static void begin(struct json_compiler *compiler)
{
    bool loose = !compiler->options->compact && !compiler->options->call_form;
    const char *space = compiler->options->call_form ? "" : " ?";
    compiler->nothing = grammar_choice(compiler->builder, NULL, 0);
    compiler->open_object = terminal_of(compiler, loose ? "\\{" BLANKS : "\\{");
    compiler->open_array = terminal_of(compiler, loose ? "\\[" BLANKS : "\\[");
    compiler->close_object = terminal_of(compiler, loose ? BLANKS "\\}" : "\\}");
    compiler->close_array = terminal_of(compiler, loose ? BLANKS "\\]" : "\\]");
    compiler->close_empty_object = terminal_of(compiler, "\\}");
    compiler->close_empty_array = terminal_of(compiler, "\\]");
    char text[64];
    snprintf(text, sizeof text, ",%s", space);
    compiler->comma = terminal_of(compiler, loose ? BLANKS "," BLANKS : text);
    snprintf(text, sizeof text, ":%s", space);
    compiler->colon = json_regex(compiler, loose ? BLANKS ":" BLANKS : text);
    if (compiler->options->call_form)
        compiler->quote = grammar_tokens(compiler->builder, &compiler->options->quote_token, 1);
    json_string_begin(compiler);
}

static grammar_symbol with_blanks(struct json_compiler *compiler, grammar_symbol value)
{
    if (compiler->options->compact || compiler->options->call_form)
        return value;
    grammar_symbol blanks = terminal_of(compiler, BLANKS);
    return json_sequence(compiler, (grammar_symbol[]){blanks, value, blanks}, 3);
}

static void finish(struct json_compiler *compiler)
{
    for (uint32_t i = 0; i < N_BUCKETS; i++) {
        for (struct json_conjunction *at = compiler->buckets[i], *next; at; at = next) {
            next = at->next;
            free(at->parts);
            free(at);
        }
    }
    free(compiler->buckets);
    regex_memo_destroy(compiler->memo);
}

enum status json_schema_symbol(struct grammar_builder *builder, const struct json_value *schema,
                               const struct json_schema_options *options, grammar_symbol *out,
                               struct error *err)
{
    static const char type[] = "object";
    static const struct json_member member = {
        .key = "type",
        .key_length = 4,
        .value = {.type = JSON_STRING, .length = sizeof type - 1, .text = type}};
    static const struct json_value any_object = {.type = JSON_OBJECT, .n = 1, .members = &member};
    struct json_schema_options open = *options;
    open.strict = options->strict && schema;
    struct json_compiler compiler = {.builder = builder,
                                     .pool = grammar_builder_pool(builder),
                                     .options = &open,
                                     .root = schema ? schema : &any_object,
                                     .err = err,
                                     .memo = regex_memo_create(),
                                     .deadline_ns = clock_now_ns() + JSON_MAX_SECONDS * NS_PER_S};
    compiler.buckets = mem_zeroed(N_BUCKETS, sizeof(struct json_conjunction *));
    begin(&compiler);
    struct json_parts root = {.n = 0};
    json_parts_add(&root, compiler.root, JSON_PART_SCHEMA);
    if (options->call_form)
        json_parts_add(&root, &any_object, JSON_PART_SCHEMA); // arguments are an object
    grammar_symbol symbol = with_blanks(&compiler, json_compile(&compiler, &root));
    finish(&compiler);
    if (compiler.status == STATUS_OK && expression_pool_overflowed(compiler.pool))
        json_fail(&compiler, compiler.root, "too large");
    if (compiler.status == STATUS_OK && json_is_nothing(&compiler, symbol))
        json_fail(&compiler, compiler.root, "no value is valid under it");
    if (compiler.status == STATUS_OK)
        *out = symbol;
    return compiler.status;
}
