/* base/number.c - checked arithmetic, digit by digit. */
#include "base/number.h"

bool number_read_digits(const char *text, uint64_t *out, const char **end)
{
    uint64_t value = 0;
    const char *c = text;
    for (; *c >= '0' && *c <= '9'; c++) {
        if (__builtin_mul_overflow(value, UINT64_C(10), &value) ||
            __builtin_add_overflow(value, (uint64_t)(*c - '0'), &value))
            return false;
    }
    *out = value;
    *end = c;
    return c > text;
}
