/* tests/engine/test_output.c - what a client may see and when, for every way to cut a text into
 * tokens. */
#include "tests/test.h"

#include "base/mem.h"
#include "base/utf8.h"
#include "engine/output.h"
#include "tests/text/tokenizers.h"

#define MAX_PIECES 400

// A tokenizer with an entry for every piece of the text that consists of whole characters.
static struct {
    const char *text;
    size_t n;
    struct tokenizer *tokenizer;
} world;

static bool is_boundary(size_t at)
{
    return at == world.n || ((unsigned char)world.text[at] & 0xC0) != 0x80;
}

static void open_world(const char *text)
{
    world.text = text;
    world.n = strlen(text);
    char *pieces[MAX_PIECES];
    size_t n_pieces = 0;
    for (size_t a = 0; a < world.n; a++) {
        for (size_t b = a + 1; b <= world.n; b++) {
            if (!is_boundary(a) || !is_boundary(b))
                continue;
            pieces[n_pieces] = mem_copy(text + a, b - a);
            bool known = false;
            for (size_t i = 0; i < n_pieces; i++)
                known |= strcmp(pieces[i], pieces[n_pieces]) == 0;
            if (known)
                free(pieces[n_pieces]);
            else
                n_pieces++;
            ASSERT(n_pieces < MAX_PIECES);
        }
    }
    char *json = write_tokenizer((const char *const *)pieces, n_pieces, "",
                                 "{\"id\":900,\"content\":\"<end>\",\"special\":true}");
    struct error err = {0};
    ASSERT_OK_ERR(tokenizer_parse(json, strlen(json), "pieces", &world.tokenizer, &err), err);
    free(json);
    for (size_t i = 0; i < n_pieces; i++)
        free(pieces[i]);
}

static void close_world(void)
{
    tokenizer_destroy(world.tokenizer);
}

// The ids of text[a..b): an entry where that is whole characters, else bytes.
static size_t piece_ids(size_t a, size_t b, uint32_t *out)
{
    uint32_t id = tokenizer_id(world.tokenizer, world.text + a, b - a);
    if (is_boundary(a) && is_boundary(b) && id != TOKEN_NONE) {
        out[0] = id;
        return 1;
    }
    for (size_t i = a; i < b; i++)
        out[i - a] = (unsigned char)world.text[i];
    return b - a;
}

// The stop string that is complete first, by trying all ends; *out_end where.
static int32_t first_stop(const struct stop_string *stops, size_t n_stops, size_t *out_end)
{
    for (size_t end = 1; end <= world.n; end++) {
        int32_t found = -1;
        for (size_t i = 0; i < n_stops; i++)
            if (stops[i].n <= end &&
                memcmp(world.text + end - stops[i].n, stops[i].bytes, stops[i].n) == 0 &&
                (found < 0 || stops[i].n > stops[found].n))
                found = (int32_t)i;
        if (found >= 0) {
            *out_end = end;
            return found;
        }
    }
    return -1;
}

// Bytes at the end of text[0..n) that begin some stop string.
static size_t longest_beginning(const struct stop_string *stops, size_t n_stops, size_t n)
{
    size_t longest = 0;
    for (size_t i = 0; i < n_stops; i++)
        for (size_t k = 1; k < stops[i].n && k <= n; k++)
            if (memcmp(world.text + n - k, stops[i].bytes, k) == 0 && k > longest)
                longest = k;
    return longest;
}

struct seen {
    char text[256];
    size_t n;
    uint32_t ids[256];
    size_t n_ids;
};

static void take(struct output *output, struct seen *seen)
{
    struct engine_event delta = {.type = ENGINE_EVENT_DELTA};
    if (!output_take(output, &delta)) {
        ASSERT_EQ(delta.text_length, 0);
        ASSERT_EQ(delta.n_token_ids, 0);
        return;
    }
    ASSERT(delta.text_length > 0 || delta.n_token_ids > 0);
    ASSERT(utf8_valid(delta.text, delta.text_length, NULL));
    memcpy(seen->text + seen->n, delta.text, delta.text_length);
    seen->n += delta.text_length;
    ASSERT_EQ(delta.n_logprobs, delta.n_token_ids);
    for (size_t i = 0; i < delta.n_token_ids; i++) {
        seen->ids[seen->n_ids++] = delta.token_ids[i];
        ASSERT_EQ(delta.logprobs[i].n, 2);
        ASSERT_EQ(delta.logprobs[i].entries[0].token_id, delta.token_ids[i]);
        ASSERT_EQ(delta.logprobs[i].entries[1].token_id, delta.token_ids[i] + 1);
    }
}

static int32_t push(struct output *output, uint32_t id)
{
    struct token_logprob logprobs[2] = {{.token_id = id}, {.token_id = id + 1}};
    uint32_t n = output->c.n_logprobs;
    return output_push(output, &(struct pushed_token){id, false, logprobs, n});
}

static size_t ids_bytes(const uint32_t *ids, size_t n)
{
    size_t bytes = 0;
    for (size_t i = 0; i < n; i++) {
        size_t length;
        bool is_byte;
        tokenizer_token_bytes(world.tokenizer, ids[i], &length, &is_byte);
        bytes += length;
    }
    return bytes;
}

// Runs the ids through an output and checks every moment against the definition.
static void check_cut(const uint32_t *ids, size_t n_ids, const struct stop_string *stops,
                      size_t n_stops, bool include_stop)
{
    struct stop_strings compiled;
    ASSERT_OK(stop_strings_init(&compiled, stops, n_stops, NULL));
    struct output output;
    output_init(&output, &(struct output_config){.tokenizer = world.tokenizer,
                                                 .stop_strings = &compiled,
                                                 .include_stop = include_stop,
                                                 .want_text = true,
                                                 .want_token_ids = true,
                                                 .n_logprobs = 2});
    size_t stop_end = 0;
    int32_t stop = first_stop(stops, n_stops, &stop_end);
    size_t text_end = world.n;
    if (stop >= 0)
        text_end = include_stop ? stop_end : stop_end - stops[stop].n;
    struct seen seen = {.n = 0};
    size_t n_pushed = 0;
    int32_t found = -1;
    while (found < 0 && n_pushed < n_ids) {
        found = push(&output, ids[n_pushed++]);
        take(&output, &seen);
        size_t so_far = ids_bytes(ids, n_pushed);
        while (!is_boundary(so_far))
            so_far--;
        if (found < 0) { // all that is certain is there, and nothing else
            size_t held = include_stop ? 0 : longest_beginning(stops, n_stops, so_far);
            ASSERT_EQ(seen.n, so_far - held);
            ASSERT(ids_bytes(seen.ids, seen.n_ids) <= seen.n);
            ASSERT(seen.n_ids == n_pushed || ids_bytes(ids, seen.n_ids + 1) > seen.n);
        }
    }
    ASSERT_EQ(found, stop);
    if (found < 0)
        ASSERT_EQ(output_end(&output), -1);
    take(&output, &seen);
    ASSERT_EQ(seen.n, text_end);
    ASSERT(memcmp(seen.text, world.text, text_end) == 0);
    ASSERT_EQ(seen.n_ids, n_pushed);
    ASSERT(memcmp(seen.ids, ids, n_pushed * sizeof *ids) == 0);
    if (stop >= 0)
        ASSERT(ids_bytes(ids, n_pushed - 1) < stop_end);
    output_finish(&output);
    stop_strings_finish(&compiled);
}

static const struct {
    const char *text;
    const char *stops[4];
} cases[] = {
    {"abcabcabd!", {"abcabd"}},
    {"aaaaaaab", {"aab"}},
    {"aaaaaaab", {"aaaaaaaaaa"}},
    {"xxENDyy", {"END", "ND"}},
    {"xxENDyy", {"ENDyyy", "xEN", "E"}},
    {"one\n\ntwo", {"\n\n", "\n"}},
    {"h\xC3\xA9llo\xE2\x82\xACx", {"\xE2\x82\xACx"}},
    {"h\xC3\xA9llo\xE2\x82\xAC", {"llo\xE2\x82\xAD", "\xC3\xA8"}},
    {"a\xF0\x9F\x98\x80"
     "b",
     {"\xF0\x9F\x98\x80"}},
    {"nothing", {NULL}},
};

TEST(a_stop_string_is_found_however_tokens_cut_the_text)
{
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        open_world(cases[c].text);
        struct stop_string stops[4];
        size_t n_stops = 0;
        for (; n_stops < 4 && cases[c].stops[n_stops]; n_stops++)
            stops[n_stops] = (struct stop_string){.bytes = cases[c].stops[n_stops],
                                                  .n = strlen(cases[c].stops[n_stops])};
        for (uint32_t cuts = 0; cuts < UINT32_C(1) << (world.n - 1); cuts++) {
            uint32_t ids[64];
            size_t n_ids = 0;
            size_t start = 0;
            for (size_t at = 1; at <= world.n; at++) {
                if (at < world.n && !(cuts >> (at - 1) & 1))
                    continue;
                n_ids += piece_ids(start, at, ids + n_ids);
                start = at;
            }
            check_cut(ids, n_ids, stops, n_stops, false);
            check_cut(ids, n_ids, stops, n_stops, true);
        }
        close_world();
    }
}

TEST(without_text_tokens_come_at_once)
{
    struct output output;
    output_init(&output, &(struct output_config){.want_token_ids = true, .n_logprobs = 2});
    struct seen seen = {.n = 0};
    for (uint32_t i = 0; i < 100; i++) {
        ASSERT_EQ(push(&output, i), -1);
        struct engine_event delta = {.type = ENGINE_EVENT_DELTA};
        ASSERT(output_take(&output, &delta));
        ASSERT_EQ(delta.n_token_ids, 1);
        ASSERT_EQ(delta.token_ids[0], i);
        ASSERT(delta.text == NULL);
    }
    ASSERT_EQ(output_end(&output), -1);
    take(&output, &seen);
    ASSERT_EQ(seen.n_ids, 0);
    output_finish(&output);
}

TEST(a_token_without_text_makes_no_delta_when_only_text_is_wanted)
{
    open_world("ab");
    struct stop_strings none = {.n = 0};
    struct output output;
    output_init(&output, &(struct output_config){.tokenizer = world.tokenizer,
                                                 .stop_strings = &none,
                                                 .skip_special_tokens = true,
                                                 .want_text = true});
    struct engine_event delta = {.type = ENGINE_EVENT_DELTA};
    push(&output, 900); // special
    ASSERT(!output_take(&output, &delta));
    push(&output, 0xC3); // half a character
    ASSERT(!output_take(&output, &delta));
    output_end(&output);
    ASSERT(output_take(&output, &delta));
    ASSERT_EQ(delta.text_length, 3);
    ASSERT(memcmp(delta.text, "\xEF\xBF\xBD", 3) == 0);
    output_finish(&output);
    close_world();
}

TEST(an_incomplete_character_at_the_end_can_complete_a_stop_string)
{
    open_world("ab");
    struct stop_string stop = {.bytes = "b\xEF\xBF\xBD", .n = 4};
    struct stop_strings stops;
    ASSERT_OK(stop_strings_init(&stops, &stop, 1, NULL));
    struct output output;
    output_init(&output, &(struct output_config){.tokenizer = world.tokenizer,
                                                 .stop_strings = &stops,
                                                 .want_text = true});
    ASSERT_EQ(push(&output, 'a'), -1);
    ASSERT_EQ(push(&output, 'b'), -1);
    ASSERT_EQ(push(&output, 0xC3), -1);
    ASSERT_EQ(output_end(&output), 0);
    struct engine_event delta = {.type = ENGINE_EVENT_DELTA};
    ASSERT(output_take(&output, &delta));
    ASSERT_EQ(delta.text_length, 1);
    output_finish(&output);
    stop_strings_finish(&stops);
    close_world();
}

TEST(stop_strings_that_cannot_be_are_refused)
{
    struct stop_strings stops;
    struct error err = {0};
    struct stop_string many[17];
    for (int i = 0; i < 17; i++)
        many[i] = (struct stop_string){.bytes = "x", .n = 1};
    ASSERT_EQ(stop_strings_init(&stops, many, 17, &err), STATUS_INVALID_ARGUMENT);
    many[1].n = 0;
    ASSERT_EQ(stop_strings_init(&stops, many, 2, &err), STATUS_INVALID_ARGUMENT);
    ASSERT_CONTAINS(err.message, "stop string 1");
    many[1] = (struct stop_string){.bytes = "a\xC3", .n = 2};
    ASSERT_EQ(stop_strings_init(&stops, many, 2, &err), STATUS_INVALID_ARGUMENT);
    ASSERT_CONTAINS(err.message, "UTF-8");
    many[1].n = STOP_STRING_MAX_BYTES + 1;
    ASSERT_EQ(stop_strings_init(&stops, many, 2, &err), STATUS_INVALID_ARGUMENT);
}
