/* text/chat.h - a chat request to a prompt: what stands around the template on both sides.
 *
 * A request is a JSON object with `messages`, optional `tools` and `chat_template_kwargs`; every
 * other member is a variable of the template (enable_thinking, preserve_thinking, ...), of which
 * add_generation_prompt is true when absent. `reasoning_effort` sets enable_thinking where that is
 * absent: "none" is off, anything else on. Design: gemma4-text.md sections 1.5 and 2.
 * Thread: any; nothing is kept between calls. */
#ifndef GEMMAD_TEXT_CHAT_H
#define GEMMAD_TEXT_CHAT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/json.h"
#include "base/status.h"
#include "text/template.h"
#include "text/tokenizer.h"

struct chat_options {
    const char *bos_token; /* the tokenizer's; NULL: "<bos>" */
    /* Only what transformers does: arguments of tool calls that are JSON text stay strings (which
     * Gemma 4's template refuses), and a conversation whose last answer followed tool results gets
     * no header for the next one. */
    bool as_transformers;
    struct template_limits limits; /* zeros: the defaults */
};

/* Renders request; options may be NULL. Before the template: the first of reasoning_content,
 * thinking and reasoning that is not null becomes a message's reasoning_content, and arguments
 * given as JSON text become objects. INVALID_ARGUMENT: "messages[2].role: not a string" and the
 * like, or the template's own fault. Else as template_render. */
NODISCARD enum status chat_render(const struct template *template, const struct json_value *request,
                                  const struct chat_options *options, struct template_output *out,
                                  struct error *err);

/* Appends the ids of rendered text. Added tokens are recognised where the template wrote them;
 * those that a client wrote are plain text unless parse_content. All text between two recognised
 * tokens is encoded as one piece, whoever wrote which part of it. encoder is of tokenizer. */
void chat_encode(const struct tokenizer *tokenizer, struct tokenizer_encoder *encoder,
                 const struct template_output *rendered, bool parse_content, uint32_t **ids,
                 size_t *n_ids, size_t *capacity);

#endif
