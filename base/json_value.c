/* base/json_value.c - what a parsed value is worth (exact numbers), and values as text again.
 * Numbers are written as they were read, so a document that passes through loses nothing. */
#include "base/json.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

bool json_is_integer(const struct json_value *value)
{
    return value && value->type == JSON_NUMBER && !strpbrk(value->text, ".eE");
}

bool json_int64(const struct json_value *value, int64_t *out)
{
    if (!json_is_integer(value))
        return false;
    bool negative = value->text[0] == '-';
    int64_t total = 0; // counts down when negative: INT64_MIN has no positive twin
    for (const char *digit = value->text + negative; *digit; digit++) {
        int step = negative ? '0' - *digit : *digit - '0';
        if (__builtin_mul_overflow(total, 10, &total) ||
            __builtin_add_overflow(total, step, &total))
            return false;
    }
    *out = total;
    return true;
}

bool json_double(const struct json_value *value, double *out)
{
    if (!value || value->type != JSON_NUMBER)
        return false;
    double number = strtod(value->text, NULL); // the process never leaves the "C" locale
    if (isinf(number))
        return false;
    *out = number;
    return true;
}

bool json_bool(const struct json_value *value, bool *out)
{
    if (!value || (value->type != JSON_TRUE && value->type != JSON_FALSE))
        return false;
    *out = value->type == JSON_TRUE;
    return true;
}

bool json_string_is(const struct json_value *value, const char *text)
{
    return value && value->type == JSON_STRING && value->length == strlen(text) &&
           memcmp(value->text, text, value->length) == 0;
}

static void write_escape(struct text_buffer *out, unsigned char c)
{
    static const char special[] = "\"\\\b\f\n\r\t";
    static const char names[] = "\"\\bfnrt";
    const char *place = c ? strchr(special, c) : NULL;
    if (place)
        text_buffer_append_format(out, "\\%c", names[place - special]);
    else
        text_buffer_append_format(out, "\\u%04x", c);
}

void json_write_string(struct text_buffer *out, const char *bytes, size_t n)
{
    text_buffer_append(out, "\"", 1);
    size_t start = 0;
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)bytes[i];
        if (c >= 0x20 && c != '"' && c != '\\')
            continue;
        text_buffer_append(out, bytes + start, i - start);
        write_escape(out, c);
        start = i + 1;
    }
    text_buffer_append(out, bytes + start, n - start);
    text_buffer_append(out, "\"", 1);
}

static void write_object(struct text_buffer *out, const struct json_value *object)
{
    text_buffer_append(out, "{", 1);
    for (uint32_t i = 0; i < object->n; i++) {
        if (i)
            text_buffer_append(out, ",", 1);
        json_write_string(out, object->members[i].key, object->members[i].key_length);
        text_buffer_append(out, ":", 1);
        json_write(out, &object->members[i].value);
    }
    text_buffer_append(out, "}", 1);
}

static void write_array(struct text_buffer *out, const struct json_value *array)
{
    text_buffer_append(out, "[", 1);
    for (uint32_t i = 0; i < array->n; i++) {
        if (i)
            text_buffer_append(out, ",", 1);
        json_write(out, &array->items[i]);
    }
    text_buffer_append(out, "]", 1);
}

void json_write(struct text_buffer *out, const struct json_value *value)
{
    switch (value->type) {
    case JSON_NULL:
        text_buffer_append_text(out, "null");
        break;
    case JSON_FALSE:
        text_buffer_append_text(out, "false");
        break;
    case JSON_TRUE:
        text_buffer_append_text(out, "true");
        break;
    case JSON_NUMBER:
        text_buffer_append(out, value->text, value->length);
        break;
    case JSON_STRING:
        json_write_string(out, value->text, value->length);
        break;
    case JSON_ARRAY:
        write_array(out, value);
        break;
    case JSON_OBJECT:
        write_object(out, value);
        break;
    }
}
