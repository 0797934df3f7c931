/* tests/text/test_tokenizer.c - ids against vectors of the reference implementation, and against
 * byte-pair encoding in its plainest form on tokenizers made up at random. */
#include "text/tokenizer.h"

#include "base/utf8.h"
#include "tests/text/tokenizers.h"
#include "text/detokenizer.h"

static void decode(const struct tokenizer *tokenizer, const struct id_list *ids,
                   struct text_buffer *out)
{
    struct detokenizer detokenizer;
    detokenizer_init(&detokenizer, tokenizer, false);
    text_buffer_clear(out);
    text_buffer_append(out, "", 0);
    for (size_t i = 0; i < ids->n; i++)
        detokenizer_push(&detokenizer, ids->ids[i], out);
    detokenizer_flush(&detokenizer, out);
}

static void run_vectors(const char *file, const char *key, const char *otherwise)
{
    struct tokenizer *tokenizer = load_built_tokenizer(file);
    struct tokenizer_encoder *encoder = tokenizer_encoder_create(tokenizer);
    char *lines = test_read_file("data/text-cases/tokenizer.jsonl", NULL);
    const char *at = lines;
    struct id_list ids = {0};
    struct text_buffer text = {0};
    int n_rows = 0;
    for (struct json_document *row; (row = next_json_line(&at)); n_rows++) {
        const struct json_value *root = json_root(row);
        const struct json_value *source = json_get(root, "text");
        const struct json_value *want = json_get(root, key);
        const struct json_value *decoded = json_get(root, "gemma3_decoded");
        encode_with(encoder, source->text, source->length, true, &ids);
        assert_ids(json_get(root, "id")->text, &ids, want ? want : json_get(root, otherwise));
        decode(tokenizer, &ids, &text);
        decoded = decoded ? decoded : source;
        ASSERT_EQ(text.length, decoded->length);
        ASSERT_EQ(memcmp(text.data, decoded->text, text.length), 0);
        json_document_destroy(row);
    }
    ASSERT_EQ(n_rows, 200);
    text_buffer_finish(&text);
    free(ids.ids);
    free(lines);
    tokenizer_encoder_destroy(encoder);
    tokenizer_destroy(tokenizer);
}

TEST(gemma_3_encodes_and_decodes_every_vector)
{
    run_vectors("gemma3-tokenizer.json", "gemma3", "gemma3");
}

TEST(gemma_4_encodes_and_decodes_every_vector)
{
    run_vectors("gemma4-tokenizer.json", "gemma4", "gemma3");
}

static const struct {
    const char *entry;
    uint32_t id;
} gemma_4_specials[] = {
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

TEST(gemma_4_has_its_special_tokens_at_their_ids)
{
    struct tokenizer *tokenizer = load_built_tokenizer("gemma4-tokenizer.json");
    struct tokenizer_encoder *encoder = tokenizer_encoder_create(tokenizer);
    struct id_list ids = {0};
    struct text_buffer text = {0};
    int n_special = 0;
    for (uint32_t id = 0; id < tokenizer_n_tokens(tokenizer); id++)
        n_special += tokenizer_is_special(tokenizer, id);
    ASSERT_EQ(n_special, 24);
    ASSERT_EQ(tokenizer_n_tokens(tokenizer), 262144);
    for (size_t i = 0; i < sizeof gemma_4_specials / sizeof *gemma_4_specials; i++) {
        const char *entry = gemma_4_specials[i].entry;
        size_t n = strlen(entry);
        ASSERT_EQ(tokenizer_id(tokenizer, entry, n), gemma_4_specials[i].id);
        ASSERT(tokenizer_is_special(tokenizer, gemma_4_specials[i].id));
        encode_with(encoder, entry, n, true, &ids);
        ASSERT_EQ(ids.n, 1);
        ASSERT_EQ(ids.ids[0], gemma_4_specials[i].id);
        encode_with(encoder, entry, n, false, &ids); // typed by a client, it is plain text
        for (size_t k = 0; k < ids.n; k++)
            ASSERT(!tokenizer_is_special(tokenizer, ids.ids[k]));
        decode(tokenizer, &ids, &text);
        ASSERT_STR_EQ(text.data, entry);
    }
    free(ids.ids);
    text_buffer_finish(&text);
    tokenizer_encoder_destroy(encoder);
    tokenizer_destroy(tokenizer);
}

TEST(entries_are_found_by_their_exact_string)
{
    struct tokenizer *tokenizer = load_built_tokenizer("gemma4-tokenizer.json");
    size_t n;
    bool is_byte;
    ASSERT_EQ(tokenizer_id(tokenizer, "\xE2\x96\x81", 3), 236743);
    ASSERT_EQ(tokenizer_id(tokenizer, "<0x00>", 6), 238);
    ASSERT_EQ(tokenizer_id(tokenizer, "no such entry", 13), TOKEN_NONE);
    ASSERT_EQ(tokenizer_id(tokenizer, "", 0), TOKEN_NONE);
    const char *bytes = tokenizer_token_bytes(tokenizer, 1902, &n, &is_byte);
    ASSERT(n == 6 && memcmp(bytes, " world", 6) == 0 && !is_byte);
    bytes = tokenizer_token_bytes(tokenizer, 493, &n, &is_byte);
    ASSERT(n == 1 && (unsigned char)bytes[0] == 0xFF && is_byte);
    ASSERT(!tokenizer_token_bytes(tokenizer, 262144, &n, &is_byte));
    ASSERT_EQ(n, 0);
    ASSERT(!tokenizer_is_special(tokenizer, UINT32_MAX));
    tokenizer_destroy(tokenizer);
}

// Random text of characters that tokenizers treat differently.
static void random_text(uint64_t *seed, size_t n_characters, struct text_buffer *out)
{
    static const uint32_t likely[] = {' ', ' ', '\n', '\t', 'e',  't',    'a',     '<',   '>',
                                      '/', '|', '1',  '.',  0xE9, 0x4F60, 0x1F600, 0x416, 0};
    text_buffer_clear(out);
    text_buffer_append(out, "", 0);
    for (size_t i = 0; i < n_characters; i++) {
        uint32_t c = likely[test_random_in(seed, 0, sizeof likely / sizeof *likely - 1)];
        if (test_random_in(seed, 0, 3) == 0)
            c = (uint32_t)test_random_in(seed, 0, test_random_in(seed, 0, 1) ? 0x7F : 0x10FFFF);
        if ((c >= 0xD800 && c <= 0xDFFF) || c == 0x2581)
            c = '?';
        char bytes[UTF8_MAX_BYTES];
        text_buffer_append(out, bytes, utf8_encode(c, bytes));
    }
}

TEST(random_text_comes_back_whatever_the_cache_holds)
{
    struct tokenizer *tokenizer = load_built_tokenizer("gemma4-tokenizer.json");
    struct tokenizer_encoder *used = tokenizer_encoder_create(tokenizer);
    struct id_list ids = {0};
    struct id_list fresh_ids = {0};
    struct text_buffer text = {0};
    struct text_buffer back = {0};
    uint64_t seed = 1;
    for (int round = 0; round < 3000; round++) {
        random_text(&seed, test_random_in(&seed, 0, 90), &text);
        encode_with(used, text.data, text.length, false, &ids);
        decode(tokenizer, &ids, &back);
        ASSERT_EQ(back.length, text.length);
        ASSERT_EQ(memcmp(back.data, text.data, text.length), 0);
        if (round % 10)
            continue;
        struct tokenizer_encoder *fresh = tokenizer_encoder_create(tokenizer);
        encode_with(fresh, text.data, text.length, false, &fresh_ids);
        ASSERT_EQ(fresh_ids.n, ids.n);
        ASSERT(ids.n == 0 || memcmp(fresh_ids.ids, ids.ids, ids.n * sizeof *ids.ids) == 0);
        tokenizer_encoder_destroy(fresh);
    }
    free(ids.ids);
    free(fresh_ids.ids);
    text_buffer_finish(&text);
    text_buffer_finish(&back);
    tokenizer_encoder_destroy(used);
    tokenizer_destroy(tokenizer);
}

TEST(a_million_characters_without_a_cut_come_back)
{
    static const char *const units[] = {"a", "ab", " ", "\n", "\xE4\xBD\xA0\xE5\xA5\xBD"};
    struct tokenizer *tokenizer = load_built_tokenizer("gemma4-tokenizer.json");
    struct tokenizer_encoder *encoder = tokenizer_encoder_create(tokenizer);
    struct id_list ids = {0};
    struct text_buffer back = {0};
    for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
        struct text_buffer text = {0};
        while (text.length < 1000000)
            text_buffer_append_text(&text, units[i]);
        encode_with(encoder, text.data, text.length, true, &ids);
        ASSERT(ids.n < text.length / 2 + 1);
        decode(tokenizer, &ids, &back);
        ASSERT_EQ(back.length, text.length);
        ASSERT_EQ(memcmp(back.data, text.data, text.length), 0);
        text_buffer_finish(&text);
    }
    free(ids.ids);
    text_buffer_finish(&back);
    tokenizer_encoder_destroy(encoder);
    tokenizer_destroy(tokenizer);
}

TEST(ids_are_appended_behind_those_that_are_there)
{
    char *json = write_tokenizer((const char *const[]){"a", "b", "ab"}, 3, "[\"a\",\"b\"]", "");
    struct tokenizer *tokenizer = NULL;
    ASSERT_OK(tokenizer_parse(json, strlen(json), "x", &tokenizer, NULL));
    struct tokenizer_encoder *encoder = tokenizer_encoder_create(tokenizer);
    uint32_t *ids = NULL;
    size_t n = 0;
    size_t capacity = 0;
    for (int i = 0; i < 3; i++)
        tokenizer_encode(encoder, "aba", 3, true, &ids, &n, &capacity);
    ASSERT_EQ(n, 6);
    for (size_t i = 0; i < n; i++)
        ASSERT_EQ(ids[i], i % 2 ? 256 : 258);
    free(ids);
    free(json);
    tokenizer_encoder_destroy(encoder);
    tokenizer_destroy(tokenizer);
}

TEST(the_leftmost_and_longest_added_token_wins)
{
    char *json = write_tokenizer((const char *const[]){"a", "b", "<", ">"}, 4, "",
                                 "{\"id\":260,\"content\":\"<a>\",\"special\":true},"
                                 "{\"id\":261,\"content\":\"<a><b>\"},"
                                 "{\"id\":262,\"content\":\"b>\"},"
                                 "{\"id\":256,\"content\":\"a\"},"
                                 "{\"id\":300,\"content\":\"\xC3\xA9\"}");
    static const struct {
        const char *text;
        uint32_t ids[6];
    } cases[] = {
        {"<a><b>", {261}},
        {"<a><b", {260, 258, 257}},
        {"<<a>", {258, 260}},
        {"<b>", {258, 262}},
        {"<a", {258, 256}},
        {"<a<a><a>", {258, 256, 260, 260}},
        {"\xC3\xA9\xC3\xA8", {300, 0xC3, 0xA8}},
        {"", {0}},
    };
    struct tokenizer *tokenizer = NULL;
    struct error err = {0};
    ASSERT_OK_ERR(tokenizer_parse(json, strlen(json), "x", &tokenizer, &err), err);
    ASSERT_EQ(tokenizer_n_tokens(tokenizer), 301);
    ASSERT(tokenizer_is_special(tokenizer, 260) && !tokenizer_is_special(tokenizer, 261));
    struct tokenizer_encoder *encoder = tokenizer_encoder_create(tokenizer);
    struct id_list ids = {0};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        encode_with(encoder, cases[i].text, strlen(cases[i].text), true, &ids);
        size_t n = 0;
        for (; cases[i].ids[n]; n++)
            ASSERT_EQ(n < ids.n ? ids.ids[n] : 0, cases[i].ids[n]);
        ASSERT_EQ(ids.n, n);
    }
    free(ids.ids);
    free(json);
    tokenizer_encoder_destroy(encoder);
    tokenizer_destroy(tokenizer);
}

// A made-up tokenizer: its merges as pairs of indexes into entries, the rank is the place.
#define MAX_ENTRIES 64

struct made_up {
    char entries[MAX_ENTRIES][64];
    size_t n_entries;
    struct {
        int left, right;
    } merges[MAX_ENTRIES];
    size_t n_merges;
};

static int entry_of(const struct made_up *m, const char *string)
{
    for (size_t i = 0; i < m->n_entries; i++)
        if (strcmp(m->entries[i], string) == 0)
            return (int)i;
    return -1;
}

// Characters, then random merges of what there is; with_bytes lets byte entries merge too.
static void make_up(uint64_t *seed, bool with_bytes, struct made_up *m)
{
    static const char *const characters[] = {"a",      "b",        "c",      "\xE2\x96\x81",
                                             "\n",     "\xC3\xA9", "<",      "\xE4\xBD\xA0",
                                             "<0xF0>", "<0x9F>",   "<0x64>", "<0xC3>"};
    *m = (struct made_up){0};
    size_t n_characters = with_bytes ? 12 : 8;
    for (size_t i = 0; i < n_characters; i++)
        strcpy(m->entries[m->n_entries++], characters[i]);
    for (int tries = 0; tries < 60 && m->n_merges < 24; tries++) {
        size_t left = test_random_in(seed, 0, m->n_entries - 1);
        size_t right = test_random_in(seed, 0, m->n_entries - 1);
        char both[128];
        snprintf(both, sizeof both, "%s%s", m->entries[left], m->entries[right]);
        bool known = strlen(both) >= sizeof m->entries[0];
        for (size_t k = 0; k < m->n_merges; k++)
            known |= m->merges[k].left == (int)left && m->merges[k].right == (int)right;
        if (known)
            continue;
        if (entry_of(m, both) < 0)
            strcpy(m->entries[m->n_entries++], both);
        m->merges[m->n_merges].left = (int)left;
        m->merges[m->n_merges++].right = (int)right;
    }
}

static struct tokenizer *tokenizer_of(const struct made_up *m, bool as_pairs)
{
    const char *entries[MAX_ENTRIES];
    size_t n = 0;
    struct text_buffer merges = {0};
    text_buffer_append(&merges, "", 0);
    for (size_t i = 0; i < m->n_entries; i++)
        if (strlen(m->entries[i]) != 6 || strncmp(m->entries[i], "<0x", 3) != 0)
            entries[n++] = m->entries[i];
    for (size_t i = 0; i < m->n_merges; i++) {
        struct text_buffer both = {0};
        const char *left = m->entries[m->merges[i].left];
        const char *right = m->entries[m->merges[i].right];
        text_buffer_append_text(&merges, i ? "," : "");
        if (as_pairs) {
            text_buffer_append_text(&merges, "[");
            json_write_string(&merges, left, strlen(left));
            text_buffer_append_text(&merges, ",");
            json_write_string(&merges, right, strlen(right));
            text_buffer_append_text(&merges, "]");
        } else {
            text_buffer_append_format(&both, "%s %s", left, right);
            json_write_string(&merges, both.data, both.length);
        }
        text_buffer_finish(&both);
    }
    char *json = write_tokenizer(entries, n, merges.data, "");
    text_buffer_finish(&merges);
    struct tokenizer *tokenizer = NULL;
    struct error err = {0};
    ASSERT_OK_ERR(tokenizer_parse(json, strlen(json), "made up", &tokenizer, &err), err);
    free(json);
    return tokenizer;
}

// The definition: over the whole text, join the leftmost pair of lowest rank until there is none.
// Symbols are entries, or -1 - byte for a byte that make_up has not listed.
static size_t plain_bpe(const struct made_up *m, const char *text, size_t n, int *symbols)
{
    size_t n_symbols = 0;
    for (size_t at = 0; at < n;) {
        uint32_t c;
        size_t length = utf8_decode(text + at, n - at, &c);
        char one[8] = {0};
        memcpy(one, text + at, length);
        int entry = entry_of(m, c == ' ' ? "\xE2\x96\x81" : one);
        if (entry >= 0)
            symbols[n_symbols++] = entry;
        for (size_t i = 0; entry < 0 && i < length; i++) {
            char byte[8];
            snprintf(byte, sizeof byte, "<0x%02X>", (unsigned char)text[at + i]);
            int listed = entry_of(m, byte);
            symbols[n_symbols++] = listed >= 0 ? listed : -1 - (unsigned char)text[at + i];
        }
        at += length;
    }
    for (size_t rank = 0; rank < m->n_merges; rank++) {
        for (size_t i = 0; i + 1 < n_symbols; i++) {
            if (symbols[i] != m->merges[rank].left || symbols[i + 1] != m->merges[rank].right)
                continue;
            char both[128];
            snprintf(both, sizeof both, "%s%s", m->entries[symbols[i]], m->entries[symbols[i + 1]]);
            symbols[i] = entry_of(m, both);
            memmove(symbols + i + 1, symbols + i + 2, (n_symbols - i - 2) * sizeof *symbols);
            n_symbols--;
            rank = (size_t)-1; // a new pair may have a lower rank: start over
            break;
        }
    }
    return n_symbols;
}

static void compare_with_plain_bpe(const struct made_up *m, struct tokenizer *tokenizer,
                                   struct tokenizer_encoder *encoder, uint64_t *seed)
{
    static const char *const pieces[] = {"a",
                                         "b",
                                         "c",
                                         " ",
                                         "\n",
                                         "\xC3\xA9",
                                         "<",
                                         "d",
                                         "x",
                                         " ",
                                         "\xE2\x96\x81",
                                         "\xE4\xBD\xA0",
                                         "\xF0\x9F\x98\x80",
                                         "\xC3\xA8"};
    static int symbols[4096];
    struct text_buffer text = {0};
    size_t n_pieces = test_random_in(seed, 0, 9) ? test_random_in(seed, 1, 20) : 150;
    size_t variety = test_random_in(seed, 1, sizeof pieces / sizeof *pieces - 1);
    for (size_t i = 0; i < n_pieces; i++)
        text_buffer_append_text(&text, pieces[test_random_in(seed, 0, variety)]);
    struct id_list ids = {0};
    encode_with(encoder, text.data, text.length, true, &ids);
    size_t n = plain_bpe(m, text.data, text.length, symbols);
    ASSERT_EQ(ids.n, n);
    for (size_t i = 0; i < n; i++) {
        uint32_t want = symbols[i] < 0 ? (uint32_t)(-1 - symbols[i])
                                       : tokenizer_id(tokenizer, m->entries[symbols[i]],
                                                      strlen(m->entries[symbols[i]]));
        ASSERT_EQ(ids.ids[i], want);
    }
    free(ids.ids);
    text_buffer_finish(&text);
}

TEST(cut_text_encodes_as_plain_bpe_of_the_whole)
{
    uint64_t seed = 42;
    for (int round = 0; round < 400; round++) {
        struct made_up m;
        make_up(&seed, round % 2, &m);
        struct tokenizer *tokenizer = tokenizer_of(&m, round % 3 != 0);
        struct tokenizer_encoder *encoder = tokenizer_encoder_create(tokenizer);
        for (int i = 0; i < 100; i++)
            compare_with_plain_bpe(&m, tokenizer, encoder, &seed);
        tokenizer_encoder_destroy(encoder);
        tokenizer_destroy(tokenizer);
    }
}
