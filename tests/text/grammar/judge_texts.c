/* tests/text/grammar/judge_texts.c - what grammars say of texts, for test_differential.py to
 * compare with what other implementations say.
 *
 *     JUDGE_CASES=path judge_texts
 *
 * A line of the file is {"kind": "schema", "regex" or "lark", "text": the grammar, "texts": [...]}.
 * Each becomes a line, {"error": why it is none} or {"takes": [1 or 0 for each text], "walks":
 * [[result, hexadecimal text], ...]}: what random walks under masks wrote, see walk. On the way,
 * masks are compared with trying every token. */
#include "base/mem.h"
#include "tests/text/tokenizers.h"
#include "text/grammar/compile.h"
#include "text/grammar/matcher.h"

#define N_WALKS 2
#define LONG_TOKENS 60U
#define MAX_TOKENS 600U

static const char *const entries[] = {
    "<one>",
    "{\"",
    "\":",
    "\":\xE2\x96\x81",
    ",\xE2\x96\x81\"",
    "\"}",
    "]}",
    "[[",
    "\"\"",
    "\\u00",
    "\\\"",
    "ab",
    "aa",
    "null",
    "true",
    "-1",
    "12",
    "00",
    ".5",
    "\xC3\xA9",
};
#define N_IDS (256 + sizeof entries / sizeof *entries)
#define SPECIAL 256U

struct judge {
    struct tokenizer *tokenizer;
    struct tokenizer_encoder *encoder;
    struct vocabulary *vocabulary;
    uint32_t bits[(N_IDS + 31) / 32];
    uint64_t seed;
};

static void judge_init(struct judge *judge)
{
    char *json = write_tokenizer(entries, sizeof entries / sizeof *entries, "",
                                 "{\"id\":256,\"content\":\"<one>\",\"special\":true}");
    struct error err = {0};
    *judge = (struct judge){.seed = 4711};
    ASSERT_OK_ERR(tokenizer_parse(json, strlen(json), "judge", &judge->tokenizer, &err), err);
    free(json);
    judge->encoder = tokenizer_encoder_create(judge->tokenizer);
    judge->vocabulary = vocabulary_create(judge->tokenizer, N_IDS);
}

static void judge_finish(struct judge *judge)
{
    vocabulary_destroy(judge->vocabulary);
    tokenizer_encoder_destroy(judge->encoder);
    tokenizer_destroy(judge->tokenizer);
}

static bool has_bit(const uint32_t *bits, uint32_t id)
{
    return bits[id / 32] >> (id % 32) & 1;
}

// Makes the mask; it is what accepting says. Returns how many tokens may come.
static uint32_t checked_mask(struct judge *judge, struct matcher *matcher)
{
    uint32_t n = matcher_mask(matcher, judge->bits), n_accepted = 0;
    for (uint32_t id = 0; id < N_IDS && !matcher_failed(matcher); id++) {
        bool accepted = matcher_accept(matcher, id);
        if (accepted)
            matcher_rollback(matcher, 1);
        ASSERT(accepted == has_bit(judge->bits, id));
        n_accepted += accepted;
    }
    if (matcher_failed(matcher))
        return 0;
    ASSERT_EQ(n, n_accepted);
    ASSERT_EQ(matcher_is_over(matcher), n == 0);
    return n;
}

static bool takes(struct judge *judge, struct grammar *grammar, const struct json_value *text)
{
    struct matcher *matcher = matcher_create(grammar, judge->vocabulary);
    struct id_list ids = {0};
    encode_with(judge->encoder, text->text, text->length, false, &ids);
    bool fits = true;
    for (size_t i = 0; i < ids.n && fits; i++) {
        if (test_random_in(&judge->seed, 0, 15) == 0)
            checked_mask(judge, matcher);
        fits = matcher_accept(matcher, ids.ids[i]);
    }
    fits = fits && matcher_is_complete(matcher);
    free(ids.ids);
    matcher_destroy(matcher);
    return fits;
}

// A token of the mask, evenly; often only of those that begin like the end of something.
static uint32_t draw(struct judge *judge, bool closes)
{
    uint32_t ids[N_IDS], n = 0;
    for (uint32_t id = 0; closes && id < N_IDS; id++)
        if (has_bit(judge->bits, id) && (id == '"' || id == ']' || id == '}'))
            ids[n++] = id;
    for (uint32_t id = 0, all = n; all == 0 && id < N_IDS; id++)
        if (has_bit(judge->bits, id) &&
            (id < 128 || id > 255 || test_random_in(&judge->seed, 0, 9) == 0))
            ids[n++] = id;
    for (uint32_t id = 0, all = n; all == 0 && id < N_IDS; id++)
        if (has_bit(judge->bits, id))
            ids[n++] = id;
    return ids[test_random_in(&judge->seed, 0, n - 1)];
}

// Writes what it came to. 1: a text, 0: a dead end, -1: no end in sight, -2: too ambiguous.
static int walk(struct judge *judge, struct grammar *grammar, struct text_buffer *out)
{
    struct matcher *matcher = matcher_create(grammar, judge->vocabulary);
    int result = -1;
    for (uint32_t n = 0; n < MAX_TOKENS && result == -1; n++) {
        bool closes = n >= LONG_TOKENS || test_random_in(&judge->seed, 0, 3) == 0;
        bool checks = test_random_in(&judge->seed, 0, 7) == 0;
        bool is_complete = matcher_is_complete(matcher);
        uint32_t n_allowed = checks ? checked_mask(judge, matcher)
                                    : matcher_mask(matcher, judge->bits);
        if (n_allowed == 0 || (is_complete && closes)) {
            result = matcher_failed(matcher) ? -2 : is_complete;
            break;
        }
        uint32_t id = draw(judge, closes);
        size_t length;
        bool is_byte;
        const char *bytes = tokenizer_token_bytes(judge->tokenizer, id, &length, &is_byte);
        text_buffer_append(out, bytes, length);
        ASSERT(matcher_accept(matcher, id));
    }
    matcher_destroy(matcher);
    return result;
}

static void write_hex(const struct text_buffer *text)
{
    for (size_t i = 0; i < text->length; i++)
        printf("%02x", (unsigned char)text->data[i]);
}

static void write_walks(struct judge *judge, struct grammar *grammar)
{
    for (int i = 0; i < N_WALKS; i++) {
        struct text_buffer text = {0};
        int result = walk(judge, grammar, &text);
        printf("%s[%d,\"", i ? "," : "", result);
        write_hex(&text);
        printf("\"]");
        text_buffer_finish(&text);
    }
}

static enum grammar_kind kind_of(const struct json_value *kind)
{
    if (json_string_is(kind, "schema"))
        return GRAMMAR_JSON_SCHEMA;
    return json_string_is(kind, "regex") ? GRAMMAR_REGEX : GRAMMAR_EBNF;
}

static void judge_line(struct judge *judge, const struct json_value *row)
{
    const struct json_value *text = json_get(row, "text"), *texts = json_get(row, "texts");
    const struct grammar_request request = {.kind = kind_of(json_get(row, "kind")),
                                            .text = {text->text, text->length}};
    struct grammar *grammar = NULL;
    struct error err = {0};
    if (grammar_compile(&request, judge->tokenizer, &grammar, &err) != STATUS_OK) {
        struct text_buffer line = {0};
        json_write_string(&line, err.message, strlen(err.message));
        printf("{\"error\":%s}\n", line.data);
        text_buffer_finish(&line);
        return;
    }
    printf("{\"takes\":[");
    for (uint32_t i = 0; i < texts->n; i++)
        printf("%s%d", i ? "," : "", takes(judge, grammar, &texts->items[i]));
    printf("],\"walks\":[");
    write_walks(judge, grammar);
    printf("]}\n");
    fflush(stdout);
    grammar_drop(grammar);
}

static char *read_all(const char *path)
{
    struct text_buffer out = {0};
    char piece[4096];
    FILE *file = fopen(path, "r");
    ASSERT(file != NULL);
    for (size_t n; (n = fread(piece, 1, sizeof piece, file)) > 0;)
        text_buffer_append(&out, piece, n);
    fclose(file);
    return text_buffer_release(&out);
}

TEST(judge_texts)
{
    const char *path = getenv("JUDGE_CASES");
    if (!path)
        test_skip("JUDGE_CASES says what to judge");
    struct judge judge;
    judge_init(&judge);
    char *lines = read_all(path);
    struct json_document *row;
    for (const char *at = lines; (row = next_json_line(&at));) {
        judge_line(&judge, json_root(row));
        json_document_destroy(row);
    }
    free(lines);
    judge_finish(&judge);
}
