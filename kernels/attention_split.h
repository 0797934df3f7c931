/* kernels/attention_split.h - one split of keys for the queries of a unit: scores, weights,
 * weighted values.
 *
 * Included by kernels/attention_cpu.c alone. A query's numbers depend on its own keys alone: scores
 * of keys that only others see are never used, and values are added for exactly the keys in a
 * query's range, so no 0 * value comes in. */
#ifndef GEMMAD_KERNELS_ATTENTION_SPLIT_H
#define GEMMAD_KERNELS_ATTENTION_SPLIT_H

#include <math.h>

#include "kernels/attention_tiles.h"

enum {
    SPLIT = ATTENTION_SPLIT_KEYS,
    SPLIT_TILES = SPLIT / KEY_TILE,
    AHEAD_TILES = 8, // from what is used to what is fetched
    RUN_TILES = 8,   // values: added to sums in registers
    BLOCK_TILES = 4, // keys: scored for all queries before the next
    MAX_QUERIES = 32,
    MAX_SLOTS = 64,
    SLOT_FLOATS = 160 * 1024,        // of all slots of a thread
    WOVEN_BYTES = BLOCK_TILES << 15, // of them, with k_from_v: a block of values woven into tiles
};

// The keys and values of a sequence, of one KV head.
struct source {
    const struct kv_view *view;
    const uint32_t *block_table;
    uint32_t kv_head;
};

struct query {
    float *out;
    uint32_t first, end; // the keys it sees
    uint32_t low, high;  // those of them that are in the split
    float max, sum;      // of what has been merged into values
};

// A split's weights for a query, next to its weighted values.
struct part {
    float max, sum; // sum 0: the query sees none of the keys
};

// A query next to the unit's others: what meets K, as bf16 for dot products, then from f32[k_dim]
// on what meets V (view->k_from_v).
union key_query {
    float f32[HEAD_STRIDE];
    uint16_t bf16[2 * HEAD_STRIDE];
};

// A thread's scratch.
struct attention_scratch {
    struct query queries[MAX_QUERIES];
    union key_query key_queries[MAX_QUERIES];
    float scores[MAX_QUERIES][SCORES_STRIDE];
    float values[MAX_QUERIES][HEAD_STRIDE];
    // What splits give, as many slots as there is place: [slot][query][v_dim in whole vectors],
    // behind what is woven.
    struct part parts[MAX_SLOTS][MAX_QUERIES];
    float slots[SLOT_FLOATS];
};
_Static_assert(MAX_QUERIES *ATTENTION_MAX_WIDTH + WOVEN_BYTES / 4 <= SLOT_FLOATS,
               "a slot at least");

// The tiles of a split that some query sees, and behind them those that are read next: after keys
// values, then the keys of the split after it; with k_from_v the next one's of the same kind.
struct split {
    uint32_t first; // its first key
    uint32_t tile;  // number of the first tile in the split
    uint32_t n_tiles;
    const unsigned char *keys[SPLIT_TILES + AHEAD_TILES];
    const unsigned char *values[SPLIT_TILES + AHEAD_TILES];
};

static uint32_t smaller(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

static uint32_t larger(uint32_t a, uint32_t b)
{
    return a > b ? a : b;
}

// As many queries as a tile takes of those that are left.
static uint32_t tile_queries(uint32_t left)
{
    uint32_t n = TILE_QUERIES;
    while (n > left)
        n /= 2;
    return n;
}

static size_t slot_stride(const struct kv_view *view)
{
    return (view->v_dim + VF_LANES - 1) / VF_LANES * VF_LANES;
}

static uint32_t first_slot_float(const struct kv_view *view)
{
    return view->k_from_v ? WOVEN_BYTES / sizeof(float) : 0;
}

// As many slots as there is place for, of a unit of so many queries.
static uint32_t n_slots(const struct kv_view *view, uint32_t n_queries)
{
    size_t floats = SLOT_FLOATS - first_slot_float(view);
    return smaller(MAX_SLOTS, (uint32_t)(floats / (n_queries * slot_stride(view))));
}

static float *slot_values(const struct kv_view *view, struct attention_scratch *scratch,
                          uint32_t n_queries, uint32_t slot, uint32_t query)
{
    return scratch->slots + first_slot_float(view) +
           ((size_t)slot * n_queries + query) * slot_stride(view);
}

static const unsigned char *tile_at(const struct source *source, uint32_t position, size_t offset,
                                    uint32_t dim)
{
    const struct kv_view *view = source->view;
    uint32_t page = source->block_table[position / view->page_tokens];
    return kv_view_row(view, page * view->page_tokens + position % view->page_tokens,
                       source->kv_head, offset, dim);
}

static const unsigned char *key_tile(const struct source *source, uint32_t position)
{
    return tile_at(source, position, source->view->k_offset, source->view->k_dim);
}

static const unsigned char *value_tile(const struct source *source, uint32_t position)
{
    return tile_at(source, position, source->view->v_offset, source->view->v_dim);
}

// Finds keys [begin, end) of the split that begins at `first`; `next` is the first key of the split
// that is taken after it, if there are that many.
static struct split find_split(const struct source *source, uint32_t first, uint32_t begin,
                               uint32_t end, uint32_t next, uint32_t n_keys)
{
    const struct kv_view *view = source->view;
    struct split split = {.first = first, .tile = (begin - first) / KEY_TILE};
    begin -= begin % KEY_TILE;
    uint32_t n = split.n_tiles = (end - begin + KEY_TILE - 1) / KEY_TILE;
    for (uint32_t i = 0; i < n; i++) {
        split.keys[i] = key_tile(source, begin + i * KEY_TILE);
        split.values[i] = value_tile(source, begin + i * KEY_TILE);
    }
    for (uint32_t i = 0; i < AHEAD_TILES; i++) {
        uint32_t key = next + i * KEY_TILE < n_keys ? next + i * KEY_TILE : begin;
        const unsigned char *next_keys = key_tile(source, key);
        split.keys[n + i] = view->k_from_v ? next_keys : split.values[smaller(i, n - 1)];
        split.values[n + i] = view->k_from_v ? value_tile(source, key) : next_keys;
    }
    return split;
}

ALWAYS_INLINE void score_tiles_n(float *scores, const void *q, const struct tiles *keys,
                                 enum dtype dtype, bool dot, bool adds, uint32_t begin,
                                 uint32_t end, bool fetches, uint32_t n_queries)
{
    if (n_queries == TILE_QUERIES)
        score_tiles_of(scores, q, keys, dtype, dot, adds, begin, end, fetches, TILE_QUERIES);
    else if (n_queries == 4)
        score_tiles_of(scores, q, keys, dtype, dot, adds, begin, end, fetches, 4);
    else if (n_queries == 2)
        score_tiles_of(scores, q, keys, dtype, dot, adds, begin, end, fetches, 2);
    else
        score_tiles_of(scores, q, keys, dtype, dot, adds, begin, end, fetches, 1);
}

static void score_tiles(float *scores, const void *q, const struct tiles *keys, bool adds,
                        uint32_t begin, uint32_t end, bool fetches, uint32_t n_queries)
{
    if (uses_dot(keys->dtype) && !adds)
        score_tiles_n(scores, q, keys, DTYPE_BF16, true, adds, begin, end, fetches, n_queries);
    else if (keys->dtype == DTYPE_BF16)
        score_tiles_n(scores, q, keys, DTYPE_BF16, false, adds, begin, end, fetches, n_queries);
    else
        score_tiles_n(scores, q, keys, DTYPE_F32, false, adds, begin, end, fetches, n_queries);
}

// With k_from_v: values [begin, begin + n) of the split as tiles of keys.
static void weave_block(const struct kv_view *view, float *to, const struct split *split,
                        uint32_t begin, uint32_t n, const unsigned char **out_tiles)
{
    size_t row_bytes = view->v_dim * dtype_bytes(view->dtype);
    for (uint32_t i = 0; i < n; i++, to += KEY_TILE * row_bytes / sizeof *to) {
        weave(to, split->values[begin + i], row_bytes, split->values[begin + i + AHEAD_TILES]);
        out_tiles[i] = (const unsigned char *)to;
    }
}

// Scores of all tiles of the split, block by block: what K gives, then what V adds.
static void score_split(const struct kv_view *view, struct attention_scratch *scratch,
                        uint32_t n_queries, const struct split *split)
{
    struct tiles keys = {split->keys, split->keys + AHEAD_TILES, view->k_dim, view->dtype};
    const unsigned char *woven_tiles[BLOCK_TILES];
    struct tiles woven = {woven_tiles, NULL, view->v_dim, view->dtype};
    size_t tile_bytes = KEY_TILE * view->v_dim * dtype_bytes(view->dtype);
    uint32_t block = BLOCK_TILES;
    if (view->k_from_v)
        block = smaller(block, (uint32_t)(WOVEN_BYTES / tile_bytes));
    for (uint32_t begin = 0; begin < split->n_tiles; begin += block) {
        uint32_t n_tiles = smaller(block, split->n_tiles - begin);
        if (view->k_from_v)
            weave_block(view, scratch->slots, split, begin, n_tiles, woven_tiles);
        woven.ahead = split->values + begin + AHEAD_TILES;
        for (uint32_t a = 0, n; a < n_queries; a += n) {
            n = tile_queries(n_queries - a);
            float *scores = scratch->scores[a] + (size_t)split->tile * KEY_TILE;
            const union key_query *q = &scratch->key_queries[a];
            score_tiles(scores, q, &keys, false, begin, begin + n_tiles, a == 0, n);
            if (view->k_from_v)
                score_tiles(scores + (size_t)begin * KEY_TILE, q->f32 + view->k_dim, &woven, true,
                            0, n_tiles, a == 0, n);
        }
    }
}

// Scores become weights exp(score - max); whole vectors, whose lanes outside of the query's keys
// count as -infinity.
static struct part weigh(const struct query *query, float *scores, uint32_t split)
{
    uint32_t low = query->low - split;
    uint32_t high = query->high - split;
    uint32_t begin = low - low % VF_LANES;
    uint32_t end = (high + VF_LANES - 1) / VF_LANES * VF_LANES;
    for (uint32_t j = begin; j < low; j++)
        scores[j] = -INFINITY;
    for (uint32_t j = high; j < end; j++)
        scores[j] = -INFINITY;
    vf most = vf_load(scores + begin);
    for (uint32_t j = begin + VF_LANES; j < end; j += VF_LANES)
        most = vf_max(most, vf_load(scores + j));
    struct part part = {.max = vf_max_lane(most)};
    vf max = vf_set1(part.max);
    vf sum = vf_zero();
    for (uint32_t j = begin; j < end; j += VF_LANES) {
        vf weight = vf_exp(vf_sub(vf_load(scores + j), max));
        vf_store(scores + j, weight);
        sum = vf_add(sum, weight);
    }
    part.sum = vf_sum(sum);
    return part;
}

ALWAYS_INLINE void add_rows_n(float *values, size_t stride, const float *weights,
                              const struct tiles *rows, enum dtype dtype, uint32_t begin,
                              uint32_t end, bool fetches, uint32_t n_queries)
{
    if (n_queries == TILE_QUERIES)
        add_rows_of(values, stride, weights, rows, dtype, begin, end, fetches, TILE_QUERIES);
    else if (n_queries == 4)
        add_rows_of(values, stride, weights, rows, dtype, begin, end, fetches, 4);
    else if (n_queries == 2)
        add_rows_of(values, stride, weights, rows, dtype, begin, end, fetches, 2);
    else
        add_rows_of(values, stride, weights, rows, dtype, begin, end, fetches, 1);
}

// A split's weighted values, of one query or more.
struct sums {
    float *values; // of the unit's first query
    size_t stride; // between queries
    const struct tiles *rows;
    const struct split *split;
};

// Keys [begin, end), counted from the first tile on, for n_queries that all see them.
static void add_rows(const struct attention_scratch *scratch, const struct sums *to, uint32_t first,
                     uint32_t n_queries, uint32_t begin, uint32_t end)
{
    if (begin >= end)
        return;
    float *values = to->values + first * to->stride;
    const float *weights = scratch->scores[first] + (size_t)to->split->tile * KEY_TILE;
    bool fetches = first == 0;
    if (to->rows->dtype == DTYPE_BF16)
        add_rows_n(values, to->stride, weights, to->rows, DTYPE_BF16, begin, end, fetches,
                   n_queries);
    else
        add_rows_n(values, to->stride, weights, to->rows, DTYPE_F32, begin, end, fetches,
                   n_queries);
}

// A run of keys for a tile of queries: together where all see them, each alone before and behind.
static void add_run(const struct attention_scratch *scratch, const struct sums *to, uint32_t first,
                    uint32_t n_queries, uint32_t begin, uint32_t end)
{
    const struct query *queries = scratch->queries + first;
    uint32_t origin = to->split->first + to->split->tile * KEY_TILE;
    uint32_t low = origin + begin, high = origin + end;
    for (uint32_t a = 0; a < n_queries; a++) {
        low = larger(low, queries[a].low);
        high = smaller(high, queries[a].high);
    }
    if (low >= high)
        low = high = origin + end; // nothing in common
    for (uint32_t a = 0; a < n_queries; a++)
        add_rows(scratch, to, first + a, 1, larger(origin + begin, queries[a].low) - origin,
                 larger(origin, smaller(low, queries[a].high)) - origin);
    add_rows(scratch, to, first, n_queries, low - origin, high - origin);
    for (uint32_t a = 0; a < n_queries; a++)
        add_rows(scratch, to, first + a, 1, larger(high, queries[a].low) - origin,
                 larger(origin, smaller(origin + end, queries[a].high)) - origin);
}

static void add_values(const struct attention_scratch *scratch, const struct sums *to,
                       uint32_t n_queries)
{
    memset(to->values, 0, n_queries * to->stride * sizeof(float));
    for (uint32_t begin = 0; begin < to->split->n_tiles; begin += RUN_TILES) {
        uint32_t end = smaller(begin + RUN_TILES, to->split->n_tiles);
        for (uint32_t a = 0, n; a < n_queries; a += n) {
            n = tile_queries(n_queries - a);
            add_run(scratch, to, a, n, begin * KEY_TILE, end * KEY_TILE);
        }
    }
}

// Puts a split's sums to those of the splits before it.
static void merge(struct query *query, float *values, const struct part *part,
                  const float *part_values, uint32_t v_dim)
{
    if (part->sum == 0)
        return;
    float max = fmaxf(query->max, part->max);
    float old = vf_first(vf_exp(vf_set1(query->max - max)));
    float new = vf_first(vf_exp(vf_set1(part->max - max)));
    query->max = max;
    query->sum = query->sum * old + part->sum * new;
    for (uint32_t i = 0; i < v_dim; i += VF_LANES) {
        vf before = vf_mul(vf_load(values + i), vf_set1(old));
        vf_store(values + i, vf_fma(vf_load(part_values + i), vf_set1(new), before));
    }
}

// The keys of a split that each query sees, and those that any does: [begin, end).
static void see_split(struct query *queries, uint32_t n_queries, uint32_t first,
                      uint32_t *out_begin, uint32_t *out_end)
{
    *out_begin = UINT32_MAX;
    *out_end = 0;
    for (uint32_t a = 0; a < n_queries; a++) {
        struct query *query = &queries[a];
        query->low = larger(first, query->first);
        query->high = smaller(first + SPLIT, query->end);
        if (query->low >= query->high) {
            query->low = query->high = first;
            continue;
        }
        *out_begin = smaller(*out_begin, query->low);
        *out_end = larger(*out_end, query->high);
    }
}

// The split that begins at `first`, for all queries of the unit, into a slot. `next`: the one that
// is probably taken after it. Queries' ends ascend.
static void run_split(const struct source *source, struct attention_scratch *scratch,
                      uint32_t n_queries, uint32_t slot, uint32_t first, uint32_t next)
{
    const struct kv_view *view = source->view;
    uint32_t begin, end;
    see_split(scratch->queries, n_queries, first, &begin, &end);
    uint32_t n_keys = scratch->queries[n_queries - 1].end;
    struct split split = find_split(source, first, begin, end, next, n_keys);
    score_split(view, scratch, n_queries, &split);
    for (uint32_t a = 0; a < n_queries; a++) {
        const struct query *query = &scratch->queries[a];
        bool sees = query->low < query->high;
        scratch->parts[slot][a] = sees ? weigh(query, scratch->scores[a], first) : (struct part){0};
    }
    struct tiles rows = {split.values, split.values + AHEAD_TILES, view->v_dim, view->dtype};
    struct sums to = {
        .values = slot_values(view, scratch, n_queries, slot, 0),
        .stride = slot_stride(view),
        .rows = &rows,
        .split = &split,
    };
    add_values(scratch, &to, n_queries);
}

static void copy_query(const struct kv_view *view, const float *q, union key_query *out)
{
    memcpy(out->f32, q, query_head_width(view) * sizeof *q);
    if (uses_dot(view->dtype))
        for (uint32_t i = 0; i < view->k_dim; i += VF_LANES)
            vf_store_bf16_n(out->bf16 + i, vf_load_n(q + i, view->k_dim - i), view->k_dim - i);
}

#endif
