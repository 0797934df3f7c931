/* text/tool_calls.h - an answer's text with tool calls in it, to content and calls. The wire form,
 * the lenient rules and streaming: gemma4-text.md sections 3.1 to 3.4.
 *
 * Feed it the text in any pieces; what comes out is the same. Content in front of the first call
 * streams at once, except a tail that may begin a marker; a call comes out whole or not at all; a
 * text without a valid call comes out as content, every byte of it. Time is linear in the text;
 * memory is bounded by it: what follows a valid call is kept only while it may be a call.
 * Thread: the owner's. */
#ifndef GEMMAD_TEXT_TOOL_CALLS_H
#define GEMMAD_TEXT_TOOL_CALLS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/text_buffer.h"

struct tool_call {
    char *name; /* well-formed UTF-8, NUL-terminated */
    size_t name_length;
    struct text_buffer arguments; /* JSON text as Python's json.dumps(.., ensure_ascii=False) */
};

struct tool_call_parser;
struct tool_call_parser *tool_call_parser_create(void);
void tool_call_parser_destroy(struct tool_call_parser *parser); /* NULL is fine */

/* Takes text; appends content that is certain to content. Completed calls wait in the parser. */
void tool_call_parser_push(struct tool_call_parser *parser, const char *text, size_t n,
                           struct text_buffer *content);
/* The end of the answer: appends what must still be shown. */
void tool_call_parser_end(struct tool_call_parser *parser, struct text_buffer *content);
/* The next completed call that was not taken; it lives until the next push. NULL: none. */
const struct tool_call *tool_call_parser_take(struct tool_call_parser *parser);
uint32_t tool_call_parser_n_calls(const struct tool_call_parser *parser); /* also those taken */
/* After the end: there were markers, but no valid call. */
bool tool_call_parser_is_malformed(const struct tool_call_parser *parser);

/* The content of an answer that is not streamed: where there are calls, blanks at both ends go,
 * and what is then empty is none at all (null in JSON). Narrows content to it; false: none. */
bool tool_call_parser_message_content(const struct tool_call_parser *parser, const char **content,
                                      size_t *n);

#endif
