/* gateway/openai_fields.c - one table of members, so that what is accepted can be read at a glance
 * and nothing is ignored by accident. What stands as ignored changes no answer: names for the
 * client's own books, hints for somebody else's caches and tiers. */
#include "gateway/openai_fields.h"

#include <inttypes.h>
#include <stddef.h>
#include <string.h>

enum field_kind {
    FIELD_IGNORED,
    FIELD_ANY,
    FIELD_STRING,
    FIELD_ARRAY,
    FIELD_OBJECT,
    FIELD_BOOL,
    FIELD_NUMBER,
    FIELD_INTEGER,
};

#define BOTH (OPENAI_CHAT | OPENAI_COMPLETION)
#define CHATS (OPENAI_CHAT | OPENAI_RESPONSES)
#define ALL (BOTH | OPENAI_RESPONSES)
#define AT(member) offsetof(struct openai_fields, member)

static const struct field {
    const char *name;
    uint8_t apis;
    uint8_t kind;
    size_t offset;
} fields[] = {
    {"model", ALL, FIELD_STRING, AT(model)},
    {"messages", OPENAI_CHAT, FIELD_ARRAY, AT(messages)},
    {"prompt", OPENAI_COMPLETION, FIELD_ANY, AT(prompt)},
    {"stream", ALL, FIELD_BOOL, AT(stream)},
    {"stream_options", BOTH, FIELD_OBJECT, AT(stream_options)},
    {"temperature", ALL, FIELD_NUMBER, AT(temperature)},
    {"top_p", ALL, FIELD_NUMBER, AT(top_p)},
    {"top_k", ALL, FIELD_INTEGER, AT(top_k)},
    {"min_p", ALL, FIELD_NUMBER, AT(min_p)},
    {"repetition_penalty", ALL, FIELD_NUMBER, AT(repetition_penalty)},
    {"frequency_penalty", ALL, FIELD_NUMBER, AT(frequency_penalty)},
    {"presence_penalty", ALL, FIELD_NUMBER, AT(presence_penalty)},
    {"logit_bias", ALL, FIELD_OBJECT, AT(logit_bias)},
    {"seed", ALL, FIELD_INTEGER, AT(seed)},
    {"n", BOTH, FIELD_INTEGER, AT(n)},
    {"best_of", OPENAI_COMPLETION, FIELD_INTEGER, AT(best_of)},
    {"max_tokens", BOTH, FIELD_INTEGER, AT(max_tokens)},
    {"max_completion_tokens", OPENAI_CHAT, FIELD_INTEGER, AT(max_completion_tokens)},
    {"min_tokens", ALL, FIELD_INTEGER, AT(min_tokens)},
    {"stop", ALL, FIELD_ANY, AT(stop)},
    {"stop_token_ids", ALL, FIELD_ARRAY, AT(stop_token_ids)},
    {"ignore_eos", ALL, FIELD_BOOL, AT(ignore_eos)},
    {"include_stop_str_in_output", ALL, FIELD_BOOL, AT(include_stop)},
    {"skip_special_tokens", ALL, FIELD_BOOL, AT(skip_special_tokens)},
    {"logprobs", BOTH, FIELD_ANY, AT(logprobs)},
    {"top_logprobs", OPENAI_CHAT, FIELD_INTEGER, AT(top_logprobs)},
    {"echo", OPENAI_COMPLETION, FIELD_BOOL, AT(echo)},
    {"suffix", OPENAI_COMPLETION, FIELD_STRING, AT(suffix)},
    {"response_format", BOTH, FIELD_OBJECT, AT(response_format)},
    {"structured_outputs", BOTH, FIELD_OBJECT, AT(structured_outputs)},
    {"guided_json", BOTH, FIELD_ANY, AT(guided_json)},
    {"guided_regex", BOTH, FIELD_STRING, AT(guided_regex)},
    {"guided_choice", BOTH, FIELD_ARRAY, AT(guided_choice)},
    {"guided_grammar", BOTH, FIELD_STRING, AT(guided_grammar)},
    {"json_schema", BOTH, FIELD_ANY, AT(json_schema)},
    {"grammar", BOTH, FIELD_STRING, AT(grammar)},
    {"tools", CHATS, FIELD_ARRAY, AT(tools)},
    {"tool_choice", CHATS, FIELD_ANY, AT(tool_choice)},
    {"parallel_tool_calls", CHATS, FIELD_BOOL, AT(parallel_tool_calls)},
    {"chat_template_kwargs", CHATS, FIELD_OBJECT, AT(chat_template_kwargs)},
    {"mm_processor_kwargs", CHATS, FIELD_OBJECT, AT(mm_processor_kwargs)},
    {"reasoning_effort", OPENAI_CHAT, FIELD_STRING, AT(reasoning_effort)},
    {"add_generation_prompt", OPENAI_CHAT, FIELD_ANY, AT(add_generation_prompt)},
    {"include_reasoning", CHATS, FIELD_BOOL, AT(include_reasoning)},
    {"thinking_budget", CHATS, FIELD_INTEGER, AT(thinking_budget)},
    {"input", OPENAI_RESPONSES, FIELD_ANY, AT(input)},
    {"instructions", OPENAI_RESPONSES, FIELD_STRING, AT(instructions)},
    {"max_output_tokens", OPENAI_RESPONSES, FIELD_INTEGER, AT(max_tokens)},
    {"text", OPENAI_RESPONSES, FIELD_OBJECT, AT(text)},
    {"reasoning", OPENAI_RESPONSES, FIELD_OBJECT, AT(reasoning)},
    {"truncation", OPENAI_RESPONSES, FIELD_STRING, AT(truncation)},
    {"background", OPENAI_RESPONSES, FIELD_BOOL, AT(background)},
    {"priority", ALL, FIELD_INTEGER, AT(priority)},
    {"cache_salt", ALL, FIELD_STRING, AT(cache_salt)},
    {"request_id", ALL, FIELD_STRING, AT(request_id)},
    {"user", ALL, FIELD_IGNORED, 0},
    {"metadata", ALL, FIELD_IGNORED, 0},
    {"store", ALL, FIELD_IGNORED, 0},
    {"prediction", OPENAI_CHAT, FIELD_IGNORED, 0},
    {"prompt_cache_key", ALL, FIELD_IGNORED, 0},
    {"prompt_cache_retention", ALL, FIELD_IGNORED, 0},
    {"safety_identifier", ALL, FIELD_IGNORED, 0},
    {"service_tier", ALL, FIELD_IGNORED, 0},
};

// By the length too: a name may hold a NUL.
static bool is_name(const struct json_member *member, const char *name)
{
    return strlen(name) == member->key_length && memcmp(name, member->key, member->key_length) == 0;
}

static const struct field *find_field(const struct json_member *member, enum openai_api api)
{
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++)
        if ((fields[i].apis & api) && is_name(member, fields[i].name))
            return &fields[i];
    return NULL;
}

static enum status wrong_type(const char *field, const char *type, struct error *err)
{
    return error_set(err, STATUS_INVALID_ARGUMENT, "%s: must be %s", field, type);
}

enum status openai_check_members(const char *field, const struct json_value *object,
                                 const char *const *names, struct error *err)
{
    for (uint32_t i = 0; object && i < object->n; i++) {
        const struct json_member *member = &object->members[i];
        size_t k = 0;
        while (names[k] && !is_name(member, names[k]))
            k++;
        if (!names[k] && member->value.type != JSON_NULL)
            return error_set(err, STATUS_INVALID_ARGUMENT, "%s.%s: no such field, or not supported",
                             field, member->key);
    }
    return STATUS_OK;
}

enum status openai_read_bool(const char *field, const struct json_value *value, bool *out,
                             struct error *err)
{
    if (!value || value->type == JSON_NULL || json_bool(value, out))
        return STATUS_OK;
    return wrong_type(field, "true or false", err);
}

// 2.0 is an integer too: JSON has one kind of number, and some clients write all of them so.
static bool read_integer(const struct json_value *value, int64_t *out)
{
    double number;
    if (json_int64(value, out))
        return true;
    if (!json_double(value, &number) || number < -9e15 || number > 9e15)
        return false;
    *out = (int64_t)number;
    return (double)*out == number;
}

enum status openai_read_integer(const char *field, const struct json_value *value, int64_t low,
                                int64_t high, int64_t *out, struct error *err)
{
    int64_t number;
    if (!value || value->type == JSON_NULL)
        return STATUS_OK;
    if (!read_integer(value, &number))
        return wrong_type(field, "an integer", err);
    if (number < low || number > high)
        return error_set(err, STATUS_INVALID_ARGUMENT,
                         "%s=%" PRId64 ": must be from %" PRId64 " to %" PRId64, field, number, low,
                         high);
    *out = number;
    return STATUS_OK;
}

static enum status read_pointer(const struct field *field, const struct json_value *value,
                                void *place, struct error *err)
{
    static const struct {
        enum json_type type;
        const char *name;
    } types[] = {
        [FIELD_STRING] = {JSON_STRING, "a string"},
        [FIELD_ARRAY] = {JSON_ARRAY, "an array"},
        [FIELD_OBJECT] = {JSON_OBJECT, "an object"},
    };
    if (field->kind != FIELD_ANY && value->type != types[field->kind].type)
        return wrong_type(field->name, types[field->kind].name, err);
    *(const struct json_value **)place = value;
    return STATUS_OK;
}

static enum status read_field(const struct field *field, const struct json_value *value,
                              struct openai_fields *out, struct error *err)
{
    void *place = (char *)out + field->offset;
    struct openai_integer *integer = place;
    struct openai_number *number = place;
    switch ((enum field_kind)field->kind) {
    case FIELD_IGNORED:
        return STATUS_OK;
    case FIELD_BOOL:
        return openai_read_bool(field->name, value, place, err);
    case FIELD_NUMBER:
        number->present = true;
        return json_double(value, &number->value) ? STATUS_OK
                                                  : wrong_type(field->name, "a number", err);
    case FIELD_INTEGER:
        integer->present = true;
        return read_integer(value, &integer->value) ? STATUS_OK
                                                    : wrong_type(field->name, "an integer", err);
    default:
        return read_pointer(field, value, place, err);
    }
}

enum status openai_fields_read(struct openai_fields *out, const struct json_value *body,
                               enum openai_api api, struct error *err)
{
    *out = (struct openai_fields){
        .skip_special_tokens = true, .parallel_tool_calls = true, .include_reasoning = true};
    if (body->type != JSON_OBJECT)
        return error_set(err, STATUS_INVALID_ARGUMENT, "the body must be a JSON object");
    for (uint32_t i = 0; i < body->n; i++) {
        const struct json_member *member = &body->members[i];
        if (member->value.type == JSON_NULL)
            continue;
        const struct field *field = find_field(member, api);
        if (!field)
            return error_set(err, STATUS_INVALID_ARGUMENT, "%s: no such field, or not supported",
                             member->key);
        enum status st = read_field(field, &member->value, out, err);
        if (st != STATUS_OK)
            return st;
    }
    return STATUS_OK;
}
