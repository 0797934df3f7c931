/* text/template_test.c - the tests behind "is". */
#include <math.h>
#include <string.h>

#include "text/template_builtins.h"
#include "text/unicode.h"
#include "base/utf8.h"

#define TEST_OF_TYPE(name, condition)                             \
    static bool name(struct budget *budget, struct value subject, \
                     const struct arguments *arguments)           \
    {                                                             \
        (void)budget;                                             \
        (void)arguments;                                          \
        return condition;                                         \
    }

TEST_OF_TYPE(is_defined, subject.type != VALUE_UNDEFINED)
TEST_OF_TYPE(is_undefined, subject.type == VALUE_UNDEFINED)
TEST_OF_TYPE(is_none, subject.type == VALUE_NONE)
TEST_OF_TYPE(is_boolean, subject.type == VALUE_BOOL)
TEST_OF_TYPE(is_true, subject.type == VALUE_BOOL && subject.boolean)
TEST_OF_TYPE(is_false, subject.type == VALUE_BOOL && !subject.boolean)
TEST_OF_TYPE(is_integer, subject.type == VALUE_INTEGER || subject.type == VALUE_BIG_INTEGER)
TEST_OF_TYPE(is_float, subject.type == VALUE_FLOAT)
TEST_OF_TYPE(is_number, value_is_number(subject))
TEST_OF_TYPE(is_string, subject.type == VALUE_STRING)
TEST_OF_TYPE(is_mapping, subject.type == VALUE_DICT)
TEST_OF_TYPE(is_callable, subject.type == VALUE_UNDEFINED || subject.type == VALUE_MACRO ||
                              subject.type == VALUE_METHOD || subject.type == VALUE_FUNCTION)

// What has a length and items by index or key; an undefined value claims both.
TEST_OF_TYPE(is_sequence, subject.type == VALUE_STRING || subject.type == VALUE_DICT ||
                              subject.type == VALUE_RANGE || subject.type == VALUE_UNDEFINED ||
                              (subject.type == VALUE_LIST && subject.list->kind <= LIST_TUPLE))
TEST_OF_TYPE(is_iterable, subject.type == VALUE_STRING || subject.type == VALUE_DICT ||
                              subject.type == VALUE_RANGE || subject.type == VALUE_UNDEFINED ||
                              subject.type == VALUE_LIST || subject.type == VALUE_LOOP)

static bool compares(struct budget *budget, struct value subject, const struct arguments *arguments,
                     bool less, bool equal, bool greater)
{
    int order = value_compare(budget, subject, arguments->items[0]);
    return order < 0 ? less : order > 0 ? greater : equal;
}

static bool is_equal(struct budget *budget, struct value subject, const struct arguments *arguments)
{
    return value_equal(budget, subject, arguments->items[0]);
}

static bool is_not_equal(struct budget *budget, struct value subject,
                         const struct arguments *arguments)
{
    return !value_equal(budget, subject, arguments->items[0]);
}

static bool is_less(struct budget *budget, struct value subject, const struct arguments *arguments)
{
    return compares(budget, subject, arguments, true, false, false);
}

static bool is_less_equal(struct budget *budget, struct value subject,
                          const struct arguments *arguments)
{
    return compares(budget, subject, arguments, true, true, false);
}

static bool is_greater(struct budget *budget, struct value subject,
                       const struct arguments *arguments)
{
    return compares(budget, subject, arguments, false, false, true);
}

static bool is_greater_equal(struct budget *budget, struct value subject,
                             const struct arguments *arguments)
{
    return compares(budget, subject, arguments, false, true, true);
}

static bool is_in(struct budget *budget, struct value subject, const struct arguments *arguments)
{
    return value_contains(budget, arguments->items[0], subject);
}

static bool is_divisible(struct budget *budget, struct value subject, int64_t by)
{
    int64_t number = value_as_integer(budget, subject, "the number");
    if (by == 0)
        budget_fail(budget, STATUS_INVALID_ARGUMENT, "a division by zero");
    return by == -1 || number % by == 0;
}

static bool is_divisibleby(struct budget *budget, struct value subject,
                           const struct arguments *arguments)
{
    return is_divisible(budget, subject,
                        value_as_integer(budget, arguments->items[0], "the divisor"));
}

static bool is_even(struct budget *budget, struct value subject, const struct arguments *arguments)
{
    (void)arguments;
    return is_divisible(budget, subject, 2);
}

static bool is_odd(struct budget *budget, struct value subject, const struct arguments *arguments)
{
    (void)arguments;
    return !is_divisible(budget, subject, 2);
}

// Cased characters all of this case, at least one of them.
static bool has_case(struct budget *budget, struct value subject, bool upper)
{
    const struct cord *flat = cord_flatten(budget, value_str(budget, subject));
    budget_charge(budget, flat->length / 16);
    bool any = false;
    for (size_t at = 0; at < flat->length;) {
        uint32_t c;
        uint32_t mapped[UNICODE_MAX_MAPPED];
        at += utf8_decode(flat->bytes + at, flat->length - at, &c);
        if (!unicode_is_cased(c))
            continue;
        any = true;
        size_t n = upper ? unicode_upper(c, mapped) : unicode_lower(c, mapped);
        if (n != 1 || mapped[0] != c)
            return false;
    }
    return any;
}

static bool is_upper(struct budget *budget, struct value subject, const struct arguments *arguments)
{
    (void)arguments;
    return has_case(budget, subject, true);
}

static bool is_lower(struct budget *budget, struct value subject, const struct arguments *arguments)
{
    (void)arguments;
    return has_case(budget, subject, false);
}

const struct template_test *test_find(const char *name)
{
    static const struct template_test tests[] = {
        {"defined", is_defined, 0},
        {"undefined", is_undefined, 0},
        {"none", is_none, 0},
        {"boolean", is_boolean, 0},
        {"true", is_true, 0},
        {"false", is_false, 0},
        {"integer", is_integer, 0},
        {"float", is_float, 0},
        {"number", is_number, 0},
        {"string", is_string, 0},
        {"mapping", is_mapping, 0},
        {"callable", is_callable, 0},
        {"sequence", is_sequence, 0},
        {"iterable", is_iterable, 0},
        {"even", is_even, 0},
        {"odd", is_odd, 0},
        {"upper", is_upper, 0},
        {"lower", is_lower, 0},
        {"divisibleby", is_divisibleby, 1},
        {"in", is_in, 1},
        {"eq", is_equal, 1},
        {"equalto", is_equal, 1},
        {"==", is_equal, 1},
        {"ne", is_not_equal, 1},
        {"!=", is_not_equal, 1},
        {"lt", is_less, 1},
        {"lessthan", is_less, 1},
        {"<", is_less, 1},
        {"le", is_less_equal, 1},
        {"<=", is_less_equal, 1},
        {"gt", is_greater, 1},
        {"greaterthan", is_greater, 1},
        {">", is_greater, 1},
        {"ge", is_greater_equal, 1},
        {">=", is_greater_equal, 1},
    };
    for (size_t i = 0; i < sizeof tests / sizeof *tests; i++)
        if (strcmp(tests[i].name, name) == 0)
            return &tests[i];
    return NULL;
}
