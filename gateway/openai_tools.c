/* gateway/openai_tools.c - inlining can make a small schema huge (each definition used twice by the
 * next), so what comes out is bounded in bytes, and the walk in depth. */
#include "gateway/openai_tools.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

#define MAX_NAME_BYTES 256
#define MAX_REFS 10   // inside one another
#define MAX_DEPTH 512 // of what is written
#define MAX_INLINED_BYTES ((size_t)4 << 20)

static enum status check_tool(const struct json_value *tool, uint32_t i, bool *strict,
                              struct error *err)
{
    if (!json_string_is(json_get(tool, "type"), "function"))
        return error_set(err, STATUS_INVALID_ARGUMENT, "tools[%u].type: must be \"function\"", i);
    const struct json_value *function = json_get(tool, "function");
    if (!function || function->type != JSON_OBJECT)
        return error_set(err, STATUS_INVALID_ARGUMENT, "tools[%u].function: must be an object", i);
    const struct json_value *name = json_get(function, "name");
    if (!name || name->type != JSON_STRING)
        return error_set(err, STATUS_INVALID_ARGUMENT, "tools[%u].function.name: must be a string",
                         i);
    if (name->length == 0 || name->length > MAX_NAME_BYTES)
        return error_set(err, STATUS_INVALID_ARGUMENT,
                         "tools[%u].function.name: %zu bytes, must be from 1 to %d", i,
                         name->length, MAX_NAME_BYTES);
    const struct json_value *description = json_get_present(function, "description");
    if (description && description->type != JSON_STRING)
        return error_set(err, STATUS_INVALID_ARGUMENT,
                         "tools[%u].function.description: must be a string", i);
    const struct json_value *parameters = json_get_present(function, "parameters");
    if (parameters && parameters->type != JSON_OBJECT)
        return error_set(err, STATUS_INVALID_ARGUMENT,
                         "tools[%u].function.parameters: must be an object", i);
    const struct json_value *is_strict = json_get_present(function, "strict");
    bool value = false;
    if (is_strict && !json_bool(is_strict, &value))
        return error_set(err, STATUS_INVALID_ARGUMENT,
                         "tools[%u].function.strict: must be true or false", i);
    *strict |= value;
    return STATUS_OK;
}

static bool has_tool(const struct json_value *tools, const struct json_value *name)
{
    for (uint32_t i = 0; tools && i < tools->n; i++) {
        const struct json_value *own = json_get(json_get(&tools->items[i], "function"), "name");
        if (own->length == name->length && memcmp(own->text, name->text, name->length) == 0)
            return true;
    }
    return false;
}

static enum status read_choice(struct openai_tools *out, const struct json_value *choice,
                               struct error *err)
{
    out->choice = out->tools ? OPENAI_TOOLS_AUTO : OPENAI_TOOLS_NONE;
    if (!choice)
        return STATUS_OK;
    if (json_string_is(choice, "none")) {
        out->choice = OPENAI_TOOLS_NONE;
        return STATUS_OK;
    }
    if (json_string_is(choice, "auto"))
        return STATUS_OK;
    if (!out->tools)
        return error_set(err, STATUS_INVALID_ARGUMENT, "tool_choice: there are no tools");
    if (json_string_is(choice, "required")) {
        out->choice = OPENAI_TOOLS_REQUIRED;
        return STATUS_OK;
    }
    const struct json_value *name = json_get(json_get(choice, "function"), "name");
    if (!json_string_is(json_get(choice, "type"), "function") || !name || name->type != JSON_STRING)
        return error_set(err, STATUS_INVALID_ARGUMENT,
                         "tool_choice: must be \"none\", \"auto\", \"required\" or "
                         "{\"type\": \"function\", \"function\": {\"name\": ...}}");
    if (!has_tool(out->tools, name))
        return error_set(err, STATUS_INVALID_ARGUMENT,
                         "tool_choice.function.name: no tool has the name \"%s\"", name->text);
    out->choice = OPENAI_TOOLS_NAMED;
    out->named = name;
    return STATUS_OK;
}

struct inliner {
    struct text_buffer out;
    const struct json_value *root; // the parameters that pointers go into
    bool found;
    uint32_t depth;
    uint32_t n_targets; // being written, inside one another
    const struct json_value *targets[MAX_REFS];
};

// The place in root that a local reference names: "#", "#/$defs/a~1b". NULL: none, or not local.
static const struct json_value *resolve(const struct json_value *root, const struct json_value *ref)
{
    if (ref->type != JSON_STRING || ref->text[0] != '#')
        return NULL;
    const struct json_value *at = root;
    const char *c = ref->text + 1;
    while (at && *c == '/') {
        struct text_buffer key = {0};
        for (c++; *c && *c != '/'; c++) {
            bool escape = c[0] == '~' && (c[1] == '0' || c[1] == '1');
            if (escape)
                c++;
            text_buffer_append(&key, escape ? (*c == '0' ? "~" : "/") : c, 1);
        }
        at = key.data ? json_get(at, key.data) : NULL;
        text_buffer_finish(&key);
    }
    return *c ? NULL : at;
}

static bool inline_refs(struct inliner *inliner, const struct json_value *value);

static bool write_member(struct inliner *inliner, const struct json_member *member, bool *first)
{
    if (!*first)
        text_buffer_append_text(&inliner->out, ",");
    *first = false;
    json_write_string(&inliner->out, member->key, member->key_length);
    text_buffer_append_text(&inliner->out, ":");
    return inline_refs(inliner, &member->value);
}

// What an object refers to and shall be put in its place, or NULL. A schema that contains itself
// does so once.
static const struct json_value *find_target(const struct inliner *inliner,
                                            const struct json_value *object)
{
    const struct json_value *ref = json_get(object, "$ref");
    const struct json_value *target = ref ? resolve(inliner->root, ref) : NULL;
    if (!target || target->type != JSON_OBJECT || inliner->n_targets >= MAX_REFS)
        return NULL;
    for (uint32_t i = 0; i < inliner->n_targets; i++)
        if (inliner->targets[i] == target)
            return NULL;
    return target;
}

static bool is_definitions(const struct inliner *inliner, const struct json_value *object,
                           const char *key)
{
    return object == inliner->root &&
           (strcmp(key, "$defs") == 0 || strcmp(key, "definitions") == 0);
}

// An object; instead of its $ref (may be NULL) what that points to, whose members count less than
// the object's own.
static bool write_object(struct inliner *inliner, const struct json_value *object,
                         const struct json_value *target)
{
    bool first = true;
    bool fits = true;
    text_buffer_append_text(&inliner->out, "{");
    for (uint32_t i = 0; i < object->n && fits; i++)
        if (!(target && strcmp(object->members[i].key, "$ref") == 0) &&
            !is_definitions(inliner, object, object->members[i].key))
            fits = write_member(inliner, &object->members[i], &first);
    for (uint32_t i = 0; target && i < target->n && fits; i++)
        if (!json_get(object, target->members[i].key))
            fits = write_member(inliner, &target->members[i], &first);
    text_buffer_append_text(&inliner->out, "}");
    return fits;
}

static bool write_array(struct inliner *inliner, const struct json_value *array)
{
    text_buffer_append_text(&inliner->out, "[");
    for (uint32_t i = 0; i < array->n; i++) {
        if (i > 0)
            text_buffer_append_text(&inliner->out, ",");
        if (!inline_refs(inliner, &array->items[i]))
            return false;
    }
    text_buffer_append_text(&inliner->out, "]");
    return true;
}

// False: too much of it.
static bool inline_refs(struct inliner *inliner, const struct json_value *value)
{
    if (inliner->out.length > MAX_INLINED_BYTES || inliner->depth >= MAX_DEPTH)
        return false;
    bool fits = true;
    inliner->depth++;
    if (value->type == JSON_ARRAY) {
        fits = write_array(inliner, value);
    } else if (value->type == JSON_OBJECT) {
        const struct json_value *target = find_target(inliner, value);
        if (target)
            inliner->targets[inliner->n_targets++] = target;
        inliner->found |= target != NULL;
        fits = write_object(inliner, value, target);
        inliner->n_targets -= target != NULL;
    } else {
        json_write(&inliner->out, value);
    }
    inliner->depth--;
    return fits;
}

// Most schemas have no references: then the tools stay what they are.
static enum status inline_tools(struct openai_tools *tools, struct error *err)
{
    struct inliner inliner = {0};
    bool fits = true;
    text_buffer_append_text(&inliner.out, "[");
    for (uint32_t i = 0; i < tools->tools->n && fits; i++) {
        const struct json_value *tool = &tools->tools->items[i];
        inliner.root = json_get(json_get(tool, "function"), "parameters");
        if (i > 0)
            text_buffer_append_text(&inliner.out, ",");
        fits = inline_refs(&inliner, tool);
    }
    text_buffer_append_text(&inliner.out, "]");
    enum status st = STATUS_OK;
    const struct json_limits limits = {.max_depth = 2 * MAX_DEPTH};
    if (!fits)
        st = error_set(err, STATUS_INVALID_ARGUMENT,
                       "tools: with their references in place they are larger than %zu MiB, or too "
                       "deep",
                       MAX_INLINED_BYTES >> 20);
    else if (inliner.found)
        st = json_parse(inliner.out.data, inliner.out.length, &limits, &tools->inlined, err);
    text_buffer_finish(&inliner.out);
    return st;
}

enum status openai_tools_read(struct openai_tools *out, const struct json_value *tools,
                              const struct json_value *choice, struct error *err)
{
    *out = (struct openai_tools){0};
    if (tools && tools->type != JSON_ARRAY)
        return error_set(err, STATUS_INVALID_ARGUMENT, "tools: must be an array");
    *out = (struct openai_tools){.tools = tools && tools->n > 0 ? tools : NULL};
    if (tools && tools->n > OPENAI_MAX_TOOLS)
        return error_set(err, STATUS_INVALID_ARGUMENT, "tools: %u of them, at most %d", tools->n,
                         OPENAI_MAX_TOOLS);
    enum status st = STATUS_OK;
    for (uint32_t i = 0; out->tools && i < out->tools->n && st == STATUS_OK; i++)
        st = check_tool(&out->tools->items[i], i, &out->strict, err);
    if (st == STATUS_OK)
        st = read_choice(out, choice, err);
    if (st == STATUS_OK && out->tools)
        st = inline_tools(out, err);
    return st;
}

void openai_tools_finish(struct openai_tools *tools)
{
    json_document_destroy(tools->inlined);
}

const struct json_value *openai_tools_for_template(const struct openai_tools *tools)
{
    return tools->inlined ? json_root(tools->inlined) : tools->tools;
}
