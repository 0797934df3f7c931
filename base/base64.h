/* base/base64.h - base64 as RFC 4648 section 4 has it, read strictly: the standard alphabet, with
 * its padding, without blanks or line ends, and with zeros in the bits that no byte has. So a text
 * stands for one series of bytes, and a series has one text. */
#ifndef GEMMAD_BASE_BASE64_H
#define GEMMAD_BASE_BASE64_H

#include <stddef.h>

#include "base/status.h"

/* The most bytes that n characters stand for. */
size_t base64_max_bytes(size_t n);

/* out has room for base64_max_bytes(n); *out_n is how many were written. It may begin where text
 * does. INVALID_ARGUMENT: "base64: byte 17 is none of its characters" and the like; out then holds
 * something. */
NODISCARD enum status base64_decode(const char *text, size_t n, unsigned char *out, size_t *out_n,
                                    struct error *err);

#endif
