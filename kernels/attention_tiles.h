/* kernels/attention_tiles.h - the register tiles of kernels/attention_cpu.c: a few queries times a
 * few keys (scores), a few queries times a strip of dimensions (values). How large a tile is
 * depends on the registers there are, and no result depends on it. */
#ifndef GEMMAD_KERNELS_ATTENTION_TILES_H
#define GEMMAD_KERNELS_ATTENTION_TILES_H

#include "kernels/simd.h"

enum {
    AHEAD_KEYS = 8, /* from the key that is read to the one that is fetched */
    TILE_KEYS = 4,  /* scores: times queries; what vf_sum_4 adds at once */
#ifdef __AVX512F__
    TILE_QUERIES = 4,
    TILE_VECTORS = 4, /* values: of 16 dimensions, times queries */
#else
    TILE_QUERIES = 2,
    TILE_VECTORS = 2,
#endif
};

/* Keys [begin, end) of a page piece: rows of dim elements from data on. */
struct piece {
    const void *data;
    enum dtype dtype;
    uint32_t dim;
    uint32_t begin, end;
    /* Another one to be brought nearer while this is scored, or NULL. */
    const struct piece *meanwhile;
};

/* Brings n rows of a piece from a row on nearer; past its end they are others', which is no harm.
 * Always inlined: gcc drops calls of a function that does nothing but this. */
ALWAYS_INLINE void fetch_rows(const struct piece *piece, uint32_t row, uint32_t n)
{
    size_t row_bytes = piece->dim * dtype_bytes(piece->dtype);
    const char *begin = (const char *)piece->data + row * row_bytes;
    for (const char *line = begin; line < begin + n * row_bytes; line += 64)
        _mm_prefetch(line, _MM_HINT_T1);
}

ALWAYS_INLINE void score_step(vf *sums, const float *const *q, const size_t *keys, const void *data,
                              enum dtype dtype, uint32_t i, uint32_t n, const int n_queries)
{
    vf k[TILE_KEYS];
    UNROLLED for (int j = 0; j < TILE_KEYS; j++)
        k[j] = vf_load_elements(data, dtype, keys[j] + i, n);
    UNROLLED for (int a = 0; a < n_queries; a++)
    {
        vf x = vf_load_n(q[a] + i, n);
        UNROLLED for (int j = 0; j < TILE_KEYS; j++)
            sums[a * TILE_KEYS + j] = vf_fma(x, k[j], sums[a * TILE_KEYS + j]);
    }
}

/* Scores of up to TILE_KEYS keys from number `key` of the piece on, written or added. */
ALWAYS_INLINE void score_tile(float *const *scores, const float *const *q,
                              const struct piece *piece, enum dtype dtype, uint32_t key, bool add,
                              const int n_queries)
{
    vf sums[TILE_QUERIES * TILE_KEYS];
    size_t keys[TILE_KEYS];
    uint32_t n_keys = piece->end - piece->begin - key;
    UNROLLED for (uint32_t j = 0; j < TILE_KEYS; j++) /* past the end, the last one again */
        keys[j] = (size_t)(j < n_keys ? key + j : key + n_keys - 1) * piece->dim;
    UNROLLED for (int i = 0; i < n_queries * TILE_KEYS; i++) sums[i] = vf_zero();
    uint32_t whole = piece->dim - piece->dim % VF_LANES;
    for (uint32_t i = 0; i < whole; i += VF_LANES)
        score_step(sums, q, keys, piece->data, dtype, i, VF_LANES, n_queries);
    if (whole < piece->dim)
        score_step(sums, q, keys, piece->data, dtype, whole, piece->dim - whole, n_queries);
    UNROLLED for (int a = 0; a < n_queries; a++)
    {
        const vf *s = sums + (ptrdiff_t)a * TILE_KEYS;
        float four[TILE_KEYS];
        _mm_storeu_ps(four, vf_sum_4(s[0], s[1], s[2], s[3]));
        for (uint32_t j = 0; j < TILE_KEYS && j < n_keys; j++)
            scores[a][key + j] = add ? scores[a][key + j] + four[j] : four[j];
    }
}

ALWAYS_INLINE void score_piece_of(float *const *scores, const float *const *q,
                                  const struct piece *piece, enum dtype dtype, bool add,
                                  const int n_queries)
{
    for (uint32_t key = 0; key < piece->end - piece->begin; key += TILE_KEYS) {
        if (piece->meanwhile) {
            fetch_rows(piece, key + AHEAD_KEYS, TILE_KEYS);
            fetch_rows(piece->meanwhile, key, TILE_KEYS);
        }
        score_tile(scores, q, piece, dtype, key, add, n_queries);
    }
}

/* values[a][d..] += weight * value over keys [begin, end) of the piece, ascending. */
ALWAYS_INLINE void add_tile(float *const *values, const float *const *weights,
                            const struct piece *piece, enum dtype dtype, uint32_t begin,
                            uint32_t end, uint32_t d, uint32_t n, const int n_queries,
                            const int n_vectors)
{
    vf sums[TILE_QUERIES * TILE_VECTORS];
    UNROLLED for (int a = 0; a < n_queries; a++) UNROLLED for (int v = 0; v < n_vectors; v++)
        sums[a * n_vectors + v] =
            vf_load_n(values[a] + d + v * VF_LANES, n_vectors > 1 ? VF_LANES : n);
    for (uint32_t key = begin; key < end; key++) {
        size_t row = (size_t)(key - piece->begin) * piece->dim + d;
        vf x[TILE_VECTORS];
        UNROLLED for (int v = 0; v < n_vectors; v++) x[v] = vf_load_elements(
            piece->data, dtype, row + (size_t)v * VF_LANES, n_vectors > 1 ? VF_LANES : n);
        UNROLLED for (int a = 0; a < n_queries; a++)
        {
            vf weight = vf_set1(weights[a][key - piece->begin]);
            UNROLLED for (int v = 0; v < n_vectors; v++)
                sums[a * n_vectors + v] = vf_fma(weight, x[v], sums[a * n_vectors + v]);
        }
    }
    UNROLLED for (int a = 0; a < n_queries; a++) UNROLLED for (int v = 0; v < n_vectors; v++)
        vf_store_n(values[a] + d + v * VF_LANES, sums[a * n_vectors + v],
                   n_vectors > 1 ? VF_LANES : n);
}

ALWAYS_INLINE void add_piece_of(float *const *values, const float *const *weights,
                                const struct piece *piece, enum dtype dtype, uint32_t begin,
                                uint32_t end, const int n_queries)
{
    uint32_t d = 0;
    for (; d + TILE_VECTORS * VF_LANES <= piece->dim; d += TILE_VECTORS * VF_LANES)
        add_tile(values, weights, piece, dtype, begin, end, d, VF_LANES, n_queries, TILE_VECTORS);
    for (; d < piece->dim; d += VF_LANES)
        add_tile(values, weights, piece, dtype, begin, end, d, piece->dim - d, n_queries, 1);
}

#endif
