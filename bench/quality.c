/* bench/quality.c - what quantized weights do to a model's predictions.
 *
 *     bench_quality MODEL_DIR [N_PROMPTS]
 *
 * The logits behind prompts of random tokens, with int8 and int4 weights against bf16 ones: the
 * Kullback-Leibler divergence of the distributions in nats (mean, worst), and how often the
 * likeliest token is the same. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "tests/model/series.h"
#include "tests/test.h"

enum { PROMPT_TOKENS = 24, DEFAULT_PROMPTS = 32, MAX_PROMPTS = 1024 };

static struct rank_group *open_group(const char *folder, enum compute compute,
                                     enum weights_format weights)
{
    struct rank_group_config config = {
        .folder = folder,
        .world_size = 1,
        .compute = compute,
        .weights = weights,
        .n_threads = 2,
        .max_rows = 128,
        .max_slots = 1,
        .max_positions = 64,
        .page_tokens = 32,
        .n_pages = 8,
        .max_logits_rows = 1,
    };
    return rank_group_create(&config);
}

// Logits of prompt number i, the same for every group.
static const float *logits_of(struct rank_group *group, uint32_t vocab_size, uint64_t i)
{
    uint64_t state = i;
    uint32_t prompt[PROMPT_TOKENS];
    for (int t = 0; t < PROMPT_TOKENS; t++) { // Knuth's linear congruential generator
        state = state * 6364136223846793005U + 1442695040888963407U;
        prompt[t] = (uint32_t)((state >> 33) % vocab_size);
    }
    return series_last_logits(group, prompt, PROMPT_TOKENS);
}

static uint32_t best_of(const float *logits, uint32_t n)
{
    uint32_t best = 0;
    for (uint32_t i = 1; i < n; i++)
        best = logits[i] > logits[best] ? i : best;
    return best;
}

static double log_sum(const float *logits, uint32_t n)
{
    double most = logits[best_of(logits, n)], sum = 0;
    for (uint32_t i = 0; i < n; i++)
        sum += exp(logits[i] - most);
    return most + log(sum);
}

static double divergence(const float *p, const float *q, uint32_t n)
{
    double p_sum = log_sum(p, n), q_sum = log_sum(q, n), sum = 0;
    for (uint32_t i = 0; i < n; i++)
        sum += exp(p[i] - p_sum) * ((p[i] - p_sum) - (q[i] - q_sum));
    return sum;
}

static void compare(struct rank_group *group, const char *name, const float *reference,
                    uint32_t n_prompts, uint32_t vocab_size)
{
    double sum = 0, worst = 0;
    uint32_t n_same = 0;
    for (uint32_t i = 0; i < n_prompts; i++) {
        const float *p = reference + (size_t)i * vocab_size, *q = logits_of(group, vocab_size, i);
        double kl = divergence(p, q, vocab_size);
        sum += kl;
        worst = kl > worst ? kl : worst;
        n_same += best_of(p, vocab_size) == best_of(q, vocab_size);
    }
    printf("%-16s KL divergence from bf16: mean %.5f, worst %.5f nats; the same best token: %u of "
           "%u\n",
           name, sum / n_prompts, worst, n_same, n_prompts);
    rank_group_destroy(group);
}

int main(int argc, char **argv)
{
    uint32_t n_prompts = argc > 2 ? (uint32_t)atoi(argv[2]) : DEFAULT_PROMPTS;
    if (argc < 2 || n_prompts < 1 || n_prompts > MAX_PROMPTS) {
        fprintf(stderr, "usage: bench_quality MODEL_DIR [N_PROMPTS, at most %d]\n", MAX_PROMPTS);
        return 2;
    }
    const char *folder = argv[1];
    struct rank_group *group = open_group(folder, COMPUTE_BF16, WEIGHTS_BF16);
    uint32_t vocab_size = rank_group_model(group)->vocab_size;
    float *reference = mem_zeroed((size_t)n_prompts * vocab_size, sizeof *reference);
    for (uint32_t i = 0; i < n_prompts; i++)
        memcpy(reference + (size_t)i * vocab_size, logits_of(group, vocab_size, i),
               vocab_size * sizeof *reference);
    rank_group_destroy(group);
    static const struct {
        const char *name;
        enum compute compute;
        enum weights_format weights;
    } rows[] = {
        {"f32 activations", COMPUTE_F32, WEIGHTS_BF16},
        {"int8", COMPUTE_BF16, WEIGHTS_INT8},
        {"int4", COMPUTE_BF16, WEIGHTS_INT4},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        compare(open_group(folder, rows[i].compute, rows[i].weights), rows[i].name, reference,
                n_prompts, vocab_size);
    free(reference);
    return 0;
}
