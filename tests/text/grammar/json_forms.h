/* tests/text/grammar/json_forms.h - JSON values as Python's json.dumps writes them. */
#ifndef GEMMAD_TESTS_TEXT_GRAMMAR_JSON_FORMS_H
#define GEMMAD_TESTS_TEXT_GRAMMAR_JSON_FORMS_H

#include "base/json.h"
#include "base/text_buffer.h"
#include "base/utf8.h"

static inline void write_unit(struct text_buffer *out, uint32_t unit)
{
    text_buffer_append_format(out, "\\u%04x", unit);
}

static inline void dump_string(struct text_buffer *out, const char *text, size_t n, bool ascii)
{
    struct text_buffer plain = {0};
    json_write_string(&plain, text, n);
    for (size_t i = 0; i < plain.length;) {
        uint32_t code_point;
        size_t length = utf8_decode(plain.data + i, plain.length - i, &code_point);
        if (!ascii || code_point < 0x7F) {
            text_buffer_append(out, plain.data + i, length);
        } else if (code_point < 0x10000) {
            write_unit(out, code_point);
        } else {
            write_unit(out, 0xD800 + ((code_point - 0x10000) >> 10));
            write_unit(out, 0xDC00 + ((code_point - 0x10000) & 0x3FF));
        }
        i += length;
    }
    text_buffer_finish(&plain);
}

/* json.dumps(value, ensure_ascii=ascii), with separators of its own or without blanks. */
static inline void dump_json(struct text_buffer *out, const struct json_value *value, bool ascii,
                             bool spaces)
{
    if (value->type == JSON_STRING) {
        dump_string(out, value->text, value->length, ascii);
        return;
    }
    if (value->type != JSON_ARRAY && value->type != JSON_OBJECT) {
        json_write(out, value);
        return;
    }
    text_buffer_append_text(out, value->type == JSON_ARRAY ? "[" : "{");
    for (uint32_t i = 0; i < value->n; i++) {
        if (i)
            text_buffer_append_text(out, spaces ? ", " : ",");
        if (value->type == JSON_OBJECT) {
            dump_string(out, value->members[i].key, value->members[i].key_length, ascii);
            text_buffer_append_text(out, spaces ? ": " : ":");
        }
        dump_json(out, value->type == JSON_ARRAY ? &value->items[i] : &value->members[i].value,
                  ascii, spaces);
    }
    text_buffer_append_text(out, value->type == JSON_ARRAY ? "]" : "}");
}

#endif
