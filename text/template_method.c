/* text/template_method.c - the methods of strings and dicts. Jinja's sandbox hides those that
 * change a value; templates see such a name as undefined. */
#include <stdio.h>
#include <string.h>

#include "base/utf8.h"
#include "text/template_builtins.h"
#include "text/unicode.h"

static struct cord *text_argument(struct budget *budget, const struct value *argument,
                                  const char *method)
{
    if (argument->type != VALUE_STRING)
        budget_fail(budget, STATUS_INVALID_ARGUMENT, "%s() takes a string, not '%s'", method,
                    value_type_name(*argument));
    return argument->text;
}

static struct cord *characters_argument(struct budget *budget, const struct arguments *arguments,
                                        const char *method)
{
    return arguments->n && arguments->items[0].type != VALUE_NONE
               ? text_argument(budget, &arguments->items[0], method)
               : NULL;
}

static struct value string_strip(struct budget *budget, struct value object,
                                 const struct arguments *arguments)
{
    return value_string(string_trim(budget, object.text,
                                    characters_argument(budget, arguments, "strip"), true, true));
}

static struct value string_lstrip(struct budget *budget, struct value object,
                                  const struct arguments *arguments)
{
    return value_string(string_trim(budget, object.text,
                                    characters_argument(budget, arguments, "lstrip"), true, false));
}

static struct value string_rstrip(struct budget *budget, struct value object,
                                  const struct arguments *arguments)
{
    return value_string(string_trim(budget, object.text,
                                    characters_argument(budget, arguments, "rstrip"), false, true));
}

static struct value string_upper(struct budget *budget, struct value object,
                                 const struct arguments *arguments)
{
    (void)arguments;
    return value_string(string_case(budget, object.text, CASE_UPPER));
}

static struct value string_lower(struct budget *budget, struct value object,
                                 const struct arguments *arguments)
{
    (void)arguments;
    return value_string(string_case(budget, object.text, CASE_LOWER));
}

static struct value string_capitalize(struct budget *budget, struct value object,
                                      const struct arguments *arguments)
{
    (void)arguments;
    return value_string(string_case(budget, object.text, CASE_CAPITAL));
}

static bool has_edge(struct budget *budget, struct cord *text, struct cord *edge, bool at_end)
{
    const struct cord *flat = cord_flatten(budget, text);
    const struct cord *part = cord_flatten(budget, edge);
    if (part->length > flat->length)
        return false;
    budget_charge(budget, part->length / 64);
    return memcmp(flat->bytes + (at_end ? flat->length - part->length : 0), part->bytes,
                  part->length) == 0;
}

static struct value test_edge(struct budget *budget, struct value object,
                              const struct arguments *arguments, bool at_end)
{
    const char *method = at_end ? "endswith" : "startswith";
    const struct value *edge = &arguments->items[0];
    if (edge->type != VALUE_LIST || edge->list->kind != LIST_TUPLE)
        return value_bool(
            has_edge(budget, object.text, text_argument(budget, edge, method), at_end));
    for (size_t i = 0; i < edge->list->n; i++)
        if (has_edge(budget, object.text, text_argument(budget, &edge->list->items[i], method),
                     at_end))
            return value_bool(true);
    return value_bool(false);
}

static struct value string_startswith(struct budget *budget, struct value object,
                                      const struct arguments *arguments)
{
    return test_edge(budget, object, arguments, false);
}

static struct value string_endswith(struct budget *budget, struct value object,
                                    const struct arguments *arguments)
{
    return test_edge(budget, object, arguments, true);
}

static struct value string_replace_method(struct budget *budget, struct value object,
                                          const struct arguments *arguments)
{
    int64_t max = arguments->n > 2 ? value_as_integer(budget, arguments->items[2], "count") : -1;
    return value_string(
        string_replace(budget, object.text, text_argument(budget, &arguments->items[0], "replace"),
                       text_argument(budget, &arguments->items[1], "replace"), max));
}

// At runs of white space, none at the edges.
static struct value split_at_space(struct budget *budget, struct cord *text, int64_t max)
{
    struct list *list = list_new(budget, LIST_PLAIN, 4);
    const struct cord *flat = cord_flatten(budget, string_trim(budget, text, NULL, true, false));
    budget_charge(budget, flat->length / 16);
    while (flat->length && max != 0) {
        size_t end = 0;
        uint32_t c;
        while (end < flat->length) {
            size_t n = utf8_decode(flat->bytes + end, flat->length - end, &c);
            if (unicode_is_space(c))
                break;
            end += n;
        }
        list_append(budget, list, value_string(cord_slice(budget, flat, 0, end)));
        struct cord *rest = cord_slice(budget, flat, end, flat->length - end);
        flat = string_trim(budget, rest, NULL, true, false);
        max--;
    }
    if (flat->length) {
        struct cord *rest = cord_slice(budget, flat, 0, flat->length);
        list_append(budget, list, value_string(rest));
    }
    return value_list(list);
}

static struct value split_at_text(struct budget *budget, struct cord *text, struct cord *separator,
                                  int64_t max)
{
    const struct cord *flat = cord_flatten(budget, text);
    const struct cord *needle = cord_flatten(budget, separator);
    if (needle->length == 0)
        budget_fail(budget, STATUS_INVALID_ARGUMENT, "split() with an empty separator");
    struct list *list = list_new(budget, LIST_PLAIN, 4);
    size_t at = 0;
    for (; max != 0; max--) {
        size_t found = cord_find(budget, flat, at, needle);
        if (found == SIZE_MAX)
            break;
        budget_charge(budget, 1);
        list_append(budget, list, value_string(cord_slice(budget, flat, at, found - at)));
        at = found + needle->length;
    }
    list_append(budget, list, value_string(cord_slice(budget, flat, at, flat->length - at)));
    return value_list(list);
}

static struct value string_split(struct budget *budget, struct value object,
                                 const struct arguments *arguments)
{
    const struct value *separator = argument_get(arguments, 0, "sep");
    const struct value *max_argument = argument_get(arguments, 1, "maxsplit");
    int64_t max = max_argument ? value_as_integer(budget, *max_argument, "maxsplit") : -1;
    if (!separator || separator->type == VALUE_NONE)
        return split_at_space(budget, object.text, max);
    return split_at_text(budget, object.text, text_argument(budget, separator, "split"), max);
}

static struct value string_splitlines(struct budget *budget, struct value object,
                                      const struct arguments *arguments)
{
    (void)arguments;
    const struct cord *flat = cord_flatten(budget, object.text);
    struct list *list = list_new(budget, LIST_PLAIN, 4);
    budget_charge(budget, flat->length / 16);
    size_t start = 0;
    for (size_t at = 0; at < flat->length;) {
        uint32_t c;
        size_t n = utf8_decode(flat->bytes + at, flat->length - at, &c);
        bool breaks = (c >= '\n' && c <= '\r') || (c >= 0x1C && c <= 0x1E) || c == 0x85 ||
                      c == 0x2028 || c == 0x2029;
        if (breaks) {
            list_append(budget, list, value_string(cord_slice(budget, flat, start, at - start)));
            if (c == '\r' && at + 1 < flat->length && flat->bytes[at + 1] == '\n')
                n = 2;
            start = at + n;
        }
        at += n;
    }
    if (start < flat->length)
        list_append(budget, list,
                    value_string(cord_slice(budget, flat, start, flat->length - start)));
    return value_list(list);
}

static struct value string_join(struct budget *budget, struct value object,
                                const struct arguments *arguments)
{
    const struct list *items = value_items(budget, arguments->items[0]);
    struct cord *text = cord_text(budget, "");
    for (size_t i = 0; i < items->n; i++) {
        budget_charge(budget, 1);
        if (i)
            text = cord_join(budget, text, object.text);
        text = cord_join(budget, text, text_argument(budget, &items->items[i], "join"));
    }
    return value_string(text);
}

static int64_t find_character(struct budget *budget, struct value object,
                              const struct arguments *arguments, const char *method)
{
    const struct cord *flat = cord_flatten(budget, object.text);
    const struct cord *needle = cord_flatten(budget,
                                             text_argument(budget, &arguments->items[0], method));
    size_t at = cord_find(budget, flat, 0, needle);
    if (at == SIZE_MAX)
        return -1;
    size_t n;
    value_length(budget, value_string(cord_slice(budget, flat, 0, at)), &n);
    return (int64_t)n;
}

static struct value string_find(struct budget *budget, struct value object,
                                const struct arguments *arguments)
{
    return value_integer(find_character(budget, object, arguments, "find"));
}

static struct value string_count(struct budget *budget, struct value object,
                                 const struct arguments *arguments)
{
    const struct cord *flat = cord_flatten(budget, object.text);
    const struct cord *needle = cord_flatten(budget,
                                             text_argument(budget, &arguments->items[0], "count"));
    size_t n = 0;
    if (needle->length == 0) {
        value_length(budget, object, &n);
        return value_integer((int64_t)n + 1);
    }
    for (size_t at = cord_find(budget, flat, 0, needle); at != SIZE_MAX;
         at = cord_find(budget, flat, at + needle->length, needle)) {
        budget_charge(budget, 1);
        n++;
    }
    return value_integer((int64_t)n);
}

static bool all_ascii(struct budget *budget, struct cord *text, const char *low, const char *high)
{
    const struct cord *flat = cord_flatten(budget, text);
    budget_charge(budget, flat->length / 64);
    for (size_t i = 0; i < flat->length; i++) {
        if ((unsigned char)flat->bytes[i] >= 0x80)
            budget_fail(budget, STATUS_UNIMPLEMENTED, "isdigit() of text beyond ASCII");
        if (flat->bytes[i] < *low || flat->bytes[i] > *high)
            return false;
    }
    return flat->length > 0;
}

static struct value string_isdigit(struct budget *budget, struct value object,
                                   const struct arguments *arguments)
{
    (void)arguments;
    return value_bool(all_ascii(budget, object.text, "0", "9"));
}

static struct value dict_view(struct budget *budget, const struct dict *dict, enum list_kind kind)
{
    struct list *list = list_new(budget, kind, dict->n);
    budget_charge(budget, dict->n / 16);
    for (size_t i = 0; i < dict->n; i++) {
        const struct dict_entry *entry = &dict->entries[i];
        struct value item = kind == LIST_KEYS ? entry->key : entry->value;
        if (kind == LIST_ITEMS) {
            struct list *pair = list_new(budget, LIST_TUPLE, 2);
            list_append(budget, pair, entry->key);
            list_append(budget, pair, entry->value);
            item = value_list(pair);
        }
        list_append(budget, list, item);
    }
    return value_list(list);
}

static struct value dict_items(struct budget *budget, struct value object,
                               const struct arguments *arguments)
{
    (void)arguments;
    return dict_view(budget, object.dict, LIST_ITEMS);
}

static struct value dict_keys(struct budget *budget, struct value object,
                              const struct arguments *arguments)
{
    (void)arguments;
    return dict_view(budget, object.dict, LIST_KEYS);
}

static struct value dict_values(struct budget *budget, struct value object,
                                const struct arguments *arguments)
{
    (void)arguments;
    return dict_view(budget, object.dict, LIST_VALUES);
}

static struct value dict_get_method(struct budget *budget, struct value object,
                                    const struct arguments *arguments)
{
    const struct value *item = dict_get(budget, object.dict, arguments->items[0]);
    if (item)
        return *item;
    return arguments->n > 1 ? arguments->items[1] : value_none();
}

static struct value dict_copy(struct budget *budget, struct value object,
                              const struct arguments *arguments)
{
    (void)budget;
    (void)arguments;
    return object; // nothing can change it
}

static const struct method_entry methods[] = {
    {VALUE_STRING, "capitalize", string_capitalize, 0, {0}},
    {VALUE_STRING, "count", string_count, 1, {"/"}},
    {VALUE_STRING, "endswith", string_endswith, 1, {"/"}},
    {VALUE_STRING, "find", string_find, 1, {"/"}},
    {VALUE_STRING, "isdigit", string_isdigit, 0, {0}},
    {VALUE_STRING, "join", string_join, 1, {"/"}},
    {VALUE_STRING, "lower", string_lower, 0, {0}},
    {VALUE_STRING, "lstrip", string_lstrip, 0, {"/"}},
    {VALUE_STRING, "replace", string_replace_method, 2, {"/", "/", "/"}},
    {VALUE_STRING, "rstrip", string_rstrip, 0, {"/"}},
    {VALUE_STRING, "split", string_split, 0, {"sep", "maxsplit"}},
    {VALUE_STRING, "splitlines", string_splitlines, 0, {0}},
    {VALUE_STRING, "startswith", string_startswith, 1, {"/"}},
    {VALUE_STRING, "strip", string_strip, 0, {"/"}},
    {VALUE_STRING, "upper", string_upper, 0, {0}},
    {VALUE_DICT, "copy", dict_copy, 0, {0}},
    {VALUE_DICT, "get", dict_get_method, 1, {"/", "/"}},
    {VALUE_DICT, "items", dict_items, 0, {0}},
    {VALUE_DICT, "keys", dict_keys, 0, {0}},
    {VALUE_DICT, "values", dict_values, 0, {0}},
};

// Attributes that Python's types have besides: true when tested, but not to be called here.
static const struct {
    enum value_type type;
    const char *names;
} other_methods[] = {
    {VALUE_STRING,
     " casefold center encode expandtabs format format_map index isalnum isalpha isascii isdecimal "
     "isidentifier islower isnumeric isprintable isspace istitle isupper ljust maketrans partition "
     "removeprefix removesuffix rfind rindex rjust rpartition rsplit swapcase title translate "
     "zfill "},
    {VALUE_DICT, " fromkeys "},
    {VALUE_LIST, " copy count index "},
    {VALUE_RANGE, " count index start stop step "},
};

static bool has_word(const char *words, const char *name)
{
    char word[32];
    size_t n = strlen(name);
    if (n == 0 || n + 3 > sizeof word)
        return false;
    snprintf(word, sizeof word, " %s ", name);
    return strstr(words, word) != NULL;
}

bool method_is_known(const char *name)
{
    for (size_t i = 0; i < sizeof methods / sizeof *methods; i++)
        if (strcmp(methods[i].name, name) == 0)
            return true;
    return false;
}

static struct value bound_method(struct budget *budget, struct value object,
                                 const struct method_entry *entry, const char *name)
{
    struct method *method = budget_take(budget, 1, sizeof *method);
    *method = (struct method){object, entry, name};
    return (struct value){.type = VALUE_METHOD, .method = method};
}

struct value value_builtin_attribute(struct budget *budget, struct value object, const char *name)
{
    for (size_t i = 0; i < sizeof methods / sizeof *methods; i++)
        if (methods[i].type == object.type && strcmp(methods[i].name, name) == 0)
            return bound_method(budget, object, &methods[i], name);
    bool is_list = object.type == VALUE_LIST && object.list->kind <= LIST_TUPLE;
    for (size_t i = 0; i < sizeof other_methods / sizeof *other_methods; i++) {
        if (other_methods[i].type != object.type || (object.type == VALUE_LIST && !is_list))
            continue;
        if (has_word(other_methods[i].names, name))
            return bound_method(budget, object, NULL, name);
    }
    return value_undefined(name);
}
