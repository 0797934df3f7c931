/* client/parse_line.c - a text with tool calls through the parser, in pieces. The answer is said as
 * it is not streamed (content) and as it is (stream_content). */
#include "client/parse_line.h"

#include <string.h>

#include "text/tool_calls.h"

#define MAX_RANDOM_BYTES 20

struct answer {
    struct tool_call_parser *parser;
    struct text_buffer content;
    struct text_buffer calls; // what stands between the brackets
};

static uint64_t next_random(uint64_t *state) // splitmix64
{
    uint64_t z = (*state += UINT64_C(0x9E3779B97F4A7C15));
    z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
    return z ^ (z >> 31);
}

static size_t next_piece(struct parse_split *split, size_t n_left)
{
    size_t n = split->random ? 1 + next_random(&split->state) % MAX_RANDOM_BYTES
                             : split->piece_bytes;
    return n == 0 || n > n_left ? n_left : n;
}

static void take_calls(struct answer *answer)
{
    const struct tool_call *call;
    while ((call = tool_call_parser_take(answer->parser))) {
        text_buffer_append_text(&answer->calls, answer->calls.length ? ", {" : "{");
        text_buffer_append_text(&answer->calls, "\"name\": ");
        json_write_string(&answer->calls, call->name, call->name_length);
        text_buffer_append_text(&answer->calls, ", \"arguments\": ");
        text_buffer_append(&answer->calls, call->arguments.data, call->arguments.length);
        text_buffer_append_text(&answer->calls, "}");
    }
}

static void feed(struct answer *answer, const struct json_value *text, struct parse_split *split)
{
    for (size_t at = 0; at < text->length;) {
        size_t n = next_piece(split, text->length - at);
        tool_call_parser_push(answer->parser, text->text + at, n, &answer->content);
        take_calls(answer);
        at += n;
    }
    tool_call_parser_end(answer->parser, &answer->content);
    take_calls(answer);
}

static void write_text(struct text_buffer *out, const char *text, size_t n, bool is_null)
{
    if (is_null)
        text_buffer_append_text(out, "null");
    else
        json_write_string(out, n ? text : "", n);
}

static void parse_text(const struct json_value *text, struct parse_split *split,
                       struct text_buffer *out)
{
    struct answer answer = {.parser = tool_call_parser_create()};
    feed(&answer, text, split);
    bool has_calls = tool_call_parser_n_calls(answer.parser) > 0;
    const char *content = answer.content.data;
    size_t n = answer.content.length;
    bool has_content = tool_call_parser_message_content(answer.parser, &content, &n);
    text_buffer_append_text(out, "\"content\": ");
    write_text(out, content, n, !has_content);
    text_buffer_append_text(out, ", \"stream_content\": ");
    write_text(out, answer.content.data, answer.content.length,
               has_calls && answer.content.length == 0);
    text_buffer_append_format(out, ", \"tool_calls\": [%s], \"malformed\": %s",
                              answer.calls.length ? answer.calls.data : "",
                              tool_call_parser_is_malformed(answer.parser) ? "true" : "false");
    tool_call_parser_destroy(answer.parser);
    text_buffer_finish(&answer.content);
    text_buffer_finish(&answer.calls);
}

// Members that are input, or whose names the output needs.
static bool is_carried(const char *key)
{
    static const char *const taken[] = {
        "text",      "prompt_tokens", "tokens", "content",   "stream_content", "tool_calls",
        "malformed", "start_state",   "spans",  "reasoning", "stopped",        "still_reasoning",
    };
    for (size_t i = 0; i < sizeof taken / sizeof *taken; i++) {
        if (strcmp(key, taken[i]) == 0)
            return false;
    }
    return true;
}

static void carry(const struct json_value *line, struct text_buffer *out)
{
    for (uint32_t i = 0; i < line->n; i++) {
        const struct json_member *member = &line->members[i];
        if (!is_carried(member->key))
            continue;
        json_write_string(out, member->key, member->key_length);
        text_buffer_append_text(out, ": ");
        json_write(out, &member->value);
        text_buffer_append_text(out, ", ");
    }
}

enum status parse_line(const struct json_value *line, struct parse_split *split,
                       struct text_buffer *out, struct error *err)
{
    if (line->type != JSON_OBJECT)
        return error_set(err, STATUS_INVALID_ARGUMENT, "not an object");
    const struct json_value *text = json_get(line, "text");
    bool has_tokens = json_get(line, "tokens") != NULL;
    if (!text == !has_tokens)
        return error_set(err, STATUS_INVALID_ARGUMENT, "%s tokens: one of them is needed",
                         text ? "both text and" : "neither text nor");
    if (text && text->type != JSON_STRING)
        return error_set(err, STATUS_INVALID_ARGUMENT, "text: not a string");
    text_buffer_append_text(out, "{");
    carry(line, out);
    enum status st = STATUS_OK;
    if (text)
        parse_text(text, split, out);
    else
        st = parse_tokens(line, out, err);
    text_buffer_append_text(out, "}");
    return st;
}
