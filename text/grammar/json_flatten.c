/* text/grammar/json_flatten.c - parts that stand for others give way to them. The order of parts is
 * the order of members later on, so what is written before "properties" comes before them.
 *
 * A schema is taken once in a conjunction, which also ends circles of references. */
#include "text/grammar/json_compiler.h"

#define MAX_VISITED (4 * JSON_MAX_PARTS)

struct flatten {
    struct json_compiler *compiler;
    struct json_parts *out;
    const struct json_value *visited[MAX_VISITED];
    uint32_t n_visited;
};

// False: it was there already, or there is no room.
static bool visit(struct flatten *flatten, const struct json_value *schema)
{
    for (uint32_t i = 0; i < flatten->n_visited; i++) {
        if (flatten->visited[i] == schema)
            return false;
    }
    if (flatten->n_visited == MAX_VISITED) {
        flatten->out->is_truncated = true;
        return false;
    }
    flatten->visited[flatten->n_visited++] = schema;
    return true;
}

static void add(struct flatten *flatten, const struct json_part *part)
{
    struct json_parts *out = flatten->out;
    if (!json_keyword_restricts(part))
        return;
    json_parts_add(out, part->value, part->kind);
    if (!out->is_truncated)
        out->items[out->n - 1].done = part->done | JSON_DONE_FLAT;
}

static void flatten_schema(struct flatten *flatten, const struct json_value *schema);

static void flatten_all_of(struct flatten *flatten, const struct json_part *part)
{
    const struct json_value *all = json_keyword(flatten->compiler, part, "allOf", JSON_ARRAY);
    for (uint32_t i = 0; all && i < all->n; i++)
        flatten_schema(flatten, &all->items[i]);
}

static void flatten_reference(struct flatten *flatten, const struct json_part *part)
{
    const struct json_value *name = json_keyword(flatten->compiler, part, "$ref", JSON_STRING);
    const struct json_value *target = name ? json_resolve(flatten->compiler, name) : NULL;
    if (target)
        flatten_schema(flatten, target);
}

// Recursion is as deep as schemas are visited: MAX_VISITED.
static void flatten_schema(struct flatten *flatten, const struct json_value *schema)
{
    static const char *const names[] = {"$ref", "allOf", "const", "properties"};
    json_check_schema(flatten->compiler, schema);
    if (schema->type == JSON_FALSE)
        flatten->out->is_nothing = true;
    if (schema->type != JSON_OBJECT || !visit(flatten, schema))
        return;
    struct json_part self = {.value = schema, .kind = JSON_PART_SCHEMA};
    const struct json_value *keywords[4];
    for (size_t i = 0; i < 4; i++)
        keywords[i] = json_get(schema, names[i]);
    bool is_added = false;
    for (size_t n = 0; n < 4; n++) { // in the order of the text, which is that of the addresses
        size_t first = 0;
        for (size_t i = 1; i < 4; i++) {
            if (keywords[i] && (!keywords[first] || keywords[i] < keywords[first]))
                first = i;
        }
        struct json_part value = {.value = keywords[first], .kind = JSON_PART_VALUE};
        if (!keywords[first])
            break;
        keywords[first] = NULL;
        if (first == 0)
            flatten_reference(flatten, &self);
        else if (first == 1)
            flatten_all_of(flatten, &self);
        else
            add(flatten, first == 2 ? &value : &self);
        is_added = is_added || first == 3;
    }
    if (!is_added)
        add(flatten, &self);
}

void json_flatten(struct json_compiler *compiler, const struct json_parts *parts,
                  struct json_parts *out)
{
    struct flatten flatten = {.compiler = compiler, .out = out};
    out->n = 0;
    out->is_nothing = parts->is_nothing;
    out->is_truncated = parts->is_truncated;
    for (uint32_t i = 0; i < parts->n; i++) {
        if (parts->items[i].kind == JSON_PART_SCHEMA && (parts->items[i].done & JSON_DONE_FLAT))
            visit(&flatten, parts->items[i].value);
    }
    for (uint32_t i = 0; i < parts->n; i++) {
        const struct json_part *part = &parts->items[i];
        if (part->kind == JSON_PART_SCHEMA && !(part->done & JSON_DONE_FLAT))
            flatten_schema(&flatten, part->value);
        else
            add(&flatten, part);
    }
}
