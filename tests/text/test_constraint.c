/* tests/text/test_constraint.c - each transition between thinking and the grammar, what the masks
 * hold there, and that a rollback restores all of it. */
#include "text/constraint.h"

#include "tests/text/tokenizers.h"

enum {
    A = 256, // entries behind the 256 bytes; these four have their bytes' texts too
    B,
    C,
    D,
    AB,
    CD,
    ABCD,
    EOS = 300,
    TURN_END,
    CALL,
    CALL_END,
    CHANNEL,
    CHANNEL_END,
    N_IDS = 320 // of the head: more than the tokenizer has
};
#define N_WORDS ((N_IDS + 31) / 32)

static const uint32_t stops[] = {EOS, TURN_END};

struct world {
    struct tokenizer *tokenizer;
    struct tokenizer_encoder *encoder;
    struct vocabulary *vocabulary;
    struct grammar *grammar; // NULL: none
    struct constraint_config config;
    struct constraint *constraint;
    uint32_t bits[N_WORDS];
    struct constraint_mask mask;
};

static struct world new_world(void)
{
    char *json = write_tokenizer((const char *const[]){"a", "b", "c", "d", "ab", "cd", "abcd"}, 7,
                                 "[\"a\",\"b\"],[\"c\",\"d\"],[\"ab\",\"cd\"]",
                                 "{\"id\":300,\"content\":\"<eos>\",\"special\":true},"
                                 "{\"id\":301,\"content\":\"<turn|>\",\"special\":true},"
                                 "{\"id\":302,\"content\":\"<|tool_call>\",\"special\":true},"
                                 "{\"id\":303,\"content\":\"<tool_call|>\",\"special\":true},"
                                 "{\"id\":304,\"content\":\"<|channel>\",\"special\":true},"
                                 "{\"id\":305,\"content\":\"<channel|>\",\"special\":true}");
    struct world world = {0};
    struct error err = {0};
    ASSERT_OK_ERR(tokenizer_parse(json, strlen(json), "x", &world.tokenizer, &err), err);
    free(json);
    world.encoder = tokenizer_encoder_create(world.tokenizer);
    world.vocabulary = vocabulary_create(world.tokenizer, N_IDS);
    world.config = (struct constraint_config){
        .vocabulary = world.vocabulary,
        .thinking_budget = CONSTRAINT_NO_BUDGET,
        .stop_ids = stops,
        .n_stop_ids = 2,
        .n_ids = N_IDS,
    };
    reasoning_tokens_find(world.tokenizer, &world.config.tokens);
    return world;
}

static void finish(struct world *world)
{
    constraint_destroy(world->constraint);
    grammar_drop(world->grammar);
    vocabulary_destroy(world->vocabulary);
    tokenizer_encoder_destroy(world->encoder);
    tokenizer_destroy(world->tokenizer);
}

static void begin(struct world *world, enum reasoning_state start, uint32_t budget)
{
    world->config.grammar = world->grammar;
    world->config.start = start;
    world->config.thinking_budget = budget;
    constraint_destroy(world->constraint);
    world->constraint = constraint_create(&world->config);
}

static grammar_symbol text(struct grammar_builder *builder, const char *bytes)
{
    return grammar_text(builder, bytes, strlen(bytes));
}

// The grammar of a few texts.
static void use_texts(struct world *world, const char *const *texts, size_t n)
{
    struct grammar_builder *builder = grammar_builder_create(NULL);
    grammar_symbol symbols[8];
    struct error err = {0};
    for (size_t i = 0; i < n; i++)
        symbols[i] = text(builder, texts[i]);
    ASSERT_OK_ERR(
        grammar_build(builder, grammar_choice(builder, symbols, n), &world->grammar, &err), err);
}
#define USE_TEXTS(world, ...)                            \
    use_texts(world, (const char *const[]){__VA_ARGS__}, \
              sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *))

// The grammar of `token` and a text behind it.
static void use_token_and_text(struct world *world, uint32_t token, const char *bytes)
{
    struct grammar_builder *builder = grammar_builder_create(NULL);
    grammar_symbol parts[] = {grammar_tokens(builder, &token, 1), text(builder, bytes)};
    struct error err = {0};
    ASSERT_OK_ERR(
        grammar_build(builder, grammar_sequence(builder, parts, 2), &world->grammar, &err), err);
}

// Is the token in the mask? constraint_mask first.
static bool has(const struct world *world, uint32_t token)
{
    const struct constraint_mask *mask = &world->mask;
    bool is_listed = false;
    for (uint32_t i = 0; i < mask->n; i++)
        is_listed |= mask->ids[i] == token;
    switch (mask->kind) {
    case CONSTRAINT_ALL:
        return true;
    case CONSTRAINT_ONE:
        return token == mask->token;
    case CONSTRAINT_NOT:
        return !is_listed;
    case CONSTRAINT_BITS:
        return world->bits[token / 32] >> (token % 32) & 1;
    case CONSTRAINT_FAILED:
        return false;
    }
    return false;
}

static void look(struct world *world)
{
    memset(world->bits, 0xA5, sizeof world->bits); // nothing may be left of it
    constraint_mask(world->constraint, &world->mask, world->bits);
}

// The mask holds exactly these tokens.
static void expect_only(struct world *world, const uint32_t *tokens, size_t n)
{
    look(world);
    for (uint32_t id = 0; id < N_IDS; id++) {
        bool wanted = false;
        for (size_t i = 0; i < n; i++)
            wanted |= tokens[i] == id;
        if (has(world, id) != wanted)
            test_fail(__FILE__, __LINE__, "token %u is %sin the mask", id, wanted ? "not " : "");
    }
}
#define EXPECT_ONLY(world, ...)                         \
    expect_only(world, (const uint32_t[]){__VA_ARGS__}, \
                sizeof((const uint32_t[]){__VA_ARGS__}) / sizeof(uint32_t))

static void expect_all_but(struct world *world, const uint32_t *tokens, size_t n)
{
    uint32_t others[N_IDS];
    size_t n_others = 0;
    for (uint32_t id = 0; id < N_IDS; id++) {
        bool listed = false;
        for (size_t i = 0; i < n; i++)
            listed |= tokens[i] == id;
        if (!listed)
            others[n_others++] = id;
    }
    expect_only(world, others, n_others);
}
#define EXPECT_ALL_BUT(world, ...)                         \
    expect_all_but(world, (const uint32_t[]){__VA_ARGS__}, \
                   sizeof((const uint32_t[]){__VA_ARGS__}) / sizeof(uint32_t))

static void accept(struct world *world, uint32_t token)
{
    look(world);
    if (!has(world, token) || !constraint_accept(world->constraint, token))
        test_fail(__FILE__, __LINE__, "token %u is refused", token);
}

// Neither the mask nor the constraint takes it, and nothing changes.
static void refuse(struct world *world, uint32_t token)
{
    look(world);
    if (has(world, token) || constraint_accept(world->constraint, token))
        test_fail(__FILE__, __LINE__, "token %u is taken", token);
}

TEST(outside_the_grammar_holds_from_the_first_token_and_no_channel_opens)
{
    struct world world = new_world();
    USE_TEXTS(&world, "abx", "c");
    begin(&world, REASONING_OUTSIDE, CONSTRAINT_NO_BUDGET);
    EXPECT_ONLY(&world, 'a', A, 'c', C, AB);
    refuse(&world, CHANNEL);
    refuse(&world, CHANNEL_END);
    refuse(&world, CALL);
    accept(&world, 'a');
    EXPECT_ONLY(&world, 'b', B);
    accept(&world, B);
    EXPECT_ONLY(&world, 'x');
    ASSERT_EQ(world.mask.kind, CONSTRAINT_ONE);
    ASSERT(!constraint_is_over(world.constraint));
    accept(&world, 'x');
    ASSERT(constraint_is_over(world.constraint));
    EXPECT_ONLY(&world, EOS, TURN_END);
    finish(&world);
}

TEST(a_text_that_may_end_or_go_on_allows_both)
{
    struct world world = new_world();
    USE_TEXTS(&world, "a", "ab");
    begin(&world, REASONING_OUTSIDE, CONSTRAINT_NO_BUDGET);
    accept(&world, 'a');
    ASSERT(!constraint_is_over(world.constraint));
    EXPECT_ONLY(&world, 'b', B, EOS, TURN_END);
    finish(&world);
}

TEST(where_thinking_may_begin_the_channel_stands_beside_the_grammars_first_tokens)
{
    struct world world = new_world();
    USE_TEXTS(&world, "ab", "c");
    begin(&world, REASONING_EXPECT, CONSTRAINT_NO_BUDGET);
    EXPECT_ONLY(&world, 'a', A, 'c', C, AB, CHANNEL);
    refuse(&world, CHANNEL_END);
    accept(&world, 'c'); // thinking is skipped: no enforcement is lost
    EXPECT_ONLY(&world, EOS, TURN_END);
    finish(&world);
}

TEST(the_grammar_is_suspended_while_the_model_thinks)
{
    struct world world = new_world();
    USE_TEXTS(&world, "ab", "c");
    begin(&world, REASONING_EXPECT, CONSTRAINT_NO_BUDGET);
    accept(&world, CHANNEL);
    EXPECT_ALL_BUT(&world, EOS, TURN_END, CALL);
    ASSERT_EQ(world.mask.kind, CONSTRAINT_NOT);
    refuse(&world, CALL);
    accept(&world, 'x');
    accept(&world, CALL_END); // no call is open: reasoning text
    accept(&world, CHANNEL);  // a second label may follow
    EXPECT_ALL_BUT(&world, EOS, TURN_END, CALL);
    accept(&world, CHANNEL_END);
    EXPECT_ONLY(&world, 'a', A, 'c', C, AB);
    refuse(&world, CHANNEL);
    accept(&world, AB);
    EXPECT_ONLY(&world, EOS, TURN_END);
    finish(&world);
}

TEST(a_tool_call_ends_thinking_where_the_grammar_has_one)
{
    struct world world = new_world();
    use_token_and_text(&world, CALL, "ab");
    begin(&world, REASONING_INSIDE, CONSTRAINT_NO_BUDGET);
    EXPECT_ALL_BUT(&world, EOS, TURN_END);
    accept(&world, 'x');
    accept(&world, CALL);
    EXPECT_ONLY(&world, 'a', A, AB);
    refuse(&world, CHANNEL);
    accept(&world, AB);
    EXPECT_ONLY(&world, EOS, TURN_END);
    finish(&world);
}

TEST(more_stop_ids_than_a_list_holds_are_masked_by_bits)
{
    struct world world = new_world();
    uint32_t many[CONSTRAINT_MAX_NOT + 1];
    for (uint32_t i = 0; i < CONSTRAINT_MAX_NOT + 1; i++)
        many[i] = 10 + i;
    USE_TEXTS(&world, "c");
    world.config.stop_ids = many;
    world.config.n_stop_ids = CONSTRAINT_MAX_NOT + 1;
    begin(&world, REASONING_INSIDE, CONSTRAINT_NO_BUDGET);
    look(&world);
    ASSERT_EQ(world.mask.kind, CONSTRAINT_BITS);
    for (uint32_t id = 0; id < N_IDS; id++)
        ASSERT_EQ(has(&world, id), id != CALL && (id < 10 || id > 10 + CONSTRAINT_MAX_NOT));
    finish(&world);
}

TEST(without_grammar_and_budget_everything_goes)
{
    struct world world = new_world();
    for (int state = REASONING_OUTSIDE; state <= REASONING_INSIDE; state++) {
        begin(&world, (enum reasoning_state)state, CONSTRAINT_NO_BUDGET);
        static const uint32_t some[] = {CHANNEL, 'x', CHANNEL_END, CHANNEL_END, CALL, CHANNEL};
        for (size_t i = 0; i < 6; i++) {
            look(&world);
            ASSERT_EQ(world.mask.kind, CONSTRAINT_ALL);
            accept(&world, some[i]);
        }
        ASSERT(!constraint_is_over(world.constraint));
        ASSERT_EQ(constraint_forced(world.constraint, world.encoder, world.bits, 1), 0);
    }
    finish(&world);
}

TEST(a_budget_counts_reasoning_tokens_then_closes_the_channel_for_good)
{
    struct world world = new_world();
    begin(&world, REASONING_OUTSIDE, 3);
    accept(&world, 'x');
    accept(&world, CHANNEL);
    accept(&world, CHANNEL); // delimiters do not count
    accept(&world, 'x');
    accept(&world, CHANNEL_END);
    accept(&world, CHANNEL); // spans count together
    accept(&world, 'x');
    look(&world);
    ASSERT_EQ(world.mask.kind, CONSTRAINT_ALL);
    accept(&world, 'x');
    EXPECT_ONLY(&world, CHANNEL_END);
    refuse(&world, 'x');
    refuse(&world, CALL);
    accept(&world, CHANNEL_END);
    EXPECT_ALL_BUT(&world, CHANNEL);
    accept(&world, 'x');
    accept(&world, CHANNEL_END); // a stray one is swallowed
    refuse(&world, CHANNEL);
    finish(&world);
}

TEST(a_budget_of_nothing_closes_at_once)
{
    struct world world = new_world();
    begin(&world, REASONING_INSIDE, 0);
    EXPECT_ONLY(&world, CHANNEL_END);
    begin(&world, REASONING_EXPECT, 0);
    EXPECT_ALL_BUT(&world, CHANNEL);
    USE_TEXTS(&world, "ab", "c");
    begin(&world, REASONING_EXPECT, 0);
    EXPECT_ONLY(&world, 'a', A, 'c', C, AB);
    begin(&world, REASONING_INSIDE, 0);
    EXPECT_ONLY(&world, CHANNEL_END);
    accept(&world, CHANNEL_END);
    EXPECT_ONLY(&world, 'a', A, 'c', C, AB);
    finish(&world);
}

TEST(a_budget_with_a_grammar_closes_the_channel_and_the_grammar_follows)
{
    struct world world = new_world();
    use_token_and_text(&world, CALL, "ab");
    begin(&world, REASONING_EXPECT, 2);
    EXPECT_ONLY(&world, CALL, CHANNEL);
    accept(&world, CHANNEL);
    accept(&world, 'x');
    EXPECT_ALL_BUT(&world, EOS, TURN_END);
    accept(&world, 'y');
    EXPECT_ONLY(&world, CHANNEL_END);
    accept(&world, CHANNEL_END);
    EXPECT_ONLY(&world, CALL);
    finish(&world);
}

TEST(a_grammar_that_wants_what_is_masked_fails)
{
    struct world world = new_world();
    use_token_and_text(&world, CHANNEL, "ab");
    begin(&world, REASONING_OUTSIDE, CONSTRAINT_NO_BUDGET);
    look(&world);
    ASSERT_EQ(world.mask.kind, CONSTRAINT_FAILED);
    grammar_drop(world.grammar);
    USE_TEXTS(&world, "c");
    world.config.n_stop_ids = 0;
    begin(&world, REASONING_OUTSIDE, CONSTRAINT_NO_BUDGET);
    accept(&world, 'c');
    look(&world);
    ASSERT_EQ(world.mask.kind, CONSTRAINT_FAILED); // but it is over
    ASSERT(constraint_is_over(world.constraint));
    finish(&world);
}

// The whole mask as one list of bits.
static void snapshot(struct world *world, uint32_t *out)
{
    look(world);
    memset(out, 0, N_WORDS * sizeof *out);
    for (uint32_t id = 0; id < N_IDS; id++)
        out[id / 32] |= (uint32_t)has(world, id) << (id % 32);
}

static uint32_t random_token(struct world *world, uint64_t *seed)
{
    look(world);
    for (;;) {
        static const uint32_t likely[] = {'a', 'b', 'c', AB, CALL, CHANNEL, CHANNEL_END, 'x'};
        uint32_t token = test_random_in(seed, 0, 1) ? likely[test_random_in(seed, 0, 7)]
                                                    : (uint32_t)test_random_in(seed, 0, N_IDS - 1);
        if (token != EOS && token != TURN_END && has(world, token))
            return token;
    }
}

static void walk(struct world *world, uint64_t *seed)
{
    enum { MAX_TOKENS = 60 };
    uint32_t masks[MAX_TOKENS + 1][N_WORDS];
    uint32_t n = 0;
    snapshot(world, masks[0]);
    for (int step = 0; step < 200; step++) {
        if (n == MAX_TOKENS || constraint_is_over(world->constraint) ||
            test_random_in(seed, 0, 9) == 0) {
            uint32_t n_back = (uint32_t)test_random_in(seed, 0, n);
            constraint_rollback(world->constraint, n_back);
            n -= n_back;
        } else {
            accept(world, random_token(world, seed));
            snapshot(world, masks[++n]);
        }
        uint32_t now[N_WORDS];
        snapshot(world, now);
        if (memcmp(now, masks[n], sizeof now) != 0)
            test_fail(__FILE__, __LINE__, "step %d, %u tokens: another mask", step, n);
    }
}

TEST(a_rollback_restores_state_budget_and_match)
{
    struct world world = new_world();
    uint64_t seed = 11;
    for (int with_grammar = 0; with_grammar < 3; with_grammar++) {
        if (with_grammar == 1)
            USE_TEXTS(&world, "abcabc", "ab", "cdcdcd");
        if (with_grammar == 2) {
            grammar_drop(world.grammar);
            use_token_and_text(&world, CALL, "abababab");
        }
        for (int round = 0; round < 60; round++) {
            begin(&world, (enum reasoning_state)(round % 3), round % 2 ? 4 : CONSTRAINT_NO_BUDGET);
            walk(&world, &seed);
        }
    }
    finish(&world);
}

static void expect_forced(struct world *world, const uint32_t *tokens, size_t n, uint32_t max)
{
    uint32_t got[16];
    uint32_t n_got = constraint_forced(world->constraint, world->encoder, got, max);
    ASSERT_EQ(n_got, n);
    for (size_t i = 0; i < n; i++)
        ASSERT_EQ(got[i], tokens[i]);
}
#define EXPECT_FORCED(world, max, ...)                    \
    expect_forced(world, (const uint32_t[]){__VA_ARGS__}, \
                  sizeof((const uint32_t[]){__VA_ARGS__}) / sizeof(uint32_t), max)

TEST(forced_text_comes_as_its_canonical_tokens_where_nothing_can_change_them)
{
    struct world world = new_world();
    USE_TEXTS(&world, "xabcdab");
    begin(&world, REASONING_OUTSIDE, CONSTRAINT_NO_BUDGET);
    EXPECT_FORCED(&world, 16, 'x', ABCD, AB); // the text ends there
    EXPECT_FORCED(&world, 2, 'x', ABCD);
    accept(&world, 'x');
    accept(&world, 'a');
    EXPECT_FORCED(&world, 16, B, CD, AB);
    grammar_drop(world.grammar);
    USE_TEXTS(&world, "xabcdabx", "xabcdabcd");
    begin(&world, REASONING_OUTSIDE, CONSTRAINT_NO_BUDGET);
    EXPECT_FORCED(&world, 16, 'x', ABCD); // ab may become abcd
    accept(&world, 'x');
    accept(&world, ABCD);
    expect_forced(&world, NULL, 0, 16);
    grammar_drop(world.grammar);
    USE_TEXTS(&world, "xy", "xyxx");
    begin(&world, REASONING_OUTSIDE, CONSTRAINT_NO_BUDGET);
    EXPECT_FORCED(&world, 16, 'x', 'y'); // no token begins with y
    finish(&world);
}

TEST(nothing_is_forced_while_the_model_thinks_or_may_begin_to)
{
    struct world world = new_world();
    USE_TEXTS(&world, "xx");
    begin(&world, REASONING_EXPECT, CONSTRAINT_NO_BUDGET);
    expect_forced(&world, NULL, 0, 16);
    accept(&world, CHANNEL);
    expect_forced(&world, NULL, 0, 16);
    accept(&world, CHANNEL_END);
    EXPECT_FORCED(&world, 16, 'x', 'x');
    begin(&world, REASONING_EXPECT, 0);
    EXPECT_FORCED(&world, 16, 'x', 'x');
    finish(&world);
}

TEST(half_a_forced_character_is_left_out)
{
    struct world world = new_world();
    USE_TEXTS(&world, "x\xC3\xA9", "x\xC3\xA8");
    begin(&world, REASONING_OUTSIDE, CONSTRAINT_NO_BUDGET);
    EXPECT_FORCED(&world, 16, 'x');
    finish(&world);
}

// Every text of a grammar begins, encoded, with the tokens that are forced.
static void assert_canonical(struct world *world, const char *const *texts, size_t n)
{
    struct id_list ids = {0};
    uint32_t forced[64];
    use_texts(world, texts, n);
    begin(world, REASONING_OUTSIDE, CONSTRAINT_NO_BUDGET);
    uint32_t n_forced = constraint_forced(world->constraint, world->encoder, forced, 64);
    ASSERT(n_forced > 0);
    for (size_t i = 0; i < n; i++) {
        encode_with(world->encoder, texts[i], strlen(texts[i]), false, &ids);
        for (uint32_t k = 0; k < n_forced; k++)
            ASSERT_EQ(k < ids.n ? ids.ids[k] : TOKEN_NONE, forced[k]);
    }
    for (uint32_t k = 0; k < n_forced; k++)
        ASSERT(constraint_accept(world->constraint, forced[k]));
    grammar_drop(world->grammar);
    world->grammar = NULL;
    free(ids.ids);
}
#define ASSERT_CANONICAL(world, ...)                            \
    assert_canonical(world, (const char *const[]){__VA_ARGS__}, \
                     sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *))

TEST(forced_tokens_of_gemma_4_are_those_of_every_way_to_go_on)
{
    struct world world = {.tokenizer = load_built_tokenizer("gemma4-tokenizer.json")};
    uint32_t n_ids = tokenizer_n_tokens(world.tokenizer);
    world.encoder = tokenizer_encoder_create(world.tokenizer);
    world.vocabulary = vocabulary_create(world.tokenizer, n_ids);
    world.config = (struct constraint_config){.vocabulary = world.vocabulary, .n_ids = n_ids};
    reasoning_tokens_find(world.tokenizer, &world.config.tokens);
    ASSERT_CANONICAL(&world, "{\"temperature\": 1}", "{\"temperatures\": 1}");
    ASSERT_CANONICAL(&world, "{\"city_name\":\"Oslo\",", "{\"city_name\":7", "{\"city_name\": 7");
    ASSERT_CANONICAL(&world, "call:get_weather{city:", "call:get_weather_tomorrow{",
                     "call:get_weatherman{");
    ASSERT_CANONICAL(&world, "The answer is forty", "The answer is forty-two", "The answer is  no");
    ASSERT_CANONICAL(&world, "{\"\xE6\x97\xA5\xE6\x9C\xAC\": 1}", "{\"\xE6\x97\xA5\xE6\x9C\xACx\"");
    finish(&world);
}
