/* tests/model/test_generation_config.c - defaults that are there only if the file has them, and the
 * union of stop ids. */
#include "model/generation_config.h"

#include "tests/test.h"

static struct generation_config parse(const char *text)
{
    struct generation_config config;
    struct error err = {0};
    ASSERT_OK_ERR(
        generation_config_parse(text, strlen(text), "generation_config.json", &config, &err), err);
    return config;
}

TEST(what_the_file_says_is_known_to_be_said)
{
    struct generation_config c = parse(
        "{\"do_sample\":true,\"temperature\":1.0,\"top_k\":64,\"top_p\":0.95,"
        "\"eos_token_id\":[1,106,50],\"suppress_tokens\":[258883,258882],\"other\":{}}");
    ASSERT(c.has_temperature && c.has_top_k && c.has_top_p);
    ASSERT(!c.has_repetition_penalty && !c.has_max_new_tokens);
    ASSERT_NEAR(c.temperature, 1, 0);
    ASSERT_EQ(c.top_k, 64);
    ASSERT_NEAR(c.top_p, 0.95, 1e-7);
    ASSERT_EQ(c.n_eos_token_ids, 3);
    ASSERT_EQ(c.eos_token_ids[2], 50);
    ASSERT_EQ(c.n_suppress_tokens, 2);
    ASSERT_EQ(c.suppress_tokens[0], 258883);
    c = parse("{\"temperature\":null,\"repetition_penalty\":1.1,\"max_new_tokens\":5,"
              "\"eos_token_id\":7}");
    ASSERT(!c.has_temperature && c.has_repetition_penalty && c.has_max_new_tokens);
    ASSERT_EQ(c.max_new_tokens, 5);
    ASSERT_EQ(c.n_eos_token_ids, 1);
}

TEST(no_sampling_means_temperature_0)
{
    struct generation_config c = parse("{\"do_sample\":false,\"temperature\":0.7}");
    ASSERT(c.has_temperature && c.temperature == 0);
    c = parse("{\"do_sample\":false}");
    ASSERT(c.has_temperature && c.temperature == 0);
}

TEST(no_file_sets_nothing)
{
    struct generation_config c;
    struct error err = {0};
    ASSERT_OK_ERR(generation_config_load(test_path("data/no-such-file.json"), &c, &err), err);
    ASSERT(!c.has_temperature && !c.has_top_k && !c.has_top_p && !c.has_max_new_tokens);
    ASSERT_EQ(c.n_eos_token_ids, 0);
}

TEST(values_out_of_range_are_refused_by_key)
{
    static const char *const cases[][2] = {
        {"{\"temperature\":-1}", "generation_config.json: temperature: not a number in 0..100"},
        {"{\"temperature\":1e999}", "temperature: not a number"},
        {"{\"top_p\":1.5}", "top_p: not a number"},
        {"{\"top_p\":0}", "top_p: not above 0"},
        {"{\"top_k\":-1}", "top_k: not an integer"},
        {"{\"repetition_penalty\":0}", "repetition_penalty: not above 0"},
        {"{\"max_new_tokens\":0}", "max_new_tokens: not an integer"},
        {"{\"eos_token_id\":[1,null]}", "eos_token_id: not a token id"},
        {"{\"do_sample\":1}", "do_sample: not true or false"},
        {"[]", "generation_config.json: not a JSON object"},
        {"{", "generation_config.json: line 1"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct generation_config c;
        struct error err = {0};
        ASSERT_EQ(generation_config_parse(cases[i][0], strlen(cases[i][0]),
                                          "generation_config.json", &c, &err),
                  STATUS_INVALID_ARGUMENT);
        ASSERT_CONTAINS(err.message, cases[i][1]);
    }
}

static void expect_stops(uint32_t end_of_turn, uint32_t n, const uint32_t *want,
                         const struct model_config *config,
                         const struct generation_config *generation)
{
    uint32_t got[MODEL_MAX_STOP_TOKENS];
    ASSERT_EQ(model_stop_tokens(config, generation, end_of_turn, got), n);
    for (uint32_t i = 0; i < n; i++)
        ASSERT_EQ(got[i], want[i]);
}

TEST(stop_ids_are_the_union_of_all_places)
{
    static struct model_config config = {.eos_token_ids = {1, 106}, .n_eos_token_ids = 2};
    struct generation_config generation = {.eos_token_ids = {50, 106, 1}, .n_eos_token_ids = 3};
    expect_stops(7, 3, (const uint32_t[]){1, 50, 106}, &config, &generation);
    // A scalar that a rewritten checkpoint was left with: <turn|> still ends a turn.
    config.n_eos_token_ids = 1;
    generation.n_eos_token_ids = 0;
    expect_stops(106, 2, (const uint32_t[]){1, 106}, &config, &generation);
    expect_stops(MODEL_TOKEN_NONE, 1, (const uint32_t[]){1}, &config, &generation);
}
