/* tests/text/grammar/sample_schemas.c - what comes out when masks alone say what a random sampler
 * may take: instances of the suite's schemas, for test_samples.py to validate.
 *
 *     SAMPLE_SUITE=data/json-schema/suite.jsonl SAMPLE_COUNT=500 sample_schemas
 *
 * Writes N lines {"id": of the schema, "text": of the instance}, and one {"cut": how many more came
 * to no end}. Tokens are drawn evenly among those that the mask allows, but often among those that
 * begin like the end of something, and only among them once a text is long. */
#include "base/mem.h"
#include "tests/text/tokenizers.h"
#include "text/grammar/json_schema.h"
#include "text/grammar/matcher.h"

#define LONG_TOKENS 100U
#define MAX_TOKENS 1000U

struct sampler {
    struct tokenizer *tokenizer;
    struct vocabulary *vocabulary;
    uint32_t n_ids, n_words;
    uint32_t *bits, *closing; /* [n_words] */
    uint64_t seed;
};

static bool begins_like_an_end(const struct tokenizer *tokenizer, uint32_t id)
{
    size_t n;
    bool is_byte;
    const char *bytes = tokenizer_token_bytes(tokenizer, id, &n, &is_byte);
    return n && !tokenizer_is_special(tokenizer, id) && strchr("\"]}", bytes[0]);
}

static void sampler_init(struct sampler *sampler, uint64_t seed)
{
    *sampler = (struct sampler){.seed = seed};
    sampler->tokenizer = load_built_tokenizer("gemma4-tokenizer.json");
    sampler->n_ids = tokenizer_n_tokens(sampler->tokenizer);
    sampler->n_words = (sampler->n_ids + 31) / 32;
    sampler->vocabulary = vocabulary_create(sampler->tokenizer, sampler->n_ids);
    sampler->bits = mem_zeroed(sampler->n_words, sizeof *sampler->bits);
    sampler->closing = mem_zeroed(sampler->n_words, sizeof *sampler->closing);
    for (uint32_t id = 0; id < sampler->n_ids; id++) {
        if (begins_like_an_end(sampler->tokenizer, id))
            sampler->closing[id / 32] |= 1U << (id % 32);
    }
}

static void sampler_finish(struct sampler *sampler)
{
    free(sampler->bits);
    free(sampler->closing);
    vocabulary_destroy(sampler->vocabulary);
    tokenizer_destroy(sampler->tokenizer);
}

// One of the set bits, evenly; of those in only, if any is.
static uint32_t draw(struct sampler *sampler, const uint32_t *only)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < sampler->n_words; i++)
        n += (uint32_t)__builtin_popcount(sampler->bits[i] & (only ? only[i] : UINT32_MAX));
    if (n == 0 && only)
        return draw(sampler, NULL);
    ASSERT(n > 0);
    uint32_t left = (uint32_t)test_random_in(&sampler->seed, 0, n - 1), i = 0, word = 0;
    for (; i < sampler->n_words; i++) {
        word = sampler->bits[i] & (only ? only[i] : UINT32_MAX);
        uint32_t n_here = (uint32_t)__builtin_popcount(word);
        if (left < n_here)
            break;
        left -= n_here;
    }
    for (; left > 0; left--)
        word &= word - 1;
    return i * 32 + (uint32_t)__builtin_ctz(word);
}

// False: no end in sight.
static bool sample(struct sampler *sampler, struct grammar *grammar, struct text_buffer *out)
{
    struct matcher *matcher = matcher_create(grammar, sampler->vocabulary);
    bool is_done = false;
    for (uint32_t n = 0; n < MAX_TOKENS && !is_done; n++) {
        bool may_end = matcher_is_complete(matcher);
        if (matcher_mask(matcher, sampler->bits) == 0) {
            ASSERT(may_end); // a mask leads nowhere else
            is_done = true;
            break;
        }
        bool closes = n >= LONG_TOKENS || test_random_in(&sampler->seed, 0, 3) == 0;
        is_done = may_end && closes;
        if (is_done)
            break;
        uint32_t id = draw(sampler, closes ? sampler->closing : NULL);
        size_t length;
        bool is_byte;
        const char *bytes = tokenizer_token_bytes(sampler->tokenizer, id, &length, &is_byte);
        text_buffer_append(out, bytes, length);
        ASSERT(matcher_accept(matcher, id));
    }
    matcher_destroy(matcher);
    return is_done;
}

static struct grammar *compile(const struct json_value *schema, bool compact)
{
    const struct json_schema_options options = {.compact = compact};
    struct grammar_builder *builder = grammar_builder_create(NULL);
    struct grammar *grammar = NULL;
    grammar_symbol root;
    struct error err = {0};
    ASSERT_OK_ERR(json_schema_symbol(builder, schema, &options, &root, &err), err);
    ASSERT_OK_ERR(grammar_build(builder, root, &grammar, &err), err);
    return grammar;
}

static void write_sample(const struct json_value *row, const struct text_buffer *text)
{
    struct text_buffer line = {0};
    text_buffer_append_text(&line, "{\"id\":");
    json_write(&line, json_get(row, "id"));
    text_buffer_append_text(&line, ",\"text\":");
    json_write_string(&line, text->data, text->length);
    printf("%s}\n", line.data);
    text_buffer_finish(&line);
}

TEST(samples)
{
    const char *suite = getenv("SAMPLE_SUITE"), *count = getenv("SAMPLE_COUNT");
    if (!suite || !count)
        test_skip("SAMPLE_SUITE and SAMPLE_COUNT say what to sample");
    struct sampler sampler;
    sampler_init(&sampler, 4711);
    char *lines = test_read_file(suite, NULL);
    struct json_document *rows[1024];
    size_t n_rows = 0;
    for (const char *at = lines; (rows[n_rows] = next_json_line(&at));)
        ASSERT(++n_rows < 1024);
    uint32_t n_wanted = (uint32_t)atoi(count), n_cut = 0;
    for (uint32_t n = 0; n < n_wanted;) {
        const struct json_value *row =
            json_root(rows[test_random_in(&sampler.seed, 0, n_rows - 1)]);
        struct grammar *grammar = compile(json_get(row, "schema"), n % 2);
        struct text_buffer text = {0};
        if (sample(&sampler, grammar, &text)) {
            write_sample(row, &text);
            n++;
        } else {
            ASSERT(++n_cut < n_wanted);
        }
        text_buffer_finish(&text);
        grammar_drop(grammar);
    }
    printf("{\"cut\":%u}\n", n_cut);
    for (size_t i = 0; i < n_rows; i++)
        json_document_destroy(rows[i]);
    free(lines);
    sampler_finish(&sampler);
}
