/* base/base64.c - four characters a step: one table look-up each, one test for all of them. What is
 * wrong is looked for again, slowly, only when something is. */
#include "base/base64.h"

#include <stdint.h>
#include <string.h>

// One more than a character's six bits, so that 0 is none.
static const unsigned char digits[256] = {
    ['A'] = 1,  ['B'] = 2,  ['C'] = 3,  ['D'] = 4,  ['E'] = 5,  ['F'] = 6,  ['G'] = 7,  ['H'] = 8,
    ['I'] = 9,  ['J'] = 10, ['K'] = 11, ['L'] = 12, ['M'] = 13, ['N'] = 14, ['O'] = 15, ['P'] = 16,
    ['Q'] = 17, ['R'] = 18, ['S'] = 19, ['T'] = 20, ['U'] = 21, ['V'] = 22, ['W'] = 23, ['X'] = 24,
    ['Y'] = 25, ['Z'] = 26, ['a'] = 27, ['b'] = 28, ['c'] = 29, ['d'] = 30, ['e'] = 31, ['f'] = 32,
    ['g'] = 33, ['h'] = 34, ['i'] = 35, ['j'] = 36, ['k'] = 37, ['l'] = 38, ['m'] = 39, ['n'] = 40,
    ['o'] = 41, ['p'] = 42, ['q'] = 43, ['r'] = 44, ['s'] = 45, ['t'] = 46, ['u'] = 47, ['v'] = 48,
    ['w'] = 49, ['x'] = 50, ['y'] = 51, ['z'] = 52, ['0'] = 53, ['1'] = 54, ['2'] = 55, ['3'] = 56,
    ['4'] = 57, ['5'] = 58, ['6'] = 59, ['7'] = 60, ['8'] = 61, ['9'] = 62, ['+'] = 63, ['/'] = 64};

size_t base64_max_bytes(size_t n)
{
    return n / 4 * 3 + (n % 4 ? 3 : 0);
}

// From at on: what stands before may be overwritten.
static enum status bad_character(const unsigned char *text, size_t n, size_t at, struct error *err)
{
    while (at < n && digits[text[at]])
        at++;
    return error_set(err, STATUS_INVALID_ARGUMENT, "base64: byte %zu is none of its characters",
                     at);
}

// The last characters, two or three of them: one byte or two.
static enum status decode_rest(const unsigned char *text, size_t n, unsigned char *out,
                               struct error *err)
{
    uint32_t bits = 0;
    for (size_t i = 0; i < n; i++)
        bits = bits << 6 | (digits[text[i]] - 1U);
    unsigned n_spare = n == 2 ? 4 : 2;
    if (bits & ((1U << n_spare) - 1))
        return error_set(err, STATUS_INVALID_ARGUMENT,
                         "base64: bits behind the last byte are not zero");
    bits >>= n_spare;
    if (n == 3)
        *out++ = (unsigned char)(bits >> 8);
    *out = (unsigned char)bits;
    return STATUS_OK;
}

enum status base64_decode(const char *text, size_t n, unsigned char *out, size_t *out_n,
                          struct error *err)
{
    const unsigned char *in = (const unsigned char *)text;
    if (n % 4 != 0)
        return error_set(err, STATUS_INVALID_ARGUMENT,
                         "base64: %zu characters: no multiple of 4 (the padding belongs to it)", n);
    size_t n_padding = 0;
    while (n_padding < 2 && n_padding < n && in[n - 1 - n_padding] == '=')
        n_padding++;
    size_t n_digits = n - n_padding;
    unsigned char *at = out;
    size_t i = 0;
    for (; i + 4 <= n_digits; i += 4) {
        uint32_t a = digits[in[i]] - 1U;
        uint32_t b = digits[in[i + 1]] - 1U;
        uint32_t c = digits[in[i + 2]] - 1U;
        uint32_t d = digits[in[i + 3]] - 1U;
        if ((a | b | c | d) > 63)
            return bad_character(in, n_digits, i, err);
        *at++ = (unsigned char)(a << 2 | b >> 4);
        *at++ = (unsigned char)(b << 4 | c >> 2);
        *at++ = (unsigned char)(c << 6 | d);
    }
    for (size_t k = i; k < n_digits; k++)
        if (!digits[in[k]])
            return bad_character(in, n_digits, i, err);
    if (i < n_digits) {
        enum status st = decode_rest(in + i, n_digits - i, at, err);
        if (st != STATUS_OK)
            return st;
        at += n_digits - i - 1;
    }
    *out_n = (size_t)(at - out);
    return STATUS_OK;
}
