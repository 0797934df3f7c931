/* kernels/simd_avx2.h - kernels/simd.h in two 256-bit registers. Included by it alone. */
#ifndef GEMMAD_KERNELS_SIMD_AVX2_H
#define GEMMAD_KERNELS_SIMD_AVX2_H

#include <immintrin.h>

#include "kernels/variant.h"

typedef struct {
    __m256 low, high;
} vf;

ALWAYS_INLINE vf vf_of(__m256 low, __m256 high)
{
    return (vf){low, high};
}

ALWAYS_INLINE vf vf_zero(void)
{
    return vf_of(_mm256_setzero_ps(), _mm256_setzero_ps());
}

ALWAYS_INLINE vf vf_set1(float x)
{
    __m256 all = _mm256_set1_ps(x);
    return vf_of(all, all);
}

ALWAYS_INLINE vf vf_load(const float *p)
{
    return vf_of(_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8));
}

ALWAYS_INLINE void vf_store(float *p, vf x)
{
    _mm256_storeu_ps(p, x.low);
    _mm256_storeu_ps(p + 8, x.high);
}

/* AVX2 has no masks for halves, so short runs go through a buffer. */
ALWAYS_INLINE vf vf_load_n(const float *p, size_t n)
{
    if (n >= VF_LANES)
        return vf_load(p);
    float lanes[VF_LANES] = {0};
    memcpy(lanes, p, n * sizeof *p);
    return vf_load(lanes);
}

ALWAYS_INLINE void vf_store_n(float *p, vf x, size_t n)
{
    if (n >= VF_LANES) {
        vf_store(p, x);
        return;
    }
    float lanes[VF_LANES];
    vf_store(lanes, x);
    memcpy(p, lanes, n * sizeof *p);
}

ALWAYS_INLINE __m256 vf_from_bf16(__m128i halves)
{
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(halves), 16));
}

ALWAYS_INLINE vf vf_load_bf16(const uint16_t *p)
{
    return vf_of(vf_from_bf16(_mm_loadu_si128((const __m128i *)p)),
                 vf_from_bf16(_mm_loadu_si128((const __m128i *)(p + 8))));
}

ALWAYS_INLINE vf vf_load_bf16_n(const uint16_t *p, size_t n)
{
    if (n >= VF_LANES)
        return vf_load_bf16(p);
    uint16_t lanes[VF_LANES] = {0};
    memcpy(lanes, p, n * sizeof *p);
    return vf_load_bf16(lanes);
}

ALWAYS_INLINE vf vf_load_f16(const uint16_t *p)
{
    return vf_of(_mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)p)),
                 _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(p + 8))));
}

ALWAYS_INLINE vf vf_load_f16_n(const uint16_t *p, size_t n)
{
    if (n >= VF_LANES)
        return vf_load_f16(p);
    uint16_t lanes[VF_LANES] = {0};
    memcpy(lanes, p, n * sizeof *p);
    return vf_load_f16(lanes);
}

/* 16 pairs of bf16: the first of each, the second of each. */
ALWAYS_INLINE vf vf_load_pairs_even(const uint16_t *p)
{
    const __m256i *pairs = (const __m256i *)p;
    return vf_of(_mm256_castsi256_ps(_mm256_slli_epi32(_mm256_loadu_si256(pairs), 16)),
                 _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_loadu_si256(pairs + 1), 16)));
}

ALWAYS_INLINE vf vf_load_pairs_odd(const uint16_t *p)
{
    const __m256i *pairs = (const __m256i *)p;
    __m256i high = _mm256_set1_epi32((int)0xFFFF0000);
    return vf_of(_mm256_castsi256_ps(_mm256_and_si256(_mm256_loadu_si256(pairs), high)),
                 _mm256_castsi256_ps(_mm256_and_si256(_mm256_loadu_si256(pairs + 1), high)));
}

ALWAYS_INLINE vf vf_add(vf a, vf b)
{
    return vf_of(_mm256_add_ps(a.low, b.low), _mm256_add_ps(a.high, b.high));
}

ALWAYS_INLINE vf vf_sub(vf a, vf b)
{
    return vf_of(_mm256_sub_ps(a.low, b.low), _mm256_sub_ps(a.high, b.high));
}

ALWAYS_INLINE vf vf_mul(vf a, vf b)
{
    return vf_of(_mm256_mul_ps(a.low, b.low), _mm256_mul_ps(a.high, b.high));
}

ALWAYS_INLINE vf vf_div(vf a, vf b)
{
    return vf_of(_mm256_div_ps(a.low, b.low), _mm256_div_ps(a.high, b.high));
}

/* a * b + c */
ALWAYS_INLINE vf vf_fma(vf a, vf b, vf c)
{
    return vf_of(_mm256_fmadd_ps(a.low, b.low, c.low), _mm256_fmadd_ps(a.high, b.high, c.high));
}

/* c - a * b */
ALWAYS_INLINE vf vf_fnma(vf a, vf b, vf c)
{
    return vf_of(_mm256_fnmadd_ps(a.low, b.low, c.low), _mm256_fnmadd_ps(a.high, b.high, c.high));
}

ALWAYS_INLINE vf vf_min(vf a, vf b)
{
    return vf_of(_mm256_min_ps(a.low, b.low), _mm256_min_ps(a.high, b.high));
}

ALWAYS_INLINE vf vf_max(vf a, vf b)
{
    return vf_of(_mm256_max_ps(a.low, b.low), _mm256_max_ps(a.high, b.high));
}

ALWAYS_INLINE vf vf_abs(vf x)
{
    __m256 sign = _mm256_set1_ps(-0.0F);
    return vf_of(_mm256_andnot_ps(sign, x.low), _mm256_andnot_ps(sign, x.high));
}

ALWAYS_INLINE vf vf_copy_sign(vf size, vf sign)
{
    __m256 bit = _mm256_set1_ps(-0.0F);
    vf positive = vf_abs(size);
    return vf_of(_mm256_or_ps(positive.low, _mm256_and_ps(bit, sign.low)),
                 _mm256_or_ps(positive.high, _mm256_and_ps(bit, sign.high)));
}

/* a < b ? then : otherwise */
ALWAYS_INLINE vf vf_select_less(vf a, vf b, vf then, vf otherwise)
{
    __m256 low = _mm256_cmp_ps(a.low, b.low, _CMP_LT_OQ);
    __m256 high = _mm256_cmp_ps(a.high, b.high, _CMP_LT_OQ);
    return vf_of(_mm256_blendv_ps(otherwise.low, then.low, low),
                 _mm256_blendv_ps(otherwise.high, then.high, high));
}

ALWAYS_INLINE vf vf_round_integer(vf x)
{
    return vf_of(_mm256_round_ps(x.low, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC),
                 _mm256_round_ps(x.high, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
}

ALWAYS_INLINE __m256 vf_half_power_of_2(__m256 n)
{
    __m256i biased = _mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127));
    return _mm256_castsi256_ps(_mm256_slli_epi32(biased, 23));
}

/* 2^n of whole n in -126..127. */
ALWAYS_INLINE vf vf_power_of_2(vf n)
{
    return vf_of(vf_half_power_of_2(n.low), vf_half_power_of_2(n.high));
}

/* Bits of the nearest bf16 (even among two), in the upper halves; the lower ones are not cleared.
 */
ALWAYS_INLINE __m256i vf_half_bf16_bits(__m256 x)
{
    __m256i bits = _mm256_castps_si256(x);
    __m256i lowest = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
    __m256i rounded = _mm256_add_epi32(bits, _mm256_add_epi32(lowest, _mm256_set1_epi32(0x7FFF)));
    __m256i quiet = _mm256_or_si256(bits, _mm256_set1_epi32(0x400000));
    __m256i nan = _mm256_castps_si256(_mm256_cmp_ps(x, x, _CMP_UNORD_Q));
    return _mm256_blendv_epi8(rounded, quiet, nan);
}

ALWAYS_INLINE vf vf_round_bf16(vf x)
{
    __m256i high = _mm256_set1_epi32((int)0xFFFF0000);
    return vf_of(_mm256_castsi256_ps(_mm256_and_si256(vf_half_bf16_bits(x.low), high)),
                 _mm256_castsi256_ps(_mm256_and_si256(vf_half_bf16_bits(x.high), high)));
}

ALWAYS_INLINE void vf_store_bf16_n(uint16_t *p, vf x, size_t n)
{
    __m256i low = _mm256_srli_epi32(vf_half_bf16_bits(x.low), 16);
    __m256i high = _mm256_srli_epi32(vf_half_bf16_bits(x.high), 16);
    // packus works in 128-bit lanes: put the quarters back in order
    __m256i halves = _mm256_permute4x64_epi64(_mm256_packus_epi32(low, high), 0xD8);
    if (n >= VF_LANES) {
        _mm256_storeu_si256((__m256i *)p, halves);
        return;
    }
    uint16_t lanes[VF_LANES];
    _mm256_storeu_si256((__m256i *)lanes, halves);
    memcpy(p, lanes, n * sizeof *p);
}

ALWAYS_INLINE __m256 vf_low(vf x)
{
    return x.low;
}

ALWAYS_INLINE __m256 vf_high(vf x)
{
    return x.high;
}

ALWAYS_INLINE float vf_max_lane(vf x)
{
    __m256 m8 = _mm256_max_ps(x.low, x.high);
    __m128 m4 = _mm_max_ps(_mm256_castps256_ps128(m8), _mm256_extractf128_ps(m8, 1));
    __m128 m2 = _mm_max_ps(m4, _mm_movehl_ps(m4, m4));
    return _mm_cvtss_f32(_mm_max_ss(m2, _mm_movehdup_ps(m2)));
}

#endif
