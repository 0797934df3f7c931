/* tests/text/test_reasoning.c - the vectors, whole and token by token, and the label in any split.
 */
#include "text/reasoning.h"

#include "tests/text/tokenizers.h"

// The special tokens of the vectors with their ids; every other string is one token of its own.
static const struct {
    const char *text;
    uint32_t id;
} specials[] = {
    {"<pad>", 0},
    {"<eos>", 1},
    {"<bos>", 2},
    {"<unk>", 3},
    {"<mask>", 4},
    {"<|tool>", 46},
    {"<tool|>", 47},
    {"<|tool_call>", 48},
    {"<tool_call|>", 49},
    {"<|tool_response>", 50},
    {"<tool_response|>", 51},
    {"<|\"|>", 52},
    {"<|think|>", 98},
    {"<|channel>", 100},
    {"<channel|>", 101},
    {"<|turn>", 105},
    {"<turn|>", 106},
    {"<|image>", 255999},
    {"<|audio>", 256000},
    {"<|image|>", 258880},
    {"<|audio|>", 258881},
    {"<image|>", 258882},
    {"<audio|>", 258883},
    {"<|video|>", 258884},
};
#define N_SPECIALS (sizeof specials / sizeof *specials)
#define ORDINARY 1000

static const struct reasoning_tokens tokens = {
    .channel = 100,
    .channel_end = 101,
    .tool_call = 48,
    .tool_call_end = 49,
    .tool_response = 50,
    .tool_response_end = 51,
    .turn = 105,
    .turn_end = 106,
    .think = 98,
};

static uint32_t id_of(const struct json_value *token)
{
    for (size_t i = 0; i < N_SPECIALS; i++) {
        if (json_string_is(token, specials[i].text))
            return specials[i].id;
    }
    return ORDINARY;
}

static bool is_stop(uint32_t id)
{
    return id == 1 || id == 50 || id == 106;
}

// Outside reasoning the markers of tool calls are text, as tokenizer_is_hidden says.
static bool is_shown(uint32_t id, enum reasoning_kind kind)
{
    return id == ORDINARY || (kind == REASONING_CONTENT && (id == 48 || id == 49 || id == 52));
}

struct reader {
    enum reasoning_state state;
    struct reasoning_label label;
    struct text_buffer reasoning, content;
    bool stopped;
};

static void reader_begin(struct reader *reader, const struct json_value *prompt)
{
    *reader = (struct reader){0};
    uint32_t *ids = calloc(prompt->n + 1, sizeof *ids);
    for (uint32_t i = 0; i < prompt->n; i++)
        ids[i] = id_of(&prompt->items[i]);
    reader->state = reasoning_start(&tokens, ids, prompt->n);
    if (reader->state == REASONING_INSIDE)
        reasoning_label_begin(&reader->label);
    free(ids);
}

// Returns the kind as the vectors name it.
static const char *reader_push(struct reader *reader, const struct json_value *token)
{
    uint32_t id = id_of(token);
    if (is_stop(id)) {
        reader->stopped = true;
        return "stop";
    }
    enum reasoning_kind kind = reasoning_push(&tokens, &reader->state, id);
    if (kind != REASONING_TEXT)
        reasoning_label_end(&reader->label, &reader->reasoning);
    if (kind == REASONING_DELIMITER && reader->state == REASONING_INSIDE)
        reasoning_label_begin(&reader->label);
    if (is_shown(id, kind)) {
        if (kind == REASONING_TEXT)
            reasoning_label_push(&reader->label, token->text, token->length, &reader->reasoning);
        else
            text_buffer_append(&reader->content, token->text, token->length);
    }
    return kind == REASONING_TEXT      ? "reasoning"
           : kind == REASONING_CONTENT ? "content"
                                       : "delimiter";
}

static void assert_text(const char *what, const struct text_buffer *got,
                        const struct json_value *want)
{
    size_t n = want->type == JSON_STRING ? want->length : 0;
    if (got->length != n || (n > 0 && memcmp(got->data, want->text, n) != 0))
        test_fail(__FILE__, __LINE__, "%s: \"%s\"", what, got->data ? got->data : "");
}

static void assert_span(const char *what, const struct json_value *spans, uint32_t span,
                        const char *kind, uint32_t first, uint32_t end)
{
    int64_t want_first = -1, want_end = -1;
    if (span >= spans->n)
        test_fail(__FILE__, __LINE__, "%s: more than %u spans", what, spans->n);
    const struct json_value *items = spans->items[span].items;
    ASSERT(json_int64(&items[1], &want_first) && json_int64(&items[2], &want_end));
    if (!json_string_is(&items[0], kind) || want_first != first || want_end != end)
        test_fail(__FILE__, __LINE__, "%s: span %u is %s %u..%u", what, span, kind, first, end);
}

static void run_row(const struct json_value *row)
{
    static const char *const states[] = {"outside", "expect", "inside"};
    const char *name = json_get(row, "id")->text;
    const struct json_value *want = json_get(row, "expect");
    const struct json_value *generated = json_get(row, "tokens");
    struct reader reader;
    reader_begin(&reader, json_get(row, "prompt_tokens"));
    ASSERT_STR_EQ(states[reader.state], json_get(want, "start_state")->text);
    const char *span_kind = NULL;
    uint32_t n_spans = 0, first = 0, i = 0;
    for (; i < generated->n && !reader.stopped; i++) {
        const char *kind = reader_push(&reader, &generated->items[i]);
        if (span_kind && strcmp(kind, span_kind) != 0) {
            assert_span(name, json_get(want, "spans"), n_spans++, span_kind, first, i);
            first = i;
        }
        span_kind = kind;
    }
    if (span_kind)
        assert_span(name, json_get(want, "spans"), n_spans++, span_kind, first, i);
    ASSERT_EQ(n_spans, json_get(want, "spans")->n);
    reasoning_label_end(&reader.label, &reader.reasoning);
    assert_text(name, &reader.reasoning, json_get(want, "reasoning"));
    assert_text(name, &reader.content, json_get(want, "content"));
    ASSERT_EQ(reader.stopped, json_get(want, "stopped")->type == JSON_TRUE);
    ASSERT_EQ(reader.state == REASONING_INSIDE && !reader.stopped,
              json_get(want, "still_reasoning")->type == JSON_TRUE);
    text_buffer_finish(&reader.reasoning);
    text_buffer_finish(&reader.content);
}

TEST(every_vector_gives_its_spans_and_texts)
{
    char *lines = test_read_file("data/text-cases/reasoning.jsonl", NULL);
    const char *at = lines;
    int n_rows = 0;
    for (struct json_document *row; (row = next_json_line(&at)); n_rows++) {
        run_row(json_root(row));
        json_document_destroy(row);
    }
    ASSERT_EQ(n_rows, 33);
    free(lines);
}

TEST(a_label_is_found_in_any_split_and_only_as_a_whole)
{
    static const struct {
        const char *text, *want;
    } cases[] = {
        {"thought\n", ""},
        {"thought\nthought\n", "thought\n"},
        {"thought", ""},
        {"though", "though"},
        {"", ""},
        {"t", "t"},
        {"tthought\n", "tthought\n"},
        {"thoughts\nx", "thoughts\nx"},
        {"thought\nEasy", "Easy"},
        {"\nthought\n", "\nthought\n"},
        {"final\nx", "final\nx"},
    };
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        size_t n = strlen(cases[c].text);
        for (size_t first = 0; first <= n; first++) {
            for (size_t second = first; second <= n; second++) {
                struct reasoning_label label;
                struct text_buffer out = {0};
                text_buffer_append(&out, "", 0);
                reasoning_label_begin(&label);
                reasoning_label_push(&label, cases[c].text, first, &out);
                reasoning_label_push(&label, cases[c].text + first, second - first, &out);
                reasoning_label_push(&label, cases[c].text + second, n - second, &out);
                reasoning_label_end(&label, &out);
                ASSERT_STR_EQ(out.data, cases[c].want);
                text_buffer_finish(&out);
            }
        }
    }
}

TEST(a_tokenizer_without_channels_never_reasons)
{
    char *json = write_tokenizer((const char *const[]){"x"}, 1, "", "");
    struct tokenizer *tokenizer = NULL;
    ASSERT_OK(tokenizer_parse(json, strlen(json), "x", &tokenizer, NULL));
    struct reasoning_tokens none;
    reasoning_tokens_find(tokenizer, &none);
    ASSERT_EQ(none.channel, TOKEN_NONE);
    ASSERT_EQ(none.think, TOKEN_NONE);
    uint32_t prompt[] = {0, 255, 256};
    enum reasoning_state state = reasoning_start(&none, prompt, 3);
    ASSERT_EQ(state, REASONING_OUTSIDE);
    for (uint32_t id = 0; id <= 256; id++)
        ASSERT_EQ(reasoning_push(&none, &state, id), REASONING_CONTENT);
    tokenizer_destroy(tokenizer);
    free(json);
}

TEST(the_tokens_of_gemma_4_are_found)
{
    struct tokenizer *tokenizer = load_built_tokenizer("gemma4-tokenizer.json");
    struct reasoning_tokens found;
    reasoning_tokens_find(tokenizer, &found);
    ASSERT(memcmp(&found, &tokens, sizeof tokens) == 0);
    tokenizer_destroy(tokenizer);
}
