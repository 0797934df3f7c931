/* text/template_item.c - reaching into values: items, attributes and slices, by the rules of
 * Python and of Jinja's sandbox (an item may be an attribute and the other way round). */
#include <string.h>

#include "base/utf8.h"
#include "text/template_builtins.h"

int64_t value_as_integer(struct budget *budget, struct value value, const char *what)
{
    if (value.type == VALUE_INTEGER)
        return value.integer;
    if (value.type == VALUE_BOOL)
        return value.boolean;
    budget_fail(budget, STATUS_INVALID_ARGUMENT, "%s must be an integer, not '%s'", what,
                value_type_name(value));
}

// The byte where the n-th character begins; the length if there are fewer.
static size_t character_offset(struct budget *budget, const struct cord *text, size_t n)
{
    size_t at = 0;
    for (; at < text->length; at++)
        if (((unsigned char)text->bytes[at] & 0xC0) != 0x80 && n-- == 0)
            break;
    budget_charge(budget, at / 64);
    return at;
}

static bool list_is_indexed(const struct list *list)
{
    return list->kind == LIST_PLAIN || list->kind == LIST_TUPLE;
}

static struct value string_character(struct budget *budget, struct cord *text, size_t index)
{
    const struct cord *flat = cord_flatten(budget, text);
    size_t at = character_offset(budget, flat, index);
    uint32_t c;
    return value_string(
        cord_slice(budget, flat, at, utf8_decode(flat->bytes + at, flat->length - at, &c)));
}

static bool is_indexed(struct value object)
{
    return object.type == VALUE_STRING || object.type == VALUE_RANGE ||
           (object.type == VALUE_LIST && list_is_indexed(object.list));
}

static bool sequence_item(struct budget *budget, struct value object, int64_t index,
                          struct value *out)
{
    size_t n;
    value_length(budget, object, &n);
    if (index < 0)
        index += (int64_t)n;
    if (index < 0 || index >= (int64_t)n)
        return false;
    if (object.type == VALUE_STRING)
        *out = string_character(budget, object.text, (size_t)index);
    else if (object.type == VALUE_RANGE)
        *out = value_integer(object.range->start + index * object.range->step);
    else
        *out = object.list->items[index];
    return true;
}

_Noreturn static void fail_undefined(struct budget *budget, struct value object)
{
    budget_fail(budget, STATUS_INVALID_ARGUMENT, "'%.80s' is undefined", object.missing);
}

static struct value loop_attribute(struct budget *budget, const struct loop *loop, const char *name)
{
    const int64_t index0 = (int64_t)loop->index0;
    const int64_t n = (int64_t)loop->n;
    const struct {
        const char *name;
        struct value value;
    } attributes[] = {
        {"index0", value_integer(index0)},
        {"index", value_integer(index0 + 1)},
        {"first", value_bool(index0 == 0)},
        {"last", value_bool(index0 + 1 == n)},
        {"length", value_integer(n)},
        {"revindex", value_integer(n - index0)},
        {"revindex0", value_integer(n - index0 - 1)},
        {"depth", value_integer(1)},
        {"depth0", value_integer(0)},
    };
    for (size_t i = 0; i < sizeof attributes / sizeof *attributes; i++)
        if (strcmp(name, attributes[i].name) == 0)
            return attributes[i].value;
    if (strcmp(name, "previtem") == 0)
        return index0 ? loop_item(loop, loop->index0 - 1) : value_undefined("the previous item");
    if (strcmp(name, "nextitem") == 0)
        return index0 + 1 < n ? loop_item(loop, loop->index0 + 1)
                              : value_undefined("the next item");
    budget_fail(budget, STATUS_INVALID_ARGUMENT, "unsupported: loop.%.60s", name);
}

static struct value plain_attribute(struct budget *budget, struct value object, const char *name,
                                    bool *out_found)
{
    *out_found = true;
    if (object.type == VALUE_LOOP)
        return loop_attribute(budget, object.loop, name);
    if (object.type == VALUE_NAMESPACE) {
        const struct value *member = dict_get_text(budget, object.dict, name);
        *out_found = member != NULL;
        return member ? *member : value_undefined(name);
    }
    struct value method = value_builtin_attribute(budget, object, name);
    *out_found = method.type != VALUE_UNDEFINED;
    return method;
}

// A copy of a name that came from a value, with its NUL.
static const char *name_of(struct budget *budget, struct value name)
{
    const struct cord *flat = cord_flatten(budget, name.text);
    return cord_copy(budget, flat->bytes, flat->length, false)->bytes;
}

static bool plain_item(struct budget *budget, struct value object, struct value index,
                       struct value *out)
{
    if (object.type == VALUE_DICT) {
        const struct value *item = dict_get(budget, object.dict, index);
        if (item)
            *out = *item;
        return item != NULL;
    }
    if (!is_indexed(object) || (index.type != VALUE_INTEGER && index.type != VALUE_BOOL))
        return false;
    return sequence_item(budget, object, value_as_integer(budget, index, "an index"), out);
}

struct value value_item(struct budget *budget, struct value object, struct value index)
{
    struct value item;
    if (object.type == VALUE_UNDEFINED)
        fail_undefined(budget, object);
    if (plain_item(budget, object, index, &item))
        return item;
    if (index.type != VALUE_STRING)
        return value_undefined("an item");
    const char *name = name_of(budget, index);
    if (strlen(name) != index.text->length)
        return value_undefined("an item"); // no attribute has a NUL
    bool found;
    item = plain_attribute(budget, object, name, &found);
    return found ? item : value_undefined(name);
}

struct value value_attribute(struct budget *budget, struct value object, const char *name)
{
    if (object.type == VALUE_UNDEFINED)
        fail_undefined(budget, object);
    bool found;
    struct value attribute = plain_attribute(budget, object, name, &found);
    if (found)
        return attribute;
    if (object.type != VALUE_DICT)
        return value_undefined(name);
    const struct value *item = dict_get_text(budget, object.dict, name);
    return item ? *item : value_undefined(name);
}

// Python's slice.indices: where to start and to stop, and how many items that takes.
static size_t slice_bounds(struct budget *budget, const struct value bounds[2], int64_t step,
                           int64_t n, int64_t out_at[2])
{
    int64_t low = step > 0 ? 0 : -1;
    int64_t high = step > 0 ? n : n - 1;
    for (int i = 0; i < 2; i++) {
        if (bounds[i].type == VALUE_NONE) {
            out_at[i] = (step > 0) == (i == 0) ? low : high;
            continue;
        }
        int64_t bound = value_as_integer(budget, bounds[i], "a slice bound");
        if (bound < 0)
            bound = bound < -n ? -1 - n : bound + n;
        out_at[i] = bound < low ? low : bound > high ? high : bound;
    }
    int64_t distance = step > 0 ? out_at[1] - out_at[0] : out_at[0] - out_at[1];
    if (distance <= 0)
        return 0;
    uint64_t stride = step > 0 ? (uint64_t)step : -(uint64_t)step;
    return (size_t)(((uint64_t)distance - 1) / stride + 1);
}

static struct value slice_range(struct budget *budget, const struct range *from,
                                const int64_t at[2], int64_t step, size_t n)
{
    struct range *range = budget_take(budget, 1, sizeof *range);
    int64_t first, last;
    range->n = n;
    if (__builtin_mul_overflow(from->step, step, &range->step) ||
        __builtin_mul_overflow(from->step, at[0], &first) ||
        __builtin_add_overflow(from->start, first, &range->start) ||
        __builtin_mul_overflow(from->step, at[1], &last) ||
        __builtin_add_overflow(from->start, last, &range->stop))
        budget_fail(budget, STATUS_INVALID_ARGUMENT, "an integer beyond 64 bits");
    return (struct value){.type = VALUE_RANGE, .range = range};
}

static struct value slice_string(struct budget *budget, struct cord *text, int64_t first, size_t n,
                                 int64_t step)
{
    const struct cord *flat = cord_flatten(budget, text);
    if (step == 1) {
        size_t start = character_offset(budget, flat, (size_t)first);
        struct cord *rest = cord_slice(budget, flat, start, flat->length - start);
        return value_string(cord_slice(budget, rest, 0, character_offset(budget, rest, n)));
    }
    const struct list *all = value_items(budget, value_string(text));
    struct cord *result = cord_text(budget, "");
    for (size_t i = 0; i < n; i++)
        result = cord_join(budget, result, all->items[first + (int64_t)i * step].text);
    return value_string(result);
}

struct value value_slice(struct budget *budget, struct value object, struct value start,
                         struct value stop, struct value step)
{
    size_t length;
    if (object.type == VALUE_UNDEFINED)
        fail_undefined(budget, object);
    if (!is_indexed(object))
        budget_fail(budget, STATUS_INVALID_ARGUMENT, "'%s' object has no slices",
                    value_type_name(object));
    value_length(budget, object, &length);
    int64_t stride = step.type == VALUE_NONE ? 1 : value_as_integer(budget, step, "a slice step");
    if (stride == 0)
        budget_fail(budget, STATUS_INVALID_ARGUMENT, "a slice step must not be 0");
    const struct value bounds[2] = {start, stop};
    int64_t at[2];
    size_t n = slice_bounds(budget, bounds, stride, (int64_t)length, at);
    int64_t first = at[0];
    if (object.type == VALUE_RANGE)
        return slice_range(budget, object.range, at, stride, n);
    if (n <= 1)
        stride = 1; // may be anything, and is multiplied below
    if (object.type == VALUE_STRING)
        return n ? slice_string(budget, object.text, first, n, stride) : value_text(budget, "");
    bool is_tuple = object.type == VALUE_LIST && object.list->kind == LIST_TUPLE;
    struct list *list = list_new(budget, is_tuple ? LIST_TUPLE : LIST_PLAIN, n);
    const struct list *items = value_items(budget, object);
    budget_charge(budget, n / 16);
    for (size_t i = 0; i < n; i++)
        list_append(budget, list, items->items[first + (int64_t)i * stride]);
    return value_list(list);
}
