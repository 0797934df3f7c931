/* kernels/simd_avx512.h - kernels/simd.h in one 512-bit register. Included by it alone. */
#ifndef GEMMAD_KERNELS_SIMD_AVX512_H
#define GEMMAD_KERNELS_SIMD_AVX512_H

#include <immintrin.h>

#include "kernels/variant.h"

typedef __m512 vf;

ALWAYS_INLINE __mmask16 vf_lanes(size_t n)
{
    return n >= VF_LANES ? 0xFFFF : (__mmask16)((1U << n) - 1);
}

ALWAYS_INLINE vf vf_zero(void)
{
    return _mm512_setzero_ps();
}

ALWAYS_INLINE vf vf_set1(float x)
{
    return _mm512_set1_ps(x);
}

ALWAYS_INLINE vf vf_load(const float *p)
{
    return _mm512_loadu_ps(p);
}

ALWAYS_INLINE vf vf_load_n(const float *p, size_t n)
{
    return n >= VF_LANES ? vf_load(p) : _mm512_maskz_loadu_ps(vf_lanes(n), p);
}

ALWAYS_INLINE void vf_store(float *p, vf x)
{
    _mm512_storeu_ps(p, x);
}

ALWAYS_INLINE void vf_store_n(float *p, vf x, size_t n)
{
    _mm512_mask_storeu_ps(p, vf_lanes(n), x);
}

ALWAYS_INLINE vf vf_from_bf16(__m256i halves)
{
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(halves), 16));
}

ALWAYS_INLINE vf vf_load_bf16(const uint16_t *p)
{
    return vf_from_bf16(_mm256_loadu_si256((const __m256i *)p));
}

ALWAYS_INLINE vf vf_load_bf16_n(const uint16_t *p, size_t n)
{
    return n >= VF_LANES ? vf_load_bf16(p) : vf_from_bf16(_mm256_maskz_loadu_epi16(vf_lanes(n), p));
}

ALWAYS_INLINE vf vf_load_f16(const uint16_t *p)
{
    return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)p));
}

ALWAYS_INLINE vf vf_load_f16_n(const uint16_t *p, size_t n)
{
    return _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(vf_lanes(n), p));
}

/* 16 pairs of bf16: the first of each, the second of each. */
ALWAYS_INLINE vf vf_load_pairs_even(const uint16_t *p)
{
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_loadu_si512(p), 16));
}

ALWAYS_INLINE vf vf_load_pairs_odd(const uint16_t *p)
{
    __m512i high = _mm512_set1_epi32((int)0xFFFF0000);
    return _mm512_castsi512_ps(_mm512_and_si512(_mm512_loadu_si512(p), high));
}

ALWAYS_INLINE vf vf_add(vf a, vf b)
{
    return _mm512_add_ps(a, b);
}

ALWAYS_INLINE vf vf_sub(vf a, vf b)
{
    return _mm512_sub_ps(a, b);
}

ALWAYS_INLINE vf vf_mul(vf a, vf b)
{
    return _mm512_mul_ps(a, b);
}

ALWAYS_INLINE vf vf_div(vf a, vf b)
{
    return _mm512_div_ps(a, b);
}

/* a * b + c */
ALWAYS_INLINE vf vf_fma(vf a, vf b, vf c)
{
    return _mm512_fmadd_ps(a, b, c);
}

/* c - a * b */
ALWAYS_INLINE vf vf_fnma(vf a, vf b, vf c)
{
    return _mm512_fnmadd_ps(a, b, c);
}

ALWAYS_INLINE vf vf_min(vf a, vf b)
{
    return _mm512_min_ps(a, b);
}

ALWAYS_INLINE vf vf_max(vf a, vf b)
{
    return _mm512_max_ps(a, b);
}

ALWAYS_INLINE vf vf_abs(vf x)
{
    return _mm512_abs_ps(x);
}

ALWAYS_INLINE vf vf_copy_sign(vf size, vf sign)
{
    __m512i bit = _mm512_set1_epi32((int)0x80000000);
    __m512i s = _mm512_and_si512(_mm512_castps_si512(sign), bit);
    return _mm512_castsi512_ps(_mm512_or_si512(_mm512_castps_si512(vf_abs(size)), s));
}

/* a < b ? then : otherwise */
ALWAYS_INLINE vf vf_select_less(vf a, vf b, vf then, vf otherwise)
{
    return _mm512_mask_blend_ps(_mm512_cmp_ps_mask(a, b, _CMP_LT_OQ), otherwise, then);
}

ALWAYS_INLINE vf vf_round_integer(vf x)
{
    return _mm512_roundscale_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}

/* 2^n of whole n in -126..127. */
ALWAYS_INLINE vf vf_power_of_2(vf n)
{
    __m512i biased = _mm512_add_epi32(_mm512_cvtps_epi32(n), _mm512_set1_epi32(127));
    return _mm512_castsi512_ps(_mm512_slli_epi32(biased, 23));
}

/* Bits of the nearest bf16 (even among two), in the upper halves; the lower ones are not cleared.
 */
ALWAYS_INLINE __m512i vf_bf16_bits(vf x)
{
    __m512i bits = _mm512_castps_si512(x);
    __m512i lowest = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
    __m512i rounded = _mm512_add_epi32(bits, _mm512_add_epi32(lowest, _mm512_set1_epi32(0x7FFF)));
    __mmask16 nan = _mm512_cmp_ps_mask(x, x, _CMP_UNORD_Q);
    return _mm512_mask_or_epi32(rounded, nan, bits, _mm512_set1_epi32(0x400000));
}

ALWAYS_INLINE vf vf_round_bf16(vf x)
{
    __m512i high = _mm512_set1_epi32((int)0xFFFF0000);
    return _mm512_castsi512_ps(_mm512_and_si512(vf_bf16_bits(x), high));
}

ALWAYS_INLINE void vf_store_bf16_n(uint16_t *p, vf x, size_t n)
{
    __m256i halves = _mm512_cvtepi32_epi16(_mm512_srli_epi32(vf_bf16_bits(x), 16));
    _mm256_mask_storeu_epi16(p, vf_lanes(n), halves);
}

ALWAYS_INLINE __m256 vf_low(vf x)
{
    return _mm512_castps512_ps256(x);
}

ALWAYS_INLINE __m256 vf_high(vf x)
{
    return _mm512_extractf32x8_ps(x, 1);
}

ALWAYS_INLINE float vf_max_lane(vf x)
{
    return _mm512_reduce_max_ps(x);
}

#endif
