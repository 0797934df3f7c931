/* kernels/simd_bytes.h - 16 integer sums of byte products, one 32-bit lane an output, whatever the
 * CPU has: VNNI's dot product of four bytes; else, for weights below 16, byte products that cannot
 * overflow 16 bits over a block; else both factors widened to 16 bits. All are exact, so all give
 * the same sums. One register with AVX-512, two with AVX2 (kernels/simd.h). */
#ifndef GEMMAD_KERNELS_SIMD_BYTES_H
#define GEMMAD_KERNELS_SIMD_BYTES_H

#include "kernels/quantize.h"
#include "kernels/simd.h"

#ifdef __AVX512VNNI__
#define DOT_BYTES 1
#else
#define DOT_BYTES 0
#endif

#ifdef __AVX512F__
typedef __m512i vi;
#define VI_OF_TWO(op, a, b) _mm512_##op(a, b)
#else
typedef struct {
    __m256i low, high;
} vi;
#define VI_OF_TWO(op, a, b) ((vi){_mm256_##op((a).low, (b).low), _mm256_##op((a).high, (b).high)})
#endif

ALWAYS_INLINE vi vi_set1(int32_t x)
{
#ifdef __AVX512F__
    return _mm512_set1_epi32(x);
#else
    __m256i all = _mm256_set1_epi32(x);
    return (vi){all, all};
#endif
}

/* Four bytes, or two words, to every lane. */
ALWAYS_INLINE vi vi_broadcast(const void *four_bytes)
{
    int32_t lane;
    memcpy(&lane, four_bytes, sizeof lane);
    return vi_set1(lane);
}

ALWAYS_INLINE vi vi_load(const void *bytes)
{
#ifdef __AVX512F__
    return _mm512_loadu_si512(bytes);
#else
    const __m256i *halves = bytes;
    return (vi){_mm256_loadu_si256(halves), _mm256_loadu_si256(halves + 1)};
#endif
}

ALWAYS_INLINE void vi_store(void *bytes, vi x)
{
#ifdef __AVX512F__
    _mm512_storeu_si512(bytes, x);
#else
    __m256i *halves = bytes;
    _mm256_storeu_si256(halves, x.low);
    _mm256_storeu_si256(halves + 1, x.high);
#endif
}

ALWAYS_INLINE vi vi_and(vi a, vi b)
{
#ifdef __AVX512F__
    return _mm512_and_si512(a, b);
#else
    return VI_OF_TWO(and_si256, a, b);
#endif
}

ALWAYS_INLINE vi vi_add32(vi a, vi b)
{
    return VI_OF_TWO(add_epi32, a, b);
}

ALWAYS_INLINE vi vi_add16(vi a, vi b)
{
    return VI_OF_TWO(add_epi16, a, b);
}

ALWAYS_INLINE vi vi_max32(vi a, vi b)
{
    return VI_OF_TWO(max_epi32, a, b);
}

/* Neighbouring 16-bit products, added. */
ALWAYS_INLINE vi vi_dot_words(vi a, vi b)
{
    return VI_OF_TWO(madd_epi16, a, b);
}

/* Neighbouring products of unsigned with signed bytes, added in 16 bits. */
ALWAYS_INLINE vi vi_dot_bytes_16(vi unsigned_bytes, vi signed_bytes)
{
    return VI_OF_TWO(maddubs_epi16, unsigned_bytes, signed_bytes);
}

ALWAYS_INLINE vi vi_shift_words_right(vi x, const int n_bits)
{
#ifdef __AVX512F__
    return _mm512_srli_epi16(x, (unsigned)n_bits);
#else
    return (vi){_mm256_srli_epi16(x.low, n_bits), _mm256_srli_epi16(x.high, n_bits)};
#endif
}

ALWAYS_INLINE vf vi_to_float(vi x)
{
#ifdef __AVX512F__
    return _mm512_cvtepi32_ps(x);
#else
    return vf_of(_mm256_cvtepi32_ps(x.low), _mm256_cvtepi32_ps(x.high));
#endif
}

/* To the nearest integer, even among two. */
ALWAYS_INLINE vi vi_from_float(vf x)
{
#ifdef __AVX512F__
    return _mm512_cvtps_epi32(x);
#else
    return (vi){_mm256_cvtps_epi32(x.low), _mm256_cvtps_epi32(x.high)};
#endif
}

/* The bits of |x|, in an order that holds for NaN and infinity too: they are the largest. */
ALWAYS_INLINE vi vi_size_bits(vf x)
{
    vf size = vf_abs(x);
#ifdef __AVX512F__
    return _mm512_castps_si512(size);
#else
    return (vi){_mm256_castps_si256(size.low), _mm256_castps_si256(size.high)};
#endif
}

ALWAYS_INLINE __m256i vi_low(vi x)
{
#ifdef __AVX512F__
    return _mm512_castsi512_si256(x);
#else
    return x.low;
#endif
}

ALWAYS_INLINE __m256i vi_high(vi x)
{
#ifdef __AVX512F__
    return _mm512_extracti64x4_epi64(x, 1);
#else
    return x.high;
#endif
}

ALWAYS_INLINE int32_t vi_max_lane(vi x)
{
    __m256i m8 = _mm256_max_epi32(vi_low(x), vi_high(x));
    __m128i m4 = _mm_max_epi32(_mm256_castsi256_si128(m8), _mm256_extracti128_si256(m8, 1));
    __m128i m2 = _mm_max_epi32(m4, _mm_shuffle_epi32(m4, 0x4E));
    return _mm_cvtsi128_si32(_mm_max_epi32(m2, _mm_shuffle_epi32(m2, 0xB1)));
}

ALWAYS_INLINE int32_t vi_sum(vi x)
{
    __m256i s8 = _mm256_add_epi32(vi_low(x), vi_high(x));
    __m128i s4 = _mm_add_epi32(_mm256_castsi256_si128(s8), _mm256_extracti128_si256(s8, 1));
    __m128i s2 = _mm_add_epi32(s4, _mm_shuffle_epi32(s4, 0x4E));
    return _mm_cvtsi128_si32(_mm_add_epi32(s2, _mm_shuffle_epi32(s2, 0xB1)));
}

/* 32 lanes of -128..127 to bytes. */
ALWAYS_INLINE void vi_store_bytes(int8_t *out, vi first, vi second)
{
    __m256i a = _mm256_packs_epi32(vi_low(first), vi_high(first)); /* by 128-bit lanes: 0 2 1 3 */
    __m256i b = _mm256_packs_epi32(vi_low(second), vi_high(second));
    __m256i bytes = _mm256_packs_epi16(_mm256_permute4x64_epi64(a, 0xD8),
                                       _mm256_permute4x64_epi64(b, 0xD8));
    _mm256_storeu_si256((__m256i *)(void *)out, _mm256_permute4x64_epi64(bytes, 0xD8));
}

#endif
