/* text/grammar/json_reference.c - where $ref leads, and the way back: the path of a value, which is
 * searched only when an error names it. Documents are as deep as the JSON parser let them be, so
 * both searches walk with a stack of their own. */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "text/grammar/json_compiler.h"

// One container on the way down; next is the member to look at.
struct level {
    const struct json_value *value;
    uint32_t next;
};

struct walk {
    struct level *levels;
    size_t n, capacity;
};

static void walk_push(struct walk *walk, const struct json_value *value)
{
    mem_reserve(&walk->levels, &walk->capacity, walk->n + 1, sizeof *walk->levels);
    walk->levels[walk->n++] = (struct level){.value = value};
}

static uint32_t n_children(const struct json_value *value)
{
    return value->type == JSON_ARRAY || value->type == JSON_OBJECT ? value->n : 0;
}

static const struct json_value *child(const struct json_value *value, uint32_t i)
{
    return value->type == JSON_ARRAY ? &value->items[i] : &value->members[i].value;
}

// The next value in the document's order, or NULL at the end; the walk is then at its container.
static const struct json_value *walk_next(struct walk *walk)
{
    while (walk->n) {
        struct level *top = &walk->levels[walk->n - 1];
        if (top->next < n_children(top->value)) {
            const struct json_value *value = child(top->value, top->next++);
            if (n_children(value))
                walk_push(walk, value);
            return value;
        }
        walk->n--;
    }
    return NULL;
}

static void append_step(struct text_buffer *out, const struct level *level)
{
    if (level->value->type == JSON_ARRAY) {
        text_buffer_append_format(out, "/%u", level->next - 1);
        return;
    }
    const struct json_member *member = &level->value->members[level->next - 1];
    text_buffer_append_text(out, "/");
    for (size_t i = 0; i < member->key_length; i++) {
        char c = member->key[i];
        if (c == '~' || c == '/')
            text_buffer_append_text(out, c == '~' ? "~0" : "~1");
        else
            text_buffer_append(out, &c, 1);
    }
}

void json_path(const struct json_value *root, const struct json_value *value,
               struct text_buffer *out)
{
    struct walk walk = {0};
    text_buffer_append_text(out, "#");
    walk_push(&walk, root);
    const struct json_value *at = value == root ? NULL : walk_next(&walk);
    while (at && at != value)
        at = walk_next(&walk);
    // a container that was found is on the stack itself, and none of its members was looked at
    for (size_t i = 0; at && i < walk.n && walk.levels[i].next; i++)
        append_step(out, &walk.levels[i]);
    free(walk.levels);
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

// One step of a pointer, unescaped: "%25" first, then "~1" and "~0". Returns what is behind it.
static const char *read_step(const char *at, struct text_buffer *out)
{
    text_buffer_clear(out);
    for (; *at && *at != '/'; at++) {
        char c = *at;
        if (c == '%' && hex_digit(at[1]) >= 0 && hex_digit(at[2]) >= 0) {
            c = (char)(hex_digit(at[1]) * 16 + hex_digit(at[2]));
            at += 2;
        }
        if (c == '~' && (at[1] == '0' || at[1] == '1'))
            c = *++at == '0' ? '~' : '/';
        text_buffer_append(out, &c, 1);
    }
    return at;
}

static const struct json_value *step_into(const struct json_value *value, const char *step)
{
    if (value->type == JSON_OBJECT)
        return json_get(value, step);
    char *end;
    unsigned long index = strtoul(step, &end, 10);
    bool is_index = *step >= '0' && *step <= '9' && !*end;
    return value->type == JSON_ARRAY && is_index && index < value->n ? &value->items[index] : NULL;
}

static const struct json_value *follow_pointer(const struct json_value *base, const char *pointer)
{
    struct text_buffer step = {0};
    while (base && *pointer == '/') {
        pointer = read_step(pointer + 1, &step);
        base = step_into(base, step.data ? step.data : "");
    }
    text_buffer_finish(&step);
    return *pointer ? NULL : base;
}

// The schema whose keyword says so; schemas are objects, and any object may be one.
static const struct json_value *find_named(const struct json_value *root, const char *keyword,
                                           const char *name, size_t n)
{
    struct walk walk = {0};
    walk_push(&walk, root);
    const struct json_value *at = root;
    for (; at; at = walk_next(&walk)) {
        const struct json_value *value = json_get(at, keyword);
        if (value && value->type == JSON_STRING && value->length == n &&
            memcmp(value->text, name, n) == 0)
            break;
    }
    free(walk.levels);
    return at;
}

// The resource that a reference names before '#': by its whole $id, or relative to the root's.
static const struct json_value *find_resource(const struct json_value *root, const char *name,
                                              size_t n)
{
    const struct json_value *found = find_named(root, "$id", name, n);
    if (!found)
        found = find_named(root, "id", name, n);
    const struct json_value *id = json_get(root, "$id");
    if (found || !id || id->type != JSON_STRING)
        return found;
    const char *slash = strrchr(id->text, '/');
    struct text_buffer whole = {0};
    text_buffer_append(&whole, id->text, slash ? (size_t)(slash + 1 - id->text) : 0);
    text_buffer_append(&whole, name, n);
    found = find_named(root, "$id", whole.data, whole.length);
    text_buffer_finish(&whole);
    return found;
}

static bool has_id(const struct json_value *value)
{
    const struct json_value *id = json_get(value, "$id");
    return id && id->type == JSON_STRING && id->text[0] != '#';
}

// Is there a schema with an $id below the root?
static bool has_resources(struct json_compiler *compiler)
{
    if (compiler->knows_resources)
        return compiler->has_resources;
    struct walk walk = {0};
    walk_push(&walk, compiler->root);
    const struct json_value *at = walk_next(&walk);
    while (at && !has_id(at))
        at = walk_next(&walk);
    free(walk.levels);
    compiler->knows_resources = true;
    compiler->has_resources = at != NULL;
    return compiler->has_resources;
}

// The resource that a reference stands in: the innermost schema around it that has an $id.
static const struct json_value *resource_around(struct json_compiler *compiler,
                                                const struct json_value *reference)
{
    const struct json_value *found = compiler->root;
    if (!has_resources(compiler))
        return found;
    struct walk walk = {0};
    walk_push(&walk, compiler->root);
    const struct json_value *at = walk_next(&walk);
    while (at && at != reference)
        at = walk_next(&walk);
    for (size_t i = walk.n; i-- > 0 && found == compiler->root;) {
        if (has_id(walk.levels[i].value))
            found = walk.levels[i].value;
    }
    free(walk.levels);
    return found;
}

const struct json_value *json_resolve(struct json_compiler *compiler,
                                      const struct json_value *reference)
{
    const char *fragment = strchr(reference->text, '#');
    size_t n = fragment ? (size_t)(fragment - reference->text) : reference->length;
    const struct json_value *target = n ? find_resource(compiler->root, reference->text, n)
                                        : resource_around(compiler, reference);
    if (target && fragment && (fragment[1] == '/' || !fragment[1]))
        target = follow_pointer(target, fragment + 1);
    else if (target && fragment)
        target = find_named(target, "$anchor", fragment + 1, strlen(fragment + 1));
    if (!target)
        json_fail(compiler, reference, "\"%.100s\" leads nowhere in this schema", reference->text);
    return target;
}
