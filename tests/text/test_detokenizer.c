/* tests/text/test_detokenizer.c - deltas by vectors, and that they add up. */
#include "text/detokenizer.h"

#include "base/utf8.h"
#include "tests/text/tokenizers.h"

static void assert_text(const char *what, const char *got, size_t n, const struct json_value *want)
{
    if (n != want->length || memcmp(got, want->text, n) != 0)
        test_fail(__FILE__, __LINE__, "%s: \"%.*s\", want \"%s\"", what, (int)n, got, want->text);
}

static void run_row(const struct tokenizer *tokenizer, const struct json_value *row,
                    bool skip_special)
{
    const char *name = json_get(row, "id")->text;
    const struct json_value *ids = json_get(row, "ids");
    const struct json_value *deltas = json_get(row, "deltas");
    ASSERT_EQ(deltas->n, ids->n);
    struct detokenizer detokenizer;
    detokenizer_init(&detokenizer, tokenizer, skip_special);
    struct text_buffer text = {0};
    text_buffer_append(&text, "", 0);
    for (uint32_t i = 0; i < ids->n; i++) {
        int64_t id = -1;
        ASSERT(json_int64(&ids->items[i], &id));
        size_t before = text.length;
        detokenizer_push(&detokenizer, (uint32_t)id, &text);
        assert_text(name, text.data + before, text.length - before, &deltas->items[i]);
    }
    size_t before = text.length;
    detokenizer_flush(&detokenizer, &text);
    assert_text(name, text.data + before, text.length - before, json_get(row, "flush"));
    assert_text(name, text.data, text.length, json_get(row, "text"));
    text_buffer_finish(&text);
}

TEST(every_vector_gives_its_deltas)
{
    struct tokenizer *tokenizer = load_built_tokenizer("gemma4-tokenizer.json");
    char *lines = test_read_file("data/text-cases/detok.jsonl", NULL);
    const char *at = lines;
    int n_rows = 0;
    for (struct json_document *row; (row = next_json_line(&at)); n_rows++) {
        run_row(tokenizer, json_root(row), false);
        run_row(tokenizer, json_root(row), true); // tool-call markers are never left out
        json_document_destroy(row);
    }
    ASSERT_EQ(n_rows, 30);
    free(lines);
    tokenizer_destroy(tokenizer);
}

// Decodes all bytes at once: the text that streaming must add up to.
static void decode_whole(const char *bytes, size_t n, struct text_buffer *out)
{
    for (size_t at = 0; at < n;) {
        uint32_t c;
        at += utf8_decode(bytes + at, n - at, &c);
        char character[UTF8_MAX_BYTES];
        text_buffer_append(out, character, utf8_encode(c, character));
    }
}

TEST(byte_tokens_stream_to_the_text_of_all_bytes_at_once)
{
    static const unsigned char likely[] = {0x41, 0x80, 0x9F, 0xA0, 0xBF, 0xC3, 0xE0, 0xE2,
                                           0xED, 0xEF, 0xF0, 0xF4, 0x90, 0x8F, 0xBD, 0xFF};
    char *json = write_tokenizer((const char *const[]){"x"}, 1, "", "");
    struct tokenizer *tokenizer = NULL;
    ASSERT_OK(tokenizer_parse(json, strlen(json), "x", &tokenizer, NULL));
    uint64_t seed = 3;
    for (int round = 0; round < 20000; round++) {
        char bytes[12];
        size_t n = test_random_in(&seed, 1, sizeof bytes);
        struct text_buffer streamed = {0};
        struct text_buffer whole = {0};
        struct detokenizer detokenizer;
        detokenizer_init(&detokenizer, tokenizer, true);
        for (size_t i = 0; i < n; i++) {
            bytes[i] = (char)likely[test_random_in(&seed, 0, sizeof likely - 1)];
            detokenizer_push(&detokenizer, (unsigned char)bytes[i], &streamed);
            ASSERT(utf8_valid(streamed.data, streamed.length, NULL));
            ASSERT(detokenizer.n_pending < 4);
        }
        detokenizer_flush(&detokenizer, &streamed);
        decode_whole(bytes, n, &whole);
        ASSERT_STR_EQ(streamed.data, whole.data);
        text_buffer_finish(&streamed);
        text_buffer_finish(&whole);
    }
    free(json);
    tokenizer_destroy(tokenizer);
}

TEST(special_tokens_are_skipped_on_wish_and_unused_ids_always)
{
    char *json = write_tokenizer((const char *const[]){"x", "\xE2\x96\x81y"}, 2, "",
                                 "{\"id\":300,\"content\":\"<eos>\",\"special\":true},"
                                 "{\"id\":301,\"content\":\"<b>\",\"special\":false}");
    struct tokenizer *tokenizer = NULL;
    ASSERT_OK(tokenizer_parse(json, strlen(json), "x", &tokenizer, NULL));
    for (int skip = 0; skip < 2; skip++) {
        struct detokenizer detokenizer;
        detokenizer_init(&detokenizer, tokenizer, skip);
        struct text_buffer text = {0};
        const uint32_t ids[] = {256, 299, 300,  4000000,    0xE2, 300,
                                257, 301, 0xC3, UINT32_MAX, 0xA9};
        for (size_t i = 0; i < sizeof ids / sizeof *ids; i++)
            detokenizer_push(&detokenizer, ids[i], &text);
        detokenizer_flush(&detokenizer, &text);
        ASSERT_STR_EQ(text.data,
                      skip ? "x\xEF\xBF\xBD y<b>\xC3\xA9" : "x<eos>\xEF\xBF\xBD<eos> y<b>\xC3\xA9");
        text_buffer_finish(&text);
    }
    free(json);
    tokenizer_destroy(tokenizer);
}
