/* kernels/attention_tiles.h - the register tiles of kernels/attention_cpu.c: a few queries times a
 * few vectors, of keys (scores) or of dimensions (values). How large a tile is depends on the
 * registers there are, and no result depends on it.
 *
 * Keys and values are named by tiles of KEY_TILE tokens, wherever their pages are. While a tile is
 * used, one further on is brought nearer, so that memory is read all the time. */
#ifndef GEMMAD_KERNELS_ATTENTION_TILES_H
#define GEMMAD_KERNELS_ATTENTION_TILES_H

#include "kernels/attention.h"
#include "kernels/rope.h"
#include "kernels/simd.h"

#if defined(__AVX512BF16__)
#define DOT_BF16 1 /* bf16 keys times bf16 queries, exact products, one instruction a pair */
#else
#define DOT_BF16 0
#endif

enum {
    KEY_TILE = KV_TILE_TOKENS,                    /* is VF_LANES */
    HEAD_STRIDE = ATTENTION_MAX_WIDTH + VF_LANES, /* rows in scratch, on different L1 sets */
    SCORES_STRIDE = ATTENTION_SPLIT_KEYS + VF_LANES,
    TILE_VECTORS = 4, /* at most */
#ifdef __AVX512F__
    TILE_QUERIES = 8, /* at most */
    TILE_SUMS = 16,   /* queries times vectors */
#else
    TILE_QUERIES = 4,
    TILE_SUMS = 4,
#endif
};

/* Tiles in order of position: [n] addresses, dim dimensions. */
struct tiles {
    const unsigned char *const *data;
    const unsigned char *const *ahead; /* [n] what to bring nearer meanwhile, or NULL: nothing */
    uint32_t dim;
    enum dtype dtype;
};

/* Vectors of a tile of so many queries. */
ALWAYS_INLINE int tile_vectors(const int n_queries)
{
    return TILE_SUMS / n_queries < TILE_VECTORS ? TILE_SUMS / n_queries : TILE_VECTORS;
}

/* Whether q is bf16 as well, and pairs are multiplied at once. */
ALWAYS_INLINE bool uses_dot(enum dtype dtype)
{
    return DOT_BF16 && dtype == DTYPE_BF16;
}

ALWAYS_INLINE void fetch(const unsigned char *begin, size_t bytes)
{
    UNROLLED for (size_t line = 0; line < bytes; line += 64)
        _mm_prefetch((const char *)begin + line, _MM_HINT_T0);
}

/* Dimensions i and i + 1 of the keys of some tiles, for n_queries rows of q. */
ALWAYS_INLINE void score_pair(vf *sums, const void *q, const unsigned char *const *keys,
                              enum dtype dtype, bool dot, uint32_t i, const int n_queries,
                              const int n_vectors)
{
    (void)dot;
#if DOT_BF16
    if (dot) {
        const uint16_t *halves = q;
        __m512i k[TILE_VECTORS];
        UNROLLED for (int v = 0; v < n_vectors; v++) k[v] =
            _mm512_loadu_si512((const uint16_t *)(const void *)keys[v] + (size_t)i * KEY_TILE);
        UNROLLED for (int a = 0; a < n_queries; a++)
        {
            int pair;
            memcpy(&pair, halves + (size_t)a * 2 * HEAD_STRIDE + i, sizeof pair);
            __m512bh x = (__m512bh)_mm512_set1_epi32(pair);
            UNROLLED for (int v = 0; v < n_vectors; v++) sums[a * n_vectors + v] =
                _mm512_dpbf16_ps(sums[a * n_vectors + v], (__m512bh)k[v], x);
        }
        return;
    }
#endif
    UNROLLED for (uint32_t odd = 0; odd < 2; odd++)
    {
        vf k[TILE_VECTORS];
        UNROLLED for (int v = 0; v < n_vectors; v++)
        {
            const void *tile = keys[v];
            if (dtype == DTYPE_F32)
                k[v] = vf_load((const float *)tile + (size_t)(i + odd) * KEY_TILE);
            else if (odd)
                k[v] = vf_load_pairs_odd((const uint16_t *)tile + (size_t)i * KEY_TILE);
            else
                k[v] = vf_load_pairs_even((const uint16_t *)tile + (size_t)i * KEY_TILE);
        }
        UNROLLED for (int a = 0; a < n_queries; a++)
        {
            vf x = vf_set1(((const float *)q)[(size_t)a * HEAD_STRIDE + i + odd]);
            UNROLLED for (int v = 0; v < n_vectors; v++)
                sums[a * n_vectors + v] = vf_fma(x, k[v], sums[a * n_vectors + v]);
        }
    }
}

/* scores[a][0..] of tiles [begin, end) for n_queries rows of q, from zero or from what is there. */
ALWAYS_INLINE void score_tiles_of(float *scores, const void *q, const struct tiles *keys,
                                  enum dtype dtype, bool dot, bool adds, uint32_t begin,
                                  uint32_t end, bool fetches, const int n_queries)
{
    const int n_vectors = tile_vectors(n_queries);
    const size_t pair_bytes = 2 * KEY_TILE * dtype_bytes(dtype);
    for (uint32_t tile = begin; tile < end; tile += (uint32_t)n_vectors) {
        const unsigned char *data[TILE_VECTORS], *ahead[TILE_VECTORS];
        vf sums[TILE_SUMS];
        UNROLLED for (uint32_t v = 0; v < (uint32_t)n_vectors; v++)
        { // past the end, the last one again
            data[v] = keys->data[tile + v < end ? tile + v : end - 1];
            ahead[v] = fetches ? keys->ahead[tile + v < end ? tile + v : end - 1] : NULL;
        }
        UNROLLED for (int a = 0; a < n_queries; a++)
            UNROLLED for (uint32_t v = 0; v < (uint32_t)n_vectors; v++)
        {
            size_t at = (size_t)a * SCORES_STRIDE + (size_t)(tile + v) * KEY_TILE;
            bool goes_on = adds && tile + v < end;
            sums[a * n_vectors + (int)v] = goes_on ? vf_load(scores + at) : vf_zero();
        }
        for (uint32_t i = 0; i < keys->dim; i += 2) {
            size_t pair = i / 2 * pair_bytes;
            if (fetches && !adds)
                UNROLLED for (int v = 0; v < n_vectors; v++) fetch(ahead[v] + pair, pair_bytes);
            else if (fetches && (pair + pair_bytes) % 128 == 0)
                UNROLLED for (int v = 0; v < n_vectors; v++)
                    fetch(ahead[v] + pair + pair_bytes - 64, 64);
            score_pair(sums, q, data, dtype, dot, i, n_queries, n_vectors);
        }
        UNROLLED for (int a = 0; a < n_queries; a++)
            UNROLLED for (uint32_t v = 0; v < (uint32_t)n_vectors; v++) if (tile + v < end)
                vf_store(scores + (size_t)a * SCORES_STRIDE + (size_t)(tile + v) * KEY_TILE,
                         sums[a * n_vectors + (int)v]);
    }
}

/* KEY_TILE rows become a tile of keys: dwords, that is dimensions or pairs of them, change places
 * with rows. row_bytes is a multiple of 16; ahead: what to bring nearer meanwhile. */
static void weave(float *out, const unsigned char *rows, size_t row_bytes,
                  const unsigned char *ahead)
{
    for (size_t key = 0; key < KEY_TILE; key += 8) {
        for (size_t i = 0; i < row_bytes; i += 16, ahead += 128) {
            fetch(ahead, 64); // of 8 rows' 16 bytes; scoring fetches the other half
            __m256 r[4];      // rows key + j, key + 4 + j
            for (size_t j = 0; j < 4; j++) {
                const unsigned char *at = rows + (key + j) * row_bytes + i;
                __m128 low = _mm_loadu_ps((const float *)(const void *)at);
                __m128 high = _mm_loadu_ps((const float *)(const void *)(at + 4 * row_bytes));
                r[j] = _mm256_insertf128_ps(_mm256_castps128_ps256(low), high, 1);
            }
            __m256d low_01 = _mm256_castps_pd(_mm256_unpacklo_ps(r[0], r[1]));
            __m256d low_23 = _mm256_castps_pd(_mm256_unpacklo_ps(r[2], r[3]));
            __m256d high_01 = _mm256_castps_pd(_mm256_unpackhi_ps(r[0], r[1]));
            __m256d high_23 = _mm256_castps_pd(_mm256_unpackhi_ps(r[2], r[3]));
            float *to = out + i / sizeof(float) * KEY_TILE + key;
            _mm256_storeu_ps(to, _mm256_castpd_ps(_mm256_unpacklo_pd(low_01, low_23)));
            _mm256_storeu_ps(to + KEY_TILE, _mm256_castpd_ps(_mm256_unpackhi_pd(low_01, low_23)));
            _mm256_storeu_ps(to + (size_t)2 * KEY_TILE,
                             _mm256_castpd_ps(_mm256_unpacklo_pd(high_01, high_23)));
            _mm256_storeu_ps(to + (size_t)3 * KEY_TILE,
                             _mm256_castpd_ps(_mm256_unpackhi_pd(high_01, high_23)));
        }
    }
}

/* Values of a strip of dimensions, n_vectors from d on (the last one n wide), over keys [begin,
 * end), ascending: values[a][d..] += weights[a][key] * value. */
ALWAYS_INLINE void add_strip(float *values, size_t stride, const float *weights,
                             const struct tiles *rows, enum dtype dtype, uint32_t begin,
                             uint32_t end, uint32_t d, uint32_t n, bool fetches,
                             const int n_queries, const int n_vectors)
{
    const size_t strip_bytes = (size_t)n_vectors * VF_LANES * dtype_bytes(dtype);
    const size_t row_bytes = rows->dim * dtype_bytes(dtype);
    vf sums[TILE_SUMS];
    UNROLLED for (int a = 0; a < n_queries; a++) UNROLLED for (int v = 0; v < n_vectors; v++)
        sums[a * n_vectors + v] = vf_load(values + (size_t)a * stride + d + v * VF_LANES);
    for (uint32_t tile = begin / KEY_TILE; tile * KEY_TILE < end; tile++) {
        uint32_t first = tile * KEY_TILE < begin ? begin : tile * KEY_TILE;
        uint32_t last = (tile + 1) * KEY_TILE < end ? (tile + 1) * KEY_TILE : end;
        const unsigned char *data = rows->data[tile] + first % KEY_TILE * row_bytes;
        const unsigned char *ahead =
            fetches ? rows->ahead[tile] + d / VF_LANES / n_vectors * KEY_TILE * strip_bytes : NULL;
        for (uint32_t key = first; key < last; key++, data += row_bytes) {
            if (fetches) {
                fetch(ahead, strip_bytes);
                ahead += strip_bytes;
            }
            vf x[TILE_VECTORS];
            UNROLLED for (int v = 0; v < n_vectors; v++) x[v] = vf_load_elements(
                data, dtype, (size_t)d + (size_t)v * VF_LANES, n_vectors > 1 ? VF_LANES : n);
            UNROLLED for (int a = 0; a < n_queries; a++)
            {
                vf weight = vf_set1(weights[(size_t)a * SCORES_STRIDE + key]);
                UNROLLED for (int v = 0; v < n_vectors; v++)
                    sums[a * n_vectors + v] = vf_fma(weight, x[v], sums[a * n_vectors + v]);
            }
        }
    }
    UNROLLED for (int a = 0; a < n_queries; a++) UNROLLED for (int v = 0; v < n_vectors; v++)
        vf_store(values + (size_t)a * stride + d + v * VF_LANES, sums[a * n_vectors + v]);
}

ALWAYS_INLINE void add_rows_of(float *values, size_t stride, const float *weights,
                               const struct tiles *rows, enum dtype dtype, uint32_t begin,
                               uint32_t end, bool fetches, const int n_queries)
{
    const int n_vectors = tile_vectors(n_queries);
    const uint32_t strip = (uint32_t)n_vectors * VF_LANES;
    uint32_t d = 0;
    for (; d + strip <= rows->dim; d += strip)
        add_strip(values, stride, weights, rows, dtype, begin, end, d, VF_LANES, fetches, n_queries,
                  n_vectors);
    for (; d < rows->dim; d += VF_LANES)
        add_strip(values, stride, weights, rows, dtype, begin, end, d, rows->dim - d, false,
                  n_queries, 1);
}

#endif
