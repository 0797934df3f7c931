/* bench/forward.c - one sequence through real ranks (threads of this process), without server:
 * loading, prefill and decode speed of a checkpoint.
 *
 *     bench_forward MODEL_DIR [WORLD_SIZE [f32|bf16 [PROMPT_TOKENS [NEW_TOKENS]]]] */
#include <stdarg.h>

#include "base/clock.h"
#include "tests/model/series.h"
#include "tests/test.h"

static double seconds_since(uint64_t start_ns)
{
    return (double)(clock_now_ns() - start_ns) / (double)NS_PER_S;
}

// Ranks report trouble as a failing test would; here it ends the benchmark.
_Noreturn void test_fail(const char *file, int line, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fprintf(stderr, "%s:%d: ", file, line);
    vfprintf(stderr, format, args);
    fprintf(stderr, "\n");
    va_end(args);
    exit(1);
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        fprintf(stderr, "usage: bench_forward MODEL_DIR [WORLD_SIZE [f32|bf16 [PROMPT_TOKENS "
                        "[NEW_TOKENS]]]]\n");
        return 2;
    }
    uint32_t world = argc > 2 ? (uint32_t)atoi(argv[2]) : 1;
    enum compute compute = kernels_auto_compute();
    if (argc > 3)
        compute = strcmp(argv[3], "bf16") == 0 ? COMPUTE_BF16 : COMPUTE_F32;
    uint32_t n_prompt = argc > 4 ? (uint32_t)atoi(argv[4]) : 512;
    uint32_t n_new = argc > 5 ? (uint32_t)atoi(argv[5]) : 32;
    ASSERT(n_prompt >= 1 && n_prompt <= SERIES_MAX_PROMPT && n_new <= SERIES_MAX_NEW);
    uint64_t start = clock_now_ns();
    struct rank_group *group = series_group(argv[1], world, compute, 1024, 32, NULL, NULL);
    printf("load      %6.2f s\n", seconds_since(start));
    uint32_t *prompt = calloc(n_prompt, sizeof *prompt);
    for (uint32_t i = 0; i < n_prompt; i++)
        prompt[i] = i ? 1000 + i * 7 % 20000 : 2;
    static struct series_result result;
    struct series_options options = {.n_new = 1, .chunk = 128};
    start = clock_now_ns();
    series_run(group, prompt, n_prompt, &options, &result);
    double prefill = seconds_since(start);
    printf("prefill   %6.2f s, %.1f tokens/s (%u tokens, first run)\n", prefill, n_prompt / prefill,
           n_prompt);
    options.n_new = n_new;
    start = clock_now_ns();
    series_run(group, prompt, 1, &options, &result);
    double decode = seconds_since(start);
    printf("decode    %6.3f s/token, %.2f tokens/s\n", decode / n_new, n_new / decode);
    free(prompt);
    rank_group_destroy(group);
    return 0;
}
