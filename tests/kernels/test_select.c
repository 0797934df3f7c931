/* tests/kernels/test_select.c - the choice of kernels, and its cap from the environment. */
#include "base/env.h"
#include "kernels/ops.h"
#include "tests/test.h"

TEST(every_table_is_full)
{
    for (int i = 0; i < 2 * ((int)kernels_best_variant() + 1); i++) {
        struct ops ops;
        memset(&ops, 0, sizeof ops);
        kernels_select((enum kernels_variant)(i / 2), i % 2 ? COMPUTE_BF16 : COMPUTE_F32, &ops);
        void *functions[sizeof ops / sizeof(void *)];
        memcpy(functions, &ops, sizeof ops);
        for (size_t f = 0; f < sizeof ops / sizeof(void *); f++)
            ASSERT(functions[f]);
    }
}

TEST(the_environment_caps_what_kernels_use)
{
    enum kernels_variant best = kernels_best_variant();
    for (int v = KERNELS_TWIN; v <= KERNELS_AVX512_BF16; v++) {
        setenv("GEMMAD_KERNELS", kernels_variant_name((enum kernels_variant)v), 1);
        ASSERT_EQ(kernels_best_variant(), v < (int)best ? v : (int)best);
    }
    setenv("GEMMAD_KERNELS", "twin", 1);
    ASSERT_EQ(kernels_auto_compute(), COMPUTE_F32);
    setenv("GEMMAD_KERNELS", "", 1); // as if it were not set
    ASSERT(!env_get(ENV_KERNELS));
    unsetenv("GEMMAD_KERNELS");
    ASSERT_EQ(kernels_auto_compute(), best == KERNELS_AVX512_BF16 ? COMPUTE_BF16 : COMPUTE_F32);
}

TEST(each_variable_has_a_name_and_a_description)
{
    for (int i = 0; i < N_ENV_VARIABLES; i++) {
        const struct env_description *description = env_describe((enum env_variable)i);
        bool systems = i == ENV_CACHE_DIRECTORY || i == ENV_XDG_CACHE_HOME || i == ENV_HOME;
        ASSERT(systems || strncmp(description->name, "GEMMAD_", 7) == 0);
        ASSERT(strlen(description->help) > 10);
    }
}
