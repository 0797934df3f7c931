/* gateway/openai_output.c - each way is read by the same four functions, so that the same schema
 * means the same wherever it stands. */
#include "gateway/openai_output.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

struct reader {
    struct openai_output *out;
    struct error *err;
};

static enum status begin(struct reader *reader, const char *field)
{
    if (reader->out->present)
        return error_set(reader->err, STATUS_INVALID_ARGUMENT,
                         "%s: only one of it and %s can say what the answer looks like", field,
                         reader->out->field);
    reader->out->field = field;
    reader->out->present = true;
    return STATUS_OK;
}

static enum status take_schema(struct reader *reader, const char *field,
                               const struct json_value *schema, bool strict)
{
    enum status st = begin(reader, field);
    if (st != STATUS_OK)
        return st;
    struct openai_output *out = reader->out;
    if (schema->type == JSON_STRING)
        text_buffer_append(&out->schema, schema->text, schema->length);
    else
        json_write(&out->schema, schema);
    out->message.kind_case = GEMMAD__V1__STRUCTURED_OUTPUT__KIND_JSON_SCHEMA;
    out->message.json_schema = (ProtobufCBinaryData){out->schema.length,
                                                     (uint8_t *)out->schema.data};
    out->message.has_strict = strict;
    out->message.strict = strict;
    return STATUS_OK;
}

static enum status take_object(struct reader *reader, const char *field)
{
    static const char any_object[] = "{\"type\":\"object\"}";
    const struct json_value schema = {
        .type = JSON_STRING, .length = sizeof any_object - 1, .text = any_object};
    return take_schema(reader, field, &schema, false);
}

static enum status take_text(struct reader *reader, const char *field,
                             const struct json_value *text,
                             Gemmad__V1__StructuredOutput__KindCase kind)
{
    if (text->type != JSON_STRING)
        return error_set(reader->err, STATUS_INVALID_ARGUMENT, "%s: must be a string", field);
    enum status st = begin(reader, field);
    reader->out->message.kind_case = kind;
    reader->out->message.regex = (ProtobufCBinaryData){text->length, (uint8_t *)text->text};
    return st;
}

static enum status take_choices(struct reader *reader, const char *field,
                                const struct json_value *choices)
{
    struct openai_output *out = reader->out;
    if (choices->type != JSON_ARRAY || choices->n == 0 || choices->n > OPENAI_MAX_CHOICES)
        return error_set(reader->err, STATUS_INVALID_ARGUMENT,
                         "%s: must be an array of 1 to %d strings", field, OPENAI_MAX_CHOICES);
    enum status st = begin(reader, field);
    if (st != STATUS_OK)
        return st;
    out->texts = mem_zeroed(choices->n, sizeof *out->texts);
    for (uint32_t i = 0; i < choices->n; i++) {
        const struct json_value *text = &choices->items[i];
        if (text->type != JSON_STRING)
            return error_set(reader->err, STATUS_INVALID_ARGUMENT, "%s[%u]: must be a string",
                             field, i);
        out->texts[i] = (ProtobufCBinaryData){text->length, (uint8_t *)text->text};
    }
    gemmad__v1__choices__init(&out->choices);
    out->choices.choices = out->texts;
    out->choices.n_choices = choices->n;
    out->message.kind_case = GEMMAD__V1__STRUCTURED_OUTPUT__KIND_CHOICE;
    out->message.choice = &out->choices;
    return STATUS_OK;
}

static enum status take_response_format(struct reader *reader, const struct json_value *format)
{
    const struct json_value *type = json_get(format, "type");
    if (json_string_is(type, "text"))
        return STATUS_OK;
    if (json_string_is(type, "json_object"))
        return take_object(reader, "response_format");
    if (!json_string_is(type, "json_schema"))
        return error_set(reader->err, STATUS_INVALID_ARGUMENT,
                         "response_format.type: must be \"text\", \"json_object\" or "
                         "\"json_schema\"");
    const struct json_value *outer = json_get(format, "json_schema");
    const struct json_value *schema = json_get_present(outer, "schema");
    if (!schema ||
        (schema->type != JSON_OBJECT && schema->type != JSON_TRUE && schema->type != JSON_FALSE))
        return error_set(reader->err, STATUS_INVALID_ARGUMENT,
                         "response_format.json_schema.schema: must be a JSON Schema");
    bool strict = false;
    enum status st = openai_read_bool("response_format.json_schema.strict",
                                      json_get(outer, "strict"), &strict, reader->err);
    return st == STATUS_OK ? take_schema(reader, "response_format", schema, strict) : st;
}

static enum status take_structured_outputs(struct reader *reader, const struct json_value *outputs)
{
    enum status st = STATUS_OK;
    for (uint32_t i = 0; i < outputs->n && st == STATUS_OK; i++) {
        const char *key = outputs->members[i].key;
        const struct json_value *value = &outputs->members[i].value;
        bool flag = false;
        if (value->type == JSON_NULL)
            continue;
        if (strcmp(key, "json") == 0)
            st = take_schema(reader, "structured_outputs.json", value, false);
        else if (strcmp(key, "regex") == 0)
            st = take_text(reader, "structured_outputs.regex", value,
                           GEMMAD__V1__STRUCTURED_OUTPUT__KIND_REGEX);
        else if (strcmp(key, "choice") == 0)
            st = take_choices(reader, "structured_outputs.choice", value);
        else if (strcmp(key, "grammar") == 0)
            st = take_text(reader, "structured_outputs.grammar", value,
                           GEMMAD__V1__STRUCTURED_OUTPUT__KIND_GRAMMAR);
        else if (strcmp(key, "json_object") == 0)
            st = openai_read_bool("structured_outputs.json_object", value, &flag, reader->err);
        else
            st = error_set(reader->err, STATUS_INVALID_ARGUMENT,
                           "structured_outputs.%s: no such field, or not supported", key);
        if (st == STATUS_OK && flag)
            st = take_object(reader, "structured_outputs.json_object");
    }
    return st;
}

enum status openai_output_read(struct openai_output *out, const struct openai_fields *f,
                               struct error *err)
{
    *out = (struct openai_output){0};
    gemmad__v1__structured_output__init(&out->message);
    struct reader reader = {.out = out, .err = err};
    enum status st = STATUS_OK;
    if (f->response_format)
        st = take_response_format(&reader, f->response_format);
    if (st == STATUS_OK && f->structured_outputs)
        st = take_structured_outputs(&reader, f->structured_outputs);
    if (st == STATUS_OK && f->guided_json)
        st = take_schema(&reader, "guided_json", f->guided_json, false);
    if (st == STATUS_OK && f->json_schema)
        st = take_schema(&reader, "json_schema", f->json_schema, false);
    if (st == STATUS_OK && f->guided_regex)
        st = take_text(&reader, "guided_regex", f->guided_regex,
                       GEMMAD__V1__STRUCTURED_OUTPUT__KIND_REGEX);
    if (st == STATUS_OK && f->guided_choice)
        st = take_choices(&reader, "guided_choice", f->guided_choice);
    if (st == STATUS_OK && f->guided_grammar)
        st = take_text(&reader, "guided_grammar", f->guided_grammar,
                       GEMMAD__V1__STRUCTURED_OUTPUT__KIND_GRAMMAR);
    if (st == STATUS_OK && f->grammar)
        st = take_text(&reader, "grammar", f->grammar, GEMMAD__V1__STRUCTURED_OUTPUT__KIND_GRAMMAR);
    return st;
}

void openai_output_finish(struct openai_output *output)
{
    free(output->texts);
    text_buffer_finish(&output->schema);
}
