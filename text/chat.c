/* text/chat.c - rewrites the request's JSON before the template sees it, and completes the text
 * behind it. Rewritten objects are new arrays of members whose values still point into the
 * request; blocks and documents made on the way live until the template has run.
 *
 * Gemma 4's template writes no model header after an assistant message that has both answered tool
 * calls and content, so the model would have nothing to continue. The header that is appended then
 * is the one that the same template writes after a user's message, found by rendering one: the two
 * sizes of the template differ in it. */
#include "text/chat.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

struct rewrite {
    void **blocks;
    size_t n_blocks, blocks_capacity;
    struct json_document **documents;
    size_t n_documents, documents_capacity;
    bool parses_arguments;
    struct error *err;
};

static void *take(struct rewrite *rewrite, size_t n, size_t size)
{
    mem_reserve(&rewrite->blocks, &rewrite->blocks_capacity, rewrite->n_blocks + 1,
                sizeof *rewrite->blocks);
    void *block = mem_zeroed(n, size);
    rewrite->blocks[rewrite->n_blocks++] = block;
    return block;
}

static void rewrite_finish(struct rewrite *rewrite)
{
    for (size_t i = 0; i < rewrite->n_blocks; i++)
        free(rewrite->blocks[i]);
    for (size_t i = 0; i < rewrite->n_documents; i++)
        json_document_destroy(rewrite->documents[i]);
    free(rewrite->blocks);
    free(rewrite->documents);
}

// An object being written: its members are in order and unique.
struct members {
    struct json_member *items;
    uint32_t n, capacity;
};

static struct members members_of(struct rewrite *rewrite, const struct json_value *object,
                                 uint32_t n_more)
{
    uint32_t n = object ? object->n : 0;
    struct members members = {.n = n, .capacity = n + n_more};
    members.items = take(rewrite, (size_t)members.capacity, sizeof *members.items);
    if (n)
        memcpy(members.items, object->members, n * sizeof *members.items);
    return members;
}

static void members_set(struct members *members, const char *key, struct json_value value)
{
    size_t length = strlen(key);
    for (uint32_t i = 0; i < members->n; i++)
        if (members->items[i].key_length == length &&
            memcmp(members->items[i].key, key, length) == 0) {
            members->items[i].value = value;
            return;
        }
    CHECK(members->n < members->capacity);
    members->items[members->n++] = (struct json_member){key, length, value};
}

static struct json_value object_of(const struct members *members)
{
    return (struct json_value){.type = JSON_OBJECT, .n = members->n, .members = members->items};
}

static struct json_value boolean(bool value)
{
    return (struct json_value){.type = value ? JSON_TRUE : JSON_FALSE};
}

static struct json_value string(const char *text)
{
    return (struct json_value){.type = JSON_STRING, .length = strlen(text), .text = text};
}

static enum status parse_arguments(struct rewrite *rewrite, struct json_value *arguments,
                                   uint32_t message, uint32_t call)
{
    struct json_document *document;
    struct error cause = {0};
    if (json_parse(arguments->text, arguments->length, NULL, &document, &cause) != STATUS_OK)
        return error_set(rewrite->err, STATUS_INVALID_ARGUMENT,
                         "messages[%u].tool_calls[%u].function.arguments: %s", message, call,
                         cause.message);
    mem_reserve(&rewrite->documents, &rewrite->documents_capacity, rewrite->n_documents + 1,
                sizeof *rewrite->documents);
    rewrite->documents[rewrite->n_documents++] = document;
    if (json_root(document)->type != JSON_OBJECT)
        return error_set(rewrite->err, STATUS_INVALID_ARGUMENT,
                         "messages[%u].tool_calls[%u].function.arguments: no JSON object", message,
                         call);
    *arguments = *json_root(document);
    return STATUS_OK;
}

static enum status rewrite_call(struct rewrite *rewrite, struct json_value *call, uint32_t message,
                                uint32_t index)
{
    const struct json_value *function = json_get(call, "function");
    if (!function || function->type != JSON_OBJECT)
        return error_set(rewrite->err, STATUS_INVALID_ARGUMENT,
                         "messages[%u].tool_calls[%u].function: missing or no object", message,
                         index);
    const struct json_value *name = json_get(function, "name");
    if (!name || name->type != JSON_STRING)
        return error_set(rewrite->err, STATUS_INVALID_ARGUMENT,
                         "messages[%u].tool_calls[%u].function.name: missing or no string", message,
                         index);
    const struct json_value *given = json_get(function, "arguments");
    struct json_value arguments = given ? *given : (struct json_value){.type = JSON_NULL};
    if (arguments.type == JSON_STRING) {
        enum status st = parse_arguments(rewrite, &arguments, message, index);
        if (st != STATUS_OK)
            return st;
    }
    struct members of_function = members_of(rewrite, function, 1);
    members_set(&of_function, "arguments", arguments);
    struct members of_call = members_of(rewrite, call, 0);
    members_set(&of_call, "function", object_of(&of_function));
    *call = object_of(&of_call);
    return STATUS_OK;
}

static enum status rewrite_calls(struct rewrite *rewrite, const struct json_value *calls,
                                 struct members *message, uint32_t index)
{
    if (calls->type != JSON_ARRAY)
        return error_set(rewrite->err, STATUS_INVALID_ARGUMENT, "messages[%u].tool_calls: no array",
                         index);
    struct json_value *items = take(rewrite, calls->n, sizeof *items);
    for (uint32_t i = 0; i < calls->n; i++) {
        items[i] = calls->items[i];
        enum status st = rewrite_call(rewrite, &items[i], index, i);
        if (st != STATUS_OK)
            return st;
    }
    members_set(message, "tool_calls",
                (struct json_value){.type = JSON_ARRAY, .n = calls->n, .items = items});
    return STATUS_OK;
}

static enum status rewrite_message(struct rewrite *rewrite, const struct json_value *message,
                                   uint32_t index, struct json_value *out)
{
    static const char *const reasoning_keys[] = {"reasoning_content", "thinking", "reasoning"};
    if (message->type != JSON_OBJECT)
        return error_set(rewrite->err, STATUS_INVALID_ARGUMENT, "messages[%u]: no object", index);
    const struct json_value *role = json_get(message, "role");
    if (!role || role->type != JSON_STRING)
        return error_set(rewrite->err, STATUS_INVALID_ARGUMENT,
                         "messages[%u].role: missing or no string", index);
    struct members members = members_of(rewrite, message, 1);
    for (size_t i = 0; i < sizeof reasoning_keys / sizeof *reasoning_keys; i++) {
        const struct json_value *reasoning = json_get_present(message, reasoning_keys[i]);
        if (!reasoning)
            continue;
        if (reasoning->type != JSON_STRING)
            return error_set(rewrite->err, STATUS_INVALID_ARGUMENT, "messages[%u].%s: no string",
                             index, reasoning_keys[i]);
        members_set(&members, "reasoning_content", *reasoning);
        break;
    }
    const struct json_value *calls = json_get_present(message, "tool_calls");
    enum status st = STATUS_OK;
    if (calls && rewrite->parses_arguments)
        st = rewrite_calls(rewrite, calls, &members, index);
    *out = object_of(&members);
    return st;
}

static enum status rewrite_messages(struct rewrite *rewrite, const struct json_value *messages,
                                    struct json_value *out)
{
    if (!messages || messages->type != JSON_ARRAY)
        return error_set(rewrite->err, STATUS_INVALID_ARGUMENT, "messages: missing or no array");
    struct json_value *items = take(rewrite, messages->n, sizeof *items);
    for (uint32_t i = 0; i < messages->n; i++) {
        enum status st = rewrite_message(rewrite, &messages->items[i], i, &items[i]);
        if (st != STATUS_OK)
            return st;
    }
    *out = (struct json_value){.type = JSON_ARRAY, .n = messages->n, .items = items};
    return STATUS_OK;
}

static enum status check_tools(const struct json_value *tools, struct error *err)
{
    if (tools && tools->type != JSON_ARRAY)
        return error_set(err, STATUS_INVALID_ARGUMENT, "tools: no array");
    for (uint32_t i = 0; tools && i < tools->n; i++)
        if (tools->items[i].type != JSON_OBJECT)
            return error_set(err, STATUS_INVALID_ARGUMENT, "tools[%u]: no object", i);
    return STATUS_OK;
}

static const struct json_value *find_variable(const struct json_value *request, const char *name)
{
    const struct json_value *value = json_get_present(request, name);
    return value ? value : json_get_present(json_get(request, "chat_template_kwargs"), name);
}

static enum status check_flags(const struct json_value *request, struct error *err)
{
    static const char *const flags[] = {"add_generation_prompt", "enable_thinking",
                                        "preserve_thinking"};
    bool value;
    for (size_t i = 0; i < sizeof flags / sizeof *flags; i++) {
        const struct json_value *flag = find_variable(request, flags[i]);
        if (flag && !json_bool(flag, &value))
            return error_set(err, STATUS_INVALID_ARGUMENT, "%s: no boolean", flags[i]);
    }
    const struct json_value *effort = find_variable(request, "reasoning_effort");
    if (effort && effort->type != JSON_STRING)
        return error_set(err, STATUS_INVALID_ARGUMENT, "reasoning_effort: no string");
    return STATUS_OK;
}

// chat_template_kwargs become variables, where the request itself does not name them.
static enum status add_kwargs(const struct json_value *request, struct members *variables,
                              struct error *err)
{
    const struct json_value *kwargs = json_get_present(request, "chat_template_kwargs");
    if (kwargs && kwargs->type != JSON_OBJECT)
        return error_set(err, STATUS_INVALID_ARGUMENT, "chat_template_kwargs: no object");
    for (uint32_t i = 0; kwargs && i < kwargs->n; i++) {
        const struct json_member *member = &kwargs->members[i];
        if (strcmp(member->key, "messages") == 0 || strcmp(member->key, "tools") == 0)
            return error_set(err, STATUS_INVALID_ARGUMENT,
                             "chat_template_kwargs.%s: belongs beside it", member->key);
        if (!json_get_present(request, member->key))
            members_set(variables, member->key, member->value);
    }
    return STATUS_OK;
}

static enum status build_variables(struct rewrite *rewrite, const struct json_value *request,
                                   struct members *out)
{
    if (!request || request->type != JSON_OBJECT)
        return error_set(rewrite->err, STATUS_INVALID_ARGUMENT, "the chat request is no object");
    const struct json_value *kwargs = json_get_present(request, "chat_template_kwargs");
    uint32_t n_kwargs = kwargs && kwargs->type == JSON_OBJECT ? kwargs->n : 0;
    if (request->n > 256 || n_kwargs > 256)
        return error_set(rewrite->err, STATUS_INVALID_ARGUMENT,
                         "more than 256 variables for the template");
    struct json_value messages;
    enum status st = check_tools(json_get_present(request, "tools"), rewrite->err);
    if (st == STATUS_OK)
        st = check_flags(request, rewrite->err);
    if (st == STATUS_OK)
        st = rewrite_messages(rewrite, json_get(request, "messages"), &messages);
    if (st != STATUS_OK)
        return st;
    *out = members_of(rewrite, request, n_kwargs + 4);
    st = add_kwargs(request, out, rewrite->err);
    members_set(out, "messages", messages);
    if (!json_get(request, "tools"))
        members_set(out, "tools", (struct json_value){.type = JSON_NULL});
    if (!find_variable(request, "add_generation_prompt"))
        members_set(out, "add_generation_prompt", boolean(true));
    const struct json_value *effort = find_variable(request, "reasoning_effort");
    if (effort && !find_variable(request, "enable_thinking"))
        members_set(out, "enable_thinking", boolean(!json_string_is(effort, "none")));
    return st;
}

static bool ends_with(const struct template_output *output, const char *end)
{
    size_t n = strlen(end);
    return output->n_spans && !output->spans[output->n_spans - 1].from_client &&
           output->spans[output->n_spans - 1].length >= n &&
           memcmp(output->text + output->length - n, end, n) == 0;
}

#define TURN_END "<turn|>\n"
#define CHANNEL_START "<|channel>thought\n"

// Puts header in the place of the last n_cut bytes, which the template wrote.
static void replace_end(struct template_output *output, size_t n_cut, const char *header, size_t n)
{
    output->length -= n_cut;
    output->text = mem_resized(output->text, output->length + n + 1, 1);
    memcpy(output->text + output->length, header, n);
    output->length += n;
    output->text[output->length] = 0;
    struct template_span *last = &output->spans[output->n_spans - 1];
    last->length = last->length - n_cut + n;
}

// What the template writes after a user's message, with the request's other variables.
static enum status append_header(const struct template *template, struct members *variables,
                                 const struct json_value *trusted,
                                 const struct template_limits *limits, size_t n_cut,
                                 struct template_output *output, struct error *err)
{
    const struct json_member user[] = {{"role", 4, string("user")}, {"content", 7, string("x")}};
    const struct json_value message = {.type = JSON_OBJECT, .n = 2, .members = user};
    struct template_output probe;
    members_set(variables, "messages",
                (struct json_value){.type = JSON_ARRAY, .n = 1, .items = &message});
    members_set(variables, "tools", (struct json_value){.type = JSON_NULL});
    struct json_value root = object_of(variables);
    enum status st = template_render(template, &root, trusted, limits, &probe, err);
    if (st != STATUS_OK)
        return st;
    const char *header = NULL;
    for (const char *at = probe.text; (at = strstr(at, TURN_END)); header = at)
        at += strlen(TURN_END);
    if (header)
        replace_end(output, n_cut, header, strlen(header));
    template_output_finish(&probe);
    return STATUS_OK;
}

static bool wants_header(const struct members *variables)
{
    static const char key[] = "add_generation_prompt";
    for (uint32_t i = 0; i < variables->n; i++)
        if (strcmp(variables->items[i].key, key) == 0)
            return variables->items[i].value.type == JSON_TRUE;
    return false;
}

static enum status render_variables(const struct template *template, struct members *variables,
                                    const struct chat_options *options, struct template_output *out,
                                    struct error *err)
{
    const struct json_member bos = {"bos_token", 9,
                                    string(options->bos_token ? options->bos_token : "<bos>")};
    const struct json_value trusted = {.type = JSON_OBJECT, .n = 1, .members = &bos};
    struct json_value root = object_of(variables);
    struct template_output output;
    enum status st = template_render(template, &root, &trusted, &options->limits, &output, err);
    if (st != STATUS_OK)
        return st;
    bool opens_channel = ends_with(&output, TURN_END CHANNEL_START);
    if (!options->as_transformers && wants_header(variables) &&
        (opens_channel || ends_with(&output, TURN_END)))
        st = append_header(template, variables, &trusted, &options->limits,
                           opens_channel ? strlen(CHANNEL_START) : 0, &output, err);
    if (st != STATUS_OK) {
        template_output_finish(&output);
        return st;
    }
    *out = output;
    return STATUS_OK;
}

enum status chat_render(const struct template *template, const struct json_value *request,
                        const struct chat_options *options, struct template_output *out,
                        struct error *err)
{
    static const struct chat_options defaults;
    if (!options)
        options = &defaults;
    struct rewrite rewrite = {.parses_arguments = !options->as_transformers, .err = err};
    struct members variables = {0};
    enum status st = build_variables(&rewrite, request, &variables);
    if (st == STATUS_OK)
        st = render_variables(template, &variables, options, out, err);
    rewrite_finish(&rewrite);
    return st;
}

void chat_encode(const struct tokenizer *tokenizer, struct tokenizer_encoder *encoder,
                 const struct template_output *rendered, bool parse_content, uint32_t **ids,
                 size_t *n_ids, size_t *capacity)
{
    if (parse_content) {
        tokenizer_encode(encoder, rendered->text, rendered->length, true, ids, n_ids, capacity);
        return;
    }
    size_t encoded = 0; // everything before has its ids
    size_t at = 0;
    for (size_t i = 0; i < rendered->n_spans; i++) {
        size_t end = at + rendered->spans[i].length;
        size_t start, length;
        uint32_t id;
        while (!rendered->spans[i].from_client &&
               tokenizer_find_added(tokenizer, rendered->text, end, at, &start, &length, &id)) {
            tokenizer_encode(encoder, rendered->text + encoded, start - encoded, false, ids, n_ids,
                             capacity);
            mem_reserve(ids, capacity, *n_ids + 1, sizeof **ids);
            (*ids)[(*n_ids)++] = id;
            encoded = at = start + length;
        }
        at = end;
    }
    tokenizer_encode(encoder, rendered->text + encoded, rendered->length - encoded, false, ids,
                     n_ids, capacity);
}
