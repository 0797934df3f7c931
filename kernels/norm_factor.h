/* kernels/norm_factor.h - the sum of squares of kernels/rmsnorm.h, for the vector forms of all ops
 * that norm. Values that the contract scales and rounds before the norm are so as they are read. */
#ifndef GEMMAD_KERNELS_NORM_FACTOR_H
#define GEMMAD_KERNELS_NORM_FACTOR_H

#include <math.h>

#include "kernels/rmsnorm.h"
#include "kernels/simd.h"

/* 16 values; with *scale, R(value * *scale). */
ALWAYS_INLINE vf norm_values(const float *x, size_t n, const float *scale)
{
    vf values = vf_load_n(x, n);
    return scale ? vf_rounded(vf_mul(values, vf_set1(*scale))) : values;
}

ALWAYS_INLINE float norm_factor_of(const float *x, uint32_t dim, const float *scale, float eps)
{
    vf chains[NORM_CHAINS] = {vf_zero(), vf_zero(), vf_zero(), vf_zero()};
    uint32_t i = 0;
    for (; i + NORM_CHAINS * VF_LANES <= dim; i += NORM_CHAINS * VF_LANES) {
        UNROLLED for (uint32_t c = 0; c < NORM_CHAINS; c++)
        {
            vf values = norm_values(x + i + c * VF_LANES, VF_LANES, scale);
            chains[c] = vf_fma(values, values, chains[c]);
        }
    }
    for (uint32_t c = 0; i < dim; i += VF_LANES, c++) {
        vf values = norm_values(x + i, dim - i, scale);
        chains[c] = vf_fma(values, values, chains[c]);
    }
    vf sum = vf_add(vf_add(chains[0], chains[1]), vf_add(chains[2], chains[3]));
    return 1.0F / sqrtf(vf_sum(sum) / (float)dim + eps);
}

/* 1 / sqrt(mean(x^2) + eps) */
ALWAYS_INLINE float norm_factor(const float *x, uint32_t dim, float eps)
{
    return norm_factor_of(x, dim, NULL, eps);
}

/* 1 / sqrt(mean(R(x * scale)^2) + eps) */
ALWAYS_INLINE float norm_factor_scaled(const float *x, uint32_t dim, float scale, float eps)
{
    return norm_factor_of(x, dim, &scale, eps);
}

/* R(x * factor * weight) of n values; weight NULL: none. */
ALWAYS_INLINE vf vf_normed(vf x, float factor, const float *weight, size_t n)
{
    vf value = vf_mul(x, vf_set1(factor));
    return vf_rounded(weight ? vf_mul(value, vf_load_n(weight, n)) : value);
}

#endif
