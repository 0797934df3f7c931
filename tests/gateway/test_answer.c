/* tests/gateway/test_answer.c - events in, OpenAI's JSON out: what a stream says piece by piece is
 * what the whole answer says, however the text was cut. */
#include "tests/test.h"

#include <math.h>

#include "base/json.h"
#include "base/mem.h"
#include "gateway/answer.h"
#include "tests/text/tokenizers.h"

#define CALL "<|tool_call>call:f{a:<|\"|>x<|\"|>}<tool_call|>"

struct fixture {
    struct gateway_model model;
    struct tokenizer *tokenizer;
    struct answer_config config;
    struct answer *answer;
    struct text_buffer lines;
    struct json_document *document;
};

static struct fixture *open_answer(enum openai_api api, bool stream)
{
    static const char *const entries[] = {"a", "b"};
    struct fixture *f = mem_zeroed(1, sizeof *f);
    struct error err = {0};
    char *json = write_tokenizer(entries, 2, "", "");
    ASSERT_OK_ERR(tokenizer_parse(json, strlen(json), "test", &f->tokenizer, &err), err);
    free(json);
    f->model = (struct gateway_model){.name = "m", .tokenizer = f->tokenizer};
    f->config = (struct answer_config){.api = api,
                                       .model = &f->model,
                                       .id = "id",
                                       .created = 7,
                                       .fingerprint = "fp",
                                       .n_prompts = 1,
                                       .n = 1,
                                       .stream = stream,
                                       .include_usage = stream,
                                       .include_reasoning = true,
                                       .parse_tools = true,
                                       .n_logprobs = -1};
    return f;
}

static void close_answer(struct fixture *f)
{
    json_document_destroy(f->document);
    answer_destroy(f->answer);
    text_buffer_finish(&f->lines);
    tokenizer_destroy(f->tokenizer);
    free(f);
}

static void push(struct fixture *f, struct queued_event *event)
{
    struct error err = {0};
    if (!f->answer)
        f->answer = answer_create(&f->config);
    ASSERT_OK_ERR(answer_push(f->answer, 0, event, &f->lines, &err), err);
}

static void push_text(struct fixture *f, enum text_kind kind, const char *text, size_t n)
{
    struct queued_event event = {.event = {.type = ENGINE_EVENT_DELTA, .kind = kind}};
    text_buffer_append(&event.text, text, n);
    push(f, &event);
    text_buffer_finish(&event.text);
}

static void push_finish(struct fixture *f, enum finish_reason reason)
{
    struct queued_event event = {.event = {.type = ENGINE_EVENT_FINISH,
                                           .reason = reason,
                                           .stop_string = -1,
                                           .prompt_tokens = 5,
                                           .completion_tokens = 4,
                                           .reasoning_tokens = 2,
                                           .cached_tokens = 1,
                                           .last = true}};
    push(f, &event);
    answer_end(f->answer, &f->lines);
}

// The i-th line, parsed; NULL: there are not so many.
static const struct json_value *line(struct fixture *f, int i)
{
    const char *at = f->lines.data;
    for (; i > 0 && at; i--) {
        at = strchr(at, '\n');
        at = at ? at + 1 : NULL;
    }
    if (!at || !*at)
        return NULL;
    struct error err = {0};
    json_document_destroy(f->document);
    f->document = NULL;
    ASSERT_OK_ERR(json_parse(at, strcspn(at, "\n"), NULL, &f->document, &err), err);
    return json_root(f->document);
}

static const struct json_value *choice(const struct json_value *object)
{
    const struct json_value *choices = json_get(object, "choices");
    ASSERT(choices && choices->n == 1);
    return &choices->items[0];
}

static void append_member(struct text_buffer *out, const struct json_value *object, const char *key)
{
    const struct json_value *value = json_get_present(object, key);
    if (value)
        text_buffer_append(out, value->text, value->length);
}

struct said {
    struct text_buffer content, reasoning, calls, finish;
};

static void free_said(struct said *said)
{
    text_buffer_finish(&said->content);
    text_buffer_finish(&said->reasoning);
    text_buffer_finish(&said->calls);
    text_buffer_finish(&said->finish);
}

static void take_calls(const struct json_value *message, struct text_buffer *out)
{
    const struct json_value *calls = json_get(message, "tool_calls");
    for (uint32_t i = 0; calls && i < calls->n; i++) {
        const struct json_value *function = json_get(&calls->items[i], "function");
        append_member(out, function, "name");
        append_member(out, function, "arguments");
        ASSERT_EQ(json_get(&calls->items[i], "id")->length, 29);
    }
}

// All that the lines say, streamed or not.
static struct said join(struct fixture *f)
{
    struct said said = {0};
    const char *key = f->config.stream ? "delta" : "message";
    const struct json_value *object;
    for (int i = 0; (object = line(f, i)); i++) {
        if (json_get(object, "choices")->n == 0)
            continue;
        const struct json_value *message = json_get(choice(object), key);
        append_member(&said.content, message, "content");
        append_member(&said.reasoning, message, "reasoning_content");
        append_member(&said.finish, choice(object), "finish_reason");
        take_calls(message, &said.calls);
    }
    return said;
}

static struct said say(bool stream, size_t piece, const char *reasoning, const char *content)
{
    struct fixture *f = open_answer(OPENAI_CHAT, stream);
    for (size_t i = 0; i < strlen(reasoning); i += piece)
        push_text(f, TEXT_REASONING, reasoning + i, strnlen(reasoning + i, piece));
    for (size_t i = 0; i < strlen(content); i += piece)
        push_text(f, TEXT_CONTENT, content + i, strnlen(content + i, piece));
    push_finish(f, FINISH_STOP);
    struct said said = join(f);
    close_answer(f);
    return said;
}

static void same_text(const struct text_buffer *a, const char *b)
{
    ASSERT_STR_EQ(a->data ? a->data : "", b);
}

TEST(a_stream_says_what_the_whole_answer_says)
{
    static const struct {
        const char *reasoning, *content, *shown, *calls, *finish;
    } cases[] = {
        {"", "hello", "hello", "", "stop"},
        {"hm", "so", "so", "", "stop"},
        {"hm", "", "", "", "stop"},
        {"", "x" CALL, "x", "f{\"a\": \"x\"}", "tool_calls"},
        {"hm", CALL CALL, "", "f{\"a\": \"x\"}f{\"a\": \"x\"}", "tool_calls"},
        {"", "a<|tool_call>call:", "a<|tool_call>call:", "", "stop"},
        {"", "a<|tool_cal", "a<|tool_cal", "", "stop"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        for (size_t piece = 1; piece < 40; piece += 6)
            for (int stream = 0; stream < 2; stream++) {
                struct said said = say(stream, piece, cases[i].reasoning, cases[i].content);
                same_text(&said.content, cases[i].shown);
                same_text(&said.reasoning, cases[i].reasoning);
                same_text(&said.calls, cases[i].calls);
                same_text(&said.finish, cases[i].finish);
                free_said(&said);
            }
}

TEST(a_stream_begins_with_the_role_and_ends_with_the_usage)
{
    struct fixture *f = open_answer(OPENAI_CHAT, true);
    push_text(f, TEXT_CONTENT, "a", 1);
    push_finish(f, FINISH_LENGTH);
    const struct json_value *first = line(f, 0);
    ASSERT(json_string_is(json_get(json_get(choice(first), "delta"), "role"), "assistant"));
    ASSERT(json_string_is(json_get(first, "object"), "chat.completion.chunk"));
    ASSERT(json_string_is(json_get(first, "id"), "id"));
    ASSERT(json_string_is(json_get(first, "system_fingerprint"), "fp"));
    ASSERT_EQ(json_get(first, "usage")->type, JSON_NULL);
    ASSERT(json_string_is(json_get(choice(line(f, 2)), "finish_reason"), "length"));
    const struct json_value *last = line(f, 3);
    ASSERT_EQ(json_get(last, "choices")->n, 0);
    int64_t n;
    const struct json_value *usage = json_get(last, "usage");
    ASSERT(json_int64(json_get(usage, "total_tokens"), &n) && n == 9);
    ASSERT(
        json_int64(json_get(json_get(usage, "completion_tokens_details"), "reasoning_tokens"), &n));
    ASSERT_EQ(n, 2);
    ASSERT(json_int64(json_get(json_get(usage, "prompt_tokens_details"), "cached_tokens"), &n));
    ASSERT_EQ(n, 1);
    ASSERT(!line(f, 4));
    close_answer(f);
}

TEST(content_is_null_where_there_is_thinking_alone)
{
    for (int shown = 0; shown < 2; shown++) {
        struct fixture *f = open_answer(OPENAI_CHAT, false);
        f->config.include_reasoning = shown;
        push_text(f, TEXT_REASONING, "hm", 2);
        push_finish(f, FINISH_LENGTH);
        const struct json_value *message = json_get(choice(line(f, 0)), "message");
        ASSERT_EQ(json_get(message, "content")->type, JSON_NULL);
        ASSERT_EQ(json_get(message, "reasoning")->type, shown ? JSON_STRING : JSON_NULL);
        close_answer(f);
    }
    struct fixture *f = open_answer(OPENAI_CHAT, false);
    push_finish(f, FINISH_STOP);
    ASSERT(json_string_is(json_get(json_get(choice(line(f, 0)), "message"), "content"), ""));
    close_answer(f);
}

TEST(calls_stay_text_when_nobody_asked_for_them)
{
    struct fixture *f = open_answer(OPENAI_CHAT, false);
    f->config.parse_tools = false;
    push_text(f, TEXT_CONTENT, CALL, strlen(CALL));
    push_finish(f, FINISH_STOP);
    ASSERT(json_string_is(json_get(json_get(choice(line(f, 0)), "message"), "content"), CALL));
    ASSERT(json_string_is(json_get(choice(line(f, 0)), "finish_reason"), "stop"));
    close_answer(f);
}

// A token, the two best ones beside it.
static void push_token(struct fixture *f, enum text_kind kind, uint32_t id, const char *text)
{
    struct token_logprob entries[] = {{id, -1.5F}, {97, -0.5F}, {257, -INFINITY}};
    uint32_t n = 3;
    struct queued_event event = {
        .event = {.type = ENGINE_EVENT_DELTA, .kind = kind, .n_logprobs = 1},
        .n_entries = &n,
        .entries = entries,
        .n_all_entries = 3};
    text_buffer_append(&event.text, text, strlen(text));
    push(f, &event);
    text_buffer_finish(&event.text);
}

TEST(logprobs_are_of_the_tokens_that_are_no_thinking)
{
    for (int stream = 0; stream < 2; stream++) {
        struct fixture *f = open_answer(OPENAI_CHAT, stream);
        f->config.n_logprobs = 2;
        push_token(f, TEXT_REASONING, 98, "b");
        push_token(f, TEXT_CONTENT, 0xC3, ""); // half a character
        push_token(f, TEXT_CONTENT, 97, "a");
        push_finish(f, FINISH_STOP);
        const struct json_value *content =
            json_get(json_get(choice(line(f, stream ? 2 : 0)), "logprobs"), "content");
        ASSERT_EQ(content->n, 2);
        const struct json_value *half = &content->items[0];
        ASSERT(json_string_is(json_get(half, "token"), "\xEF\xBF\xBD"));
        int64_t byte;
        ASSERT(json_int64(&json_get(half, "bytes")->items[0], &byte) && byte == 0xC3);
        const struct json_value *top = json_get(half, "top_logprobs");
        ASSERT_EQ(top->n, 3); // it is none of the best, so it stands behind them
        double logprob;
        ASSERT(json_double(json_get(&top->items[1], "logprob"), &logprob) && logprob == -9999);
        ASSERT_EQ(json_get(&content->items[1], "top_logprobs")->n, 2);
        close_answer(f);
    }
}

TEST(a_completion_has_its_logprobs_side_by_side)
{
    struct fixture *f = open_answer(OPENAI_COMPLETION, false);
    f->config.n_logprobs = 2;
    push_token(f, TEXT_CONTENT, 97, "a");
    push_token(f, TEXT_CONTENT, 0xC3, "");
    push_finish(f, FINISH_STOP);
    const struct json_value *said = choice(line(f, 0));
    ASSERT(json_string_is(json_get(said, "text"), "a"));
    const struct json_value *logprobs = json_get(said, "logprobs");
    const struct json_value *tokens = json_get(logprobs, "tokens");
    ASSERT(tokens->n == 2 && json_string_is(&tokens->items[1], "bytes:\\xc3"));
    ASSERT_EQ(json_get(logprobs, "token_logprobs")->n, 2);
    ASSERT_EQ(json_get(logprobs, "text_offset")->n, 2);
    ASSERT_EQ(json_get(logprobs, "top_logprobs")->items[0].n, 2);
    ASSERT_EQ(json_get(logprobs, "top_logprobs")->items[1].n, 3);
    close_answer(f);
}

TEST(a_whole_answer_has_a_limit)
{
    struct fixture *f = open_answer(OPENAI_CHAT, false);
    f->answer = answer_create(&f->config);
    struct queued_event event = {.event = {.type = ENGINE_EVENT_DELTA}};
    event.text.length = event.text.capacity = (size_t)8 << 20;
    event.text.data = mem_zeroed(event.text.length + 1, 1);
    memset(event.text.data, 'a', event.text.length);
    struct error err = {0};
    enum status st = STATUS_OK;
    for (int i = 0; i < 9; i++)
        st = answer_push(f->answer, 0, &event, &f->lines, &err);
    ASSERT_EQ(st, STATUS_RESOURCE_EXHAUSTED);
    text_buffer_finish(&event.text);
    close_answer(f);
}

TEST(the_events_of_a_response_are_numbered_and_its_items_whole)
{
    struct fixture *f = open_answer(OPENAI_RESPONSES, true);
    push_text(f, TEXT_REASONING, "hm", 2);
    push_text(f, TEXT_CONTENT, "so" CALL, 2 + strlen(CALL));
    push_finish(f, FINISH_STOP);
    const struct json_value *event;
    int n = 0;
    for (; (event = line(f, n)); n++) {
        int64_t number;
        ASSERT(json_int64(json_get(event, "sequence_number"), &number) && number == n);
    }
    event = line(f, n - 1);
    ASSERT(json_string_is(json_get(event, "type"), "response.completed"));
    const struct json_value *output = json_get(json_get(event, "response"), "output");
    ASSERT_EQ(output->n, 3);
    static const char *const types[] = {"reasoning", "message", "function_call"};
    for (uint32_t i = 0; i < 3; i++)
        ASSERT(json_string_is(json_get(&output->items[i], "type"), types[i]));
    ASSERT(json_string_is(json_get(&output->items[2], "arguments"), "{\"a\": \"x\"}"));
    close_answer(f);
}
