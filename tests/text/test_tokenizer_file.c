/* tests/text/test_tokenizer_file.c - what tokenizer.json may hold: everything that would change
 * ids, and everything malformed, is refused with its place; nothing crashes. */
#include "tests/text/tokenizers.h"

// A whole, accepted file; tests replace a part of it.
static char *good_file(void)
{
    return write_tokenizer((const char *const[]){"a", "b", "ab", "\xE2\x96\x81"}, 4,
                           "[\"a\",\"b\"]",
                           "{\"id\":260,\"content\":\"<eos>\",\"special\":true,\"lstrip\":false}");
}

static char *with(const char *file, const char *part, const char *replacement)
{
    const char *at = strstr(file, part);
    ASSERT(at);
    struct text_buffer out = {0};
    text_buffer_append(&out, file, (size_t)(at - file));
    text_buffer_append_text(&out, replacement);
    text_buffer_append_text(&out, at + strlen(part));
    return text_buffer_release(&out);
}

static enum status parse(const char *json, size_t n, struct error *err)
{
    struct tokenizer *tokenizer = NULL;
    enum status st = tokenizer_parse(json, n, "tokenizer.json", &tokenizer, err);
    ASSERT((st == STATUS_OK) == (tokenizer != NULL));
    tokenizer_destroy(tokenizer);
    return st;
}

TEST(what_would_change_ids_is_refused_by_name)
{
    static const struct {
        const char *part, *replacement, *message;
    } cases[] = {
        {"\"type\":\"BPE\"", "\"type\":\"Unigram\"", "model.type: only BPE"},
        {"\"byte_fallback\":true", "\"byte_fallback\":false", "model.byte_fallback: only true"},
        {"\"byte_fallback\":true,", "", "model.byte_fallback: only true"},
        {"\"vocab\"", "\"ignore_merges\":true,\"vocab\"", "model.ignore_merges: only false"},
        {"\"vocab\"", "\"dropout\":0.1,\"vocab\"", "model.dropout: not supported"},
        {"\"vocab\"", "\"end_of_word_suffix\":\"x\",\"vocab\"", "model.end_of_word_suffix"},
        {"\"vocab\"", "\"continuing_subword_prefix\":\"##\",\"vocab\"",
         "continuing_subword_prefix"},
        {"\"type\":\"Replace\"", "\"type\":\"NFKC\"", "normalizer: only Replace"},
        {"\"content\":\"\xE2\x96\x81\"", "\"content\":\"_\"", "normalizer: only Replace"},
        {"\"pattern\":{\"String\":\" \"}", "\"pattern\":{\"Regex\":\" \"}", "normalizer: only"},
        {"\"pre_tokenizer\":null", "\"pre_tokenizer\":{\"type\":\"ByteLevel\"}",
         "pre_tokenizer: only Split"},
        {"\"post_processor\":null", "\"post_processor\":{\"type\":\"ByteLevel\"}",
         "post_processor: only TemplateProcessing"},
        {"\"post_processor\":null",
         "\"post_processor\":{\"type\":\"TemplateProcessing\",\"single\":[{\"Sequence\":{\"id\":"
         "\"A\"}},{\"SpecialToken\":{\"id\":\"<eos>\"}}]}",
         "post_processor: only TemplateProcessing"},
        {"\"Fuse\"", "\"Strip\"", "decoder: only"},
        {"\"lstrip\":false", "\"lstrip\":true", "\"<eos>\": lstrip: only false"},
        {"\"lstrip\":false", "\"rstrip\":true", "\"<eos>\": rstrip: only false"},
        {"\"lstrip\":false", "\"single_word\":true", "\"<eos>\": single_word: only false"},
        {"\"lstrip\":false", "\"normalized\":true", "\"<eos>\": normalized: only false"},
    };
    char *good = good_file();
    ASSERT_OK(parse(good, strlen(good), NULL));
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *bad = with(good, cases[i].part, cases[i].replacement);
        struct error err = {0};
        ASSERT_EQ(parse(bad, strlen(bad), &err), STATUS_INVALID_ARGUMENT);
        ASSERT_CONTAINS(err.message, "tokenizer.json: ");
        ASSERT_CONTAINS(err.message, cases[i].message);
        free(bad);
    }
    free(good);
}

TEST(what_contradicts_itself_is_refused_with_its_place)
{
    static const struct {
        const char *part, *replacement, *message;
    } cases[] = {
        {"\"a\":256", "\"a\":2097152", "model.vocab: \"a\": the id is no integer below 2097152"},
        {"\"a\":256", "\"a\":-1", "\"a\": the id is no integer"},
        {"\"a\":256", "\"a\":1.0", "\"a\": the id is no integer"},
        {"\"a\":256", "\"a\":\"1\"", "\"a\": the id is no integer"},
        {"\"a\":256", "\"a\":257", "model.vocab: \"b\" and \"a\" both have id 257"},
        {"\"a\":256", "\"\":256", "model.vocab: id 256: an entry has 1 to 1024 bytes, not 0"},
        {"\"<0x41>\":65,", "", "no entry <0x41>, which byte_fallback needs"},
        {"[\"a\",\"b\"]", "[\"a\",\"c\"]", "model.merges[0]: \"c\" is no entry"},
        {"[\"a\",\"b\"]", "[\"\",\"b\"]", "model.merges[0]: \"\" is no entry"},
        {"[\"a\",\"b\"]", "[\"b\",\"a\"]", "model.merges[0]: \"ba\" is no entry"},
        {"[\"a\",\"b\"]", "[\"a\",\"b\"],\"b a\"", "model.merges[1]: \"ba\" is no entry"},
        {"[\"a\",\"b\"]", "[\"a\"]", "model.merges[0]: expected [\"a\", \"b\"] or \"a b\""},
        {"[\"a\",\"b\"]", "[\"a\",1]", "model.merges[0]: expected"},
        {"[\"a\",\"b\"]", "\"ab\"", "model.merges[0]: expected"},
        {"[\"a\",\"b\"]", "\"a b \"", "model.merges[0]: expected"},
        {"[\"a\",\"b\"]", "7", "model.merges[0]: expected"},
        {"\"id\":260", "\"id\":256", "\"<eos>\" and \"a\" both have id 256"},
        {"\"id\":260", "\"id\":null", "added_tokens: \"<eos>\": the id is no integer"},
        {"\"<eos>\"", "\"a\"", "added_tokens: \"a\" has id 260, but 256 before"},
        {"\"<eos>\"", "\"\"", "an entry has 1 to 1024 bytes, not 0"},
        {"\"<eos>\"", "5", "added_tokens[0].content: expected a string"},
        {"{\"id\":260", "{\"id\":260,\"content\":\"<eos>\"},{\"id\":260", "\"<eos>\" occurs twice"},
        {"\"merges\":[", "\"merges\":7,\"x\":[", "model.merges: expected an array"},
        {"\"added_tokens\":[", "\"added_tokens\":{},\"x\":[", "added_tokens: expected an array"},
    };
    char *good = good_file();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *bad = with(good, cases[i].part, cases[i].replacement);
        struct error err = {0};
        ASSERT_EQ(parse(bad, strlen(bad), &err), STATUS_INVALID_ARGUMENT);
        ASSERT_CONTAINS(err.message, cases[i].message);
        free(bad);
    }
    free(good);
}

TEST(an_entry_of_more_than_1024_bytes_is_refused)
{
    char long_entry[1100];
    memset(long_entry, 'x', sizeof long_entry);
    for (size_t n = 1024; n <= 1025; n++) {
        long_entry[n] = '\0';
        char *json = write_tokenizer((const char *const[]){long_entry}, 1, "", "");
        struct error err = {0};
        ASSERT_EQ(parse(json, strlen(json), &err), n > 1024 ? STATUS_INVALID_ARGUMENT : STATUS_OK);
        free(json);
        long_entry[n] = 'x';
    }
}

TEST(a_missing_file_is_not_found_and_named)
{
    struct tokenizer *tokenizer = NULL;
    struct error err = {0};
    ASSERT_EQ(tokenizer_load(test_path("no tokenizer"), &tokenizer, &err), STATUS_NOT_FOUND);
    ASSERT_CONTAINS(err.message, "no tokenizer");
    ASSERT_EQ(tokenizer_load(test_path("data/text-cases/detok.jsonl"), &tokenizer, &err),
              STATUS_INVALID_ARGUMENT);
    ASSERT_CONTAINS(err.message, "detok.jsonl: line 2, column 1: expected nothing after");
}

TEST(other_roots_than_an_object_are_refused)
{
    static const char *const roots[] = {"null", "[]", "7", "{}", "{\"model\":[]}", "\"model\""};
    for (size_t i = 0; i < sizeof roots / sizeof *roots; i++)
        ASSERT_EQ(parse(roots[i], strlen(roots[i]), NULL), STATUS_INVALID_ARGUMENT);
}

TEST(a_cut_file_is_refused_and_a_damaged_one_harmless)
{
    size_t n;
    char *file = test_read_file("data/text-cases/tiny-tokenizer.json", &n);
    struct tokenizer *tokenizer = NULL;
    ASSERT_OK(tokenizer_parse(file, n, "tiny", &tokenizer, NULL));
    ASSERT_EQ(tokenizer_n_tokens(tokenizer), 1024);
    tokenizer_destroy(tokenizer);
    uint64_t seed = 5;
    size_t closing = n; // only blanks follow the last brace
    while (file[closing - 1] != '}')
        closing--;
    for (int round = 0; round < 100; round++)
        ASSERT_EQ(parse(file, test_random_in(&seed, 0, closing - 1), NULL),
                  STATUS_INVALID_ARGUMENT);
    for (int round = 0; round < 300; round++) {
        size_t at = test_random_in(&seed, 0, n - 1);
        char old = file[at];
        file[at] = (char)test_random_in(&seed, 0, 255);
        tokenizer = NULL;
        if (tokenizer_parse(file, n, "tiny", &tokenizer, NULL) == STATUS_OK) {
            struct tokenizer_encoder *encoder = tokenizer_encoder_create(tokenizer);
            struct id_list ids = {0};
            encode_with(encoder, file, 0, true, &ids);
            encode_with(encoder, "the <|turn> \n\n x", 16, true, &ids);
            for (size_t i = 0; i < ids.n; i++)
                ASSERT(ids.ids[i] < tokenizer_n_tokens(tokenizer));
            free(ids.ids);
            tokenizer_encoder_destroy(encoder);
        }
        tokenizer_destroy(tokenizer);
        file[at] = old;
    }
    free(file);
}
