/* client/parse_tokens.c - an answer's tokens as texts, through the reasoning machine. No tokenizer
 * is there: the special tokens of Gemma 4 are known by their texts, and any other is one ordinary
 * token. */
#include <stdlib.h>

#include "base/mem.h"
#include "client/parse_line.h"
#include "text/reasoning.h"

enum {
    EOS,
    TOOL_CALL,
    TOOL_CALL_END,
    TOOL_RESPONSE,
    TOOL_RESPONSE_END,
    QUOTE,
    THINK,
    CHANNEL,
    CHANNEL_END,
    TURN,
    TURN_END,
    FIRST_WITHOUT_MEANING
};

static const char *const specials[] = {
    [EOS] = "<eos>",
    [TOOL_CALL] = "<|tool_call>",
    [TOOL_CALL_END] = "<tool_call|>",
    [TOOL_RESPONSE] = "<|tool_response>",
    [TOOL_RESPONSE_END] = "<tool_response|>",
    [QUOTE] = "<|\"|>",
    [THINK] = "<|think|>",
    [CHANNEL] = "<|channel>",
    [CHANNEL_END] = "<channel|>",
    [TURN] = "<|turn>",
    [TURN_END] = "<turn|>",
    [FIRST_WITHOUT_MEANING] = "<pad>",
    "<bos>",
    "<unk>",
    "<mask>",
    "<|tool>",
    "<tool|>",
    "<|image>",
    "<|audio>",
    "<|image|>",
    "<|audio|>",
    "<image|>",
    "<audio|>",
    "<|video|>",
};
#define ORDINARY ((uint32_t)(sizeof specials / sizeof *specials))

static const struct reasoning_tokens known = {
    .channel = CHANNEL,
    .channel_end = CHANNEL_END,
    .tool_call = TOOL_CALL,
    .tool_call_end = TOOL_CALL_END,
    .tool_response = TOOL_RESPONSE,
    .tool_response_end = TOOL_RESPONSE_END,
    .turn = TURN,
    .turn_end = TURN_END,
    .think = THINK,
};

struct tokens {
    const struct json_value *texts; // [n]
    uint32_t *ids;                  // [n]
    uint32_t n;
};

struct reading {
    struct text_buffer *spans;
    const char *span; // the kind of the open one; NULL: none
    uint32_t span_start;
    enum reasoning_state state;
    struct reasoning_label label;
    struct text_buffer reasoning, content;
    bool stopped;
};

static uint32_t id_of(const struct json_value *text)
{
    uint32_t id = 0;
    while (id < ORDINARY && !json_string_is(text, specials[id]))
        id++;
    return id;
}

static enum status read_tokens(const struct json_value *line, const char *name, struct tokens *out,
                               struct error *err)
{
    const struct json_value *list = json_get(line, name);
    if (!list || list->type != JSON_ARRAY)
        return error_set(err, STATUS_INVALID_ARGUMENT, "%s: not a list of texts", name);
    *out = (struct tokens){list->items, mem_zeroed(list->n, sizeof *out->ids), list->n};
    for (uint32_t i = 0; i < list->n; i++) {
        if (list->items[i].type != JSON_STRING)
            return error_set(err, STATUS_INVALID_ARGUMENT, "%s[%u]: not a text", name, i);
        out->ids[i] = id_of(&list->items[i]);
    }
    return STATUS_OK;
}

// Token `at` is of a kind, or the end of all (NULL): a span ends where the kind changes.
static void go_on(struct reading *reading, const char *kind, uint32_t at)
{
    if (reading->span == kind)
        return;
    if (reading->span)
        text_buffer_append_format(reading->spans, "%s[\"%s\", %u, %u]",
                                  reading->span_start ? ", " : "", reading->span,
                                  reading->span_start, at);
    reading->span = kind;
    reading->span_start = at;
}

static void read_token(struct reading *reading, const struct tokens *tokens, uint32_t at)
{
    static const char *const kinds[] = {
        [REASONING_CONTENT] = "content",
        [REASONING_TEXT] = "reasoning",
        [REASONING_DELIMITER] = "delimiter",
    };
    uint32_t id = tokens->ids[at];
    const struct json_value *text = &tokens->texts[at];
    if (id == EOS || id == TURN_END || id == TOOL_RESPONSE) {
        go_on(reading, "stop", at);
        reading->stopped = true;
        return;
    }
    enum reasoning_kind kind = reasoning_push(&known, &reading->state, id);
    go_on(reading, kinds[kind], at);
    if (kind != REASONING_TEXT)
        reasoning_label_end(&reading->label, &reading->reasoning);
    if (kind == REASONING_DELIMITER && reading->state == REASONING_INSIDE)
        reasoning_label_begin(&reading->label);
    if (kind == REASONING_TEXT && id == ORDINARY)
        reasoning_label_push(&reading->label, text->text, text->length, &reading->reasoning);
    bool is_call = id == TOOL_CALL || id == TOOL_CALL_END || id == QUOTE;
    if (kind == REASONING_CONTENT && (id == ORDINARY || is_call))
        text_buffer_append(&reading->content, text->text, text->length);
}

static void write_text(struct text_buffer *out, const char *name, const struct text_buffer *text)
{
    text_buffer_append_format(out, ", \"%s\": ", name);
    if (text->length == 0)
        text_buffer_append_text(out, "null");
    else
        json_write_string(out, text->data, text->length);
}

static void write_reading(const struct tokens *prompt, const struct tokens *generated,
                          struct text_buffer *out)
{
    static const char *const states[] = {
        [REASONING_OUTSIDE] = "outside",
        [REASONING_EXPECT] = "expect",
        [REASONING_INSIDE] = "inside",
    };
    struct reading reading = {.spans = out};
    reading.state = reasoning_start(&known, prompt->ids, prompt->n);
    if (reading.state == REASONING_INSIDE)
        reasoning_label_begin(&reading.label);
    text_buffer_append_format(out, "\"start_state\": \"%s\", \"spans\": [", states[reading.state]);
    uint32_t at = 0;
    while (at < generated->n && !reading.stopped)
        read_token(&reading, generated, at++);
    go_on(&reading, NULL, at);
    reasoning_label_end(&reading.label, &reading.reasoning);
    text_buffer_append_text(out, "]");
    write_text(out, "reasoning", &reading.reasoning);
    write_text(out, "content", &reading.content);
    bool still_reasoning = reading.state == REASONING_INSIDE && !reading.stopped;
    text_buffer_append_format(out, ", \"still_reasoning\": %s, \"stopped\": %s",
                              still_reasoning ? "true" : "false",
                              reading.stopped ? "true" : "false");
    text_buffer_finish(&reading.reasoning);
    text_buffer_finish(&reading.content);
}

enum status parse_tokens(const struct json_value *line, struct text_buffer *out, struct error *err)
{
    struct tokens prompt = {0}, generated = {0};
    enum status st = read_tokens(line, "prompt_tokens", &prompt, err);
    if (st == STATUS_OK)
        st = read_tokens(line, "tokens", &generated, err);
    if (st == STATUS_OK)
        write_reading(&prompt, &generated, out);
    free(prompt.ids);
    free(generated.ids);
    return st;
}
