/* media/resize_avx2.c - both passes on products of 16 bits. A weight is high * 2^11 + low, each of
 * which fits; pairs of values times pairs of weights are added up by one instruction, and the two
 * sums are joined at the end. All is modulo 2^32, where the plain sums fit: the same result. */
#include <immintrin.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "media/resize_steps.h"

#define AVX2 __attribute__((target("avx2")))

enum { CHANNELS = 3, HALF = 1 << (RESIZE_FRACTION_BITS - 1), LOW_BITS = 11, ROWS_AT_ONCE = 4 };

// For four taps at a time: their four high parts, then their four low parts.
static int16_t *split_weights(const struct resize_weights *w)
{
    size_t n = (size_t)w->n_out * w->n_taps;
    int16_t *split = mem_resized(NULL, n * 2, sizeof *split);
    for (size_t i = 0; i < n; i++) {
        size_t at = i / 4 * 8 + i % 4;
        split[at] = (int16_t)(w->values[i] >> LOW_BITS);
        split[at + 4] = (int16_t)(w->values[i] & ((1 << LOW_BITS) - 1));
    }
    return split;
}

AVX2 static __m256i join(__m256i high, __m256i low)
{
    return _mm256_add_epi32(_mm256_slli_epi32(high, LOW_BITS), low);
}

// One pixel (and a byte behind it) of sums of red, green and blue in each half.
AVX2 static void store_pixel(unsigned char *out, __m256i high, __m256i low)
{
    __m256i both = join(high, low);
    __m128i sum = _mm_add_epi32(_mm256_castsi256_si128(both), _mm256_extracti128_si256(both, 1));
    sum = _mm_srai_epi32(_mm_add_epi32(sum, _mm_set1_epi32(HALF)), RESIZE_FRACTION_BITS);
    sum = _mm_packs_epi32(sum, sum);
    int pixel = _mm_cvtsi128_si32(_mm_packus_epi16(sum, sum));
    memcpy(out, &pixel, sizeof pixel);
}

// Output pixel i of ROWS_AT_ONCE rows; the weights stay in registers from row to row.
AVX2 static void pixel_of_rows(const unsigned char *const *in, unsigned char *const *out,
                               const int16_t *weight, uint32_t n, size_t first, size_t i)
{
    // Four pixels: in the low half the first two of each colour as 16 bits, in the high the others.
    const __m256i spread = _mm256_setr_epi8(0, -1, 3, -1, 1, -1, 4, -1, 2, -1, 5, -1, -1, -1, -1,
                                            -1, 6, -1, 9, -1, 7, -1, 10, -1, 8, -1, 11, -1, -1, -1,
                                            -1, -1);
    const __m256i high_pairs = _mm256_setr_epi32(0, 0, 0, 0, 1, 1, 1, 1);
    const __m256i low_pairs = _mm256_setr_epi32(2, 2, 2, 2, 3, 3, 3, 3);
    __m256i high[ROWS_AT_ONCE], low[ROWS_AT_ONCE];
    for (int r = 0; r < ROWS_AT_ONCE; r++)
        high[r] = low[r] = _mm256_setzero_si256();
    for (uint32_t x = 0; x < n; x += 4, weight += 8) {
        __m256i w = _mm256_castsi128_si256(_mm_loadu_si128((const __m128i *)weight));
        __m256i w_high = _mm256_permutevar8x32_epi32(w, high_pairs);
        __m256i w_low = _mm256_permutevar8x32_epi32(w, low_pairs);
        for (int r = 0; r < ROWS_AT_ONCE; r++) {
            const unsigned char *from = in[r] + (first + x) * CHANNELS;
            __m256i v = _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)from));
            v = _mm256_shuffle_epi8(v, spread);
            high[r] = _mm256_add_epi32(high[r], _mm256_madd_epi16(v, w_high));
            low[r] = _mm256_add_epi32(low[r], _mm256_madd_epi16(v, w_low));
        }
    }
    for (int r = 0; r < ROWS_AT_ONCE; r++)
        store_pixel(out[r] + i * CHANNELS, high[r], low[r]);
}

// A pixel is stored with a byte too many. Four rows that are written in turns would so lose the
// first byte of the next: each goes to a place of its own first.
AVX2 static void rows_avx2(const unsigned char *in, uint32_t n_rows, size_t in_bytes,
                           const struct resize_weights *w, unsigned char *out)
{
    const size_t out_bytes = (size_t)w->n_out * CHANNELS;
    int16_t *weights = split_weights(w);
    unsigned char *buffer = mem_zeroed(ROWS_AT_ONCE, out_bytes + RESIZE_SLACK_BYTES);
    for (uint32_t y = 0; y < n_rows; y += ROWS_AT_ONCE) {
        uint32_t n = n_rows - y < ROWS_AT_ONCE ? n_rows - y : ROWS_AT_ONCE;
        const unsigned char *from[ROWS_AT_ONCE];
        unsigned char *to[ROWS_AT_ONCE];
        for (uint32_t r = 0; r < ROWS_AT_ONCE; r++) {
            from[r] = in + (y + (r < n ? r : n - 1)) * in_bytes;
            to[r] = buffer + r * (out_bytes + RESIZE_SLACK_BYTES);
        }
        for (uint32_t i = 0; i < w->n_out; i++)
            pixel_of_rows(from, to, weights + (size_t)i * w->n_taps * 2, w->n[i], w->first[i], i);
        for (uint32_t r = 0; r < n; r++)
            memcpy(out + (y + r) * out_bytes, to[r], out_bytes);
    }
    free(buffer);
    free(weights);
}

// 16 bytes of an output row.
AVX2 static void column_strip(const unsigned char *from, size_t row_bytes, const int32_t *weight,
                              uint32_t n, unsigned char *out)
{
    __m256i high[2], low[2];
    high[0] = high[1] = low[0] = low[1] = _mm256_setzero_si256();
    for (uint32_t y = 0; y < n; y += 2, from += 2 * row_bytes) {
        // An odd last row is paired with itself, at weight 0.
        const unsigned char *next = y + 1 < n ? from + row_bytes : from;
        int32_t second = y + 1 < n ? weight[y + 1] : 0;
        uint32_t mask = (1 << LOW_BITS) - 1;
        uint32_t lows = ((uint32_t)weight[y] & mask) | ((uint32_t)second & mask) << 16;
        uint32_t highs = ((uint32_t)(weight[y] >> LOW_BITS) & 0xffff) |
                         (uint32_t)(second >> LOW_BITS) << 16;
        __m256i w_high = _mm256_set1_epi32((int)highs), w_low = _mm256_set1_epi32((int)lows);
        __m128i a = _mm_loadu_si128((const __m128i *)from);
        __m128i b = _mm_loadu_si128((const __m128i *)next);
        const __m256i pairs[] = {_mm256_cvtepu8_epi16(_mm_unpacklo_epi8(a, b)),
                                 _mm256_cvtepu8_epi16(_mm_unpackhi_epi8(a, b))};
        for (int k = 0; k < 2; k++) {
            high[k] = _mm256_add_epi32(high[k], _mm256_madd_epi16(pairs[k], w_high));
            low[k] = _mm256_add_epi32(low[k], _mm256_madd_epi16(pairs[k], w_low));
        }
    }
    for (int k = 0; k < 2; k++) {
        __m256i sum = _mm256_add_epi32(join(high[k], low[k]), _mm256_set1_epi32(HALF));
        sum = _mm256_srai_epi32(sum, RESIZE_FRACTION_BITS);
        __m128i values = _mm_packs_epi32(_mm256_castsi256_si128(sum),
                                         _mm256_extracti128_si256(sum, 1));
        _mm_storel_epi64((__m128i *)(out + 8 * k), _mm_packus_epi16(values, values));
    }
}

// A row's last bytes are done again with those before them; rows of less than 16 plainly.
AVX2 static void columns_avx2(const unsigned char *in, size_t row_bytes,
                              const struct resize_weights *w, unsigned char *out)
{
    if (row_bytes < 16) {
        resize_steps_plain.columns(in, row_bytes, w, out);
        return;
    }
    for (uint32_t i = 0; i < w->n_out; i++, out += row_bytes) {
        const unsigned char *from = in + w->first[i] * row_bytes;
        const int32_t *weight = w->values + (size_t)i * w->n_taps;
        for (size_t b = 0; b < row_bytes; b += 16) {
            size_t at = b + 16 <= row_bytes ? b : row_bytes - 16;
            column_strip(from + at, row_bytes, weight, w->n[i], out + at);
        }
    }
}

const struct resize_steps resize_steps_avx2 = {rows_avx2, columns_avx2};
