/* text/reasoning.c - a table of states over three tokens. Plain text never becomes reasoning, also
 * where thinking was asked for: a model that skips it has answered. */
#include "text/reasoning.h"

#include <string.h>

static const char label_text[] = "thought\n";
#define LABEL_BYTES (sizeof label_text - 1)

void reasoning_tokens_find(const struct tokenizer *tokenizer, struct reasoning_tokens *out)
{
    const struct {
        const char *entry;
        uint32_t *id;
    } wanted[] = {
        {"<|channel>", &out->channel},
        {"<channel|>", &out->channel_end},
        {"<|tool_call>", &out->tool_call},
        {"<tool_call|>", &out->tool_call_end},
        {"<|tool_response>", &out->tool_response},
        {"<tool_response|>", &out->tool_response_end},
        {"<|turn>", &out->turn},
        {"<turn|>", &out->turn_end},
        {"<|think|>", &out->think},
    };
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++)
        *wanted[i].id = tokenizer_id(tokenizer, wanted[i].entry, strlen(wanted[i].entry));
}

// Does the token say where in a turn the prompt ends, by itself?
static bool is_landmark(const struct reasoning_tokens *tokens, uint32_t token)
{
    return token == tokens->channel || token == tokens->channel_end || token == tokens->tool_call ||
           token == tokens->tool_call_end || token == tokens->tool_response ||
           token == tokens->tool_response_end || token == tokens->turn || token == tokens->turn_end;
}

enum reasoning_state reasoning_start(const struct reasoning_tokens *tokens, const uint32_t *prompt,
                                     size_t n)
{
    size_t last = n; // behind the last landmark
    while (last > 0 && !is_landmark(tokens, prompt[last - 1]))
        last--;
    if (last > 0 && prompt[last - 1] == tokens->channel)
        return REASONING_INSIDE;
    if (last > 0 && prompt[last - 1] == tokens->channel_end)
        return REASONING_OUTSIDE;
    for (size_t i = 0; i < n; i++) {
        if (prompt[i] == tokens->think)
            return REASONING_EXPECT;
    }
    return REASONING_OUTSIDE;
}

enum reasoning_kind reasoning_push(const struct reasoning_tokens *tokens,
                                   enum reasoning_state *state, uint32_t token)
{
    if (token == tokens->channel) {
        *state = REASONING_INSIDE;
        return REASONING_DELIMITER;
    }
    if (token == tokens->channel_end) {
        *state = REASONING_OUTSIDE;
        return REASONING_DELIMITER;
    }
    if (*state == REASONING_INSIDE && token != tokens->tool_call)
        return REASONING_TEXT;
    *state = REASONING_OUTSIDE;
    return REASONING_CONTENT;
}

void reasoning_label_begin(struct reasoning_label *label)
{
    *label = (struct reasoning_label){.looking = true};
}

void reasoning_label_push(struct reasoning_label *label, const char *text, size_t n,
                          struct text_buffer *out)
{
    size_t at = 0;
    while (label->looking && at < n) {
        if (text[at] != label_text[label->n_held]) {
            text_buffer_append(out, label_text, label->n_held);
            *label = (struct reasoning_label){0};
        } else {
            at++;
            if (++label->n_held == LABEL_BYTES)
                *label = (struct reasoning_label){0};
        }
    }
    text_buffer_append(out, text + at, n - at);
}

void reasoning_label_end(struct reasoning_label *label, struct text_buffer *out)
{
    if (label->n_held != LABEL_BYTES - 1)
        text_buffer_append(out, label_text, label->n_held);
    *label = (struct reasoning_label){0};
}
