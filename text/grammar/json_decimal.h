/* text/grammar/json_decimal.h - decimal numbers of any size, exactly, and the numbers on one side
 * of them as expressions. Part of the JSON Schema compiler.
 *
 * Expressions are of magnitudes, without sign, in plain form ("0.5", "12", "12.50") and, unless of
 * integers, in scientific form with one digit other than 0 before the point ("1.25e-7"). */
#ifndef GEMMAD_TEXT_GRAMMAR_JSON_DECIMAL_H
#define GEMMAD_TEXT_GRAMMAR_JSON_DECIMAL_H

#include "text/grammar/json_compiler.h"

#define JSON_MAX_DIGITS 320 /* before and behind the point: every double has a place */

struct json_decimal {
    bool negative;                /* never with zero */
    char digits[JSON_MAX_DIGITS]; /* no zero at either end; value 0.DIGITS * 10^point */
    uint32_t n;                   /* of digits; 0: the number is zero */
    int32_t point;
    char integer[JSON_MAX_DIGITS + 1];  /* the same in plain form; "0" if below 1 */
    char fraction[JSON_MAX_DIGITS + 1]; /* "" for integers */
};

/* text is a JSON number. False: it needs more digits. */
bool json_decimal_read(const char *text, struct json_decimal *out);

uint32_t json_decimal_at_least(struct json_compiler *compiler, const struct json_decimal *bound,
                               bool exclusive, bool integer);
uint32_t json_decimal_at_most(struct json_compiler *compiler, const struct json_decimal *bound,
                              bool exclusive, bool integer);
uint32_t json_decimal_equal(struct json_compiler *compiler, const struct json_decimal *value);

#endif
