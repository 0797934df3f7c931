/* gateway/chat_answer.c - chat completions: thinking, content and tool calls apart.
 *
 * A call is said in one delta, its arguments whole. Log-probabilities are those of all tokens that
 * are no thinking, also of those that a call was made of; they go out with the next chunk that the
 * choice has anyway. */
#include <stdlib.h>

#include "base/mem.h"
#include "gateway/answer_shape.h"
#include "text/tool_calls.h"

struct chat_choice {
    struct tool_call_parser *parser; // NULL: nobody looks for calls
    bool began;                      // the role was said
    bool thought;                    // there was thinking, shown or not
    uint32_t n_calls;
    const char *finish_reason;
    struct text_buffer logprobs; // entries that were not sent yet
    // Of an answer that is not streamed.
    struct text_buffer reasoning, content, calls;
};

static void create_choices(struct answer *answer)
{
    struct chat_choice *choices = mem_zeroed(answer->n_choices, sizeof *choices);
    for (uint32_t i = 0; i < answer->n_choices; i++)
        if (answer->config.parse_tools)
            choices[i].parser = tool_call_parser_create();
    answer->choices = choices;
}

static void destroy_choices(struct answer *answer)
{
    struct chat_choice *choices = answer->choices;
    for (uint32_t i = 0; i < answer->n_choices; i++) {
        tool_call_parser_destroy(choices[i].parser);
        text_buffer_finish(&choices[i].logprobs);
        text_buffer_finish(&choices[i].reasoning);
        text_buffer_finish(&choices[i].content);
        text_buffer_finish(&choices[i].calls);
    }
    free(choices);
}

static void write_entry(const struct answer *answer, struct text_buffer *out,
                        struct token_logprob entry)
{
    size_t n;
    bool is_byte;
    const char *bytes = tokenizer_token_bytes(answer->config.model->tokenizer, entry.token_id, &n,
                                              &is_byte);
    text_buffer_append_text(out, "{\"token\":");
    answer_write_bytes(out, bytes, n);
    text_buffer_append_text(out, ",\"logprob\":");
    answer_write_logprob(out, entry.logprob);
    text_buffer_append_text(out, ",\"bytes\":[");
    for (size_t i = 0; i < n; i++)
        text_buffer_append_format(out, i ? ",%u" : "%u", (unsigned)(uint8_t)bytes[i]);
    text_buffer_append_text(out, "]");
}

// Entry 0 is the token's own; it stands among the best ones too, at its place or at the end.
static void write_token(const struct answer *answer, struct text_buffer *out,
                        const struct token_logprob *entries, uint32_t n_entries)
{
    answer_separate(out);
    write_entry(answer, out, entries[0]);
    text_buffer_append_text(out, ",\"top_logprobs\":[");
    bool found = false;
    for (uint32_t i = 1; i < n_entries; i++) {
        if (i > 1)
            text_buffer_append_text(out, ",");
        write_entry(answer, out, entries[i]);
        text_buffer_append_text(out, "}");
        found |= entries[i].token_id == entries[0].token_id;
    }
    if (n_entries > 1 && !found) {
        text_buffer_append_text(out, ",");
        write_entry(answer, out, entries[0]);
        text_buffer_append_text(out, "}");
    }
    text_buffer_append_text(out, "]}");
}

static void take_logprobs(struct answer *answer, struct chat_choice *choice,
                          const struct queued_event *event)
{
    size_t before = choice->logprobs.length;
    const struct token_logprob *entries = event->entries;
    for (size_t i = 0; i < event->event.n_logprobs; i++) {
        write_token(answer, &choice->logprobs, entries, event->n_entries[i]);
        entries += event->n_entries[i];
    }
    answer->n_kept_bytes += choice->logprobs.length - before;
}

static void write_logprobs(const struct answer *answer, struct chat_choice *choice,
                           struct text_buffer *out)
{
    if (answer->config.n_logprobs < 0 || choice->logprobs.length == 0) {
        text_buffer_append_text(out, ",\"logprobs\":null");
        return;
    }
    text_buffer_append_text(out, ",\"logprobs\":{\"content\":[");
    text_buffer_append(out, choice->logprobs.data, choice->logprobs.length);
    text_buffer_append_text(out, "],\"refusal\":null}");
    text_buffer_clear(&choice->logprobs);
}

// A chunk whose delta is these members.
static void write_chunk(struct answer *answer, uint32_t index, const struct text_buffer *delta,
                        struct text_buffer *lines)
{
    struct chat_choice *choice = (struct chat_choice *)answer->choices + index;
    answer_begin_object(answer, answer->shape->chunk_object, lines);
    text_buffer_append_format(lines, "{\"index\":%u,\"delta\":{", index);
    if (delta->length > 0)
        text_buffer_append(lines, delta->data, delta->length);
    text_buffer_append_text(lines, "}");
    write_logprobs(answer, choice, lines);
    text_buffer_append_text(lines, ",\"finish_reason\":");
    if (choice->finish_reason)
        text_buffer_append_format(lines, "\"%s\"}", choice->finish_reason);
    else
        text_buffer_append_text(lines, "null}");
    answer_end_chunk(answer, lines);
}

// Says delta in a chunk of its own and empties it.
static void say(struct answer *answer, uint32_t index, struct text_buffer *delta,
                struct text_buffer *lines)
{
    write_chunk(answer, index, delta, lines);
    text_buffer_clear(delta);
}

static void write_reasoning(struct text_buffer *out, const char *text, size_t n)
{
    text_buffer_append_text(out, "\"reasoning_content\":");
    json_write_string(out, text, n);
    text_buffer_append_text(out, ",\"reasoning\":");
    json_write_string(out, text, n);
}

static void take_reasoning(struct answer *answer, uint32_t index, const struct text_buffer *text,
                           struct text_buffer *lines)
{
    struct chat_choice *choice = (struct chat_choice *)answer->choices + index;
    if (text->length == 0)
        return;
    choice->thought = true;
    if (!answer->config.include_reasoning)
        return;
    if (!answer->config.stream) {
        text_buffer_append(&choice->reasoning, text->data, text->length);
        answer->n_kept_bytes += text->length;
        return;
    }
    struct text_buffer delta = {0};
    write_reasoning(&delta, text->data, text->length);
    say(answer, index, &delta, lines);
    text_buffer_finish(&delta);
}

static void show_content(struct answer *answer, uint32_t index, const char *text, size_t n,
                         struct text_buffer *lines)
{
    struct chat_choice *choice = (struct chat_choice *)answer->choices + index;
    if (n == 0)
        return;
    if (!answer->config.stream) {
        text_buffer_append(&choice->content, text, n);
        answer->n_kept_bytes += n;
        return;
    }
    struct text_buffer delta = {0};
    text_buffer_append_text(&delta, "\"content\":");
    json_write_string(&delta, text, n);
    say(answer, index, &delta, lines);
    text_buffer_finish(&delta);
}

static void write_call(const struct answer *answer, const struct tool_call *call, uint32_t index,
                       struct text_buffer *out)
{
    text_buffer_append_text(out, "{");
    if (answer->config.stream)
        text_buffer_append_format(out, "\"index\":%u,", index);
    text_buffer_append_text(out, "\"id\":\"call_");
    answer_write_random_id(out);
    text_buffer_append_text(out, "\",\"type\":\"function\",\"function\":{\"name\":");
    json_write_string(out, call->name, call->name_length);
    text_buffer_append_text(out, ",\"arguments\":");
    json_write_string(out, call->arguments.data, call->arguments.length);
    text_buffer_append_text(out, "}}");
}

static void take_calls(struct answer *answer, uint32_t index, struct text_buffer *lines)
{
    struct chat_choice *choice = (struct chat_choice *)answer->choices + index;
    const struct tool_call *call;
    struct text_buffer delta = {0};
    while ((call = tool_call_parser_take(choice->parser))) {
        if (answer->config.stream) {
            text_buffer_append_text(&delta, "\"tool_calls\":[");
            write_call(answer, call, choice->n_calls, &delta);
            text_buffer_append_text(&delta, "]");
            say(answer, index, &delta, lines);
        } else {
            size_t before = choice->calls.length;
            answer_separate(&choice->calls);
            write_call(answer, call, choice->n_calls, &choice->calls);
            answer->n_kept_bytes += choice->calls.length - before;
        }
        choice->n_calls++;
    }
    text_buffer_finish(&delta);
}

// text NULL: the end.
static void take_content(struct answer *answer, uint32_t index, const struct text_buffer *text,
                         struct text_buffer *lines)
{
    struct chat_choice *choice = (struct chat_choice *)answer->choices + index;
    if (!choice->parser) {
        if (text)
            show_content(answer, index, text->data, text->length, lines);
        return;
    }
    struct text_buffer content = {0};
    if (!text)
        tool_call_parser_end(choice->parser, &content);
    else if (text->length > 0)
        tool_call_parser_push(choice->parser, text->data, text->length, &content);
    show_content(answer, index, content.data, content.length, lines);
    text_buffer_finish(&content);
    take_calls(answer, index, lines);
}

static void begin(struct answer *answer, uint32_t index, struct text_buffer *lines)
{
    struct chat_choice *choice = (struct chat_choice *)answer->choices + index;
    if (choice->began || !answer->config.stream)
        return;
    choice->began = true;
    struct text_buffer delta = {0};
    text_buffer_append_text(&delta, "\"role\":\"assistant\",\"content\":\"\"");
    say(answer, index, &delta, lines);
    text_buffer_finish(&delta);
}

static void push(struct answer *answer, uint32_t index, const struct queued_event *event,
                 struct text_buffer *lines)
{
    struct chat_choice *choice = (struct chat_choice *)answer->choices + index;
    const struct text_buffer nothing = {0};
    begin(answer, index, lines);
    if (event->event.type == ENGINE_EVENT_DELTA && event->event.kind == TEXT_REASONING) {
        take_reasoning(answer, index, &event->text, lines);
    } else if (event->event.type == ENGINE_EVENT_DELTA) {
        take_logprobs(answer, choice, event);
        take_content(answer, index, &event->text, lines);
    } else if (event->event.type == ENGINE_EVENT_FINISH) {
        take_content(answer, index, NULL, lines);
        choice->finish_reason = choice->n_calls > 0 ? "tool_calls"
                                                    : answer_finish_reason(&event->event);
        if (answer->config.stream)
            write_chunk(answer, index, &nothing, lines);
    }
}

static void write_message(const struct chat_choice *choice, struct text_buffer *out)
{
    const char *content = choice->content.data;
    size_t n = choice->content.length;
    if (choice->n_calls > 0 && !tool_call_parser_message_content(choice->parser, &content, &n))
        n = 0;
    text_buffer_append_text(out, "{\"role\":\"assistant\",\"content\":");
    if (n > 0 || (!choice->thought && choice->n_calls == 0))
        json_write_string(out, n > 0 ? content : "", n);
    else
        text_buffer_append_text(out, "null");
    text_buffer_append_text(out, ",\"refusal\":null,");
    if (choice->reasoning.length > 0)
        write_reasoning(out, choice->reasoning.data, choice->reasoning.length);
    else
        text_buffer_append_text(out, "\"reasoning_content\":null,\"reasoning\":null");
    if (choice->n_calls > 0) {
        text_buffer_append_text(out, ",\"tool_calls\":[");
        text_buffer_append(out, choice->calls.data, choice->calls.length);
        text_buffer_append_text(out, "]");
    }
    text_buffer_append_text(out, "}");
}

static void write_choices(struct answer *answer, struct text_buffer *out)
{
    struct chat_choice *choices = answer->choices;
    for (uint32_t i = 0; i < answer->n_choices; i++) {
        text_buffer_append_format(out, "%s{\"index\":%u,\"message\":", i ? "," : "", i);
        write_message(&choices[i], out);
        write_logprobs(answer, &choices[i], out);
        text_buffer_append_format(out, ",\"finish_reason\":\"%s\"}", choices[i].finish_reason);
    }
}

static void end(struct answer *answer, struct text_buffer *lines)
{
    answer_end_choices(answer, write_choices, lines);
}

const struct answer_shape chat_answer_shape = {
    .object = "chat.completion",
    .chunk_object = "chat.completion.chunk",
    .create = create_choices,
    .destroy = destroy_choices,
    .push = push,
    .end = end,
};
