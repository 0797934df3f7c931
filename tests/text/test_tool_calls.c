/* tests/text/test_tool_calls.c - the vectors in every split, and what the vectors do not hold:
 * limits, the exact text of arguments, hostile texts in linear time. */
#include "text/tool_calls.h"

#include "base/clock.h"
#include "tests/text/tokenizers.h"

struct feeding {
    struct tool_call_parser *parser;
    struct text_buffer content;
    struct text_buffer calls; // [{"name":..,"arguments":..},..]
    uint32_t n_calls;
};

static void take_calls(struct feeding *feeding)
{
    const struct tool_call *call;
    while ((call = tool_call_parser_take(feeding->parser))) {
        text_buffer_append_text(&feeding->calls, feeding->n_calls++ ? "," : "");
        text_buffer_append_text(&feeding->calls, "{\"name\":");
        json_write_string(&feeding->calls, call->name, call->name_length);
        text_buffer_append_text(&feeding->calls, ",\"arguments\":");
        struct json_document *arguments = NULL;
        struct error err = {0};
        ASSERT_OK_ERR(
            json_parse(call->arguments.data, call->arguments.length, NULL, &arguments, &err), err);
        json_write(&feeding->calls, json_root(arguments));
        json_document_destroy(arguments);
        text_buffer_append_text(&feeding->calls, "}");
    }
}

static void push(struct feeding *feeding, const char *text, size_t n)
{
    char *copy = malloc(n + 1); // its own block, so that a sanitizer sees what lies behind
    memcpy(copy, text, n);
    tool_call_parser_push(feeding->parser, copy, n, &feeding->content);
    free(copy);
    take_calls(feeding);
}

static void write_content(struct text_buffer *out, const char *text, size_t n, bool is_none)
{
    if (is_none)
        text_buffer_append_text(out, "null");
    else
        json_write_string(out, text, n);
}

// Ends the answer; what it comes to, in the vectors' form.
static char *finish(struct feeding *feeding)
{
    struct text_buffer out = {0};
    tool_call_parser_end(feeding->parser, &feeding->content);
    take_calls(feeding);
    const char *content = feeding->content.data ? feeding->content.data : "";
    size_t n = feeding->content.length;
    bool has_content = tool_call_parser_message_content(feeding->parser, &content, &n);
    text_buffer_append_text(&out, "{\"content\":");
    write_content(&out, content, n, !has_content);
    text_buffer_append_text(&out, ",\"stream_content\":");
    write_content(&out, feeding->content.data, feeding->content.length,
                  feeding->content.length == 0 && feeding->n_calls > 0);
    text_buffer_append_format(&out, ",\"tool_calls\":[%s],\"malformed\":%s}",
                              feeding->calls.data ? feeding->calls.data : "",
                              tool_call_parser_is_malformed(feeding->parser) ? "true" : "false");
    ASSERT_EQ(tool_call_parser_n_calls(feeding->parser), feeding->n_calls);
    tool_call_parser_destroy(feeding->parser);
    text_buffer_finish(&feeding->content);
    text_buffer_finish(&feeding->calls);
    return text_buffer_release(&out);
}

static struct feeding begin(void)
{
    return (struct feeding){.parser = tool_call_parser_create()};
}

static char *feed_pieces(const char *text, size_t n, size_t piece)
{
    struct feeding feeding = begin();
    for (size_t at = 0; at < n; at += piece)
        push(&feeding, text + at, n - at < piece ? n - at : piece);
    return finish(&feeding);
}

static char *feed_two(const char *text, size_t n, size_t split)
{
    struct feeding feeding = begin();
    push(&feeding, text, split);
    push(&feeding, text + split, n - split);
    return finish(&feeding);
}

static char *feed_random(const char *text, size_t n, uint64_t *seed)
{
    struct feeding feeding = begin();
    for (size_t at = 0; at < n;) {
        size_t piece = test_random_in(seed, 0, 20);
        piece = piece < n - at ? piece : n - at;
        push(&feeding, text + at, piece);
        at += piece;
    }
    return finish(&feeding);
}

static void assert_answer(const char *name, char *got, const char *want)
{
    if (strcmp(got, want) != 0)
        test_fail(__FILE__, __LINE__, "%s:\n  %s\nwant\n  %s", name, got, want);
    free(got);
}

static void assert_any_split(const char *name, const char *text, size_t n, const char *want)
{
    uint64_t seed = 5;
    assert_answer(name, feed_pieces(text, n, n + 1), want);
    assert_answer(name, feed_pieces(text, n, 1), want);
    assert_answer(name, feed_pieces(text, n, 7), want);
    for (size_t split = 0; split <= n; split++)
        assert_answer(name, feed_two(text, n, split), want);
    for (int i = 0; i < 20; i++)
        assert_answer(name, feed_random(text, n, &seed), want);
}

TEST(every_vector_gives_its_answer_in_every_split)
{
    char *lines = test_read_file("data/text-cases/tool_calls.jsonl", NULL);
    const char *at = lines;
    int n_rows = 0;
    for (struct json_document *row; (row = next_json_line(&at)); n_rows++) {
        const struct json_value *text = json_get(json_root(row), "text");
        struct text_buffer want = {0};
        json_write(&want, json_get(json_root(row), "expect"));
        assert_any_split(json_get(json_root(row), "id")->text, text->text, text->length, want.data);
        text_buffer_finish(&want);
        json_document_destroy(row);
    }
    ASSERT_EQ(n_rows, 83);
    free(lines);
}

// The arguments that stand between the braces of a call, as their text comes out.
static void assert_arguments(const char *arguments, const char *want)
{
    struct text_buffer text = {0};
    struct text_buffer content = {0};
    text_buffer_append_format(&text, "<|tool_call>call:f{%s}<tool_call|>", arguments);
    struct tool_call_parser *parser = tool_call_parser_create();
    tool_call_parser_push(parser, text.data, text.length, &content);
    const struct tool_call *call = tool_call_parser_take(parser);
    if (!call)
        test_fail(__FILE__, __LINE__, "{%s} is no call", arguments);
    ASSERT_STR_EQ(call->arguments.data, want);
    tool_call_parser_destroy(parser);
    text_buffer_finish(&content);
    text_buffer_finish(&text);
}

#define Q "<|\"|>"

TEST(arguments_are_written_as_python_writes_them)
{
    assert_arguments("a:1,b:[true,null,{c:" Q "\xC3\xA9\n\"\\\x7F" Q "}]",
                     "{\"a\": 1, \"b\": [true, null, {\"c\": \"\xC3\xA9\\n\\\"\\\\\x7F\"}]}");
    assert_arguments("a:-0,b:-007,c:+0,d:-0.0,e:1e16,f:1e-5,g:123456789.0,h:0.1",
                     "{\"a\": 0, \"b\": -7, \"c\": 0, \"d\": -0.0, \"e\": 1e+16, \"f\": 1e-05, "
                     "\"g\": 123456789.0, \"h\": 0.1}");
    assert_arguments("a:1e-999,b:-1e999,c:.,d:+.5,e:1.e2,f:1e,g:e5,h:-,i:+",
                     "{\"a\": 0.0, \"b\": \"-1e999\", \"c\": \".\", \"d\": 0.5, \"e\": 100.0, "
                     "\"f\": \"1e\", \"g\": \"e5\", \"h\": \"-\", \"i\": \"+\"}");
}

TEST(json_strings_count_where_they_are_valid_and_end_a_value)
{
    assert_arguments("a:\"x\" ,b:\"x\" y,c:\"\\u00e9\\ud83d\\ude00\\/\"",
                     "{\"a\": \"x\", \"b\": \"\\\"x\\\" y\", \"c\": "
                     "\"\xC3\xA9\xF0\x9F\x98\x80/\"}");
    assert_arguments("a:\"\\ud83d\",b:\"\\x\",c:\"\\u12g4\",d:\"x",
                     "{\"a\": \"\\\"\\\\ud83d\\\"\", \"b\": \"\\\"\\\\x\\\"\", \"c\": "
                     "\"\\\"\\\\u12g4\\\"\", \"d\": \"\\\"x\"}");
    assert_arguments("a:\"one\ntwo\",\"k:,\":1,\"l\" 5,m:2",
                     "{\"a\": \"one\\ntwo\", \"k:,\": 1, \"m\": 2}");
}

TEST(keys_may_be_quoted_bare_empty_or_without_a_value)
{
    assert_arguments(Q "a,:}" Q " : 1,:2," Q "b" Q ",c", "{\"a,:}\": 1, \"\": 2}");
    assert_arguments(Q "a" Q "b:1", "{\"b\": 1}");
    assert_arguments(Q "a:1", "{\""
                              "<|\\\"|>"
                              "a\": 1}");
    assert_arguments("x:1 ]y:2", "{\"x\": 1, \"y\": 2}");
    assert_arguments("x:{y:1]z:2}", "{\"x\": {\"y\": 1}, \"z\": 2}");
    assert_arguments("x:1},y:2", "{\"x\": 1}");
}

TEST(a_closing_quote_alone_ends_a_string)
{
    assert_arguments("a:one, two" Q ",b:[one, two" Q "]",
                     "{\"a\": \"one, two\", \"b\": [\"one\", \"two\"]}");
    assert_arguments("a:x:y" Q ",b:1", "{\"a\": \"x:y\", \"b\": 1}");
    assert_arguments("a:x" Q "y,b:1", "{\"a\": \"x<|\\\"|>y\", \"b\": 1}");
    assert_arguments("a:1<2" Q, "{\"a\": \"1<2\"}");
}

TEST(of_a_repeated_key_the_last_value_stands_at_the_first_place)
{
    struct text_buffer arguments = {0};
    struct text_buffer want = {0};
    text_buffer_append_text(&want, "{");
    for (int i = 0; i < 2000; i++)
        text_buffer_append_format(&arguments, "k%d:%d,", i % 500, i);
    for (int i = 0; i < 500; i++)
        text_buffer_append_format(&want, "%s\"k%d\": %d", i ? ", " : "", i, 1500 + i);
    text_buffer_append_text(&want, "}");
    assert_arguments(arguments.data, want.data);
    text_buffer_finish(&arguments);
    text_buffer_finish(&want);
}

// A call with an array of depth - 1 arrays in its arguments' object.
static uint32_t n_calls_of_depth(uint32_t depth)
{
    struct text_buffer text = {0};
    struct text_buffer content = {0};
    text_buffer_append_text(&text, "<|tool_call>call:f{a:");
    for (uint32_t i = 1; i < depth; i++)
        text_buffer_append_text(&text, "[");
    text_buffer_append_text(&text, "}<tool_call|>");
    struct tool_call_parser *parser = tool_call_parser_create();
    tool_call_parser_push(parser, text.data, text.length, &content);
    uint32_t n_calls = tool_call_parser_n_calls(parser);
    tool_call_parser_destroy(parser);
    text_buffer_finish(&text);
    text_buffer_finish(&content);
    return n_calls;
}

TEST(containers_stand_in_each_other_128_deep_and_no_deeper)
{
    ASSERT_EQ(n_calls_of_depth(128), 1);
    ASSERT_EQ(n_calls_of_depth(129), 0);
    ASSERT_EQ(n_calls_of_depth(1000000), 0);
}

TEST(a_name_is_letters_digits_and_what_is_no_ascii)
{
    static const char answer[] = "<|tool_call>call: gr\xC3\xB6\xC3\x9F"
                                 "e-1.x {}<tool_call|>";
    assert_any_split("name", answer, sizeof answer - 1,
                     "{\"content\":null,\"stream_content\":null,\"tool_calls\":[{\"name\":"
                     "\"gr\xC3\xB6\xC3\x9F"
                     "e-1.x\",\"arguments\":{}}],\"malformed\":false}");
    static const char bad[] = "<|tool_call>call:{}<tool_call|>";
    assert_any_split("no name", bad, sizeof bad - 1,
                     "{\"content\":\"<|tool_call>call:{}<tool_call|>\",\"stream_content\":"
                     "\"<|tool_call>call:{}<tool_call|>\",\"tool_calls\":[],\"malformed\":true}");
}

TEST(bytes_that_are_no_utf8_make_a_call_invalid)
{
    static const char *const texts[] = {"<|tool_call>call:f\xFF{}<tool_call|>",
                                        "<|tool_call>call:f{a:\xC3}<tool_call|>"};
    for (size_t i = 0; i < 2; i++) {
        struct tool_call_parser *parser = tool_call_parser_create();
        struct text_buffer content = {0};
        tool_call_parser_push(parser, texts[i], strlen(texts[i]), &content);
        tool_call_parser_end(parser, &content);
        ASSERT(tool_call_parser_is_malformed(parser));
        ASSERT_STR_EQ(content.data, texts[i]);
        tool_call_parser_destroy(parser);
        text_buffer_finish(&content);
    }
}

TEST(content_comes_out_as_soon_as_it_cannot_be_a_marker)
{
    struct tool_call_parser *parser = tool_call_parser_create();
    struct text_buffer content = {0};
    tool_call_parser_push(parser, "a<b<|tool", 9, &content);
    ASSERT_STR_EQ(content.data, "a<b");
    tool_call_parser_push(parser, "<|tool_calls>", 13, &content);
    ASSERT_STR_EQ(content.data, "a<b<|tool<|tool_calls>");
    tool_call_parser_push(parser, "<|tool_call>call:f{}<tool_call|>x", 33, &content);
    ASSERT_STR_EQ(content.data, "a<b<|tool<|tool_calls>");
    ASSERT(tool_call_parser_take(parser) && !tool_call_parser_take(parser));
    tool_call_parser_end(parser, &content);
    ASSERT_STR_EQ(content.data, "a<b<|tool<|tool_calls>");
    tool_call_parser_destroy(parser);
    text_buffer_finish(&content);
}

TEST(calls_wait_in_order_until_they_are_taken)
{
    struct tool_call_parser *parser = tool_call_parser_create();
    struct text_buffer content = {0};
    static const char calls[] = "<|tool_call>call:a{}<tool_call|><|tool_call>call:b{}<tool_call|>";
    tool_call_parser_push(parser, calls, sizeof calls - 1, &content);
    ASSERT_STR_EQ(tool_call_parser_take(parser)->name, "a");
    tool_call_parser_push(parser, calls, sizeof calls - 1, &content);
    ASSERT_STR_EQ(tool_call_parser_take(parser)->name, "b");
    ASSERT_STR_EQ(tool_call_parser_take(parser)->name, "a");
    ASSERT_EQ(tool_call_parser_n_calls(parser), 4);
    tool_call_parser_end(parser, &content);
    ASSERT_STR_EQ(tool_call_parser_take(parser)->name, "b");
    ASSERT(!tool_call_parser_take(parser));
    tool_call_parser_destroy(parser);
    text_buffer_finish(&content);
}

static void repeat(struct text_buffer *out, const char *text, int n)
{
    for (int i = 0; i < n; i++)
        text_buffer_append_text(out, text);
}

TEST(hostile_texts_take_linear_time)
{
    static const struct {
        const char *front, *part, *back;
    } cases[] = {
        {"", "<|tool_call>", ""},
        {"", "<|tool_call>call:f{}<tool_call|>", ""},
        {"<|tool_call>call:f{}<tool_call|>", "<|tool_call><", ""},
        {"<|tool_call>call:f{a:[", "\"a,", "}<tool_call|>"},
        {"<|tool_call>call:f{a:[", "\"a\" ", "}<tool_call|>"},
        {"<|tool_call>call:f{a:[", "\"\\", "}<tool_call|>"},
        {"<|tool_call>call:f{", "a:x" Q "y,", "}<tool_call|>"},
        {"<|tool_call>call:f{", "a:<", "}<tool_call|>"},
        {"<|tool_call>call:f{", Q "a", "}<tool_call|>"},
        {"<|tool_call>call:f{", "\"a\"", "}<tool_call|>"},
        {"<|tool_call>call:f{", "a:\" ,", "}<tool_call|>"},
        {"<|tool_call>call:f{", "a:{]", "}<tool_call|>"},
        {"<|tool_call>call:f{a:", "9", "}<tool_call|>"},
        {"<|tool_call>call:f{a:0.", "9", "}<tool_call|>"},
    };
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        for (int whole = 0; whole < 2; whole++) {
            struct text_buffer text = {0};
            text_buffer_append_text(&text, cases[c].front);
            repeat(&text, cases[c].part, 100000);
            text_buffer_append_text(&text, cases[c].back);
            uint64_t start_ns = clock_now_ns();
            free(feed_pieces(text.data, text.length, whole ? text.length : 64));
            double seconds = (double)(clock_now_ns() - start_ns) / 1e9;
            if (seconds > 5) // quadratic would be minutes
                test_fail(__FILE__, __LINE__, "case %zu: %.1f s", c, seconds);
            text_buffer_finish(&text);
        }
    }
}
