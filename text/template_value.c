/* text/template_value.c - making, comparing and searching values, by Python's rules.
 * Whatever takes time in proportion to a client's data is charged to the budget. */
#include "text/template_value.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/utf8.h"

#define SMALL_DICT 8 /* up to here a linear search is as fast as an index */

struct value value_undefined(const char *missing)
{
    return (struct value){.type = VALUE_UNDEFINED, .missing = missing};
}

struct value value_none(void)
{
    return (struct value){.type = VALUE_NONE};
}

struct value value_bool(bool boolean)
{
    return (struct value){.type = VALUE_BOOL, .boolean = boolean};
}

struct value value_integer(int64_t integer)
{
    return (struct value){.type = VALUE_INTEGER, .integer = integer};
}

struct value value_float(double number)
{
    return (struct value){.type = VALUE_FLOAT, .number = number};
}

struct value value_string(struct cord *text)
{
    return (struct value){.type = VALUE_STRING, .text = text};
}

struct value value_text(struct budget *budget, const char *literal)
{
    return value_string(cord_text(budget, literal));
}

struct value value_list(struct list *list)
{
    return (struct value){.type = VALUE_LIST, .list = list};
}

struct value value_dict(struct dict *dict)
{
    return (struct value){.type = VALUE_DICT, .dict = dict};
}

struct value loop_item(const struct loop *loop, size_t i)
{
    if (loop->items)
        return loop->items->items[i];
    return value_integer(loop->range->start + (int64_t)i * loop->range->step);
}

struct list *list_new(struct budget *budget, enum list_kind kind, size_t capacity)
{
    struct list *list = budget_take(budget, 1, sizeof *list);
    list->kind = kind;
    list->capacity = capacity;
    list->items = budget_take(budget, capacity, sizeof *list->items);
    return list;
}

void list_append(struct budget *budget, struct list *list, struct value item)
{
    if (list->n == list->capacity) {
        size_t capacity = list->capacity < 4 ? 8 : list->capacity * 2;
        struct value *items = budget_take(budget, capacity, sizeof *items);
        if (list->n)
            memcpy(items, list->items, list->n * sizeof *items);
        list->items = items;
        list->capacity = capacity;
    }
    list->items[list->n++] = item;
}

struct dict *dict_new(struct budget *budget, size_t capacity)
{
    struct dict *dict = budget_take(budget, 1, sizeof *dict);
    dict->capacity = capacity;
    dict->entries = budget_take(budget, capacity, sizeof *dict->entries);
    return dict;
}

// Equal keys have equal hashes: 1, 1.0 and True are one key. Not seeded: a client who makes keys
// collide pays with its own request's steps.
static uint64_t key_hash(struct budget *budget, struct value key)
{
    uint64_t hash = UINT64_C(0xCBF29CE484222325);
    if (key.type == VALUE_STRING) {
        const struct cord *text = cord_flatten(budget, key.text);
        for (size_t i = 0; i < text->length; i++)
            hash = (hash ^ (unsigned char)text->bytes[i]) * UINT64_C(0x100000001B3);
        budget_charge(budget, text->length / 64);
    } else if (value_is_number(key) && key.type != VALUE_BIG_INTEGER) {
        double number = value_as_double(key) + 0.0; // -0.0 is 0
        memcpy(&hash, &number, sizeof hash);
    } else if (key.type == VALUE_LIST && key.list->kind == LIST_TUPLE) {
        hash += key.list->n;
    } else if (key.type == VALUE_LIST || key.type == VALUE_DICT) {
        budget_fail(budget, STATUS_INVALID_ARGUMENT, "unhashable type: '%s'", value_type_name(key));
    }
    hash *= UINT64_C(0x9E3779B97F4A7C15);
    return hash ^ hash >> 32;
}

static uint32_t *dict_place(struct budget *budget, const struct dict *dict, struct value key)
{
    for (uint64_t at = key_hash(budget, key);; at++) {
        uint32_t *place = &dict->index[at & (dict->index_capacity - 1)];
        if (*place == 0 || value_equal(budget, dict->entries[*place - 1].key, key))
            return place;
        budget_charge(budget, 1);
    }
}

static void dict_build_index(struct budget *budget, struct dict *dict)
{
    dict->index_capacity = 32;
    while (dict->index_capacity < dict->n * 4)
        dict->index_capacity *= 2;
    dict->index = budget_take(budget, dict->index_capacity, sizeof *dict->index);
    for (size_t i = 0; i < dict->n; i++)
        *dict_place(budget, dict, dict->entries[i].key) = (uint32_t)(i + 1);
}

static struct dict_entry *dict_find(struct budget *budget, const struct dict *dict,
                                    struct value key)
{
    if (dict->index) {
        uint32_t entry = *dict_place(budget, dict, key);
        return entry ? &dict->entries[entry - 1] : NULL;
    }
    for (size_t i = 0; i < dict->n; i++)
        if (value_equal(budget, dict->entries[i].key, key))
            return &dict->entries[i];
    return NULL;
}

static void dict_append(struct budget *budget, struct dict *dict, struct value key,
                        struct value item)
{
    if (dict->n == dict->capacity) {
        size_t capacity = dict->capacity < 4 ? 4 : dict->capacity * 2;
        struct dict_entry *entries = budget_take(budget, capacity, sizeof *entries);
        if (dict->n)
            memcpy(entries, dict->entries, dict->n * sizeof *entries);
        dict->entries = entries;
        dict->capacity = capacity;
    }
    dict->entries[dict->n++] = (struct dict_entry){key, item};
    if (dict->n <= SMALL_DICT)
        return;
    if (dict->n * 2 > dict->index_capacity)
        dict_build_index(budget, dict);
    else
        *dict_place(budget, dict, key) = (uint32_t)dict->n;
}

void dict_set(struct budget *budget, struct dict *dict, struct value key, struct value item)
{
    key_hash(budget, key); // refuses what cannot be a key
    struct dict_entry *entry = dict_find(budget, dict, key);
    if (entry)
        entry->value = item;
    else
        dict_append(budget, dict, key, item);
}

const struct value *dict_get(struct budget *budget, const struct dict *dict, struct value key)
{
    struct dict_entry *entry = dict_find(budget, dict, key);
    return entry ? &entry->value : NULL;
}

const struct value *dict_get_text(struct budget *budget, const struct dict *dict, const char *key)
{
    struct cord text = {.length = strlen(key), .bytes = key};
    return dict_get(budget, dict, value_string(&text));
}

static struct value number_from_json(struct budget *budget, const struct json_value *json)
{
    int64_t integer;
    double number;
    if (json_int64(json, &integer))
        return value_integer(integer);
    if (json_is_integer(json))
        return (struct value){.type = VALUE_BIG_INTEGER,
                              .text = cord_of(budget, json->text, json->length, false)};
    if (!json_double(json, &number))
        number = json->text[0] == '-' ? -INFINITY : INFINITY;
    return value_float(number);
}

static struct value container_from_json(struct budget *budget, const struct json_value *json,
                                        bool from_client, unsigned depth)
{
    if (depth == 0)
        budget_fail(budget, STATUS_RESOURCE_EXHAUSTED, "the variables are nested too deeply");
    if (json->type == JSON_ARRAY) {
        struct list *list = list_new(budget, LIST_PLAIN, json->n);
        for (uint32_t i = 0; i < json->n; i++)
            list_append(budget, list,
                        value_from_json(budget, &json->items[i], from_client, depth - 1));
        return value_list(list);
    }
    struct dict *dict = dict_new(budget, json->n);
    for (uint32_t i = 0; i < json->n; i++) {
        const struct json_member *member = &json->members[i];
        struct cord *key = cord_of(budget, member->key, member->key_length, from_client);
        dict_append(budget, dict, value_string(key),
                    value_from_json(budget, &member->value, from_client, depth - 1));
    }
    return value_dict(dict);
}

struct value value_from_json(struct budget *budget, const struct json_value *json, bool from_client,
                             unsigned max_depth)
{
    struct value value = value_none();
    switch (json->type) {
    case JSON_NULL:
        break;
    case JSON_FALSE:
    case JSON_TRUE:
        value = value_bool(json->type == JSON_TRUE);
        break;
    case JSON_NUMBER:
        value = number_from_json(budget, json);
        break;
    case JSON_STRING:
        value = value_string(cord_of(budget, json->text, json->length, from_client));
        break;
    case JSON_ARRAY:
    case JSON_OBJECT:
        return container_from_json(budget, json, from_client, max_depth);
    }
    value.from_client = from_client;
    return value;
}

const char *value_type_name(struct value value)
{
    static const char *const names[] = {
        [VALUE_UNDEFINED] = "undefined", [VALUE_NONE] = "NoneType",
        [VALUE_BOOL] = "bool",           [VALUE_INTEGER] = "int",
        [VALUE_BIG_INTEGER] = "int",     [VALUE_FLOAT] = "float",
        [VALUE_STRING] = "str",          [VALUE_LIST] = "list",
        [VALUE_DICT] = "dict",           [VALUE_RANGE] = "range",
        [VALUE_NAMESPACE] = "namespace", [VALUE_LOOP] = "loop",
        [VALUE_MACRO] = "macro",         [VALUE_METHOD] = "method",
        [VALUE_FUNCTION] = "function",
    };
    static const char *const list_names[] = {
        [LIST_PLAIN] = "list",       [LIST_TUPLE] = "tuple",    [LIST_GENERATOR] = "generator",
        [LIST_ITEMS] = "dict_items", [LIST_KEYS] = "dict_keys", [LIST_VALUES] = "dict_values",
    };
    return value.type == VALUE_LIST ? list_names[value.list->kind] : names[value.type];
}

bool value_is_number(struct value value)
{
    return value.type == VALUE_BOOL || value.type == VALUE_INTEGER || value.type == VALUE_FLOAT ||
           value.type == VALUE_BIG_INTEGER;
}

double value_as_double(struct value value)
{
    if (value.type == VALUE_FLOAT)
        return value.number;
    return value.type == VALUE_BOOL ? value.boolean : (double)value.integer;
}

bool value_truth(struct value value)
{
    switch (value.type) {
    case VALUE_UNDEFINED:
    case VALUE_NONE:
        return false;
    case VALUE_BOOL:
        return value.boolean;
    case VALUE_INTEGER:
        return value.integer != 0;
    case VALUE_FLOAT:
        return value.number != 0;
    case VALUE_STRING:
        return value.text->length != 0;
    case VALUE_LIST:
        return value.list->kind == LIST_GENERATOR || value.list->n != 0;
    case VALUE_DICT:
        return value.dict->n != 0;
    case VALUE_RANGE:
        return value.range->n != 0;
    case VALUE_LOOP:
        return value.loop->n != 0;
    default:
        return true;
    }
}

// Magnitudes of two integers of any size, written without leading zeros.
static int compare_big(struct budget *budget, struct value a, struct value b)
{
    char small[2][24];
    struct cord cords[2];
    struct value values[2] = {a, b};
    bool negative[2];
    for (int i = 0; i < 2; i++) {
        if (values[i].type == VALUE_BIG_INTEGER) {
            cords[i] = *values[i].text;
        } else {
            int64_t integer = values[i].type == VALUE_BOOL ? values[i].boolean : values[i].integer;
            int n = snprintf(small[i], sizeof small[i], "%lld", (long long)integer);
            cords[i] = (struct cord){.length = (size_t)n, .bytes = small[i]};
        }
        negative[i] = cords[i].bytes[0] == '-';
    }
    if (negative[0] != negative[1])
        return negative[0] ? -1 : 1;
    int order = cords[0].length != cords[1].length ? (cords[0].length < cords[1].length ? -1 : 1)
                                                   : cord_compare(budget, &cords[0], &cords[1]);
    return negative[0] ? -order : order;
}

// Of two numbers; *out_ordered is false for NaN.
static int compare_numbers(struct budget *budget, struct value a, struct value b, bool *out_ordered)
{
    *out_ordered = true;
    bool has_big = a.type == VALUE_BIG_INTEGER || b.type == VALUE_BIG_INTEGER;
    bool has_float = a.type == VALUE_FLOAT || b.type == VALUE_FLOAT;
    if (has_big && has_float)
        budget_fail(budget, STATUS_INVALID_ARGUMENT,
                    "an integer beyond 64 bits cannot be compared with a float");
    if (has_big)
        return compare_big(budget, a, b);
    if (has_float) {
        // 64 bits of mantissa or more: exact for both types.
        long double x = a.type == VALUE_INTEGER ? (long double)a.integer : value_as_double(a);
        long double y = b.type == VALUE_INTEGER ? (long double)b.integer : value_as_double(b);
        *out_ordered = !isunordered(x, y);
        return (x > y) - (x < y);
    }
    int64_t x = a.type == VALUE_BOOL ? a.boolean : a.integer;
    int64_t y = b.type == VALUE_BOOL ? b.boolean : b.integer;
    return (x > y) - (x < y);
}

static bool lists_equal(struct budget *budget, const struct list *a, const struct list *b)
{
    if (a->kind != b->kind || a->n != b->n)
        return false;
    if (a->kind != LIST_PLAIN && a->kind != LIST_TUPLE)
        return a == b;
    for (size_t i = 0; i < a->n; i++)
        if (!value_equal(budget, a->items[i], b->items[i]))
            return false;
    return true;
}

static bool dicts_equal(struct budget *budget, const struct dict *a, const struct dict *b)
{
    if (a->n != b->n)
        return false;
    for (size_t i = 0; i < a->n; i++) {
        const struct value *other = dict_get(budget, b, a->entries[i].key);
        if (!other || !value_equal(budget, a->entries[i].value, *other))
            return false;
    }
    return true;
}

static bool equal(struct budget *budget, struct value a, struct value b)
{
    bool ordered;
    if (value_is_number(a) && value_is_number(b))
        return compare_numbers(budget, a, b, &ordered) == 0 && ordered;
    if (a.type != b.type)
        return false;
    switch (a.type) {
    case VALUE_UNDEFINED:
    case VALUE_NONE:
        return true;
    case VALUE_STRING:
        return a.text->length == b.text->length && cord_compare(budget, a.text, b.text) == 0;
    case VALUE_LIST:
        return lists_equal(budget, a.list, b.list);
    case VALUE_DICT:
        return dicts_equal(budget, a.dict, b.dict);
    case VALUE_RANGE:
        return a.range->n == b.range->n &&
               (a.range->n == 0 || (a.range->start == b.range->start &&
                                    (a.range->n == 1 || a.range->step == b.range->step)));
    case VALUE_FUNCTION:
        return a.symbol == b.symbol;
    default:
        return a.macro == b.macro; // the same thing
    }
}

bool value_equal(struct budget *budget, struct value a, struct value b)
{
    budget_charge(budget, 1);
    budget_enter(budget);
    bool result = equal(budget, a, b);
    budget_leave(budget);
    return result;
}

static int compare_lists(struct budget *budget, const struct list *a, const struct list *b)
{
    for (size_t i = 0; i < a->n && i < b->n; i++)
        if (!value_equal(budget, a->items[i], b->items[i]))
            return value_compare(budget, a->items[i], b->items[i]);
    return (a->n > b->n) - (a->n < b->n);
}

int value_compare(struct budget *budget, struct value a, struct value b)
{
    budget_charge(budget, 1);
    bool ordered;
    if (value_is_number(a) && value_is_number(b)) {
        int order = compare_numbers(budget, a, b, &ordered);
        if (!ordered)
            budget_fail(budget, STATUS_INVALID_ARGUMENT, "NaN has no order");
        return order;
    }
    if (a.type == VALUE_STRING && b.type == VALUE_STRING)
        return cord_compare(budget, a.text, b.text);
    if (a.type == VALUE_LIST && b.type == VALUE_LIST && a.list->kind == b.list->kind &&
        a.list->kind <= LIST_TUPLE) {
        budget_enter(budget);
        int order = compare_lists(budget, a.list, b.list);
        budget_leave(budget);
        return order;
    }
    budget_fail(budget, STATUS_INVALID_ARGUMENT, "'%s' and '%s' have no order", value_type_name(a),
                value_type_name(b));
}

bool value_contains(struct budget *budget, struct value container, struct value item)
{
    if (container.type == VALUE_STRING) {
        if (item.type != VALUE_STRING)
            budget_fail(budget, STATUS_INVALID_ARGUMENT,
                        "'in <string>' requires a string, not '%s'", value_type_name(item));
        return cord_find(budget, cord_flatten(budget, container.text), 0,
                         cord_flatten(budget, item.text)) != SIZE_MAX;
    }
    if (container.type == VALUE_DICT) {
        key_hash(budget, item); // refuses what cannot be a key
        return dict_get(budget, container.dict, item) != NULL;
    }
    const struct list *items = value_items(budget, container);
    for (size_t i = 0; i < items->n; i++)
        if (value_equal(budget, items->items[i], item))
            return true;
    return false;
}

// Merges sorted from[0..half) and from[half..n) into to.
static void merge_entries(struct budget *budget, const struct dict_entry *from, size_t half,
                          size_t n, bool reverse, struct dict_entry *to)
{
    size_t left = 0;
    size_t right = half;
    for (size_t i = 0; i < n; i++) {
        bool take_left = right == n;
        if (left < half && right < n) {
            int order = value_compare(budget, from[left].key, from[right].key);
            take_left = reverse ? order >= 0 : order <= 0;
        }
        to[i] = take_left ? from[left++] : from[right++];
    }
}

// A merge sort of our own: a comparison may jump out, which the C library's sort may not survive.
void entries_sort(struct budget *budget, struct dict_entry *entries, size_t n, bool reverse)
{
    struct dict_entry *from = entries;
    struct dict_entry *to = budget_take(budget, n, sizeof *to);
    for (size_t width = 1; width < n; width *= 2) {
        for (size_t at = 0; at < n; at += 2 * width) {
            size_t rest = n - at;
            merge_entries(budget, from + at, width < rest ? width : rest,
                          2 * width < rest ? 2 * width : rest, reverse, to + at);
        }
        struct dict_entry *swap = from;
        from = to;
        to = swap;
    }
    if (from != entries)
        memcpy(entries, from, n * sizeof *entries);
}

static struct list *characters(struct budget *budget, const struct cord *text)
{
    struct list *list = list_new(budget, LIST_PLAIN, 0);
    for (size_t at = 0; at < text->length;) {
        uint32_t code_point;
        size_t n = utf8_decode(text->bytes + at, text->length - at, &code_point);
        list_append(budget, list, value_string(cord_slice(budget, text, at, n)));
        at += n;
    }
    return list;
}

static struct list *numbers(struct budget *budget, const struct range *range)
{
    budget_charge(budget, range->n / 16);
    struct list *list = list_new(budget, LIST_PLAIN, range->n);
    for (size_t i = 0; i < range->n; i++)
        list_append(budget, list, value_integer(range->start + (int64_t)i * range->step));
    return list;
}

struct list *value_items(struct budget *budget, struct value value)
{
    struct list *list;
    switch (value.type) {
    case VALUE_UNDEFINED:
        return list_new(budget, LIST_PLAIN, 0);
    case VALUE_STRING:
        return characters(budget, cord_flatten(budget, value.text));
    case VALUE_LIST:
        if (value.list->kind != LIST_GENERATOR)
            return value.list;
        list = value.list->consumed ? list_new(budget, LIST_PLAIN, 0) : value.list;
        value.list->consumed = true;
        return list;
    case VALUE_DICT:
        list = list_new(budget, LIST_PLAIN, value.dict->n);
        for (size_t i = 0; i < value.dict->n; i++)
            list_append(budget, list, value.dict->entries[i].key);
        return list;
    case VALUE_RANGE:
        return numbers(budget, value.range);
    default:
        budget_fail(budget, STATUS_INVALID_ARGUMENT, "'%s' object is not iterable",
                    value_type_name(value));
    }
}

static size_t count_characters(struct budget *budget, const struct cord *text)
{
    budget_charge(budget, text->length / 64);
    size_t n = 0;
    for (size_t i = 0; i < text->length; i++)
        n += ((unsigned char)text->bytes[i] & 0xC0) != 0x80;
    return n;
}

bool value_length(struct budget *budget, struct value value, size_t *out)
{
    switch (value.type) {
    case VALUE_UNDEFINED:
        *out = 0;
        return true;
    case VALUE_STRING:
        *out = count_characters(budget, cord_flatten(budget, value.text));
        return true;
    case VALUE_LIST:
        *out = value.list->n;
        return value.list->kind != LIST_GENERATOR;
    case VALUE_DICT:
        *out = value.dict->n;
        return true;
    case VALUE_RANGE:
        *out = value.range->n;
        return true;
    case VALUE_LOOP:
        *out = value.loop->n;
        return true;
    default:
        return false;
    }
}
