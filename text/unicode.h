/* text/unicode.h - the character properties behind Python's string methods, independent of the
 * locale. Thread: any. */
#ifndef GEMMAD_TEXT_UNICODE_H
#define GEMMAD_TEXT_UNICODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define UNICODE_MAX_MAPPED 3

bool unicode_is_space(uint32_t code_point);     /* str.isspace */
bool unicode_is_printable(uint32_t code_point); /* str.isprintable; repr escapes the others */
bool unicode_is_cased(uint32_t code_point);
bool unicode_is_case_ignorable(uint32_t code_point);

/* Full mappings of one character, how many code points result. Lower case of U+03A3 depends on its
 * surroundings; here it is U+03C3. */
size_t unicode_upper(uint32_t code_point, uint32_t out[UNICODE_MAX_MAPPED]);
size_t unicode_lower(uint32_t code_point, uint32_t out[UNICODE_MAX_MAPPED]);
size_t unicode_title(uint32_t code_point, uint32_t out[UNICODE_MAX_MAPPED]);

#endif
