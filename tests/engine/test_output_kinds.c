/* tests/engine/test_output_kinds.c - thinking and content come apart, in order, with their ids, and
 * however long they waited. All plain text is byte tokens, so every label and stop string is cut
 * everywhere. */
#include "tests/test.h"

#include "base/mem.h"
#include "engine/output.h"
#include "tests/text/tokenizers.h"

static struct {
    struct tokenizer *tokenizer;
    struct reasoning_tokens tokens;
} world;

static void open_world(void)
{
    char *json = write_tokenizer(NULL, 0, "",
                                 "{\"id\":300,\"content\":\"<|channel>\",\"special\":true},"
                                 "{\"id\":301,\"content\":\"<channel|>\",\"special\":true},"
                                 "{\"id\":302,\"content\":\"<|tool_call>\",\"special\":true},"
                                 "{\"id\":303,\"content\":\"<tool_call|>\",\"special\":true},"
                                 "{\"id\":304,\"content\":\"<|\\\"|>\",\"special\":true},"
                                 "{\"id\":305,\"content\":\"<turn|>\",\"special\":true}");
    ASSERT_OK(tokenizer_parse(json, strlen(json), "kinds", &world.tokenizer, NULL));
    reasoning_tokens_find(world.tokenizer, &world.tokens);
    ASSERT_EQ(world.tokens.channel, 300);
    free(json);
}

static void close_world(void)
{
    tokenizer_destroy(world.tokenizer);
}

// Plain text as bytes, special tokens as their ids.
static size_t ids_of(const char *text, size_t n, uint32_t *out)
{
    size_t n_ids = 0;
    size_t at = 0;
    while (at < n) {
        size_t start, length;
        uint32_t id;
        if (!tokenizer_find_added(world.tokenizer, text, n, at, &start, &length, &id)) {
            start = n;
            length = 0;
        }
        for (; at < start; at++)
            out[n_ids++] = (unsigned char)text[at];
        if (length > 0)
            out[n_ids++] = id;
        at += length;
    }
    return n_ids;
}

// What came: R[thinking]C[content]..., and each id's kind.
struct seen {
    char text[512];
    size_t n;
    int kind; // of the open bracket, or -1
    uint32_t ids[256];
    enum text_kind kinds[256];
    size_t n_ids;
};

static void note_text(struct seen *seen, enum text_kind kind, const char *text, size_t n)
{
    if (n == 0)
        return;
    if (seen->kind != (int)kind) {
        const char *open = kind == TEXT_REASONING ? "R[" : "C[";
        seen->n += (size_t)sprintf(seen->text + seen->n, "%s%s", seen->kind >= 0 ? "]" : "", open);
        seen->kind = (int)kind;
    }
    memcpy(seen->text + seen->n, text, n);
    seen->n += n;
}

static void take_all(struct output *output, struct seen *seen)
{
    struct engine_event delta = {.type = ENGINE_EVENT_DELTA};
    while (output_take(output, &delta)) {
        ASSERT(delta.text_length > 0 || delta.n_token_ids > 0);
        ASSERT_EQ(delta.n_logprobs, delta.n_token_ids);
        note_text(seen, delta.kind, delta.text, delta.text_length);
        for (size_t i = 0; i < delta.n_token_ids; i++) {
            ASSERT_EQ(delta.logprobs[i].n, 1);
            ASSERT_EQ(delta.logprobs[i].entries[0].token_id, delta.token_ids[i]);
            seen->kinds[seen->n_ids] = delta.kind;
            seen->ids[seen->n_ids++] = delta.token_ids[i];
        }
    }
}

struct kinds_case {
    enum reasoning_state start;
    const char *text;
    const char *stop; // or NULL
    const char *want;
    bool stopped;
};

static const struct kinds_case cases[] = {
    {REASONING_OUTSIDE, "Hi", NULL, "C[Hi]", false},
    {REASONING_OUTSIDE, "<|channel>thought\nEasy<channel|>Hi", NULL, "R[Easy]C[Hi]", false},
    {REASONING_EXPECT, "<|channel>thought\nEasy<channel|>Hi", NULL, "R[Easy]C[Hi]", false},
    {REASONING_EXPECT, "Hi", NULL, "C[Hi]", false},
    {REASONING_INSIDE, "thought\nmm\n<channel|>ok", NULL, "R[mm\n]C[ok]", false},
    {REASONING_INSIDE, "thousand<channel|>ok", NULL, "R[thousand]C[ok]", false},
    {REASONING_OUTSIDE, "<|channel>thought<channel|>ok", NULL, "C[ok]", false},
    {REASONING_OUTSIDE, "<|channel>thou", NULL, "R[thou]", false},
    {REASONING_OUTSIDE, "<|channel>thought", NULL, "", false},
    {REASONING_OUTSIDE, "<|channel>thought\n<channel|>", NULL, "", false},
    {REASONING_INSIDE, "mm<|tool_call>call:f{}<tool_call|>", NULL,
     "R[mm]C[<|tool_call>call:f{}<tool_call|>]", false},
    {REASONING_OUTSIDE, "a<|channel>b<channel|>c<|channel>thought\nd<channel|>e", NULL,
     "C[a]R[b]C[c]R[d]C[e]", false},
    {REASONING_OUTSIDE, "a<channel|>b", NULL, "C[ab]", false},
    {REASONING_INSIDE, "a<|\"|>b<|channel>thought\nc<channel|>d", NULL, "R[abc]C[d]", false},
    // Half a character belongs to what it stands in.
    {REASONING_INSIDE, "a\xE2\x82<channel|>b", NULL, "R[a\xEF\xBF\xBD]C[b]", false},
    {REASONING_OUTSIDE, "a\xE2\x82<|channel>b", NULL, "C[a\xEF\xBF\xBD]R[b]", false},
    {REASONING_INSIDE, "\xE2\x82\xAC<channel|>\xE2\x82\xAC", NULL, "R[\xE2\x82\xAC]C[\xE2\x82\xAC]",
     false},
    // Stop strings are of content alone.
    {REASONING_INSIDE, "END<channel|>no END now", "END", "R[END]C[no ]", true},
    {REASONING_OUTSIDE, "a<|tool_call>END<tool_call|>b END c", "END",
     "C[a<|tool_call>END<tool_call|>b ]", true},
    {REASONING_OUTSIDE, "a<|tool_call>END", "END", "C[a<|tool_call>END]", false},
    {REASONING_OUTSIDE, "aEN<|channel>D<channel|>D", "END", "C[aEN]R[D]C[D]", false},
    {REASONING_OUTSIDE, "aEN<|tool_call>x<tool_call|>D", "END", "C[aEN<|tool_call>x<tool_call|>D]",
     false},
    {REASONING_OUTSIDE, "a<|tool_call>", "<|tool_call>", "C[a<|tool_call>]", false},
    {REASONING_OUTSIDE, "ab\xE2<|channel>c", "b\xEF\xBF\xBD", "C[a]", true},
};

// The kind of an id by the machine alone.
static enum text_kind kind_of(enum reasoning_state *state, uint32_t id)
{
    return reasoning_push(&world.tokens, state, id) == REASONING_CONTENT ? TEXT_CONTENT
                                                                         : TEXT_REASONING;
}

static void check_ids(const struct kinds_case *c, const uint32_t *ids, size_t n,
                      const struct seen *seen)
{
    enum reasoning_state state = c->start;
    ASSERT_EQ(seen->n_ids, n);
    for (size_t i = 0; i < n; i++) {
        ASSERT_EQ(seen->ids[i], ids[i]);
        ASSERT_EQ(seen->kinds[i], kind_of(&state, ids[i]));
    }
}

// takes: the client takes what there is after every so many tokens.
static void check_case(const struct kinds_case *c, size_t takes)
{
    struct stop_strings stops = {.n = 0};
    struct stop_string stop = {.bytes = c->stop, .n = c->stop ? strlen(c->stop) : 0};
    ASSERT_OK(stop_strings_init(&stops, &stop, c->stop != NULL, NULL));
    struct output output;
    output_init(&output, &(struct output_config){.tokenizer = world.tokenizer,
                                                 .stop_strings = &stops,
                                                 .skip_special_tokens = true,
                                                 .want_text = true,
                                                 .want_token_ids = true,
                                                 .n_logprobs = 1,
                                                 .reasoning = &world.tokens,
                                                 .start = c->start});
    uint32_t ids[256];
    size_t n = ids_of(c->text, strlen(c->text), ids);
    struct seen seen = {.kind = -1};
    int32_t found = -1;
    size_t i = 0;
    while (i < n && found < 0) {
        struct token_logprob logprob = {.token_id = ids[i]};
        found = output_push(&output, &(struct pushed_token){ids[i], false, &logprob, 1});
        if (++i % takes == 0)
            take_all(&output, &seen);
    }
    if (found < 0)
        found = output_end(&output);
    take_all(&output, &seen);
    ASSERT_EQ(found >= 0, c->stopped);
    if (seen.n > 0)
        seen.text[seen.n++] = ']';
    seen.text[seen.n] = '\0';
    ASSERT_STR_EQ(seen.text, c->want);
    check_ids(c, ids, i, &seen);
    output_finish(&output);
    stop_strings_finish(&stops);
}

TEST(thinking_and_content_come_apart_whenever_they_are_taken)
{
    open_world();
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++)
        for (size_t takes = 1; takes < 50; takes++)
            check_case(&cases[c], takes);
    close_world();
}

TEST(only_thinking_counts_as_reasoning_tokens)
{
    open_world();
    struct stop_strings none = {.n = 0};
    struct output output;
    output_init(&output, &(struct output_config){.stop_strings = &none,
                                                 .want_token_ids = true,
                                                 .reasoning = &world.tokens,
                                                 .start = REASONING_EXPECT});
    const uint32_t ids[] = {300, 'a', 'b', 301, 'c', 300, 'd'};
    for (size_t i = 0; i < 7; i++)
        output_push(&output, &(struct pushed_token){.id = ids[i]});
    output_push(&output, &(struct pushed_token){.id = 305, .is_stop = true}); // shown, not counted
    ASSERT_EQ(output.n_reasoning_tokens, 3);
    const uint32_t runs[][2] = {{TEXT_REASONING, 4}, {TEXT_CONTENT, 1}, {TEXT_REASONING, 3}};
    for (size_t i = 0; i < 3; i++) {
        struct engine_event delta = {.type = ENGINE_EVENT_DELTA};
        ASSERT(output_take(&output, &delta));
        ASSERT_EQ(delta.kind, runs[i][0]);
        ASSERT_EQ(delta.n_token_ids, runs[i][1]);
    }
    output_finish(&output);
    close_world();
}

TEST(what_is_certain_of_thinking_comes_at_once)
{
    open_world();
    struct stop_strings none = {.n = 0};
    struct output output;
    output_init(&output, &(struct output_config){.tokenizer = world.tokenizer,
                                                 .stop_strings = &none,
                                                 .want_text = true,
                                                 .reasoning = &world.tokens,
                                                 .start = REASONING_INSIDE});
    const char *text = "thought\nab";
    for (size_t i = 0; text[i]; i++) {
        output_push(&output, &(struct pushed_token){.id = (unsigned char)text[i]});
        struct engine_event delta = {.type = ENGINE_EVENT_DELTA};
        ASSERT_EQ(output_take(&output, &delta), i >= 8);
        ASSERT_EQ(delta.text_length, i >= 8);
    }
    output_finish(&output);
    close_world();
}
