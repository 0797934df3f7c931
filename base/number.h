/* base/number.h - numbers as people write them in flags and configuration files. */
#ifndef GEMMAD_BASE_NUMBER_H
#define GEMMAD_BASE_NUMBER_H

#include <stdbool.h>
#include <stdint.h>

/* Decimal digits only: no blanks, no sign (strtoull would take both). *end is behind the last one.
 * False: no digit at all, or more than 64 bits; then the outputs are untouched or meaningless. */
bool number_read_digits(const char *text, uint64_t *out, const char **end);

#endif
