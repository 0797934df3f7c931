/* tests/kernels/test_vector_math.c - exp and tanh of kernels/simd.h against libm, over all sizes.
 * This file is compiled for AVX2; other instruction sets have the same bits by the ops' own tests.
 */
#include "kernels/ops.h"
#include "kernels/simd.h"
#include "tests/test.h"

static void skip_unless_avx2(void)
{
    if (kernels_best_variant() < KERNELS_AVX2)
        test_skip("this CPU has no AVX2");
}

// The error in units of the last place of the exact result.
static double ulps(float got, double want)
{
    int exponent;
    frexp(want, &exponent);
    return fabs(got - want) / ldexp(1, exponent - 24);
}

TEST(exp_is_within_2_ulp)
{
    skip_unless_avx2();
    for (int i = -87300; i < 88300; i += 7) {
        float x = (float)i / 1000;
        double error = ulps(vf_first(vf_exp(vf_set1(x))), exp(x));
        if (error > 2)
            test_fail(__FILE__, __LINE__, "exp(%a) is off by %g ulp", x, error);
    }
}

TEST(exp_of_extremes_is_zero_huge_or_nan)
{
    skip_unless_avx2();
    ASSERT(vf_first(vf_exp(vf_set1(-INFINITY))) == 0);
    ASSERT(vf_first(vf_exp(vf_set1(-1e30F))) == 0);
    ASSERT(vf_first(vf_exp(vf_set1(0))) == 1);
    ASSERT(vf_first(vf_exp(vf_set1(1e30F))) > 1e38F);
    ASSERT(isnan(vf_first(vf_exp(vf_set1(NAN)))));
}

TEST(tanh_is_within_3_ulp)
{
    skip_unless_avx2();
    for (int i = -12000; i < 12000; i++) {
        float x = (float)i / 1000;
        if (i == 0)
            continue;
        double error = ulps(vf_first(vf_tanh(vf_set1(x))), tanh(x));
        if (error > 3)
            test_fail(__FILE__, __LINE__, "tanh(%a) is off by %g ulp", x, error);
    }
    ASSERT(isnan(vf_first(vf_tanh(vf_set1(NAN)))));
}
