/* tests/model/test_bits.c - the same sequence gives the same bits, tokens and logprobs, with any
 * chunking of its prompt, at any world size and with any number of threads, in every format of
 * weights. Batches, preemption and whole processes are tests/serving/test_bits.py's part. */
#include "tests/model/series.h"
#include "tests/test.h"

static const char *const kinds[] = {"dense", "moe", "ple"};
enum { N_KINDS = 3, N_PROMPT = 150, N_NEW = 12 };

static struct series_options options_of(float temperature, uint32_t chunk)
{
    return (struct series_options){.n_new = N_NEW,
                                   .chunk = chunk,
                                   .n_logprobs = 8,
                                   .prompt_logprobs = true,
                                   .temperature = temperature,
                                   .seed = 42};
}

static struct rank_group *group_of(int kind, uint32_t world_size, enum compute compute,
                                   enum weights_format weights)
{
    char path[64];
    snprintf(path, sizeof path, "data/goldens/%s/checkpoint", kinds[kind]);
    return series_group(test_path(path), world_size, compute, weights, 256, 16, NULL, NULL);
}

static void run(struct rank_group *group, float temperature, uint32_t chunk,
                struct series_result *out)
{
    uint32_t prompt[N_PROMPT];
    for (uint32_t i = 0; i < N_PROMPT; i++)
        prompt[i] = i == 0 ? 2 : 100 + (i * 37) % 800;
    struct series_options options = options_of(temperature, chunk);
    series_run(group, prompt, N_PROMPT, &options, out);
}

static void compare(const struct series_result *got, const struct series_result *want,
                    const char *what, uint32_t n)
{
    if (memcmp(got, want, sizeof *got) == 0)
        return;
    for (uint32_t t = 0; t < N_NEW; t++)
        if (memcmp(got->logprobs[t], want->logprobs[t], sizeof got->logprobs[t]) != 0 ||
            got->tokens[t] != want->tokens[t])
            test_fail(__FILE__, __LINE__, "%s %u: new token %u differs (%u, %.9g against %u, %.9g)",
                      what, n, t, got->tokens[t], (double)got->logprobs[t][0].logprob,
                      want->tokens[t], (double)want->logprobs[t][0].logprob);
    test_fail(__FILE__, __LINE__, "%s %u: prompt logprobs differ", what, n);
}

static void check(enum compute compute, enum weights_format weights)
{
    static struct series_result want[2];
    static struct series_result got;
    for (int k = 0; k < N_KINDS; k++) {
        struct rank_group *group = group_of(k, 1, compute, weights);
        for (int sampled = 0; sampled < 2; sampled++) {
            run(group, (float)sampled, 128, &want[sampled]);
            static const uint32_t chunks[] = {1, 7, 64};
            for (int c = 0; c < 3; c++) {
                run(group, (float)sampled, chunks[c], &got);
                compare(&got, &want[sampled], kinds[k], chunks[c]);
            }
        }
        ASSERT(memcmp(want[0].tokens, want[1].tokens, sizeof want[0].tokens) != 0);
        rank_group_destroy(group);
        for (uint32_t world = 2; world <= 8; world *= 2) {
            group = group_of(k, world, compute, weights);
            for (int sampled = 0; sampled < 2; sampled++) {
                run(group, (float)sampled, 64, &got);
                compare(&got, &want[sampled], kinds[k], world);
            }
            rank_group_destroy(group);
        }
    }
}

TEST(bits_do_not_depend_on_chunks_or_world_size_in_f32)
{
    check(COMPUTE_F32, WEIGHTS_AUTO);
}

TEST(bits_do_not_depend_on_chunks_or_world_size_in_bf16)
{
    check(COMPUTE_BF16, WEIGHTS_AUTO);
}

TEST(bits_do_not_depend_on_chunks_or_world_size_with_int8_weights)
{
    check(COMPUTE_BF16, WEIGHTS_INT8);
}

TEST(bits_do_not_depend_on_chunks_or_world_size_with_int4_weights)
{
    check(COMPUTE_F32, WEIGHTS_INT4);
}
