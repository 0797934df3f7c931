/* text/template_sequence.c - filters that read a series of items: sorting, choosing, joining.
 * What Jinja gives as a generator is a list here that says it was one, see LIST_GENERATOR. */
#include "text/template_sequence.h"

#include <string.h>

// Keys that differ only in case count as equal, unless asked otherwise.
static struct value folded(struct budget *budget, struct value key, bool case_sensitive)
{
    if (case_sensitive || key.type != VALUE_STRING)
        return key;
    return value_string(string_case(budget, key.text, CASE_LOWER));
}

static bool flag(const struct arguments *arguments, uint32_t position, const char *name)
{
    const struct value *value = argument_get(arguments, position, name);
    return value && value_truth(*value);
}

// "a.b.0" or 0 of an item, as Jinja's attribute arguments mean it.
static struct value item_attribute(struct budget *budget, struct value item, struct value path)
{
    if (path.type != VALUE_STRING)
        return value_item(budget, item, path);
    const struct cord *flat = cord_flatten(budget, path.text);
    for (size_t at = 0; at <= flat->length;) {
        const char *dot = memchr(flat->bytes + at, '.', flat->length - at);
        size_t end = dot ? (size_t)(dot - flat->bytes) : flat->length;
        struct value name = value_string(cord_slice(budget, flat, at, end - at));
        bool is_index = end > at && end - at < 10;
        int64_t index = 0;
        for (size_t i = at; i < end && is_index; i++) {
            is_index = flat->bytes[i] >= '0' && flat->bytes[i] <= '9';
            index = index * 10 + (flat->bytes[i] - '0');
        }
        item = value_item(budget, item, is_index ? value_integer(index) : name);
        at = end + 1;
    }
    return item;
}

// Jinja's map, select and reject give nothing for whatever is false.
static const struct list *items_if_true(struct budget *budget, struct value subject)
{
    return value_truth(subject) ? value_items(budget, subject) : list_new(budget, LIST_PLAIN, 0);
}

static struct value filter_dictsort(struct budget *budget, struct value subject,
                                    const struct arguments *arguments)
{
    if (subject.type != VALUE_DICT)
        budget_fail(budget, STATUS_INVALID_ARGUMENT, "dictsort takes a mapping, not '%s'",
                    value_type_name(subject));
    const struct value *by = argument_get(arguments, 1, "by");
    bool case_sensitive = flag(arguments, 0, "case_sensitive");
    bool by_value = by && by->type == VALUE_STRING && cord_is(budget, by->text, "value");
    if (by && !by_value && !(by->type == VALUE_STRING && cord_is(budget, by->text, "key")))
        budget_fail(budget, STATUS_INVALID_ARGUMENT, "dictsort is by 'key' or 'value'");
    const struct dict *dict = subject.dict;
    struct dict_entry *entries = budget_take(budget, dict->n, sizeof *entries);
    for (size_t i = 0; i < dict->n; i++) {
        struct list *pair = list_new(budget, LIST_TUPLE, 2);
        list_append(budget, pair, dict->entries[i].key);
        list_append(budget, pair, dict->entries[i].value);
        entries[i].key = folded(budget, pair->items[by_value], case_sensitive);
        entries[i].value = value_list(pair);
    }
    entries_sort(budget, entries, dict->n, flag(arguments, 2, "reverse"));
    struct list *sorted = list_new(budget, LIST_PLAIN, dict->n);
    for (size_t i = 0; i < dict->n; i++)
        list_append(budget, sorted, entries[i].value);
    return value_list(sorted);
}

// The attributes of "a,b", one behind the other, which sort by each in turn.
static struct value sort_key(struct budget *budget, struct value item, struct value attributes,
                             bool case_sensitive)
{
    struct list *keys = list_new(budget, LIST_PLAIN, 1);
    if (attributes.type != VALUE_STRING) {
        struct value key = item_attribute(budget, item, attributes);
        list_append(budget, keys, folded(budget, key, case_sensitive));
        return value_list(keys);
    }
    const struct cord *flat = cord_flatten(budget, attributes.text);
    for (size_t at = 0; at <= flat->length;) {
        const char *comma = memchr(flat->bytes + at, ',', flat->length - at);
        size_t end = comma ? (size_t)(comma - flat->bytes) : flat->length;
        struct value path = value_string(cord_slice(budget, flat, at, end - at));
        struct value key = item_attribute(budget, item, path);
        list_append(budget, keys, folded(budget, key, case_sensitive));
        at = end + 1;
    }
    return value_list(keys);
}

static struct value filter_sort(struct budget *budget, struct value subject,
                                const struct arguments *arguments)
{
    const struct list *items = value_items(budget, subject);
    const struct value *attribute = argument_get(arguments, 2, "attribute");
    bool case_sensitive = flag(arguments, 1, "case_sensitive");
    struct dict_entry *entries = budget_take(budget, items->n, sizeof *entries);
    for (size_t i = 0; i < items->n; i++) {
        struct value item = items->items[i];
        entries[i].key = attribute && attribute->type != VALUE_NONE
                             ? sort_key(budget, item, *attribute, case_sensitive)
                             : folded(budget, item, case_sensitive);
        entries[i].value = item;
    }
    entries_sort(budget, entries, items->n, flag(arguments, 0, "reverse"));
    struct list *sorted = list_new(budget, LIST_PLAIN, items->n);
    for (size_t i = 0; i < items->n; i++)
        list_append(budget, sorted, entries[i].value);
    return value_list(sorted);
}

static struct value filter_unique(struct budget *budget, struct value subject,
                                  const struct arguments *arguments)
{
    const struct list *items = value_items(budget, subject);
    const struct value *attribute = argument_get(arguments, 1, "attribute");
    bool case_sensitive = flag(arguments, 0, "case_sensitive");
    struct dict *seen = dict_new(budget, 0);
    struct list *unique = list_new(budget, LIST_GENERATOR, 0);
    for (size_t i = 0; i < items->n; i++) {
        struct value key = items->items[i];
        if (attribute && attribute->type != VALUE_NONE)
            key = item_attribute(budget, key, *attribute);
        key = folded(budget, key, case_sensitive);
        if (dict_get(budget, seen, key))
            continue;
        dict_set(budget, seen, key, value_none());
        list_append(budget, unique, items->items[i]);
    }
    return value_list(unique);
}

static struct value filter_list(struct budget *budget, struct value subject,
                                const struct arguments *arguments)
{
    (void)arguments;
    const struct list *items = value_items(budget, subject);
    struct list *copy = list_new(budget, LIST_PLAIN, items->n);
    budget_charge(budget, items->n / 16);
    for (size_t i = 0; i < items->n; i++)
        list_append(budget, copy, items->items[i]);
    return value_list(copy);
}

static struct value filter_first(struct budget *budget, struct value subject,
                                 const struct arguments *arguments)
{
    (void)arguments;
    const struct list *items = value_items(budget, subject);
    return items->n ? items->items[0] : value_undefined("the first item of an empty sequence");
}

static struct value filter_last(struct budget *budget, struct value subject,
                                const struct arguments *arguments)
{
    (void)arguments;
    if (subject.type == VALUE_LIST && subject.list->kind == LIST_GENERATOR)
        budget_fail(budget, STATUS_INVALID_ARGUMENT, "a generator has no last item");
    const struct list *items = value_items(budget, subject);
    return items->n ? items->items[items->n - 1]
                    : value_undefined("the last item of an empty sequence");
}

static struct value filter_reverse(struct budget *budget, struct value subject,
                                   const struct arguments *arguments)
{
    (void)arguments;
    const struct list *items = value_items(budget, subject);
    budget_charge(budget, items->n / 16);
    if (subject.type == VALUE_STRING) {
        struct cord *text = cord_text(budget, "");
        for (size_t i = items->n; i > 0; i--)
            text = cord_join(budget, text, items->items[i - 1].text);
        return value_string(text);
    }
    struct list *reversed = list_new(budget, LIST_GENERATOR, items->n);
    for (size_t i = items->n; i > 0; i--)
        list_append(budget, reversed, items->items[i - 1]);
    return value_list(reversed);
}

static struct value filter_join(struct budget *budget, struct value subject,
                                const struct arguments *arguments)
{
    const struct list *items = value_items(budget, subject);
    const struct value *separator = argument_get(arguments, 0, "d");
    const struct value *attribute = argument_get(arguments, 1, "attribute");
    struct cord *between = separator ? value_str(budget, *separator) : cord_text(budget, "");
    struct cord *text = cord_text(budget, "");
    for (size_t i = 0; i < items->n; i++) {
        budget_charge(budget, 1);
        struct value item = items->items[i];
        if (attribute && attribute->type != VALUE_NONE)
            item = item_attribute(budget, item, *attribute);
        if (i)
            text = cord_join(budget, text, between);
        text = cord_join(budget, text, value_str(budget, item));
    }
    return value_string(text);
}

static struct value extreme(struct budget *budget, struct value subject,
                            const struct arguments *arguments, int sign)
{
    const struct list *items = value_items(budget, subject);
    const struct value *attribute = argument_get(arguments, 1, "attribute");
    bool case_sensitive = flag(arguments, 0, "case_sensitive");
    struct value best = value_undefined("an item of an empty sequence");
    struct value best_key = best;
    for (size_t i = 0; i < items->n; i++) {
        struct value key = items->items[i];
        if (attribute && attribute->type != VALUE_NONE)
            key = item_attribute(budget, key, *attribute);
        key = folded(budget, key, case_sensitive);
        if (i && value_compare(budget, key, best_key) * sign <= 0)
            continue;
        best = items->items[i];
        best_key = key;
    }
    return best;
}

static struct value filter_max(struct budget *budget, struct value subject,
                               const struct arguments *arguments)
{
    return extreme(budget, subject, arguments, 1);
}

static struct value filter_min(struct budget *budget, struct value subject,
                               const struct arguments *arguments)
{
    return extreme(budget, subject, arguments, -1);
}

// The name that map, select and the like are given, and the arguments behind it.
static const char *inner_name(struct budget *budget, const struct arguments *arguments,
                              uint32_t position, struct arguments *out_rest)
{
    struct value name = arguments->items[position];
    if (name.type != VALUE_STRING)
        budget_fail(budget, STATUS_INVALID_ARGUMENT, "a name must be a string, not '%s'",
                    value_type_name(name));
    *out_rest = (struct arguments){.n = arguments->n - position - 1,
                                   .items = arguments->items + position + 1};
    const struct cord *flat = cord_flatten(budget, name.text);
    return cord_copy(budget, flat->bytes, flat->length, false)->bytes;
}

static const struct template_filter *
inner_filter(struct budget *budget, const struct arguments *arguments, struct arguments *out_rest)
{
    const char *name = inner_name(budget, arguments, 0, out_rest);
    const struct template_filter *filter = filter_find(name);
    if (!filter)
        budget_fail(budget, STATUS_INVALID_ARGUMENT, "unknown filter '%.60s'", name);
    if (arguments->n_keywords || out_rest->n < filter->n_required ||
        parameters_problem(filter->parameters, out_rest->n, NULL, 0))
        budget_fail(budget, STATUS_INVALID_ARGUMENT, "wrong arguments for filter '%.60s'", name);
    return filter;
}

static struct value filter_map(struct budget *budget, struct value subject,
                               const struct arguments *arguments)
{
    const struct value *attribute = argument_get(arguments, UINT32_MAX, "attribute");
    const struct value *fallback = argument_get(arguments, UINT32_MAX, "default");
    if ((arguments->n == 0) == (attribute == NULL))
        budget_fail(budget, STATUS_INVALID_ARGUMENT, "map takes a filter or an attribute");
    struct arguments rest;
    const struct template_filter *filter = attribute ? NULL
                                                     : inner_filter(budget, arguments, &rest);
    const struct list *items = items_if_true(budget, subject);
    struct list *mapped = list_new(budget, LIST_GENERATOR, items->n);
    for (size_t i = 0; i < items->n; i++) {
        budget_charge(budget, 1);
        budget_enter(budget);
        struct value item = attribute ? item_attribute(budget, items->items[i], *attribute)
                                      : filter->apply(budget, items->items[i], &rest);
        budget_leave(budget);
        if (attribute && fallback && item.type == VALUE_UNDEFINED)
            item = *fallback;
        list_append(budget, mapped, item);
    }
    return value_list(mapped);
}

// Keeps items for which the test says `wanted`; without a test, truth counts.
static struct value choose(struct budget *budget, struct value subject,
                           const struct arguments *arguments, bool by_attribute, bool wanted)
{
    uint32_t position = by_attribute ? 1 : 0;
    struct arguments rest = {0};
    const struct template_test *test = NULL;
    if (arguments->n > position) {
        const char *name = inner_name(budget, arguments, position, &rest);
        test = test_find(name);
        if (!test)
            budget_fail(budget, STATUS_INVALID_ARGUMENT, "unknown test '%.60s'", name);
        if (rest.n != test->n_arguments)
            budget_fail(budget, STATUS_INVALID_ARGUMENT, "test '%.60s' takes %u argument(s)", name,
                        test->n_arguments);
    }
    const struct list *items = items_if_true(budget, subject);
    struct list *chosen = list_new(budget, LIST_GENERATOR, 0);
    for (size_t i = 0; i < items->n; i++) {
        budget_charge(budget, 1);
        struct value key = items->items[i];
        if (by_attribute)
            key = item_attribute(budget, key, arguments->items[0]);
        bool holds = test ? test->holds(budget, key, &rest) : value_truth(key);
        if (holds == wanted)
            list_append(budget, chosen, items->items[i]);
    }
    return value_list(chosen);
}

static struct value filter_select(struct budget *budget, struct value subject,
                                  const struct arguments *arguments)
{
    return choose(budget, subject, arguments, false, true);
}

static struct value filter_reject(struct budget *budget, struct value subject,
                                  const struct arguments *arguments)
{
    return choose(budget, subject, arguments, false, false);
}

static struct value filter_selectattr(struct budget *budget, struct value subject,
                                      const struct arguments *arguments)
{
    return choose(budget, subject, arguments, true, true);
}

static struct value filter_rejectattr(struct budget *budget, struct value subject,
                                      const struct arguments *arguments)
{
    return choose(budget, subject, arguments, true, false);
}

const struct template_filter *sequence_filter_find(const char *name)
{
    static const struct template_filter filters[] = {
        {"dictsort", filter_dictsort, 0, {"case_sensitive", "by", "reverse"}},
        {"first", filter_first, 0, {0}},
        {"join", filter_join, 0, {"d", "attribute"}},
        {"last", filter_last, 0, {0}},
        {"list", filter_list, 0, {0}},
        {"map", filter_map, 1, {"*", "attribute", "default"}},
        {"max", filter_max, 0, {"case_sensitive", "attribute"}},
        {"min", filter_min, 0, {"case_sensitive", "attribute"}},
        {"reject", filter_reject, 0, {"*"}},
        {"rejectattr", filter_rejectattr, 1, {"*"}},
        {"reverse", filter_reverse, 0, {0}},
        {"select", filter_select, 0, {"*"}},
        {"selectattr", filter_selectattr, 1, {"*"}},
        {"sort", filter_sort, 0, {"reverse", "case_sensitive", "attribute"}},
        {"unique", filter_unique, 0, {"case_sensitive", "attribute"}},
    };
    for (size_t i = 0; i < sizeof filters / sizeof *filters; i++)
        if (strcmp(filters[i].name, name) == 0)
            return &filters[i];
    return NULL;
}
