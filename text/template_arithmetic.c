/* text/template_arithmetic.c - Python's operators and the built-in functions. Integers have 64
 * bits; a result beyond them is an error, never a wrong number. */
#include <math.h>
#include <string.h>

#include "text/template_render.h"

#define MAX_RANGE 100000 /* as Jinja's sandbox */

_Noreturn static void fail_types(struct budget *budget, struct value a, struct value b)
{
    budget_fail(budget, STATUS_INVALID_ARGUMENT, "unsupported operands: '%s' and '%s'",
                value_type_name(a), value_type_name(b));
}

static int64_t floor_quotient(int64_t a, int64_t b)
{
    int64_t quotient = a / b;
    return a % b != 0 && (a < 0) != (b < 0) ? quotient - 1 : quotient;
}

static struct value integers(struct budget *budget, enum operation operation, int64_t a, int64_t b)
{
    int64_t result = 0;
    bool overflows = false;
    if (operation >= OPERATION_DIVIDE && b == 0)
        budget_fail(budget, STATUS_INVALID_ARGUMENT, "a division by zero");
    switch (operation) {
    case OPERATION_ADD:
        overflows = __builtin_add_overflow(a, b, &result);
        break;
    case OPERATION_SUBTRACT:
        overflows = __builtin_sub_overflow(a, b, &result);
        break;
    case OPERATION_MULTIPLY:
        overflows = __builtin_mul_overflow(a, b, &result);
        break;
    case OPERATION_DIVIDE:
        return value_float((double)((long double)a / (long double)b));
    case OPERATION_FLOOR_DIVIDE:
        overflows = a == INT64_MIN && b == -1;
        result = overflows ? 0 : floor_quotient(a, b);
        break;
    default: // modulo, with the sign of b
        result = b == -1 ? 0 : a - b * floor_quotient(a, b);
        break;
    }
    if (overflows)
        budget_fail(budget, STATUS_INVALID_ARGUMENT, "an integer beyond 64 bits");
    return value_integer(result);
}

// Python's float_divmod.
static double floats_divmod(double a, double b, bool wants_modulo)
{
    double modulo = fmod(a, b);
    double quotient = (a - modulo) / b;
    if (modulo != 0 && (b < 0) != (modulo < 0)) {
        modulo += b;
        quotient -= 1;
    } else if (modulo == 0) {
        modulo = copysign(0, b);
    }
    if (wants_modulo)
        return modulo;
    if (quotient == 0)
        return copysign(0, a / b);
    double floored = floor(quotient);
    return quotient - floored > 0.5 ? floored + 1 : floored;
}

static struct value floats(struct budget *budget, enum operation operation, double a, double b)
{
    if (operation >= OPERATION_DIVIDE && b == 0)
        budget_fail(budget, STATUS_INVALID_ARGUMENT, "a division by zero");
    switch (operation) {
    case OPERATION_ADD:
        return value_float(a + b);
    case OPERATION_SUBTRACT:
        return value_float(a - b);
    case OPERATION_MULTIPLY:
        return value_float(a * b);
    case OPERATION_DIVIDE:
        return value_float(a / b);
    default:
        return value_float(floats_divmod(a, b, operation == OPERATION_MODULO));
    }
}

static struct value repeat(struct budget *budget, struct cord *text, int64_t times)
{
    struct cord *result = cord_text(budget, "");
    // By doubling: the result's depth is logarithmic.
    for (struct cord *power = text; times > 0 && text->length; times /= 2) {
        if (times % 2)
            result = cord_join(budget, power, result);
        if (times > 1)
            power = cord_join(budget, power, power);
    }
    return value_string(result);
}

static struct value repeat_list(struct budget *budget, const struct list *list, int64_t times)
{
    size_t n;
    if (__builtin_mul_overflow(list->n, times > 0 ? (size_t)times : 0, &n))
        budget_fail(budget, STATUS_RESOURCE_EXHAUSTED, "a list gets too long");
    struct list *repeated = list_new(budget, list->kind, n);
    budget_charge(budget, n);
    for (size_t i = 0; i < n; i++)
        list_append(budget, repeated, list->items[i % list->n]);
    return value_list(repeated);
}

// Of a string or a list; false: of neither.
static bool multiply(struct budget *budget, struct value series, struct value times,
                     struct value *out)
{
    if (times.type != VALUE_INTEGER && times.type != VALUE_BOOL)
        return false;
    int64_t n = value_as_integer(budget, times, "a factor");
    if (series.type == VALUE_STRING)
        *out = repeat(budget, series.text, n);
    else if (series.type == VALUE_LIST && series.list->kind <= LIST_TUPLE)
        *out = repeat_list(budget, series.list, n);
    else
        return false;
    return true;
}

static struct value add_lists(struct budget *budget, const struct list *a, const struct list *b)
{
    struct list *sum = list_new(budget, a->kind, a->n + b->n);
    budget_charge(budget, (a->n + b->n) / 16);
    if (a->n)
        memcpy(sum->items, a->items, a->n * sizeof *sum->items);
    if (b->n)
        memcpy(sum->items + a->n, b->items, b->n * sizeof *sum->items);
    sum->n = a->n + b->n;
    return value_list(sum);
}

struct value value_arithmetic(struct budget *budget, enum operation operation, struct value a,
                              struct value b)
{
    if (value_is_number(a) && value_is_number(b)) {
        if (a.type == VALUE_BIG_INTEGER || b.type == VALUE_BIG_INTEGER)
            budget_fail(budget, STATUS_INVALID_ARGUMENT, "an integer beyond 64 bits");
        if (a.type == VALUE_FLOAT || b.type == VALUE_FLOAT)
            return floats(budget, operation, value_as_double(a), value_as_double(b));
        return integers(budget, operation, value_as_integer(budget, a, "an operand"),
                        value_as_integer(budget, b, "an operand"));
    }
    if (operation == OPERATION_ADD && a.type == VALUE_STRING && b.type == VALUE_STRING)
        return value_string(cord_join(budget, a.text, b.text));
    if (operation == OPERATION_ADD && a.type == VALUE_LIST && b.type == VALUE_LIST &&
        a.list->kind == b.list->kind && a.list->kind <= LIST_TUPLE)
        return add_lists(budget, a.list, b.list);
    struct value product;
    if (operation == OPERATION_MULTIPLY &&
        (multiply(budget, a, b, &product) || multiply(budget, b, a, &product)))
        return product;
    if (a.type == VALUE_UNDEFINED || b.type == VALUE_UNDEFINED)
        budget_fail(budget, STATUS_INVALID_ARGUMENT, "'%.80s' is undefined",
                    a.type == VALUE_UNDEFINED ? a.missing : b.missing);
    fail_types(budget, a, b);
}

static struct value make_range(struct budget *budget, const struct arguments *arguments)
{
    int64_t bounds[3] = {0, 0, 1};
    if (arguments->n < 1 || arguments->n > 3 || arguments->n_keywords)
        budget_fail(budget, STATUS_INVALID_ARGUMENT, "range() takes 1 to 3 integers");
    for (uint32_t i = 0; i < arguments->n; i++)
        bounds[arguments->n == 1 ? 1 : i] = value_as_integer(budget, arguments->items[i],
                                                             "an argument of range()");
    if (bounds[2] == 0)
        budget_fail(budget, STATUS_INVALID_ARGUMENT, "range() with a step of 0");
    bool up = bounds[2] > 0;
    struct range *range = budget_take(budget, 1, sizeof *range);
    range->start = bounds[0];
    range->stop = bounds[1];
    range->step = bounds[2];
    if (up ? bounds[0] < bounds[1] : bounds[0] > bounds[1]) {
        uint64_t distance = up ? (uint64_t)bounds[1] - (uint64_t)bounds[0]
                               : (uint64_t)bounds[0] - (uint64_t)bounds[1];
        uint64_t stride = up ? (uint64_t)bounds[2] : -(uint64_t)bounds[2];
        uint64_t n = (distance - 1) / stride + 1;
        if (n > MAX_RANGE)
            budget_fail(budget, STATUS_INVALID_ARGUMENT, "a range of more than %d", MAX_RANGE);
        range->n = (size_t)n;
    }
    return (struct value){.type = VALUE_RANGE, .range = range};
}

static struct value make_dict(struct budget *budget, const struct arguments *arguments,
                              enum value_type type)
{
    struct dict *dict = dict_new(budget, arguments->n_keywords);
    if (arguments->n > 1 || (arguments->n == 1 && arguments->items[0].type != VALUE_DICT))
        budget_fail(budget, STATUS_INVALID_ARGUMENT, "%s() takes a mapping and keyword arguments",
                    type == VALUE_DICT ? "dict" : "namespace");
    const struct dict *from = arguments->n ? arguments->items[0].dict : NULL;
    for (size_t i = 0; from && i < from->n; i++)
        dict_set(budget, dict, from->entries[i].key, from->entries[i].value);
    for (uint32_t i = 0; i < arguments->n_keywords; i++)
        dict_set(budget, dict, value_text(budget, arguments->names[i]), arguments->named[i]);
    return (struct value){.type = type, .dict = dict};
}

struct value function_call(struct budget *budget, uint32_t symbol,
                           const struct arguments *arguments)
{
    if (symbol == SYMBOL_RANGE)
        return make_range(budget, arguments);
    if (symbol == SYMBOL_NAMESPACE)
        return make_dict(budget, arguments, VALUE_NAMESPACE);
    if (symbol == SYMBOL_DICT)
        return make_dict(budget, arguments, VALUE_DICT);
    if (arguments->n != 1 || arguments->n_keywords)
        budget_fail(budget, STATUS_INVALID_ARGUMENT, "raise_exception() takes one message");
    struct cord *message = value_str(budget, arguments->items[0]);
    const struct cord *flat = cord_flatten(budget, message);
    budget_fail(budget, STATUS_INVALID_ARGUMENT, "%.*s",
                flat->length > 400 ? 400 : (int)flat->length, flat->bytes);
}
