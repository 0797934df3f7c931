/* text/tool_calls_arguments.c - recursive descent, one byte of look-ahead where it can be.
 *
 * Two steps: the lenient text becomes strict JSON, which base/json then reads; that finds repeated
 * keys in time that no client can make grow, and refuses what is no UTF-8.
 * Linear: what a rule looks at in vain (a string literal that is none, a closing quote without an
 * opening one) is consumed by the rule that takes its place before another may look. */
#include "text/tool_calls_arguments.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "text/float_repr.h"

struct reader {
    const char *at, *end;
    struct text_buffer *out; // strict JSON, keys may repeat
    uint32_t depth;
    bool too_deep;
};

struct piece {
    const char *at;
    size_t n;
};

bool tool_calls_is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static const char *skip_blanks(const char *at, const char *end)
{
    while (at < end && tool_calls_is_blank(*at))
        at++;
    return at;
}

static struct piece trimmed(const char *at, const char *end)
{
    at = skip_blanks(at, end);
    while (end > at && tool_calls_is_blank(end[-1]))
        end--;
    return (struct piece){at, (size_t)(end - at)};
}

static bool is_one_of(char c, const char *characters)
{
    return c && strchr(characters, c);
}

// The first of the characters in [at, end), or end.
static const char *find_any(const char *at, const char *end, const char *characters)
{
    while (at < end && !is_one_of(*at, characters))
        at++;
    return at;
}

static const char *find_quote(const char *at, const char *end)
{
    return memmem(at, (size_t)(end - at), TOOL_CALLS_QUOTE, TOOL_CALLS_QUOTE_BYTES);
}

static bool starts_with_quote(const struct reader *reader)
{
    return (size_t)(reader->end - reader->at) >= TOOL_CALLS_QUOTE_BYTES &&
           memcmp(reader->at, TOOL_CALLS_QUOTE, TOOL_CALLS_QUOTE_BYTES) == 0;
}

static bool read_hex4(const char *at, const char *end, uint32_t *out)
{
    if (end - at < 4)
        return false;
    uint32_t value = 0;
    for (int i = 0; i < 4; i++) {
        char c = at[i];
        uint32_t digit = is_digit(c)            ? (uint32_t)(c - '0')
                         : c >= 'a' && c <= 'f' ? (uint32_t)(c - 'a' + 10)
                         : c >= 'A' && c <= 'F' ? (uint32_t)(c - 'A' + 10)
                                                : 16;
        if (digit == 16)
            return false;
        value = value * 16 + digit;
    }
    *out = value;
    return true;
}

// Behind the escape that begins at a backslash, or NULL: none, or half a surrogate pair.
static const char *skip_escape(const char *at, const char *end)
{
    uint32_t first, second;
    if (end - at < 2)
        return NULL;
    if (at[1] != 'u')
        return is_one_of(at[1], "\"\\/bfnrt") ? at + 2 : NULL;
    if (!read_hex4(at + 2, end, &first))
        return NULL;
    at += 6;
    if (first < 0xD800 || first > 0xDFFF)
        return at;
    bool pair = first <= 0xDBFF && end - at >= 6 && at[0] == '\\' && at[1] == 'u' &&
                read_hex4(at + 2, end, &second) && second >= 0xDC00 && second <= 0xDFFF;
    return pair ? at + 6 : NULL;
}

// Behind the JSON string at reader->at, or NULL: there is no valid one with an end of its value.
static const char *json_string_end(const struct reader *reader)
{
    const char *at = reader->at, *end = reader->end;
    if (at == end || *at != '"')
        return NULL;
    for (at++; at && at < end && *at != '"';)
        at = *at == '\\' ? skip_escape(at, end) : at + 1;
    if (!at || at == end)
        return NULL;
    const char *behind = skip_blanks(++at, end);
    return behind == end || is_one_of(*behind, ",}]:") ? at : NULL;
}

// A JSON string as it stands, but for control characters, which JSON wants escaped.
static void write_json_string(struct reader *reader, const char *end)
{
    const char *start = reader->at;
    for (const char *at = start; at < end; at++) {
        if ((unsigned char)*at >= 0x20)
            continue;
        text_buffer_append(reader->out, start, (size_t)(at - start));
        text_buffer_append_format(reader->out, "\\u%04x", (unsigned char)*at);
        start = at + 1;
    }
    text_buffer_append(reader->out, start, (size_t)(end - start));
    reader->at = end;
}

static const char *skip_digits(const char *at, const char *end)
{
    while (at < end && is_digit(*at))
        at++;
    return at;
}

static const char *skip_sign(const char *at, const char *end)
{
    return at + (at < end && (*at == '-' || *at == '+'));
}

static bool write_integer(struct text_buffer *out, struct piece text)
{
    const char *end = text.at + text.n;
    const char *digits = skip_sign(text.at, end);
    if (digits == end || skip_digits(digits, end) != end)
        return false;
    while (digits < end - 1 && *digits == '0')
        digits++;
    if (*text.at == '-' && *digits != '0')
        text_buffer_append(out, "-", 1);
    text_buffer_append(out, digits, (size_t)(end - digits));
    return true;
}

// Digits with a point, an exponent or both: 1. .5 -1.5e+3
static bool is_decimal(struct piece text)
{
    const char *end = text.at + text.n;
    const char *whole = skip_sign(text.at, end);
    const char *at = skip_digits(whole, end);
    bool has_digits = at > whole;
    if (at < end && *at == '.') {
        const char *fraction = at + 1;
        at = skip_digits(fraction, end);
        has_digits |= at > fraction;
    }
    if (!has_digits || at == end)
        return has_digits;
    if (*at != 'e' && *at != 'E')
        return false;
    const char *exponent = skip_sign(at + 1, end);
    at = skip_digits(exponent, end);
    return at > exponent && at == end;
}

static bool write_decimal(struct text_buffer *out, struct piece text)
{
    if (!is_decimal(text))
        return false;
    double number = strtod(text.at, NULL); // what stands behind it is no part of a number
    char repr[32];
    if (!isfinite(number))
        return false;
    text_buffer_append(out, repr, float_repr(number, repr));
    return true;
}

static bool write_literal(struct text_buffer *out, struct piece text)
{
    static const char *const literals[] = {"true", "false", "null"};
    for (size_t i = 0; i < sizeof literals / sizeof *literals; i++) {
        if (text.n == strlen(literals[i]) && memcmp(text.at, literals[i], text.n) == 0) {
            text_buffer_append(out, text.at, text.n);
            return true;
        }
    }
    return false;
}

static void read_bare(struct reader *reader)
{
    const char *end = find_any(reader->at, reader->end, ",}]");
    struct piece text = trimmed(reader->at, end);
    reader->at = end;
    if (write_literal(reader->out, text) || write_integer(reader->out, text) ||
        write_decimal(reader->out, text))
        return;
    bool has_quote = text.n >= TOOL_CALLS_QUOTE_BYTES &&
                     memcmp(text.at + text.n - TOOL_CALLS_QUOTE_BYTES, TOOL_CALLS_QUOTE,
                            TOOL_CALLS_QUOTE_BYTES) == 0;
    json_write_string(reader->out, text.at, text.n - (has_quote ? TOOL_CALLS_QUOTE_BYTES : 0));
}

static void read_quoted(struct reader *reader)
{
    const char *start = reader->at + TOOL_CALLS_QUOTE_BYTES;
    const char *end = find_quote(start, reader->end);
    json_write_string(reader->out, start, (size_t)((end ? end : reader->end) - start));
    reader->at = end ? end + TOOL_CALLS_QUOTE_BYTES : reader->end;
}

// `key:some text<|"|>`: a string whose opening quote was left out.
static bool read_half_quoted(struct reader *reader)
{
    const char *end = reader->at;
    while ((end = find_any(end, reader->end, ":{}[]<")) < reader->end && *end == '<') {
        if ((size_t)(reader->end - end) >= TOOL_CALLS_QUOTE_BYTES &&
            memcmp(end, TOOL_CALLS_QUOTE, TOOL_CALLS_QUOTE_BYTES) == 0)
            break;
        end++;
    }
    if (end == reader->end || *end != '<')
        return false;
    const char *behind = skip_blanks(end + TOOL_CALLS_QUOTE_BYTES, reader->end);
    if (behind < reader->end && !is_one_of(*behind, ",}]"))
        return false;
    json_write_string(reader->out, reader->at, (size_t)(end - reader->at));
    reader->at = end + TOOL_CALLS_QUOTE_BYTES;
    return true;
}

static void read_object(struct reader *reader);
static void read_array(struct reader *reader);

static void read_value(struct reader *reader, bool in_object)
{
    reader->at = skip_blanks(reader->at, reader->end);
    const char *end;
    if (reader->at == reader->end || is_one_of(*reader->at, ",}]"))
        text_buffer_append_text(reader->out, "\"\"");
    else if (starts_with_quote(reader))
        read_quoted(reader);
    else if (*reader->at == '{')
        read_object(reader);
    else if (*reader->at == '[')
        read_array(reader);
    else if ((end = json_string_end(reader)))
        write_json_string(reader, end);
    else if (!in_object || !read_half_quoted(reader))
        read_bare(reader);
}

// Appends the key to out and goes behind its colon. False: a fragment, which is left out.
static bool read_key(struct reader *reader)
{
    const char *end;
    if (starts_with_quote(reader) && find_quote(reader->at + TOOL_CALLS_QUOTE_BYTES, reader->end)) {
        read_quoted(reader);
        reader->at = skip_blanks(reader->at, reader->end);
    } else if ((end = json_string_end(reader))) {
        write_json_string(reader, end);
        reader->at = skip_blanks(reader->at, reader->end);
    } else {
        end = find_any(reader->at, reader->end, ":,}");
        struct piece key = trimmed(reader->at, end);
        json_write_string(reader->out, key.at, key.n);
        reader->at = end;
    }
    if (reader->at == reader->end || *reader->at != ':')
        return false;
    reader->at++;
    return true;
}

static void read_members(struct reader *reader, bool is_top)
{
    bool first = true;
    while (!reader->too_deep) {
        while (reader->at < reader->end && (tool_calls_is_blank(*reader->at) ||
                                            *reader->at == ',' || (is_top && *reader->at == ']')))
            reader->at++;
        if (reader->at == reader->end || *reader->at == ']')
            return;
        if (*reader->at == '}') {
            reader->at++;
            return;
        }
        size_t before = reader->out->length;
        if (!first)
            text_buffer_append(reader->out, ",", 1);
        if (read_key(reader)) {
            text_buffer_append(reader->out, ":", 1);
            read_value(reader, true);
            first = false;
        } else {
            reader->out->length = before;
        }
    }
}

static void read_items(struct reader *reader)
{
    bool first = true;
    while (!reader->too_deep) {
        while (reader->at < reader->end && (tool_calls_is_blank(*reader->at) || *reader->at == ','))
            reader->at++;
        if (reader->at == reader->end || *reader->at == '}')
            return;
        if (*reader->at == ']') {
            reader->at++;
            return;
        }
        if (!first)
            text_buffer_append(reader->out, ",", 1);
        read_value(reader, false);
        first = false;
    }
}

// Containers in each other are calls in each other: at most TOOL_CALLS_MAX_DEPTH.
static bool enter(struct reader *reader)
{
    reader->too_deep |= reader->depth == TOOL_CALLS_MAX_DEPTH;
    reader->depth++;
    return !reader->too_deep;
}

static void read_object(struct reader *reader)
{
    bool is_top = reader->depth == 0;
    if (!enter(reader))
        return;
    reader->at += !is_top; // its brace
    text_buffer_append(reader->out, "{", 1);
    read_members(reader, is_top);
    text_buffer_append(reader->out, "}", 1);
    reader->depth--;
}

static void read_array(struct reader *reader)
{
    if (!enter(reader))
        return;
    reader->at++;
    text_buffer_append(reader->out, "[", 1);
    read_items(reader);
    text_buffer_append(reader->out, "]", 1);
    reader->depth--;
}

// As json.dumps does. The document is at most TOOL_CALLS_MAX_DEPTH deep.
static void write_value(struct text_buffer *out, const struct json_value *value)
{
    bool is_object = value->type == JSON_OBJECT;
    if (!is_object && value->type != JSON_ARRAY) {
        json_write(out, value);
        return;
    }
    text_buffer_append(out, is_object ? "{" : "[", 1);
    for (uint32_t i = 0; i < value->n; i++) {
        if (i)
            text_buffer_append(out, ", ", 2);
        if (is_object) {
            json_write_string(out, value->members[i].key, value->members[i].key_length);
            text_buffer_append(out, ": ", 2);
        }
        write_value(out, is_object ? &value->members[i].value : &value->items[i]);
    }
    text_buffer_append(out, is_object ? "}" : "]", 1);
}

bool tool_calls_read_arguments(const char *text, size_t n, struct text_buffer *out)
{
    struct text_buffer strict = {0};
    struct reader reader = {.at = text, .end = text + n, .out = &strict};
    const struct json_limits limits = {.max_depth = TOOL_CALLS_MAX_DEPTH};
    struct json_document *document = NULL;
    struct error err = {0};
    read_object(&reader);
    bool valid = !reader.too_deep &&
                 json_parse(strict.data, strict.length, &limits, &document, &err) == STATUS_OK;
    if (valid)
        write_value(out, json_root(document));
    json_document_destroy(document);
    text_buffer_finish(&strict);
    return valid;
}
