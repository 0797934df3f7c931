/* tests/model/test_text.c - the text model against the reference implementation's goldens: hidden
 * states layer by layer, greedy tokens, logprobs, and, in bf16, how far logits are off.
 * GEMMAD_GOLDENS=folder:folder checks other fixtures than the project's. */
#include "tests/model/goldens.h"
#include "tests/model/series.h"
#include "tests/test.h"

enum { MAX_FIXTURES = 32, MAX_POSITIONS = 640, PAGE_TOKENS = 16 };

static const char *fixtures[MAX_FIXTURES];
static int n_fixtures;

__attribute__((constructor)) static void find_fixtures(void)
{
    char *given = getenv("GEMMAD_GOLDENS");
    if (!given) {
        fixtures[n_fixtures++] = strdup(test_path("data/goldens/dense"));
        fixtures[n_fixtures++] = strdup(test_path("data/goldens/moe"));
        fixtures[n_fixtures++] = strdup(test_path("data/goldens/ple"));
        return;
    }
    for (char *folder = strtok(given, ":"); folder && n_fixtures < MAX_FIXTURES;
         folder = strtok(NULL, ":"))
        fixtures[n_fixtures++] = folder;
}

static struct rank_group *group_of(const struct goldens *goldens, uint32_t world_size,
                                   enum compute compute)
{
    char folder[600];
    snprintf(folder, sizeof folder, "%s/checkpoint", goldens->folder);
    return series_group(folder, world_size, compute, WEIGHTS_AUTO, MAX_POSITIONS, PAGE_TOKENS, NULL,
                        NULL);
}

// Compares rank 0's hidden rows after each layer with the golden of that layer.
struct layer_check {
    const struct goldens *goldens;
    uint32_t n_rows;
    uint32_t n_layers;
    double worst;
};

static void check_layer(void *context, uint32_t layer, const float *hidden, uint32_t n_rows)
{
    struct layer_check *check = context;
    char name[32];
    snprintf(name, sizeof name, "layer%02u.out", layer);
    size_t n;
    const float *want = goldens_array(check->goldens->hidden, name, true, &n);
    size_t width = n / check->n_rows;
    // Behind the last layer with a cache only the last row is carried on.
    const float *first = want + (check->n_rows - n_rows) * width;
    for (size_t i = 0; i < n_rows * width; i++) {
        double scale = fmax(1, fabs((double)first[i]));
        check->worst = fmax(check->worst, fabs((double)hidden[i] - (double)first[i]) / scale);
    }
    check->n_layers++;
}

TEST(hidden_states_equal_the_references_after_every_layer)
{
    for (int k = 0; k < n_fixtures; k++) {
        struct goldens *goldens = goldens_open(fixtures[k]);
        const struct golden_case *seven = &goldens->cases[1];
        ASSERT_EQ(seven->n_prompt, 7);
        struct layer_check check = {.goldens = goldens, .n_rows = 7};
        char folder[600];
        snprintf(folder, sizeof folder, "%s/checkpoint", goldens->folder);
        struct rank_group *group = series_group(folder, 1, COMPUTE_F32, WEIGHTS_AUTO, MAX_POSITIONS,
                                                PAGE_TOKENS, check_layer, &check);
        struct series_result result;
        struct series_options options = {.n_new = 1, .chunk = 7};
        series_run(group, seven->prompt, 7, &options, &result);
        ASSERT_EQ(check.n_layers, rank_group_model(group)->num_hidden_layers);
        ASSERT_NEAR(check.worst, 0, 2e-4);
        rank_group_destroy(group);
        goldens_close(goldens);
    }
}

static void check_case(struct rank_group *group, const struct goldens *goldens,
                       const struct golden_case *c, uint32_t world)
{
    static struct series_result result;
    struct series_options options = {
        .n_new = c->n_tokens,
        .chunk = 128,
        .n_logprobs = GOLDEN_TOP,
        .prompt_logprobs = c->n_prompt > 1,
    };
    series_run(group, c->prompt, c->n_prompt, &options, &result);
    for (uint32_t t = 0; t < c->n_tokens; t++) {
        if (result.tokens[t] != c->tokens[t])
            test_fail(__FILE__, __LINE__, "%s %s world %u: token %u is %u, want %u (margin %g)",
                      goldens->folder, c->name, world, t, result.tokens[t], c->tokens[t],
                      c->margin[t]);
        for (uint32_t i = 0; i < GOLDEN_TOP; i++)
            ASSERT_NEAR((double)result.logprobs[t][1 + i].logprob, c->top_logprobs[t][i], 1e-3);
    }
    char name[64];
    size_t n;
    snprintf(name, sizeof name, "%s.prompt_logprobs", c->name);
    const float *want = goldens_array(goldens->arrays, name, false, &n);
    ASSERT_EQ(result.n_prompt_logprobs, c->n_prompt - 1);
    for (uint32_t i = 0; want && i < n; i++)
        ASSERT_NEAR((double)result.prompt_logprobs[i], (double)want[i], 1e-3);
}

TEST(greedy_tokens_and_logprobs_equal_the_references_at_every_world_size)
{
    for (int k = 0; k < n_fixtures; k++) {
        struct goldens *goldens = goldens_open(fixtures[k]);
        for (uint32_t world = 1; world <= 8; world *= 2) {
            struct rank_group *group = group_of(goldens, world, COMPUTE_F32);
            uint32_t n_heads = rank_group_model(group)->num_attention_heads;
            uint32_t n_cases = world <= 2 ? goldens->n_cases : 4; // more ranks than cores are slow
            for (uint32_t i = 0; i < n_cases; i++)
                check_case(group, goldens, &goldens->cases[i], world);
            rank_group_destroy(group);
            if (n_heads % (2 * world))
                break; // cannot be divided further
        }
        goldens_close(goldens);
    }
}

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a;
    double y = *(const double *)b;
    return (x > y) - (x < y);
}

// Absolute errors of logits, collected over cases.
struct errors {
    double *values;
    size_t n;
};

static void add_errors(struct errors *errors, const float *got, const float *want, size_t n)
{
    errors->values = realloc(errors->values, (errors->n + n) * sizeof(double));
    for (size_t i = 0; i < n; i++)
        errors->values[errors->n++] = fabs((double)got[i] - (double)want[i]);
}

static double quantile(struct errors *errors, double q)
{
    qsort(errors->values, errors->n, sizeof(double), ascending);
    return errors->values[(size_t)(q * (double)(errors->n - 1))];
}

TEST(bf16_logits_are_no_further_off_than_the_references_bf16_ones)
{
    for (int k = 0; k < n_fixtures; k++) {
        struct goldens *goldens = goldens_open(fixtures[k]);
        struct rank_group *group = group_of(goldens, 1, COMPUTE_BF16);
        struct errors ours = {0};
        struct errors theirs = {0};
        for (uint32_t i = 0; i < goldens->n_cases; i++) {
            const struct golden_case *c = &goldens->cases[i];
            char name[64];
            size_t n;
            snprintf(name, sizeof name, "%s.logits_last", c->name);
            const float *want = goldens_array(goldens->arrays, name, true, &n);
            snprintf(name, sizeof name, "%s.logits_last_bf16", c->name);
            const float *reference = goldens_array(goldens->arrays, name, true, &n);
            add_errors(&ours, series_last_logits(group, c->prompt, c->n_prompt), want, n);
            add_errors(&theirs, reference, want, n);
        }
        static const double quantiles[] = {0.5, 0.9, 0.99};
        for (int q = 0; q < 3; q++) {
            double got = quantile(&ours, quantiles[q]);
            double bound = 1.25 * quantile(&theirs, quantiles[q]);
            printf("%s bf16 logit error, quantile %.2f: %.4f, bound %.4f\n", fixtures[k],
                   quantiles[q], got, bound);
            if (got > bound)
                test_fail(__FILE__, __LINE__, "%s: quantile %.2f is %.4f, bound %.4f", fixtures[k],
                          quantiles[q], got, bound);
        }
        free(ours.values);
        free(theirs.values);
        rank_group_destroy(group);
        goldens_close(goldens);
    }
}

TEST(bf16_takes_the_references_token_wherever_its_margin_is_one)
{
    for (int k = 0; k < n_fixtures; k++) {
        struct goldens *goldens = goldens_open(fixtures[k]);
        struct rank_group *group = group_of(goldens, 1, COMPUTE_BF16);
        uint32_t n_checked = 0;
        for (uint32_t i = 0; i < goldens->n_cases; i++) {
            const struct golden_case *c = &goldens->cases[i];
            static uint32_t forced[GOLDEN_MAX_TOKENS + 64];
            memcpy(forced, c->prompt, c->n_prompt * sizeof *forced);
            memcpy(forced + c->n_prompt, c->tokens, c->n_tokens * sizeof *forced);
            static struct series_result result;
            struct series_options options = {.n_new = 1, .chunk = 128, .prompt_logprobs = true};
            series_run(group, forced, c->n_prompt + c->n_tokens, &options, &result);
            for (uint32_t t = 0; t < c->n_tokens; t++) {
                if (c->margin[t] < 1)
                    continue;
                ASSERT_EQ(result.prompt_best[c->n_prompt - 1 + t], c->tokens[t]);
                n_checked++;
            }
        }
        ASSERT(n_checked > 100);
        rank_group_destroy(group);
        goldens_close(goldens);
    }
}
