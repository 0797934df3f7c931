/* text/template_text.c - values as text: Python's str(), repr() and json.dumps().
 * What a client wrote stays marked as the client's inside the server's brackets and quotes. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/utf8.h"
#include "text/float_repr.h"
#include "text/template_builtins.h"
#include "text/unicode.h"

static struct cord *integer_text(struct budget *budget, struct value value)
{
    char text[24];
    int n = snprintf(text, sizeof text, "%" PRId64, value.integer);
    return cord_copy(budget, text, (size_t)n, value.from_client);
}

static struct cord *scalar_text(struct budget *budget, struct value value)
{
    char text[32];
    switch (value.type) {
    case VALUE_NONE:
        return cord_of(budget, "None", 4, value.from_client);
    case VALUE_BOOL:
        return value.boolean ? cord_of(budget, "True", 4, value.from_client)
                             : cord_of(budget, "False", 5, value.from_client);
    case VALUE_INTEGER:
        return integer_text(budget, value);
    case VALUE_BIG_INTEGER:
        return cord_of(budget, value.text->bytes, value.text->length, value.from_client);
    case VALUE_FLOAT:
        return cord_copy(budget, text, float_repr(value.number, text), value.from_client);
    default:
        return NULL;
    }
}

static void append(struct budget *budget, struct cord **text, struct cord *more)
{
    *text = cord_join(budget, *text, more);
}

static void append_text(struct budget *budget, struct cord **text, const char *literal)
{
    append(budget, text, cord_text(budget, literal));
}

// Writes what stands for a character in a quoted string, or returns 0 if it stands for itself.
typedef size_t escape_fn(uint32_t code_point, char quote, bool ascii, char out[16]);

static size_t repr_escape(uint32_t c, char quote, bool ascii, char out[16])
{
    (void)ascii;
    if (c == (unsigned char)quote || c == '\\')
        return (size_t)snprintf(out, 16, "\\%c", (char)c);
    if (c == '\n' || c == '\r' || c == '\t')
        return (size_t)snprintf(out, 16, "\\%c", c == '\n' ? 'n' : c == '\r' ? 'r' : 't');
    if (unicode_is_printable(c))
        return 0;
    return (size_t)snprintf(out, 16,
                            c < 0x100     ? "\\x%02x"
                            : c < 0x10000 ? "\\u%04x"
                                          : "\\U%08x",
                            c);
}

static size_t json_escape(uint32_t c, char quote, bool ascii, char out[16])
{
    static const char special[] = "\"\\\b\f\n\r\t";
    static const char names[] = "\"\\bfnrt";
    (void)quote;
    const char *place = c && c < 0x80 ? strchr(special, (int)c) : NULL;
    if (place)
        return (size_t)snprintf(out, 16, "\\%c", names[place - special]);
    if (c >= 0x10000 && ascii)
        return (size_t)snprintf(out, 16, "\\u%04x\\u%04x", 0xD7C0 + (c >> 10),
                                0xDC00 | (c & 0x3FF));
    if (c < 0x20 || (c > 0x7E && ascii && c != 0x7F))
        return (size_t)snprintf(out, 16, "\\u%04x", c);
    return 0;
}

static struct cord *quoted(struct budget *budget, struct cord *text, char quote, escape_fn *escape,
                           bool ascii)
{
    const struct cord *flat = cord_flatten(budget, text);
    budget_charge(budget, flat->length / 16);
    char edge[2] = {quote, 0};
    struct cord *result = cord_copy(budget, edge, 1, false);
    size_t start = 0;
    for (size_t at = 0; at < flat->length;) {
        uint32_t c;
        char escaped[16];
        size_t n = utf8_decode(flat->bytes + at, flat->length - at, &c);
        size_t n_escaped = escape(c, quote, ascii, escaped);
        if (n_escaped) {
            append(budget, &result, cord_slice(budget, flat, start, at - start));
            append(budget, &result,
                   cord_copy(budget, escaped, n_escaped, cord_byte_is_client(flat, at)));
            start = at + n;
        }
        at += n;
    }
    append(budget, &result, cord_slice(budget, flat, start, flat->length - start));
    append(budget, &result, cord_copy(budget, edge, 1, false));
    return result;
}

static struct cord *string_repr(struct budget *budget, struct cord *text)
{
    const struct cord *flat = cord_flatten(budget, text);
    bool has_single = flat->length && memchr(flat->bytes, '\'', flat->length);
    bool has_double = flat->length && memchr(flat->bytes, '"', flat->length);
    return quoted(budget, text, has_single && !has_double ? '"' : '\'', repr_escape, false);
}

static struct cord *list_repr(struct budget *budget, const struct list *list)
{
    static const char *const open[] = {
        [LIST_PLAIN] = "[",          [LIST_TUPLE] = "(",
        [LIST_GENERATOR] = NULL,     [LIST_ITEMS] = "dict_items([",
        [LIST_KEYS] = "dict_keys([", [LIST_VALUES] = "dict_values([",
    };
    if (!open[list->kind])
        budget_fail(budget, STATUS_INVALID_ARGUMENT,
                    "a generator cannot be printed; put '| list' behind it");
    struct cord *text = cord_text(budget, open[list->kind]);
    for (size_t i = 0; i < list->n; i++) {
        if (i)
            append_text(budget, &text, ", ");
        append(budget, &text, value_repr(budget, list->items[i]));
    }
    if (list->kind == LIST_TUPLE)
        append_text(budget, &text, list->n == 1 ? ",)" : ")");
    else
        append_text(budget, &text, list->kind == LIST_PLAIN ? "]" : "])");
    return text;
}

static struct cord *dict_repr(struct budget *budget, const struct dict *dict)
{
    struct cord *text = cord_text(budget, "{");
    for (size_t i = 0; i < dict->n; i++) {
        if (i)
            append_text(budget, &text, ", ");
        append(budget, &text, value_repr(budget, dict->entries[i].key));
        append_text(budget, &text, ": ");
        append(budget, &text, value_repr(budget, dict->entries[i].value));
    }
    append_text(budget, &text, "}");
    return text;
}

static struct cord *range_repr(struct budget *budget, const struct range *range)
{
    char text[100];
    int n = range->step == 1
                ? snprintf(text, sizeof text, "range(%" PRId64 ", %" PRId64 ")", range->start,
                           range->stop)
                : snprintf(text, sizeof text, "range(%" PRId64 ", %" PRId64 ", %" PRId64 ")",
                           range->start, range->stop, range->step);
    return cord_copy(budget, text, (size_t)n, false);
}

static struct cord *compound_repr(struct budget *budget, struct value value)
{
    switch (value.type) {
    case VALUE_UNDEFINED:
        return cord_text(budget, "Undefined");
    case VALUE_STRING:
        return string_repr(budget, value.text);
    case VALUE_LIST:
        return list_repr(budget, value.list);
    case VALUE_DICT:
        return dict_repr(budget, value.dict);
    case VALUE_RANGE:
        return range_repr(budget, value.range);
    default:
        budget_fail(budget, STATUS_INVALID_ARGUMENT, "a %s cannot be printed",
                    value_type_name(value));
    }
}

struct cord *value_repr(struct budget *budget, struct value value)
{
    struct cord *text = scalar_text(budget, value);
    if (text)
        return text;
    budget_charge(budget, 1);
    budget_enter(budget);
    text = compound_repr(budget, value);
    budget_leave(budget);
    return text;
}

struct cord *value_str(struct budget *budget, struct value value)
{
    if (value.type == VALUE_STRING)
        return value.text;
    if (value.type == VALUE_UNDEFINED)
        return cord_text(budget, "");
    return value_repr(budget, value);
}

struct json_writer {
    struct budget *budget;
    const struct json_style *style;
    struct cord *text;
    int64_t level;
};

static void write_json(struct json_writer *w, struct value value);

static void break_line(struct json_writer *w)
{
    if (w->style->indent < 0)
        return;
    append_text(w->budget, &w->text, "\n");
    for (int64_t i = 0; i < w->level; i++)
        for (int64_t j = 0; j < w->style->indent; j++) {
            budget_charge(w->budget, 1);
            append_text(w->budget, &w->text, " ");
        }
}

static void separate(struct json_writer *w)
{
    if (w->style->item_separator)
        append(w->budget, &w->text, w->style->item_separator);
    else
        append_text(w->budget, &w->text, w->style->indent < 0 ? ", " : ",");
}

static void write_string(struct json_writer *w, struct cord *text)
{
    append(w->budget, &w->text, quoted(w->budget, text, '"', json_escape, w->style->ensure_ascii));
}

static void write_key(struct json_writer *w, struct value key)
{
    if (key.type == VALUE_STRING) {
        write_string(w, key.text);
    } else if (key.type == VALUE_NONE || value_is_number(key)) {
        append_text(w->budget, &w->text, "\"");
        write_json(w, key);
        append_text(w->budget, &w->text, "\"");
    } else {
        budget_fail(w->budget, STATUS_INVALID_ARGUMENT, "a %s cannot be a JSON key",
                    value_type_name(key));
    }
    if (w->style->key_separator)
        append(w->budget, &w->text, w->style->key_separator);
    else
        append_text(w->budget, &w->text, ": ");
}

static void write_dict(struct json_writer *w, const struct dict *dict)
{
    struct dict_entry *entries = dict->entries;
    if (w->style->sort_keys && dict->n) {
        entries = budget_take(w->budget, dict->n, sizeof *entries);
        memcpy(entries, dict->entries, dict->n * sizeof *entries);
        entries_sort(w->budget, entries, dict->n, false);
    }
    append_text(w->budget, &w->text, "{");
    w->level++;
    for (size_t i = 0; i < dict->n; i++) {
        if (i)
            separate(w);
        break_line(w);
        write_key(w, entries[i].key);
        write_json(w, entries[i].value);
    }
    w->level--;
    if (dict->n)
        break_line(w);
    append_text(w->budget, &w->text, "}");
}

static void write_list(struct json_writer *w, const struct list *list)
{
    append_text(w->budget, &w->text, "[");
    w->level++;
    for (size_t i = 0; i < list->n; i++) {
        if (i)
            separate(w);
        break_line(w);
        write_json(w, list->items[i]);
    }
    w->level--;
    if (list->n)
        break_line(w);
    append_text(w->budget, &w->text, "]");
}

static void write_float(struct json_writer *w, struct value value)
{
    if (isfinite(value.number))
        append(w->budget, &w->text, scalar_text(w->budget, value));
    else
        append_text(w->budget, &w->text,
                    isnan(value.number) ? "NaN"
                    : value.number < 0  ? "-Infinity"
                                        : "Infinity");
}

static void write_json(struct json_writer *w, struct value value)
{
    budget_charge(w->budget, 1);
    budget_enter(w->budget);
    if (value.type == VALUE_NONE)
        append(w->budget, &w->text, cord_of(w->budget, "null", 4, value.from_client));
    else if (value.type == VALUE_BOOL)
        append(w->budget, &w->text,
               value.boolean ? cord_of(w->budget, "true", 4, value.from_client)
                             : cord_of(w->budget, "false", 5, value.from_client));
    else if (value.type == VALUE_FLOAT)
        write_float(w, value);
    else if (value_is_number(value))
        append(w->budget, &w->text, scalar_text(w->budget, value));
    else if (value.type == VALUE_STRING)
        write_string(w, value.text);
    else if (value.type == VALUE_LIST && value.list->kind <= LIST_TUPLE)
        write_list(w, value.list);
    else if (value.type == VALUE_DICT)
        write_dict(w, value.dict);
    else
        budget_fail(w->budget, STATUS_INVALID_ARGUMENT, "a %s cannot be written as JSON",
                    value_type_name(value));
    budget_leave(w->budget);
}

struct cord *value_json(struct budget *budget, struct value value, const struct json_style *style)
{
    struct json_writer writer = {budget, style, cord_text(budget, ""), 0};
    write_json(&writer, value);
    return writer.text;
}
