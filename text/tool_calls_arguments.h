/* text/tool_calls_arguments.h - what stands between the braces of a tool call, to JSON text. Models
 * make mistakes here; the lenient rules of gemma4-text.md section 3.2 say what each one means. */
#ifndef GEMMAD_TEXT_TOOL_CALLS_ARGUMENTS_H
#define GEMMAD_TEXT_TOOL_CALLS_ARGUMENTS_H

#include <stdbool.h>

#include "base/text_buffer.h"

#define TOOL_CALLS_QUOTE "<|\"|>"
#define TOOL_CALLS_QUOTE_BYTES (sizeof TOOL_CALLS_QUOTE - 1)
/* Containers in each other, the arguments' own object included. */
#define TOOL_CALLS_MAX_DEPTH 128

bool tool_calls_is_blank(char c); /* space, tab, CR, LF */

/* Reads arguments text[0..n) and appends one JSON object to out: separators ", " and ": ", nothing
 * but control characters escaped, integers of any size as they are, other numbers as Python prints
 * them; of a repeated key the last value, at the first one's place. text[n] is readable and no part
 * of a number (the closing brace). False, and out as it was: nested too deep, or no UTF-8. */
bool tool_calls_read_arguments(const char *text, size_t n, struct text_buffer *out);

#endif
