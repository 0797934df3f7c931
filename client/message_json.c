/* client/message_json.c - walks a message by protobuf-c's descriptor, so that a new field of the
 * .proto files needs no line here. Texts that are not well-formed UTF-8 (a broken server) get
 * replacement characters, as JSON must be. */
#include "client/message_json.h"

#include <inttypes.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/json.h"
#include "base/utf8.h"

static void append_text(struct text_buffer *out, const ProtobufCBinaryData *bytes)
{
    const char *text = (const char *)bytes->data;
    if (bytes->len == 0 || utf8_valid(text, bytes->len, NULL)) {
        json_write_string(out, bytes->len ? text : "", bytes->len);
        return;
    }
    struct text_buffer repaired = {0};
    for (size_t at = 0; at < bytes->len;) {
        uint32_t code_point;
        char encoded[UTF8_MAX_BYTES];
        at += utf8_decode(text + at, bytes->len - at, &code_point);
        text_buffer_append(&repaired, encoded, utf8_encode(code_point, encoded));
    }
    json_write_string(out, repaired.data, repaired.length);
    text_buffer_finish(&repaired);
}

// The fewest digits that give the same float again.
static void append_float(struct text_buffer *out, float value)
{
    if (!isfinite(value)) {
        text_buffer_append_text(out, "null");
        return;
    }
    char digits[32];
    int precision = 6;
    do
        snprintf(digits, sizeof digits, "%.*g", precision, (double)value);
    while (strtof(digits, NULL) != value && ++precision <= 9);
    text_buffer_append_text(out, digits);
}

static void append_enum(struct text_buffer *out, const ProtobufCEnumDescriptor *descriptor,
                        int value)
{
    const ProtobufCEnumValue *named = protobuf_c_enum_descriptor_get_value(descriptor, value);
    if (named)
        text_buffer_append_format(out, "\"%s\"", named->name);
    else
        text_buffer_append_format(out, "%d", value);
}

// Appends the value at `at`; returns how many bytes it takes in an array.
static size_t append_value(struct text_buffer *out, const ProtobufCFieldDescriptor *field,
                           const char *at)
{
    switch (field->type) {
    case PROTOBUF_C_TYPE_INT32:
        text_buffer_append_format(out, "%" PRId32, *(const int32_t *)at);
        return sizeof(int32_t);
    case PROTOBUF_C_TYPE_UINT32:
        text_buffer_append_format(out, "%" PRIu32, *(const uint32_t *)at);
        return sizeof(uint32_t);
    case PROTOBUF_C_TYPE_UINT64:
        text_buffer_append_format(out, "%" PRIu64, *(const uint64_t *)at);
        return sizeof(uint64_t);
    case PROTOBUF_C_TYPE_FLOAT:
        append_float(out, *(const float *)at);
        return sizeof(float);
    case PROTOBUF_C_TYPE_BOOL:
        text_buffer_append_text(out, *(const protobuf_c_boolean *)at ? "true" : "false");
        return sizeof(protobuf_c_boolean);
    case PROTOBUF_C_TYPE_ENUM:
        append_enum(out, field->descriptor, *(const int *)at);
        return sizeof(int);
    case PROTOBUF_C_TYPE_BYTES:
        append_text(out, (const ProtobufCBinaryData *)at);
        return sizeof(ProtobufCBinaryData);
    case PROTOBUF_C_TYPE_MESSAGE:
        message_json(out, *(const ProtobufCMessage *const *)at);
        return sizeof(ProtobufCMessage *);
    default: // types that our .proto files do not have
        CHECK(!"a field type that the published messages do not use");
        return 0;
    }
}

static bool is_left_out(const ProtobufCFieldDescriptor *field, const char *base)
{
    if (field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF)
        return *(const uint32_t *)(base + field->quantifier_offset) != field->id;
    return field->type == PROTOBUF_C_TYPE_MESSAGE && field->label != PROTOBUF_C_LABEL_REPEATED &&
           !*(const ProtobufCMessage *const *)(base + field->offset);
}

static void append_list(struct text_buffer *out, const ProtobufCFieldDescriptor *field,
                        const char *base)
{
    size_t n = *(const size_t *)(base + field->quantifier_offset);
    const char *at = *(const char *const *)(base + field->offset);
    text_buffer_append_text(out, "[");
    for (size_t i = 0; i < n; i++) {
        text_buffer_append_text(out, i ? "," : "");
        at += append_value(out, field, at);
    }
    text_buffer_append_text(out, "]");
}

void message_json(struct text_buffer *out, const ProtobufCMessage *message)
{
    const char *base = (const char *)message;
    const char *separator = "{";
    for (unsigned i = 0; i < message->descriptor->n_fields; i++) {
        const ProtobufCFieldDescriptor *field = &message->descriptor->fields[i];
        if (is_left_out(field, base))
            continue;
        text_buffer_append_format(out, "%s\"%s\":", separator, field->name);
        separator = ",";
        if (field->label == PROTOBUF_C_LABEL_REPEATED)
            append_list(out, field, base);
        else
            append_value(out, field, base + field->offset);
    }
    text_buffer_append_text(out, *separator == '{' ? "{}" : "}");
}

void message_print(const ProtobufCMessage *message)
{
    struct text_buffer line = {0};
    message_json(&line, message);
    text_buffer_append_text(&line, "\n");
    fwrite(line.data, 1, line.length, stdout);
    text_buffer_finish(&line);
}
