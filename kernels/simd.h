/* kernels/simd.h - one vector of 16 f32 lanes, whatever the CPU's registers are: one register with
 * AVX-512, two with AVX2. The same names, the same operations in the same order, so a body written
 * with them gives the same bits in both. Included by op files that are compiled with -mavx2 or
 * -mavx512f; they cannot be compiled without.
 *
 * vf_load_n and vf_store_n touch the first n lanes only (n >= 16: all; loads fill with zeros).
 * vf_min and vf_max give their second operand if either is NaN. */
#ifndef GEMMAD_KERNELS_SIMD_H
#define GEMMAD_KERNELS_SIMD_H

#include "kernels/types.h"
#include "kernels/variant.h"

#ifdef __AVX512F__
#include "kernels/simd_avx512.h"
#else
#include "kernels/simd_avx2.h"
#endif

/* Four sums over lanes; each in the order (i + (i + 8)), then neighbours twice, then halves. */
ALWAYS_INLINE __m128 vf_sum_4(vf a, vf b, vf c, vf d)
{
    __m256 a8 = _mm256_add_ps(vf_low(a), vf_high(a));
    __m256 b8 = _mm256_add_ps(vf_low(b), vf_high(b));
    __m256 c8 = _mm256_add_ps(vf_low(c), vf_high(c));
    __m256 d8 = _mm256_add_ps(vf_low(d), vf_high(d));
    __m256 sums = _mm256_hadd_ps(_mm256_hadd_ps(a8, b8), _mm256_hadd_ps(c8, d8));
    return _mm_add_ps(_mm256_castps256_ps128(sums), _mm256_extractf128_ps(sums, 1));
}

ALWAYS_INLINE float vf_sum(vf x)
{
    return _mm_cvtss_f32(vf_sum_4(x, x, x, x));
}

/* R(.), when this compilation rounds. */
ALWAYS_INLINE vf vf_rounded(vf x)
{
    return KERNEL_ROUNDS ? vf_round_bf16(x) : x;
}

ALWAYS_INLINE float vf_first(vf x)
{
    float lanes[VF_LANES];
    vf_store(lanes, x);
    return lanes[0];
}

/* n elements of a dtype from an element index on; n >= 16: 16. */
ALWAYS_INLINE vf vf_load_elements(const void *elements, enum dtype dtype, size_t i, size_t n)
{
    if (dtype == DTYPE_F32)
        return vf_load_n((const float *)elements + i, n);
    const uint16_t *halves = (const uint16_t *)elements + i;
    return dtype == DTYPE_BF16 ? vf_load_bf16_n(halves, n) : vf_load_f16_n(halves, n);
}

/* e^x within 2 ulp; 0 below -87.3, about 2.4e38 above 88.3; NaN stays NaN. */
ALWAYS_INLINE vf vf_exp(vf x)
{
    vf low = vf_set1(-87.33F);
    vf clamped = vf_max(low, vf_min(vf_set1(88.37F), x));
    vf n = vf_round_integer(vf_mul(clamped, vf_set1(1.44269504F)));
    vf r = vf_fnma(n, vf_set1(0.693359375F),
                   clamped); // ln 2 in two parts: n times the first is exact
    r = vf_fnma(n, vf_set1(-2.12194440e-4F), r);
    vf p = vf_set1(1.9875691500e-4F);
    p = vf_fma(p, r, vf_set1(1.3981999507e-3F));
    p = vf_fma(p, r, vf_set1(8.3334519073e-3F));
    p = vf_fma(p, r, vf_set1(4.1665795894e-2F));
    p = vf_fma(p, r, vf_set1(1.6666665459e-1F));
    p = vf_fma(p, r, vf_set1(5.0000001201e-1F));
    p = vf_add(vf_fma(p, vf_mul(r, r), r), vf_set1(1.0F));
    return vf_select_less(x, low, vf_zero(), vf_mul(p, vf_power_of_2(n)));
}

/* tanh within 3 ulp: a polynomial near 0, where the quotient would cancel. */
ALWAYS_INLINE vf vf_tanh(vf x)
{
    vf size = vf_abs(x);
    vf z = vf_mul(x, x);
    vf p = vf_set1(-5.70498872745e-3F);
    p = vf_fma(p, z, vf_set1(2.06390887954e-2F));
    p = vf_fma(p, z, vf_set1(-5.37397155531e-2F));
    p = vf_fma(p, z, vf_set1(1.33314422036e-1F));
    p = vf_fma(p, z, vf_set1(-3.33332819422e-1F));
    vf near = vf_fma(vf_mul(p, z), x, x);
    vf e = vf_exp(vf_add(size, size));
    vf far = vf_sub(vf_set1(1.0F), vf_div(vf_set1(2.0F), vf_add(e, vf_set1(1.0F))));
    return vf_select_less(size, vf_set1(0.625F), near, vf_copy_sign(far, x));
}

#endif
