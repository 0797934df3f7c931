/* gateway/completion_answer.c - completions: text as it comes, with log-probabilities in four
 * arrays side by side.
 *
 * With echo the prompt stands in front, as the detokenizer says it: its event comes once, before
 * all others, and is said in every choice of that prompt. */
#include <stdlib.h>

#include "base/mem.h"
#include "gateway/answer_shape.h"
#include "text/detokenizer.h"

// One choice's logprobs so far: members of the arrays, without brackets.
struct logprob_arrays {
    struct text_buffer tokens, logprobs, tops, offsets;
};

struct completion_choice {
    size_t n_chars; // of the tokens so far, for text_offset
    const char *finish_reason;
    struct logprob_arrays arrays; // what was not sent yet
    struct text_buffer text;      // of an answer that is not streamed
};

static void create_choices(struct answer *answer)
{
    answer->choices = mem_zeroed(answer->n_choices, sizeof(struct completion_choice));
}

static void finish_arrays(struct logprob_arrays *arrays)
{
    text_buffer_finish(&arrays->tokens);
    text_buffer_finish(&arrays->logprobs);
    text_buffer_finish(&arrays->tops);
    text_buffer_finish(&arrays->offsets);
}

static void destroy_choices(struct answer *answer)
{
    struct completion_choice *choices = answer->choices;
    for (uint32_t i = 0; i < answer->n_choices; i++) {
        finish_arrays(&choices[i].arrays);
        text_buffer_finish(&choices[i].text);
    }
    free(choices);
}

// A byte of a longer character has no text of its own: it is named as OpenAI does.
static size_t write_token_text(const struct answer *answer, uint32_t id, struct text_buffer *out)
{
    size_t n;
    bool is_byte;
    const char *bytes = tokenizer_token_bytes(answer->config.model->tokenizer, id, &n, &is_byte);
    if (n == 1 && (uint8_t)bytes[0] >= 0x80) {
        text_buffer_append_format(out, "\"bytes:\\\\x%02x\"", (unsigned)(uint8_t)bytes[0]);
        return 1;
    }
    answer_write_bytes(out, bytes, n);
    if (tokenizer_is_hidden(answer->config.model->tokenizer, id))
        return 0;
    size_t n_chars = 0;
    for (size_t i = 0; i < n; i++)
        n_chars += ((uint8_t)bytes[i] & 0xC0) != 0x80;
    return n_chars;
}

// The best ones by their text; last the token itself, unless it is one of them.
static void write_tops(const struct answer *answer, uint32_t id,
                       const struct token_logprob *entries, uint32_t n_entries,
                       struct text_buffer *out)
{
    bool found = false;
    text_buffer_append_text(out, "{");
    for (uint32_t i = 1; i <= n_entries; i++) {
        struct token_logprob entry = entries[i < n_entries ? i : 0];
        if (i == n_entries && found)
            break;
        found |= entry.token_id == id;
        if (i > 1)
            text_buffer_append_text(out, ",");
        write_token_text(answer, entry.token_id, out);
        text_buffer_append_text(out, ":");
        answer_write_logprob(out, entry.logprob);
    }
    text_buffer_append_text(out, "}");
}

// entries NULL: the first token of all has no probability.
static void take_token(const struct answer *answer, struct completion_choice *choice, uint32_t id,
                       const struct token_logprob *entries, uint32_t n_entries)
{
    struct logprob_arrays *arrays = &choice->arrays;
    answer_separate(&arrays->tokens);
    answer_separate(&arrays->logprobs);
    answer_separate(&arrays->tops);
    answer_separate(&arrays->offsets);
    text_buffer_append_format(&arrays->offsets, "%zu", choice->n_chars);
    choice->n_chars += write_token_text(answer, id, &arrays->tokens);
    if (!entries) {
        text_buffer_append_text(&arrays->logprobs, "null");
        text_buffer_append_text(&arrays->tops, "null");
        return;
    }
    answer_write_logprob(&arrays->logprobs, entries[0].logprob);
    write_tops(answer, id, entries, n_entries, &arrays->tops);
}

static void take_logprobs(struct answer *answer, struct completion_choice *choice,
                          const struct queued_event *event)
{
    const struct token_logprob *entries = event->entries;
    for (size_t i = 0; i < event->event.n_logprobs; i++) {
        take_token(answer, choice, entries[0].token_id, entries, event->n_entries[i]);
        entries += event->n_entries[i];
        answer->n_kept_bytes += 64 * (size_t)(event->n_entries[i] + 1); // about
    }
}

static void write_array(const char *name, struct text_buffer *array, struct text_buffer *out)
{
    text_buffer_append_format(out, "\"%s\":[", name);
    if (array->length > 0)
        text_buffer_append(out, array->data, array->length);
    text_buffer_append_text(out, "]");
    text_buffer_clear(array);
}

// A choice's object: text, and what there is of logprobs since the last one.
static void write_choice(struct answer *answer, uint32_t index, const char *text, size_t n,
                         struct text_buffer *out)
{
    struct completion_choice *choice = (struct completion_choice *)answer->choices + index;
    struct logprob_arrays *arrays = &choice->arrays;
    text_buffer_append_format(out, "{\"index\":%u,\"text\":", index);
    json_write_string(out, n > 0 ? text : "", n);
    text_buffer_append_text(out, ",\"logprobs\":");
    if (answer->config.n_logprobs < 0 || arrays->tokens.length == 0) {
        text_buffer_append_text(out, "null");
    } else {
        text_buffer_append_text(out, "{");
        write_array("tokens", &arrays->tokens, out);
        text_buffer_append_text(out, ",");
        write_array("token_logprobs", &arrays->logprobs, out);
        text_buffer_append_text(out, ",");
        write_array("top_logprobs", &arrays->tops, out);
        text_buffer_append_text(out, ",");
        write_array("text_offset", &arrays->offsets, out);
        text_buffer_append_text(out, "}");
    }
    text_buffer_append_text(out, ",\"finish_reason\":");
    if (choice->finish_reason)
        text_buffer_append_format(out, "\"%s\"}", choice->finish_reason);
    else
        text_buffer_append_text(out, "null}");
}

static void say(struct answer *answer, uint32_t index, const struct text_buffer *text,
                struct text_buffer *lines)
{
    struct completion_choice *choice = (struct completion_choice *)answer->choices + index;
    if (!answer->config.stream) {
        if (text->length > 0)
            text_buffer_append(&choice->text, text->data, text->length);
        answer->n_kept_bytes += text->length;
        return;
    }
    if (text->length == 0 && !choice->finish_reason)
        return;
    answer_begin_object(answer, answer->shape->chunk_object, lines);
    write_choice(answer, index, text->data, text->length, lines);
    answer_end_chunk(answer, lines);
}

static void echo(struct answer *answer, uint32_t first, const struct queued_event *event,
                 struct text_buffer *lines)
{
    const struct engine_event *prompt = &event->event;
    struct text_buffer text = {0};
    struct detokenizer detokenizer;
    detokenizer_init(&detokenizer, answer->config.model->tokenizer, true);
    for (size_t i = 0; i < prompt->n_token_ids; i++)
        detokenizer_push(&detokenizer, event->token_ids[i], &text);
    detokenizer_flush(&detokenizer, &text);
    for (uint32_t i = first; i < first + answer->config.n; i++) {
        struct completion_choice *choice = (struct completion_choice *)answer->choices + i;
        if (prompt->n_token_ids > 0 && answer->config.n_logprobs >= 0)
            take_token(answer, choice, event->token_ids[0], NULL, 0);
        take_logprobs(answer, choice, event);
        say(answer, i, &text, lines);
    }
    text_buffer_finish(&text);
}

static void push(struct answer *answer, uint32_t index, const struct queued_event *event,
                 struct text_buffer *lines)
{
    struct completion_choice *choice = (struct completion_choice *)answer->choices + index;
    switch (event->event.type) {
    case ENGINE_EVENT_PROMPT:
        echo(answer, index, event, lines);
        return;
    case ENGINE_EVENT_DELTA:
        take_logprobs(answer, choice, event);
        break;
    case ENGINE_EVENT_FINISH:
        choice->finish_reason = answer_finish_reason(&event->event);
        break;
    case ENGINE_EVENT_FAILED:
        return;
    }
    say(answer, index, &event->text, lines);
}

static void write_choices(struct answer *answer, struct text_buffer *out)
{
    const struct completion_choice *choices = answer->choices;
    for (uint32_t i = 0; i < answer->n_choices; i++) {
        if (i > 0)
            text_buffer_append_text(out, ",");
        write_choice(answer, i, choices[i].text.data, choices[i].text.length, out);
    }
}

static void end(struct answer *answer, struct text_buffer *lines)
{
    answer_end_choices(answer, write_choices, lines);
}

const struct answer_shape completion_answer_shape = {
    .object = "text_completion",
    .chunk_object = "text_completion",
    .create = create_choices,
    .destroy = destroy_choices,
    .push = push,
    .end = end,
};
