/* tests/engine/test_sampler.c - the sampler against its definition: full sorts in f64, and the
 * known answers of Philox. Draws are compared as frequencies where a draw is random. */
#include "engine/random.h"
#include "engine/sampler.h"
#include "tests/test.h"

enum { VOCAB = 50 };

static struct sampling_params neutral(void)
{
    return (struct sampling_params){
        .temperature = 1,
        .top_p = 1,
        .repetition_penalty = 1,
        .n_logprobs = -1,
        .n_prompt_logprobs = -1,
        .n_prompt_tokens = 4,
        .seed = 7,
    };
}

static struct sampler *started(const struct sampling_params *params)
{
    struct sampler *sampler = sampler_create(VOCAB, 2, 64, 1);
    struct step_start start = {.slot = 1, .sampling = *params};
    sampler_start(sampler, &start, NULL);
    return sampler;
}

static void some_logits(uint64_t seed, float *logits)
{
    for (int i = 0; i < VOCAB; i++)
        logits[i] = (float)(test_random(&seed) % 1000) / 150.0F;
}

static uint32_t sample(struct sampler *sampler, const float *logits, uint32_t position)
{
    uint32_t token, n;
    struct token_logprob logprobs[1 + SAMPLING_MAX_TOP_LOGPROBS];
    ASSERT(sampler_sample(sampler, 0, 1, position, logits, NULL, &token, logprobs, &n));
    return token;
}

TEST(philox_gives_the_published_numbers)
{
    uint32_t out[4]; // known answers of Random123's kat_vectors
    philox4x32(0, 0, out);
    ASSERT_EQ(out[0], 0x6627e8d5);
    ASSERT_EQ(out[1], 0xe169c58d);
    ASSERT_EQ(out[2], 0xbc57ac4c);
    ASSERT_EQ(out[3], 0x9b00dbd8);
}

TEST(greedy_takes_the_lowest_id_on_ties)
{
    struct sampling_params params = neutral();
    params.temperature = 0;
    struct sampler *sampler = started(&params);
    float logits[VOCAB] = {0};
    logits[9] = logits[3] = logits[40] = 5;
    ASSERT_EQ(sample(sampler, logits, 4), 3);
    sampler_destroy(sampler);
}

TEST(a_draw_depends_on_seed_and_position_alone)
{
    struct sampling_params params = neutral();
    struct sampler *a = started(&params);
    struct sampler *b = started(&params);
    float logits[VOCAB];
    some_logits(1, logits);
    for (uint32_t position = 60; position >= 4; position--)
        sample(a, logits, position);
    int differ = 0;
    for (uint32_t position = 4; position < 60; position++) {
        uint32_t token = sample(b, logits, position);
        ASSERT_EQ(token, sample(a, logits, position));
        differ += token != sample(b, logits, position + 1);
    }
    ASSERT(differ > 20);
    sampler_destroy(a);
    sampler_destroy(b);
}

// The probability of each token by the definition: sort, cut, renormalise.
static void expected_probabilities(const struct sampling_params *p, const float *logits,
                                   double *out)
{
    int order[VOCAB];
    for (int i = 0; i < VOCAB; i++)
        order[i] = i;
    for (int i = 0; i < VOCAB; i++)
        for (int j = i + 1; j < VOCAB; j++)
            if (logits[order[j]] > logits[order[i]] ||
                (logits[order[j]] == logits[order[i]] && order[j] < order[i])) {
                int t = order[i];
                order[i] = order[j];
                order[j] = t;
            }
    int n = p->top_k && p->top_k < VOCAB ? (int)p->top_k : VOCAB;
    double w[VOCAB], total = 0, mass = 0, kept = 0;
    for (int i = 0; i < n; i++)
        total += w[i] = exp((logits[order[i]] - logits[order[0]]) / p->temperature);
    memset(out, 0, VOCAB * sizeof *out);
    for (int i = 0; i < n; i++) {
        if (i && (mass >= p->top_p * total || w[i] < p->min_p))
            break;
        mass += w[i];
        kept += out[order[i]] = w[i];
    }
    for (int i = 0; i < VOCAB; i++)
        out[i] /= kept;
}

TEST(draws_follow_the_filtered_distribution)
{
    static const struct {
        uint32_t top_k;
        float top_p, min_p, temperature;
    } cases[] = {{0, 1, 0, 1},    {5, 1, 0, 1},          {0, 0.8F, 0, 1},     {0, 1, 0.2F, 1},
                 {7, 0.7F, 0, 2}, {0, 0.5F, 0.1F, 0.5F}, {VOCAB, 0.9F, 0, 1}, {1, 1, 0, 1}};
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        struct sampling_params params = neutral();
        params.top_k = cases[c].top_k;
        params.top_p = cases[c].top_p;
        params.min_p = cases[c].min_p;
        params.temperature = cases[c].temperature;
        float logits[VOCAB];
        some_logits(c + 3, logits);
        double want[VOCAB];
        expected_probabilities(&params, logits, want);
        int seen[VOCAB] = {0};
        enum { DRAWS = 20000 };
        for (uint64_t seed = 0; seed < DRAWS; seed += 1000) {
            params.seed = seed + 1;
            struct sampler *sampler = started(&params);
            for (uint32_t i = 0; i < 1000; i++)
                seen[sample(sampler, logits, 4 + i)]++;
            sampler_destroy(sampler);
        }
        for (int i = 0; i < VOCAB; i++) {
            double sigma = sqrt(want[i] * (1 - want[i]) / DRAWS);
            if (want[i] == 0)
                ASSERT_EQ(seen[i], 0);
            else
                ASSERT_NEAR((double)seen[i] / DRAWS, want[i], 5 * sigma + 1e-9);
        }
    }
}

TEST(penalties_count_each_position_once)
{
    struct sampling_params params = neutral();
    params.temperature = 0;
    params.repetition_penalty = 2;
    params.frequency_penalty = 0.5F;
    params.presence_penalty = 0.25F;
    struct sampler *sampler = started(&params);
    const uint32_t prompt[4] = {1, 2, 2, 3};
    sampler_observe(sampler, 1, 0, prompt, 4);
    const uint32_t generated[2] = {3, 5};
    sampler_observe(sampler, 1, 4, generated, 2);
    sampler_observe(sampler, 1, 5, generated + 1, 1); // fed again: known already
    float logits[VOCAB];
    for (int i = 0; i < VOCAB; i++)
        logits[i] = -100;
    // 3: 9/2 - 0.5 - 0.25 = 3.75; 5: 9/2 - 0.75; 2: 9/2, prompt only; 7: untouched
    logits[3] = 9;
    logits[7] = 3.8F;
    ASSERT_EQ(sample(sampler, logits, 6), 7);
    logits[7] = 3.7F;
    ASSERT_EQ(sample(sampler, logits, 6), 3);
    logits[2] = 7.6F;
    ASSERT_EQ(sample(sampler, logits, 6), 2);
    sampler_destroy(sampler);
}

TEST(stop_ids_are_masked_until_min_tokens)
{
    struct sampling_params params = neutral();
    params.temperature = 0;
    params.min_tokens = 2;
    struct sampler *sampler = sampler_create(VOCAB, 2, 64, 1);
    const uint32_t blob[] = {8, 8};
    struct step_start start = {.slot = 1, .n_stop_ids = 2, .sampling = params};
    sampler_start(sampler, &start, (const unsigned char *)blob);
    float logits[VOCAB] = {0};
    logits[8] = 3;
    logits[4] = 1;
    ASSERT_EQ(sample(sampler, logits, 4), 4);
    ASSERT_EQ(sample(sampler, logits, 5), 4);
    ASSERT_EQ(sample(sampler, logits, 6), 8);
    sampler_destroy(sampler);
}

TEST(biases_are_added_and_logprobs_are_the_models)
{
    struct sampling_params params = neutral();
    params.temperature = 0;
    params.n_logprobs = 2;
    struct sampler *sampler = sampler_create(VOCAB, 2, 64, 1);
    const struct token_logprob bias = {12, 100};
    struct step_start start = {.slot = 1, .n_biases = 1, .sampling = params};
    sampler_start(sampler, &start, (const unsigned char *)&bias);
    float logits[VOCAB];
    some_logits(5, logits);
    logits[30] = 8;
    logits[31] = 7.5F;
    double sum = 0;
    for (int i = 0; i < VOCAB; i++)
        sum += exp(logits[i]);
    uint32_t token, n;
    struct token_logprob out[3];
    ASSERT(sampler_sample(sampler, 0, 1, 4, logits, NULL, &token, out, &n));
    ASSERT_EQ(token, 12);
    ASSERT_EQ(n, 3);
    ASSERT_EQ(out[0].token_id, 12);
    ASSERT_NEAR(out[0].logprob, logits[12] - log(sum), 1e-5);
    ASSERT_EQ(out[1].token_id, 30);
    ASSERT_NEAR(out[1].logprob, 8 - log(sum), 1e-5);
    ASSERT_EQ(out[2].token_id, 31);
    sampler_destroy(sampler);
}

TEST(unsound_logits_are_reported)
{
    struct sampling_params params = neutral();
    struct sampler *sampler = started(&params);
    float logits[VOCAB] = {0};
    uint32_t token, n;
    logits[20] = NAN;
    ASSERT(!sampler_sample(sampler, 0, 1, 4, logits, NULL, &token, NULL, &n));
    logits[20] = INFINITY;
    ASSERT(!sampler_sample(sampler, 0, 1, 4, logits, NULL, &token, NULL, &n));
    for (int i = 0; i < VOCAB; i++)
        logits[i] = -INFINITY;
    ASSERT(!sampler_sample(sampler, 0, 1, 4, logits, NULL, &token, NULL, &n));
    logits[49] = -3;
    ASSERT(sampler_sample(sampler, 0, 1, 4, logits, NULL, &token, NULL, &n));
    ASSERT_EQ(token, 49);
    sampler_destroy(sampler);
}

static bool sample_masked(struct sampler *sampler, const float *logits, enum step_mask_kind kind,
                          const uint32_t *words, uint32_t n_words, uint32_t *out)
{
    struct sampler_mask mask = {.kind = kind, .n_ids = VOCAB - 3, .words = words, n_words};
    uint32_t n;
    struct token_logprob logprobs[1 + SAMPLING_MAX_TOP_LOGPROBS];
    return sampler_sample(sampler, 0, 1, 4, logits, &mask, out, logprobs, &n);
}

TEST(a_mask_allows_what_it_says_and_no_id_behind_the_tokenizer)
{
    struct sampling_params params = neutral();
    params.temperature = 0;
    struct sampler *sampler = started(&params);
    float logits[VOCAB] = {0};
    logits[VOCAB - 1] = 9; // no text
    logits[40] = 8;
    logits[30] = 7;
    logits[20] = 6;
    const uint32_t bits[] = {1U << 20, 0};
    const uint32_t ids[] = {30, 40};
    uint32_t token;
    ASSERT(sample_masked(sampler, logits, STEP_MASK_ALL, NULL, 0, &token));
    ASSERT_EQ(token, 40);
    ASSERT(sample_masked(sampler, logits, STEP_MASK_NOT, ids, 2, &token));
    ASSERT_EQ(token, 20);
    ASSERT(sample_masked(sampler, logits, STEP_MASK_BITS, bits, 2, &token));
    ASSERT_EQ(token, 20);
    ASSERT(sample_masked(sampler, logits, STEP_MASK_ONE, ids, 1, &token));
    ASSERT_EQ(token, 30);
    sampler_destroy(sampler);
}

TEST(a_mask_of_nothing_is_bad_logits_and_what_is_not_allowed_may_be_nan)
{
    struct sampling_params params = neutral();
    struct sampler *sampler = started(&params);
    float logits[VOCAB] = {0};
    const uint32_t none[] = {0, 0x38000}; // ids behind the tokenizer
    const uint32_t some[] = {4, 0};
    uint32_t token;
    ASSERT(!sample_masked(sampler, logits, STEP_MASK_BITS, none, 2, &token));
    logits[5] = NAN;
    ASSERT(sample_masked(sampler, logits, STEP_MASK_BITS, some, 2, &token));
    ASSERT_EQ(token, 2);
    ASSERT(!sample_masked(sampler, logits, STEP_MASK_ALL, NULL, 0, &token));
    logits[2] = NAN;
    ASSERT(!sample_masked(sampler, logits, STEP_MASK_BITS, some, 2, &token));
    ASSERT(!sample_masked(sampler, logits, STEP_MASK_ONE, (uint32_t[]){2}, 1, &token));
    sampler_destroy(sampler);
}

TEST(bits_allow_what_they_say_under_every_filter)
{
    uint64_t random = 3;
    for (int i = 0; i < 2000; i++) {
        struct sampling_params params = neutral();
        params.seed = (uint64_t)i;
        params.top_k = i % 3 == 0 ? 5 : 0;
        params.top_p = i % 2 == 0 ? 0.8F : 1;
        params.presence_penalty = i % 5 == 0;
        struct sampler *sampler = started(&params);
        float logits[VOCAB];
        some_logits((uint64_t)i, logits);
        // Whole, empty and mixed words.
        uint32_t bits[2];
        for (int k = 0; k < 2; k++) {
            uint64_t r = test_random(&random);
            bits[k] = r % 3 == 0 ? 0 : r % 3 == 1 ? UINT32_MAX : (uint32_t)(r >> 32);
        }
        uint32_t token;
        bool any = bits[0] != 0 || (bits[1] & 0x7FFF) != 0;
        ASSERT_EQ(sample_masked(sampler, logits, STEP_MASK_BITS, bits, 2, &token), any);
        if (any)
            ASSERT(token < VOCAB - 3 && bits[token / 32] >> token % 32 & 1);
        sampler_destroy(sampler);
    }
}

TEST(stop_ids_stay_masked_until_min_tokens_unless_nothing_else_is_left)
{
    struct sampling_params params = neutral();
    params.min_tokens = 10;
    struct sampler *sampler = sampler_create(VOCAB, 2, 64, 1);
    const uint32_t stop_ids[] = {7};
    struct step_start start = {.slot = 1, .n_stop_ids = 1, .sampling = params};
    sampler_start(sampler, &start, (const unsigned char *)stop_ids);
    float logits[VOCAB] = {0};
    logits[7] = 20;
    const uint32_t stop_or_text[] = {1U << 7 | 1U << 9, 0};
    const uint32_t stop_alone[] = {1U << 7, 0};
    uint32_t token;
    ASSERT(sample_masked(sampler, logits, STEP_MASK_BITS, stop_or_text, 2, &token));
    ASSERT_EQ(token, 9);
    ASSERT(sample_masked(sampler, logits, STEP_MASK_BITS, stop_alone, 2, &token));
    ASSERT_EQ(token, 7);
    sampler_destroy(sampler);
}

TEST(logprobs_of_a_masked_token_are_the_models)
{
    struct sampling_params params = neutral();
    params.n_logprobs = 1;
    struct sampler *sampler = started(&params);
    float logits[VOCAB] = {0};
    logits[3] = 5;
    struct sampler_mask mask = {
        .kind = STEP_MASK_ONE, .n_ids = VOCAB, .words = (uint32_t[]){8}, .n_words = 1};
    uint32_t token, n;
    struct token_logprob got[2], want[2];
    ASSERT(sampler_sample(sampler, 0, 1, 4, logits, &mask, &token, got, &n));
    ASSERT_EQ(n, 2);
    ASSERT(sampler_logprobs(logits, VOCAB, 8, 1, want));
    ASSERT_EQ(memcmp(got, want, sizeof got), 0);
    ASSERT_EQ(got[1].token_id, 3);
    sampler_destroy(sampler);
}
