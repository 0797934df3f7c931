/* text/builtin_templates.h - Google's canonical chat templates of 2026-07-09, for checkpoints that
 * carry none. Embedded from text/templates/ when building, byte for byte. Thread: constants. */
#ifndef GEMMAD_TEXT_BUILTIN_TEMPLATES_H
#define GEMMAD_TEXT_BUILTIN_TEMPLATES_H

#include <stddef.h>

/* For 12B, 26B-A4B and 31B: with thinking off, the generation prompt has an empty thought channel.
 */
extern const char builtin_template_gemma4[];
extern const size_t builtin_template_gemma4_length;
/* For E2B and E4B. */
extern const char builtin_template_gemma4_small[];
extern const size_t builtin_template_gemma4_small_length;

#endif
