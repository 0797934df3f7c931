/* text/template_value.h - what a template computes with: Python's values, as far as needed.
 *
 * Values are small and copied; what they point to lives in the render's budget and does not change
 * after it was made, namespaces excepted. Part of the template engine. */
#ifndef GEMMAD_TEXT_TEMPLATE_VALUE_H
#define GEMMAD_TEXT_TEMPLATE_VALUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/json.h"
#include "text/cord.h"
#include "text/template_budget.h"

enum value_type {
    VALUE_UNDEFINED,
    VALUE_NONE,
    VALUE_BOOL,
    VALUE_INTEGER,
    VALUE_BIG_INTEGER, /* text: an integer outside int64, only to be printed and compared */
    VALUE_FLOAT,
    VALUE_STRING,
    VALUE_LIST, /* also tuples, views of dicts and what map and select give */
    VALUE_DICT,
    VALUE_RANGE,
    VALUE_NAMESPACE,
    VALUE_LOOP,
    VALUE_MACRO,
    VALUE_METHOD,   /* of a string or dict, bound to it */
    VALUE_FUNCTION, /* one of the renderer's own, symbol says which */
};

struct value {
    enum value_type type;
    bool from_client; /* scalars: its text is the client's */
    union {
        bool boolean;
        int64_t integer;
        double number;
        struct cord *text;   /* VALUE_STRING, VALUE_BIG_INTEGER */
        const char *missing; /* VALUE_UNDEFINED: what is not there */
        struct list *list;
        struct dict *dict; /* VALUE_DICT, VALUE_NAMESPACE */
        struct range *range;
        struct loop *loop;
        struct macro *macro;
        struct method *method;
        uint32_t symbol;
    };
};

enum list_kind { LIST_PLAIN, LIST_TUPLE, LIST_GENERATOR, LIST_ITEMS, LIST_KEYS, LIST_VALUES };

struct list {
    enum list_kind kind;
    bool consumed; /* a generator gives its items once */
    size_t n, capacity;
    struct value *items;
};

struct dict_entry {
    struct value key, value;
};

struct dict {
    size_t n, capacity;
    struct dict_entry *entries; /* in order of insertion */
    uint32_t *index;            /* large dicts: by hash, entry + 1, 0 is empty */
    size_t index_capacity;      /* a power of two */
};

struct range {
    int64_t start, stop, step; /* stop only for its printed form */
    size_t n;
};

struct loop {
    size_t index0, n;
    const struct list *items; /* NULL: a range, which is not spelt out */
    const struct range *range;
};

struct method {
    struct value object;
    const struct method_entry *entry; /* NULL: one of Python's that is not supported */
    const char *name;
};

struct value value_undefined(const char *missing);
struct value value_none(void);
struct value value_bool(bool boolean);
struct value value_integer(int64_t integer);
struct value value_float(double number);
struct value value_string(struct cord *text);
struct value value_text(struct budget *budget, const char *literal);
struct value value_list(struct list *list);
struct value value_dict(struct dict *dict);
/* Copies the shape of a JSON value; strings point into it. Nested at most max_depth deep. */
struct value value_from_json(struct budget *budget, const struct json_value *json, bool from_client,
                             unsigned max_depth);

struct value loop_item(const struct loop *loop, size_t i);
struct list *list_new(struct budget *budget, enum list_kind kind, size_t capacity);
void list_append(struct budget *budget, struct list *list, struct value item);
struct dict *dict_new(struct budget *budget, size_t capacity);
/* Replaces the value of an equal key. INVALID_ARGUMENT: a key that Python cannot hash. */
void dict_set(struct budget *budget, struct dict *dict, struct value key, struct value item);
/* NULL: no such key. */
const struct value *dict_get(struct budget *budget, const struct dict *dict, struct value key);
const struct value *dict_get_text(struct budget *budget, const struct dict *dict, const char *key);

/* Sorts by key, stable (also in reverse). INVALID_ARGUMENT: two keys have no order. */
void entries_sort(struct budget *budget, struct dict_entry *entries, size_t n, bool reverse);

/* "string", "dict" and so on, as Python names types. */
const char *value_type_name(struct value value);
bool value_is_number(struct value value); /* booleans are */
bool value_truth(struct value value);
bool value_equal(struct budget *budget, struct value a, struct value b);
/* <0, 0, >0; INVALID_ARGUMENT: the two have no order. */
int value_compare(struct budget *budget, struct value a, struct value b);
bool value_contains(struct budget *budget, struct value container, struct value item);
double value_as_double(struct value value); /* of a number */
/* The items of anything that Python iterates over, as a list. INVALID_ARGUMENT: it is none. */
struct list *value_items(struct budget *budget, struct value value);
/* True, and the length, if Python's len() works. */
bool value_length(struct budget *budget, struct value value, size_t *out);

#endif
