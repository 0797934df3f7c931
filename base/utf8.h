/* base/utf8.h - UTF-8 as bytes from outside: validation, decoding, encoding. */
#ifndef GEMMAD_BASE_UTF8_H
#define GEMMAD_BASE_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define UTF8_REPLACEMENT UINT32_C(0xFFFD)
#define UTF8_MAX_BYTES 4

/* Reads the character at bytes[0..n), n >= 1; *out_code_point is it, the result its bytes (1-4).
 * Ill-formed bytes give U+FFFD and the length of the maximal ill-formed subpart (Unicode 3.9). */
size_t utf8_decode(const char *bytes, size_t n, uint32_t *out_code_point);

/* Writes 1-4 bytes (no NUL) and returns how many. code_point is a Unicode scalar value. */
size_t utf8_encode(uint32_t code_point, char out[UTF8_MAX_BYTES]);

/* True for well-formed text (no surrogates, no overlong forms, nothing above U+10FFFF); else
 * *out_bad_offset (if not NULL) is where the first ill-formed byte stands. */
bool utf8_valid(const char *bytes, size_t n, size_t *out_bad_offset);

#endif
