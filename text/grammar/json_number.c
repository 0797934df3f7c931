/* text/grammar/json_number.c - numbers: both signs apart, each narrowed by every bound. Bounds are
 * compared as decimals, never as doubles. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "text/grammar/json_decimal.h"

#define MAX_DIVISOR 50000 /* a match may come to an expression or three for each remainder */
#define MAX_FRACTIONS 1000

// Magnitudes of the numbers without a minus, and of those with one.
struct number {
    struct json_compiler *compiler;
    bool integer;
    uint32_t plus, minus;
    uint32_t divisor; /* of all multipleOf together; 0: none */
};

static void narrow(const struct number *number, uint32_t *magnitudes, uint32_t by)
{
    *magnitudes = expression_both(number->compiler->pool, *magnitudes, by);
}

static bool read(const struct number *number, const struct json_value *value,
                 struct json_decimal *out)
{
    if (json_decimal_read(value->text, out))
        return true;
    json_fail(number->compiler, value, "a number of more than %u digits", JSON_MAX_DIGITS);
    return false;
}

// The same for both directions: a lower bound of x is an upper one of -x.
static void narrow_by_bound(const struct number *number, uint32_t *towards, uint32_t *away,
                            const struct json_decimal *bound, bool is_beyond_zero, bool exclusive)
{
    struct json_compiler *compiler = number->compiler;
    bool integer = number->integer;
    if (is_beyond_zero) { // such as 5 for a minimum
        narrow(number, towards, json_decimal_at_least(compiler, bound, exclusive, integer));
        *away = EXPRESSION_NOTHING;
        return;
    }
    narrow(number, away, json_decimal_at_most(compiler, bound, exclusive, integer));
    if (bound->n == 0 && exclusive)
        narrow(number, towards, json_decimal_at_least(compiler, bound, exclusive, integer));
}

static void lower(struct number *number, const struct json_value *value, bool exclusive)
{
    struct json_decimal bound;
    if (read(number, value, &bound))
        narrow_by_bound(number, &number->plus, &number->minus, &bound, !bound.negative && bound.n,
                        exclusive);
}

static void upper(struct number *number, const struct json_value *value, bool exclusive)
{
    struct json_decimal bound;
    if (read(number, value, &bound))
        narrow_by_bound(number, &number->minus, &number->plus, &bound, bound.negative, exclusive);
}

// Draft 4 has booleans that make minimum and maximum exclusive.
static void narrow_by_part(struct number *number, const struct json_part *part, const char *name,
                           const char *exclusive_name,
                           void (*bound)(struct number *, const struct json_value *, bool))
{
    if (part->kind != JSON_PART_SCHEMA)
        return;
    const struct json_value *exclusive = json_get(part->value, exclusive_name);
    const struct json_value *value = json_keyword(number->compiler, part, name, JSON_NUMBER);
    bool is_exclusive = false;
    if (value)
        bound(number, value, json_bool(exclusive, &is_exclusive) && is_exclusive);
    if (json_bool(exclusive, &is_exclusive))
        return;
    value = json_keyword(number->compiler, part, exclusive_name, JSON_NUMBER);
    if (value)
        bound(number, value, true);
}

static void narrow_both(struct number *number, uint32_t by)
{
    narrow(number, &number->plus, by);
    narrow(number, &number->minus, by);
}

static uint32_t fractions(struct json_compiler *compiler, uint32_t step, uint32_t one, size_t n)
{
    uint32_t found[MAX_FRACTIONS], n_found = 0;
    for (uint32_t value = 0; value < one; value += step) {
        char text[16];
        snprintf(text, sizeof text, "%0*u", (int)n, value);
        size_t length = n;
        while (length > 0 && text[length - 1] == '0')
            length--;
        uint32_t digits = expression_text(compiler->pool, text, length);
        uint32_t zeros = json_regex(compiler, length ? "0*" : "0+");
        found[n_found++] = expression_concat(compiler->pool, digits, zeros);
    }
    return expression_any_of(compiler->pool, found, n_found);
}

// multipleOf 0.05: any integer part, and a fraction that is a multiple, if 1 is one.
static bool narrow_by_fraction(struct number *number, const struct json_decimal *step)
{
    struct json_compiler *compiler = number->compiler;
    size_t n = strlen(step->fraction);
    if (strcmp(step->integer, "0") != 0 || n > 6)
        return false;
    uint32_t one = 1, value = (uint32_t)strtoul(step->fraction, NULL, 10);
    for (size_t i = 0; i < n; i++)
        one *= 10;
    if (one % value != 0 || one / value > MAX_FRACTIONS)
        return false;
    if (number->integer)
        return true;
    uint32_t fraction = expression_concat(compiler->pool, expression_text(compiler->pool, ".", 1),
                                          fractions(compiler, value, one, n));
    uint32_t either[] = {EXPRESSION_EMPTY, fraction};
    narrow_both(number, expression_concat(compiler->pool, json_regex(compiler, "[0-9]+"),
                                          expression_any_of(compiler->pool, either, 2)));
    return true;
}

static uint64_t common_multiple(uint64_t x, uint64_t y)
{
    uint64_t product = x * y;
    for (uint64_t rest; y > 0; y = rest) {
        rest = x % y;
        x = y;
    }
    return product / x;
}

static bool add_divisor(struct number *number, const struct json_decimal *step)
{
    unsigned long divisor = strlen(step->integer) > 7 ? 0 : strtoul(step->integer, NULL, 10);
    if (divisor == 0)
        return false;
    uint64_t all = common_multiple(number->divisor ? number->divisor : 1, divisor);
    if (all > MAX_DIVISOR)
        return false;
    number->divisor = (uint32_t)all;
    return true;
}

static void narrow_by_divisor(struct number *number)
{
    struct json_compiler *compiler = number->compiler;
    if (number->divisor == 0)
        return;
    uint32_t multiple = expression_multiple_of(compiler->pool, number->divisor);
    uint32_t zeros = number->integer ? EXPRESSION_EMPTY : json_regex(compiler, "(?:\\.0+)?");
    narrow_both(number, expression_concat(compiler->pool, multiple, zeros));
}

static void narrow_by_multiple(struct number *number, const struct json_part *part)
{
    const struct json_value *value = json_keyword(number->compiler, part, "multipleOf",
                                                  JSON_NUMBER);
    struct json_decimal step;
    if (!value || !read(number, value, &step))
        return;
    if (step.negative || step.n == 0) {
        json_fail(number->compiler, value, "multipleOf must be above 0");
        return;
    }
    bool is_enforced = *step.fraction ? narrow_by_fraction(number, &step)
                                      : add_divisor(number, &step);
    if (!is_enforced && number->compiler->options->strict)
        json_fail(number->compiler, value, "multipleOf %.40s is not supported", value->text);
}

static void narrow_by_values(struct number *number, const struct json_part *part)
{
    uint32_t n = part->kind == JSON_PART_SCALARS ? part->value->n : 1, n_plus = 0, n_minus = 0;
    uint32_t *plus = mem_zeroed((size_t)n * 2, sizeof *plus), *minus = plus + n;
    struct json_decimal decimal;
    for (uint32_t i = 0; i < n; i++) {
        const struct json_value *value = part->kind == JSON_PART_SCALARS ? &part->value->items[i]
                                                                         : part->value;
        if (value->type != JSON_NUMBER || !read(number, value, &decimal))
            continue;
        uint32_t equal = json_decimal_equal(number->compiler, &decimal);
        if (!decimal.negative)
            plus[n_plus++] = equal;
        if (decimal.negative || decimal.n == 0)
            minus[n_minus++] = equal;
    }
    narrow(number, &number->plus, expression_any_of(number->compiler->pool, plus, n_plus));
    narrow(number, &number->minus, expression_any_of(number->compiler->pool, minus, n_minus));
    free(plus);
}

uint32_t json_number_parts(struct json_compiler *compiler, const struct json_parts *parts,
                           bool integer)
{
    uint32_t any = json_regex(compiler, integer ? "0|[1-9][0-9]*"
                                                : "(?:0|[1-9][0-9]*)(?:\\.[0-9]+)?"
                                                  "(?:[eE][+-]?[0-9]+)?");
    struct number number = {compiler, integer, any, any, 0};
    for (uint32_t i = 0; i < parts->n; i++) {
        const struct json_part *part = &parts->items[i];
        if (part->kind != JSON_PART_SCHEMA)
            narrow_by_values(&number, part);
        narrow_by_part(&number, part, "minimum", "exclusiveMinimum", lower);
        narrow_by_part(&number, part, "maximum", "exclusiveMaximum", upper);
        narrow_by_multiple(&number, part);
    }
    narrow_by_divisor(&number);
    uint32_t plus = json_checked(compiler, number.plus);
    uint32_t minus = expression_concat(compiler->pool, expression_text(compiler->pool, "-", 1),
                                       json_checked(compiler, number.minus));
    return expression_any_of(compiler->pool, (uint32_t[]){plus, minus}, 2);
}
