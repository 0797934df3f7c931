/* tests/fuzz/fuzz_reasoning.c - any prompt and any tokens behind it: kinds as the contract's table
 * says them, and reasoning text, token by token, as each span whole comes to. The first byte is the
 * prompt's length; a byte below N_SPECIAL is that special token, any other a token of one byte. */
#include <string.h>

#include "text/reasoning.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

enum {
    CHANNEL,
    CHANNEL_END,
    TOOL_CALL,
    TOOL_CALL_END,
    TOOL_RESPONSE,
    TOOL_RESPONSE_END,
    TURN,
    TURN_END,
    THINK,
    N_SPECIAL
};
static const struct reasoning_tokens tokens = {CHANNEL,       CHANNEL_END,   TOOL_CALL,
                                               TOOL_CALL_END, TOOL_RESPONSE, TOOL_RESPONSE_END,
                                               TURN,          TURN_END,      THINK};

static enum reasoning_state expected_start(const uint8_t *prompt, size_t n)
{
    for (size_t i = n; i-- > 0;) {
        if (prompt[i] == CHANNEL)
            return REASONING_INSIDE;
        if (prompt[i] == CHANNEL_END)
            return REASONING_OUTSIDE;
        if (prompt[i] < THINK)
            break;
    }
    return n > 0 && memchr(prompt, THINK, n) ? REASONING_EXPECT : REASONING_OUTSIDE;
}

static enum reasoning_kind expected_kind(enum reasoning_state state, uint32_t token,
                                         enum reasoning_state *out_after)
{
    static const enum reasoning_kind plain[] = {REASONING_CONTENT, REASONING_CONTENT,
                                                REASONING_TEXT};
    *out_after = token == CHANNEL ? REASONING_INSIDE : REASONING_OUTSIDE;
    if (token == CHANNEL || token == CHANNEL_END)
        return REASONING_DELIMITER;
    if (token == TOOL_CALL)
        return REASONING_CONTENT;
    if (state == REASONING_INSIDE)
        *out_after = REASONING_INSIDE;
    return plain[state];
}

// A span's text as a whole, without its label.
static void end_span(struct text_buffer *span, struct text_buffer *out)
{
    static const char label[] = "thought\n";
    bool whole = span->length >= 8 && memcmp(span->data, label, 8) == 0;
    bool cut = span->length == 7 && memcmp(span->data, label, 7) == 0;
    size_t n_label = whole ? 8 : cut ? 7 : 0;
    if (span->length > n_label)
        text_buffer_append(out, span->data + n_label, span->length - n_label);
    text_buffer_clear(span);
}

static void run(enum reasoning_state state, const uint8_t *generated, size_t n)
{
    struct reasoning_label label = {0};
    struct text_buffer got = {0}, want = {0}, span = {0};
    if (state == REASONING_INSIDE)
        reasoning_label_begin(&label);
    for (size_t i = 0; i < n; i++) {
        enum reasoning_state after;
        enum reasoning_kind want_kind = expected_kind(state, generated[i], &after);
        enum reasoning_kind kind = reasoning_push(&tokens, &state, generated[i]);
        CHECK(kind == want_kind && state == after);
        if (kind != REASONING_TEXT) {
            reasoning_label_end(&label, &got);
            end_span(&span, &want);
        }
        if (kind == REASONING_DELIMITER && state == REASONING_INSIDE)
            reasoning_label_begin(&label);
        if (kind == REASONING_TEXT && generated[i] >= N_SPECIAL) {
            char c = (char)generated[i];
            reasoning_label_push(&label, &c, 1, &got);
            text_buffer_append(&span, &c, 1);
        }
    }
    reasoning_label_end(&label, &got);
    end_span(&span, &want);
    CHECK(got.length == want.length);
    CHECK(got.length == 0 || memcmp(got.data, want.data, got.length) == 0);
    text_buffer_finish(&got);
    text_buffer_finish(&want);
    text_buffer_finish(&span);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    if (n == 0)
        return 0;
    size_t n_prompt = data[0] < n ? data[0] : n - 1;
    uint32_t prompt[256];
    for (size_t i = 0; i < n_prompt; i++)
        prompt[i] = data[1 + i];
    enum reasoning_state state = reasoning_start(&tokens, prompt, n_prompt);
    CHECK(state == expected_start(data + 1, n_prompt));
    run(state, data + 1 + n_prompt, n - 1 - n_prompt);
    return 0;
}
