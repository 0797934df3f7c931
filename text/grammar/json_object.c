/* text/grammar/json_object.c - objects: declared members in order, then others.
 *
 * Behind the first member that is written, optional members are a flat sequence, linear in their
 * number. With minProperties or maxProperties the rest of an object also depends on how many were
 * written: there is one symbol for each member and count. Other keys are the complement of the
 * declared ones, in classes by the patterns (patternProperties) that they match. */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "text/grammar/json_compiler.h"

#define MAX_CLASSES 64U
#define MAX_STATES (1U << 16)
#define MAX_OPTIONAL 500U /* keys that may come next: what a match can follow */

struct property {
    const char *key;
    size_t length;
    bool required;
    grammar_symbol pair; /* key, colon and value */
};

// A pattern of patternProperties, over keys as they are written and over plain text.
struct pattern {
    const struct json_value *schema;
    uint32_t part; /* whose it is */
    uint32_t written, plain;
};

struct object {
    struct json_compiler *compiler;
    const struct json_parts *parts;
    struct property *properties;
    size_t n_properties, properties_capacity;
    struct pattern *patterns;
    size_t n_patterns, patterns_capacity;
    uint32_t min, max;        /* members */
    bool is_closed;           /* by default, not by a keyword */
    grammar_symbol other;     /* a pair with another key */
    uint32_t *slots, n_slots; /* properties by key: index + 1, 0 free */
};

// Seeded by an address, so that no request can choose its collisions.
static uint64_t hash_of(const struct object *object, const char *key, size_t n)
{
    uint64_t hash = UINT64_C(0xCBF29CE484222325) ^ (uintptr_t)object;
    for (size_t i = 0; i < n; i++)
        hash = (hash ^ (unsigned char)key[i]) * UINT64_C(0x100000001B3);
    return hash ^ hash >> 32;
}

static void rehash(struct object *object)
{
    free(object->slots);
    object->n_slots = object->n_slots ? object->n_slots * 2 : 64;
    object->slots = mem_zeroed(object->n_slots, sizeof *object->slots);
    for (size_t i = 0; i < object->n_properties; i++) {
        const struct property *property = &object->properties[i];
        uint32_t at = (uint32_t)hash_of(object, property->key, property->length) &
                      (object->n_slots - 1);
        while (object->slots[at])
            at = (at + 1) & (object->n_slots - 1);
        object->slots[at] = (uint32_t)i + 1;
    }
}

static struct property *property_of(struct object *object, const char *key, size_t n)
{
    if (object->n_properties * 2 >= object->n_slots)
        rehash(object);
    uint32_t at = (uint32_t)hash_of(object, key, n) & (object->n_slots - 1);
    for (; object->slots[at]; at = (at + 1) & (object->n_slots - 1)) {
        struct property *property = &object->properties[object->slots[at] - 1];
        if (property->length == n && memcmp(property->key, key, n) == 0)
            return property;
    }
    mem_reserve(&object->properties, &object->properties_capacity, object->n_properties + 1,
                sizeof *object->properties);
    object->slots[at] = (uint32_t)object->n_properties + 1;
    struct property *property = &object->properties[object->n_properties++];
    *property = (struct property){.key = key, .length = n};
    return property;
}

static void collect_patterns(struct object *object, uint32_t place)
{
    struct json_compiler *compiler = object->compiler;
    const struct json_value *patterns = json_keyword(compiler, &object->parts->items[place],
                                                     "patternProperties", JSON_OBJECT);
    if (patterns && patterns->n + object->n_patterns > JSON_MAX_PATTERNS) {
        json_fail(compiler, patterns, "more than %u patterns", JSON_MAX_PATTERNS);
        return;
    }
    for (uint32_t i = 0; patterns && i < patterns->n; i++) {
        const struct json_member *member = &patterns->members[i];
        mem_reserve(&object->patterns, &object->patterns_capacity, object->n_patterns + 1,
                    sizeof *object->patterns);
        object->patterns[object->n_patterns++] = (struct pattern){
            .schema = &member->value,
            .part = place,
            .written = json_pattern(compiler, patterns, member->key, member->key_length, false),
            .plain = json_pattern(compiler, patterns, member->key, member->key_length, true),
        };
    }
}

static void collect_required(struct object *object, const struct json_part *part)
{
    const struct json_value *required = json_keyword(object->compiler, part, "required",
                                                     JSON_ARRAY);
    for (uint32_t i = 0; required && i < required->n; i++) {
        const struct json_value *key = &required->items[i];
        if (key->type != JSON_STRING)
            json_fail(object->compiler, key, "required must be a list of strings");
        else
            property_of(object, key->text, key->length)->required = true;
    }
}

static void collect(struct object *object)
{
    bool is_open = false, is_object = false, has_properties = false;
    struct json_compiler *compiler = object->compiler;
    for (uint32_t i = 0; i < object->parts->n; i++) {
        const struct json_part *part = &object->parts->items[i];
        const struct json_value *members =
            part->kind == JSON_PART_VALUE ? part->value
                                          : json_keyword(compiler, part, "properties", JSON_OBJECT);
        for (uint32_t k = 0; members && k < members->n; k++)
            property_of(object, members->members[k].key, members->members[k].key_length)
                ->required |= part->kind == JSON_PART_VALUE;
        collect_patterns(object, i);
        json_keyword_min(compiler, part, "minProperties", &object->min);
        json_keyword_max(compiler, part, "maxProperties", &object->max);
        is_open = is_open ||
                  (part->kind == JSON_PART_SCHEMA && json_get(part->value, "additionalProperties"));
        has_properties = has_properties || (members && members->n);
        is_object = is_object || members || json_get(part->value, "type") ||
                    json_get(part->value, "required");
    }
    for (uint32_t i = 0; i < object->parts->n; i++)
        collect_required(object, &object->parts->items[i]);
    object->is_closed = !is_open && (compiler->options->strict      ? is_object
                                     : compiler->options->call_form ? has_properties
                                                                    : false);
}

static bool matches(struct json_compiler *compiler, uint32_t expression, const char *text, size_t n)
{
    for (size_t i = 0; i < n && expression != EXPRESSION_NOTHING; i++)
        expression = expression_derive(compiler->pool, expression, (uint8_t)text[i]);
    return expression_is_nullable(compiler->pool, expression);
}

// What a part says of members that it does not declare and whose key matches no pattern of its own.
static void add_additional(const struct json_part *part, struct json_parts *out)
{
    const struct json_value *additional = part->kind == JSON_PART_VALUE
                                              ? &json_false_schema
                                              : json_get(part->value, "additionalProperties");
    if (additional)
        json_parts_add(out, additional, JSON_PART_SCHEMA);
}

// json_get, but keys may hold a NUL.
static const struct json_value *find_member(const struct json_value *members,
                                            const struct property *property)
{
    if (!memchr(property->key, '\0', property->length))
        return json_get(members, property->key);
    for (uint32_t i = 0; i < members->n; i++) {
        const struct json_member *member = &members->members[i];
        if (member->key_length == property->length &&
            memcmp(member->key, property->key, property->length) == 0)
            return &member->value;
    }
    return NULL;
}

// matched: by pattern. property NULL: a key that is neither declared nor required.
static grammar_symbol member_value(struct object *object, const struct property *property,
                                   const bool *matched)
{
    struct json_parts value = {.n = 0};
    bool is_known = false;
    for (uint32_t i = 0; i < object->parts->n; i++) {
        const struct json_part *part = &object->parts->items[i];
        bool is_value = part->kind == JSON_PART_VALUE, is_declared = false;
        const struct json_value *members = is_value ? part->value
                                                    : json_get(part->value, "properties");
        const struct json_value *declared = property && members ? find_member(members, property)
                                                                : NULL;
        if (declared) {
            json_parts_add(&value, declared, is_value ? JSON_PART_VALUE : JSON_PART_SCHEMA);
            is_declared = true;
        }
        for (size_t k = 0; k < object->n_patterns; k++) {
            if (object->patterns[k].part != i || !matched[k])
                continue;
            json_parts_add(&value, object->patterns[k].schema, JSON_PART_SCHEMA);
            is_declared = true;
        }
        if (!is_declared)
            add_additional(part, &value);
        is_known = is_known || is_declared;
    }
    value.is_nothing = object->is_closed && !is_known && !property;
    return json_compile(object->compiler, &value);
}

static bool must_quote(const struct property *property)
{
    if (property->length == 0 || property->key[0] == ' ' ||
        property->key[property->length - 1] == ' ')
        return true;
    for (size_t i = 0; i < property->length; i++) {
        char c = property->key[i];
        if (c < 0x20 && c >= 0)
            return true;
        if (strchr(":,{}[]\"<", c))
            return true;
    }
    return false;
}

// A key that is not bare in the call form stands between quote tokens.
static grammar_symbol key_symbol(struct object *object, const struct property *property)
{
    struct json_compiler *compiler = object->compiler;
    struct expression_pool *pool = compiler->pool;
    uint32_t key = json_literal(compiler, property->key, property->length);
    if (compiler->options->call_form && must_quote(property)) {
        key = expression_both(pool, key, compiler->string_body);
        grammar_symbol quoted[] = {compiler->quote, json_terminal(compiler, key), compiler->quote,
                                   grammar_terminal(compiler->builder, compiler->colon)};
        return json_sequence(compiler, quoted, 4);
    }
    uint32_t quote = compiler->options->call_form ? EXPRESSION_EMPTY
                                                  : expression_text(pool, "\"", 1);
    key = expression_concat(pool, key, expression_concat(pool, quote, compiler->colon));
    return grammar_terminal(compiler->builder, expression_concat(pool, quote, key));
}

static void compile_properties(struct object *object)
{
    struct json_compiler *compiler = object->compiler;
    bool *matched = mem_zeroed(object->n_patterns + 1, sizeof *matched);
    for (size_t i = 0; i < object->n_properties && compiler->status == STATUS_OK; i++) {
        struct property *property = &object->properties[i];
        for (size_t k = 0; k < object->n_patterns; k++)
            matched[k] = matches(compiler, object->patterns[k].plain, property->key,
                                 property->length);
        grammar_symbol value = member_value(object, property, matched);
        grammar_symbol pair[] = {key_symbol(object, property), value};
        property->pair = json_sequence(compiler, pair, 2);
    }
    free(matched);
}

// Keys of one class: which patterns they match.
struct key_class {
    uint32_t keys;
    bool *matched; /* [n_patterns] */
};

static uint32_t undeclared_keys(struct object *object)
{
    struct json_compiler *compiler = object->compiler;
    uint32_t *declared = mem_zeroed(object->n_properties + 1, sizeof *declared);
    for (size_t i = 0; i < object->n_properties; i++)
        declared[i] = json_spellings(compiler, object->properties[i].key,
                                     object->properties[i].length);
    uint32_t keys = compiler->plain_key;
    if (object->n_properties) {
        uint32_t any = expression_any_of(compiler->pool, declared, object->n_properties);
        keys = expression_both(compiler->pool, keys, expression_not(compiler->pool, any));
    }
    free(declared);
    return keys;
}

static grammar_symbol class_pair(struct object *object, const struct key_class *class)
{
    struct json_compiler *compiler = object->compiler;
    struct expression_pool *pool = compiler->pool;
    grammar_symbol value = member_value(object, NULL, class->matched);
    uint32_t quote = compiler->options->call_form ? EXPRESSION_EMPTY
                                                  : expression_text(pool, "\"", 1);
    uint32_t keys = json_checked(compiler, class->keys);
    uint32_t key = expression_concat(pool, quote, expression_concat(pool, keys, quote));
    if (json_is_nothing(compiler, value))
        return value;
    key = expression_concat(pool, key, compiler->colon);
    return json_sequence(compiler, (grammar_symbol[]){json_terminal(compiler, key), value}, 2);
}

// Splits each class by a pattern; classes without keys vanish.
static uint32_t split_classes(struct object *object, size_t pattern, struct key_class *classes,
                              uint32_t n)
{
    struct expression_pool *pool = object->compiler->pool;
    uint32_t written = object->patterns[pattern].written, n_before = n;
    for (uint32_t i = 0; i < n_before; i++) {
        uint32_t inside = expression_both(pool, classes[i].keys, written);
        if (expression_is_nothing(pool, inside))
            continue;
        if (n == MAX_CLASSES) {
            json_fail(object->compiler, object->patterns[pattern].schema,
                      "patternProperties overlap in more than %u ways", MAX_CLASSES);
            return n;
        }
        struct key_class *made = &classes[n++];
        made->keys = inside;
        made->matched = mem_zeroed(object->n_patterns, sizeof *made->matched);
        memcpy(made->matched, classes[i].matched, object->n_patterns * sizeof *made->matched);
        made->matched[pattern] = true;
        classes[i].keys = expression_both(pool, classes[i].keys, expression_not(pool, written));
    }
    return n;
}

static grammar_symbol other_pair(struct object *object)
{
    struct key_class classes[MAX_CLASSES];
    grammar_symbol pairs[MAX_CLASSES];
    uint32_t n = 1;
    classes[0].keys = undeclared_keys(object);
    classes[0].matched = mem_zeroed(object->n_patterns + 1, sizeof *classes[0].matched);
    for (size_t i = 0; i < object->n_patterns; i++)
        n = split_classes(object, i, classes, n);
    for (uint32_t i = 0; i < n; i++) {
        pairs[i] = class_pair(object, &classes[i]);
        free(classes[i].matched);
    }
    return json_choice(object->compiler, pairs, n);
}

// Other members and the closing brace, behind count declared ones.
static grammar_symbol others(const struct object *object, uint32_t count)
{
    struct json_compiler *compiler = object->compiler;
    grammar_symbol close = count ? compiler->close_object : compiler->close_empty_object;
    uint32_t min = object->min > count ? object->min - count : 0, max = object->max;
    if (max != EXPRESSION_UNLIMITED)
        max -= count;
    if (max == 0 || json_is_nothing(compiler, object->other))
        return min ? compiler->nothing : close;
    grammar_symbol next = json_sequence(compiler,
                                        (grammar_symbol[]){compiler->comma, object->other}, 2);
    if (count) {
        grammar_symbol more = grammar_repeat(compiler->builder, next, min, max);
        return json_sequence(compiler, (grammar_symbol[]){more, close}, 2);
    }
    grammar_symbol more = grammar_repeat(compiler->builder, next, min ? min - 1 : 0,
                                         max == EXPRESSION_UNLIMITED ? max : max - 1);
    grammar_symbol full =
        json_sequence(compiler, (grammar_symbol[]){object->other, more, compiler->close_object}, 3);
    return json_choice(compiler, (grammar_symbol[]){full, min ? compiler->nothing : close}, 2);
}

// The rest of the object from member i on, behind at least one: rest is of i + 1. Flat, not nested,
// however many members there are.
static grammar_symbol rest_behind(const struct object *object, size_t i, grammar_symbol rest)
{
    struct json_compiler *compiler = object->compiler;
    const struct property *property = &object->properties[i];
    grammar_symbol next = json_sequence(compiler,
                                        (grammar_symbol[]){compiler->comma, property->pair}, 2);
    if (!property->required && json_is_nothing(compiler, next))
        return rest;
    if (!property->required)
        next = grammar_repeat(compiler->builder, next, 0, 1);
    return json_sequence(compiler, (grammar_symbol[]){next, rest}, 2);
}

// No count matters: the first member that is written, one that must be there at the latest, and the
// rest behind it.
static grammar_symbol uncounted_members(const struct object *object)
{
    struct json_compiler *compiler = object->compiler;
    size_t n = object->n_properties, n_found = 0, first_required = 0;
    grammar_symbol *found = mem_zeroed(n + 1, sizeof *found);
    grammar_symbol rest = others(object, 1);
    while (first_required < n && !object->properties[first_required].required)
        first_required++;
    if (first_required == n)
        found[n_found++] = others(object, 0);
    for (size_t i = n; i-- > 0;) {
        if (i <= first_required)
            found[n_found++] =
                json_sequence(compiler, (grammar_symbol[]){object->properties[i].pair, rest}, 2);
        rest = rest_behind(object, i, rest);
    }
    grammar_symbol all = json_choice(compiler, found, n_found);
    free(found);
    return all;
}

// The same with counts: behind i declared members of which count were written; rests: of i + 1.
static grammar_symbol rest_at(const struct object *object, size_t i, uint32_t count, uint32_t cap,
                              const grammar_symbol *rests)
{
    struct json_compiler *compiler = object->compiler;
    const struct property *property = &object->properties[i];
    grammar_symbol written = compiler->nothing;
    if (count < object->max) {
        grammar_symbol pair[] = {compiler->comma, property->pair,
                                 rests[count < cap ? count + 1 : cap]};
        written = json_sequence(compiler, count ? pair : pair + 1, count ? 3 : 2);
    }
    grammar_symbol skipped = property->required ? compiler->nothing : rests[count];
    return json_choice(compiler, (grammar_symbol[]){written, skipped}, 2);
}

static grammar_symbol counted_members(const struct object *object)
{
    struct json_compiler *compiler = object->compiler;
    size_t n = object->n_properties;
    // counts above cap do not occur or make no difference
    uint32_t cap = object->max == EXPRESSION_UNLIMITED ? object->min : object->max;
    if (cap > n)
        cap = (uint32_t)n;
    if (cap == 0)
        cap = 1;
    if ((size_t)cap * (n + 1) > MAX_STATES) {
        json_fail(compiler, object->parts->items[0].value,
                  "minProperties or maxProperties of so many properties is too large");
        return compiler->nothing;
    }
    grammar_symbol *rests = mem_zeroed((size_t)cap + 1, sizeof *rests);
    for (uint32_t count = 0; count <= cap; count++)
        rests[count] = count <= object->max ? others(object, count) : compiler->nothing;
    for (size_t i = n; i-- > 0;) {
        for (uint32_t count = 0; count <= cap && count <= i; count++)
            rests[count] = rest_at(object, i, count, cap, rests);
    }
    grammar_symbol all = rests[0];
    free(rests);
    return all;
}

static void check_optional(const struct object *object)
{
    size_t n_in_a_row = 0;
    for (size_t i = 0; i < object->n_properties; i++) {
        n_in_a_row = object->properties[i].required ? 0 : n_in_a_row + 1;
        if (n_in_a_row > MAX_OPTIONAL) {
            json_fail(object->compiler, object->parts->items[0].value,
                      "more than %u optional members in a row", MAX_OPTIONAL);
            return;
        }
    }
}

grammar_symbol json_object_parts(struct json_compiler *compiler, const struct json_parts *parts)
{
    struct object object = {.compiler = compiler,
                            .parts = parts,
                            .max = EXPRESSION_UNLIMITED,
                            .other = compiler->nothing};
    collect(&object);
    check_optional(&object);
    grammar_symbol all = compiler->nothing;
    if (compiler->status == STATUS_OK && object.min <= object.max) {
        compile_properties(&object);
        object.other = other_pair(&object);
        if (compiler->status == STATUS_OK)
            all = object.min > 1 || object.max != EXPRESSION_UNLIMITED ? counted_members(&object)
                                                                       : uncounted_members(&object);
    }
    free(object.properties);
    free(object.patterns);
    free(object.slots);
    return json_sequence(compiler, (grammar_symbol[]){compiler->open_object, all}, 2);
}
