/* text/grammar/json_decimal.c - comparisons are made digit by digit from the front, so expressions
 * are built from the last digit to the first; their size is linear in the digits. */
#include "text/grammar/json_decimal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_EXPONENT 100000L

static bool fill_plain(struct json_decimal *out)
{
    int32_t n = (int32_t)out->n, n_integer = 0, n_fraction = 0;
    if (out->point > JSON_MAX_DIGITS || n - out->point > JSON_MAX_DIGITS)
        return false;
    for (int32_t i = 0; i < out->point; i++)
        out->integer[n_integer++] = i < n ? out->digits[i] : '0';
    if (n_integer == 0)
        out->integer[n_integer++] = '0';
    for (int32_t i = out->point; i < n; i++)
        out->fraction[n_fraction++] = i >= 0 ? out->digits[i] : '0';
    out->integer[n_integer] = out->fraction[n_fraction] = '\0';
    return true;
}

bool json_decimal_read(const char *text, struct json_decimal *out)
{
    *out = (struct json_decimal){.negative = *text == '-'};
    bool has_point = false;
    const char *at = text + out->negative;
    for (; (*at >= '0' && *at <= '9') || *at == '.'; at++) {
        if (*at == '.') {
            has_point = true;
            continue;
        }
        if (out->n || *at != '0') {
            if (out->n == JSON_MAX_DIGITS)
                return false;
            out->digits[out->n++] = *at;
            out->point += !has_point;
        } else if (has_point) {
            out->point--;
        }
    }
    while (out->n && out->digits[out->n - 1] == '0')
        out->n--;
    long exponent = *at ? strtol(at + 1, NULL, 10) : 0;
    if (out->n == 0) {
        out->negative = false;
        out->point = exponent = 0;
    }
    if (exponent > MAX_EXPONENT || exponent < -MAX_EXPONENT)
        return false;
    out->point += (int32_t)exponent;
    return fill_plain(out);
}

static struct json_decimal of_int(int32_t value)
{
    char text[16];
    struct json_decimal out;
    snprintf(text, sizeof text, "%d", value);
    CHECK(json_decimal_read(text, &out));
    return out;
}

static uint32_t digits(struct json_compiler *compiler, char first, char last)
{
    if (first > last)
        return EXPRESSION_NOTHING;
    struct byte_set set = {{0}};
    for (char c = first; c <= last; c++)
        set.bits[c / 64] |= UINT64_C(1) << (c % 64);
    return expression_bytes(compiler->pool, &set);
}

static uint32_t any_digits(struct json_compiler *compiler, uint32_t min, uint32_t max)
{
    return expression_repeat(compiler->pool, digits(compiler, '0', '9'), min, max);
}

static uint32_t concat(struct json_compiler *compiler, uint32_t first, uint32_t second)
{
    return expression_concat(compiler->pool, first, second);
}

static uint32_t either(struct json_compiler *compiler, uint32_t first, uint32_t second)
{
    return expression_any_of(compiler->pool, (uint32_t[]){first, second}, 2);
}

// One side of a bound: what comes behind the digits that equal the bound's.
struct side {
    struct json_compiler *compiler;
    const char *integer, *fraction;
    bool is_above, exclusive, only_integers, normalized;
};

static uint32_t any_fraction(const struct side *side)
{
    return side->only_integers ? EXPRESSION_EMPTY : json_regex(side->compiler, "(?:\\.[0-9]+)?");
}

// Behind the whole of the bound's fraction.
static uint32_t equal_end(const struct side *side)
{
    if (side->is_above)
        return json_regex(side->compiler, side->exclusive ? "[0-9]*[1-9][0-9]*" : "[0-9]*");
    return side->exclusive ? EXPRESSION_NOTHING : json_regex(side->compiler, "0*");
}

// Behind an integer part that equals the bound's.
static uint32_t fraction_side(const struct side *side)
{
    struct json_compiler *compiler = side->compiler;
    size_t n = strlen(side->fraction);
    bool may_be_absent = n == 0 ? !side->exclusive : !side->is_above;
    if (side->only_integers)
        return may_be_absent ? EXPRESSION_EMPTY : EXPRESSION_NOTHING;
    uint32_t point = expression_text(compiler->pool, ".", 1);
    uint32_t absent = may_be_absent ? EXPRESSION_EMPTY : EXPRESSION_NOTHING;
    if (n == 0) {
        uint32_t end = equal_end(side);
        uint32_t more = expression_both(compiler->pool, end, json_regex(compiler, "[0-9]+"));
        return either(compiler, absent, concat(compiler, point, more));
    }
    uint32_t rest = equal_end(side);
    for (size_t i = n; i-- > 0;) {
        char digit = side->fraction[i];
        uint32_t off = side->is_above ? digits(compiler, (char)(digit + 1), '9')
                                      : digits(compiler, '0', (char)(digit - 1));
        uint32_t same = concat(compiler, digits(compiler, digit, digit), rest);
        off = concat(compiler, off, any_digits(compiler, 0, EXPRESSION_UNLIMITED));
        rest = either(compiler, off, same);
        if (!side->is_above && i > 0)
            rest = either(compiler, rest, EXPRESSION_EMPTY);
    }
    return either(compiler, absent, concat(compiler, point, rest));
}

// Numbers with as many digits before the point as the bound.
static uint32_t same_length(const struct side *side)
{
    struct json_compiler *compiler = side->compiler;
    uint32_t n = (uint32_t)strlen(side->integer);
    uint32_t rest = fraction_side(side);
    for (uint32_t i = n; i-- > 0;) {
        char digit = side->integer[i];
        char lowest = i == 0 && (n > 1 || side->normalized) ? '1' : '0';
        uint32_t off = side->is_above ? digits(compiler, (char)(digit + 1), '9')
                                      : digits(compiler, lowest, (char)(digit - 1));
        uint32_t same = concat(compiler, digits(compiler, digit, digit), rest);
        uint32_t free = concat(compiler, any_digits(compiler, n - 1 - i, n - 1 - i),
                               any_fraction(side));
        rest = either(compiler, concat(compiler, off, free), same);
    }
    return rest;
}

static uint32_t plain_side(const struct side *side)
{
    struct json_compiler *compiler = side->compiler;
    uint32_t n = (uint32_t)strlen(side->integer);
    uint32_t other = EXPRESSION_NOTHING;
    if (side->is_above)
        other = concat(compiler, digits(compiler, '1', '9'),
                       any_digits(compiler, n, EXPRESSION_UNLIMITED));
    else if (n > 1)
        other =
            either(compiler, digits(compiler, '0', '0'),
                   concat(compiler, digits(compiler, '1', '9'), any_digits(compiler, 0, n - 2)));
    return either(compiler, same_length(side), concat(compiler, other, any_fraction(side)));
}

// Exponents, with a sign and leading zeros, that are at least or at most value.
static uint32_t exponent_side(struct json_compiler *compiler, int32_t value, bool is_above)
{
    struct json_decimal bound = of_int(value);
    bool is_positive = value >= 0;
    bound.negative = false;
    bool towards = is_above == is_positive; // away from zero
    struct side side = {compiler, bound.integer, "", towards, false, true, false};
    uint32_t sign = json_regex(compiler, is_positive ? "\\+?0*" : "-0*");
    uint32_t near = concat(compiler, sign, plain_side(&side));
    if (is_above == is_positive && value != 0)
        return near;
    uint32_t far = json_regex(compiler, is_above ? "\\+?[0-9]+" : "-[0-9]+");
    return either(compiler, near,
                  value == 0 ? either(compiler, far, json_regex(compiler, "[+-]?0+")) : far);
}

static uint32_t exponent_equal(struct json_compiler *compiler, int32_t value)
{
    char text[16];
    snprintf(text, sizeof text, "%d", value < 0 ? -value : value);
    uint32_t sign = json_regex(compiler, value > 0 ? "\\+?0*" : value ? "-0*" : "[+-]?0*");
    return concat(compiler, sign, expression_text(compiler->pool, text, strlen(text)));
}

// Parts of the bound in scientific form: its first digit, the others, its exponent.
static uint32_t scientific_side(const struct side *plain, const struct json_decimal *bound)
{
    struct json_compiler *compiler = plain->compiler;
    if (bound->n == 0)
        return plain->is_above ? json_regex(compiler, "[1-9](?:\\.[0-9]+)?[eE][+-]?[0-9]+")
                               : EXPRESSION_NOTHING;
    char first[2] = {bound->digits[0], '\0'}, others[JSON_MAX_DIGITS + 1] = "";
    memcpy(others, bound->digits + 1, bound->n - 1);
    struct side side = *plain;
    side.integer = first;
    side.fraction = others;
    side.normalized = true;
    uint32_t e = json_regex(compiler, "[eE]");
    int32_t exponent = bound->point - 1;
    uint32_t same = concat(compiler, same_length(&side),
                           concat(compiler, e, exponent_equal(compiler, exponent)));
    uint32_t other = exponent_side(compiler, exponent + (side.is_above ? 1 : -1), side.is_above);
    uint32_t off = concat(compiler, json_regex(compiler, "[1-9](?:\\.[0-9]+)?"),
                          concat(compiler, e, other));
    return either(compiler, same, off);
}

static uint32_t side_of(const struct side *side, const struct json_decimal *bound)
{
    uint32_t plain = plain_side(side);
    return side->only_integers ? plain
                               : either(side->compiler, plain, scientific_side(side, bound));
}

uint32_t json_decimal_at_least(struct json_compiler *compiler, const struct json_decimal *bound,
                               bool exclusive, bool integer)
{
    struct side side = {compiler, bound->integer, bound->fraction, true, exclusive, integer, false};
    return side_of(&side, bound);
}

uint32_t json_decimal_at_most(struct json_compiler *compiler, const struct json_decimal *bound,
                              bool exclusive, bool integer)
{
    struct side side = {compiler, bound->integer, bound->fraction, false, exclusive,
                        integer,  false};
    return side_of(&side, bound);
}

static uint32_t equal_fraction(struct json_compiler *compiler, const char *fraction, size_t n)
{
    if (n == 0)
        return json_regex(compiler, "(?:\\.0+)?");
    uint32_t point = expression_text(compiler->pool, ".", 1);
    uint32_t rest = concat(compiler, expression_text(compiler->pool, fraction, n),
                           json_regex(compiler, "0*"));
    return concat(compiler, point, rest);
}

uint32_t json_decimal_equal(struct json_compiler *compiler, const struct json_decimal *value)
{
    uint32_t integer = expression_text(compiler->pool, value->integer, strlen(value->integer));
    uint32_t plain = concat(compiler, integer,
                            equal_fraction(compiler, value->fraction, strlen(value->fraction)));
    if (value->n == 0)
        return plain;
    uint32_t mantissa = concat(compiler, expression_text(compiler->pool, value->digits, 1),
                               equal_fraction(compiler, value->digits + 1, value->n - 1));
    uint32_t exponent = concat(compiler, json_regex(compiler, "[eE]"),
                               exponent_equal(compiler, value->point - 1));
    return either(compiler, plain, concat(compiler, mantissa, exponent));
}
