/* kernels/attention_cpu.c - paged attention in vectors along the head dimension.
 *
 * A unit is a tile of up to MAX_QUERIES queries (some consecutive rows of one sequence times the
 * query heads of one KV head), so that each key and value that is loaded serves them all; threads
 * take the next unit when they are done with one, as their lengths differ. A unit goes through its
 * keys split by split: scores of the split, their weights, the weighted values, merged into the
 * result. A query's numbers depend on its own keys alone: scores of keys that only others see are
 * never used, and values are added for exactly the keys in a query's range, so no 0 * value comes
 * in. Prefill and decode are the same code. Where units are fewer than threads (a long sequence
 * alone), all threads share the splits of one unit after the other; splits are merged in the same
 * order either way.
 * Checked bit for bit between batches, chunks and threads, and between AVX2 and AVX-512, by
 * tests/kernels/test_attention.c. */
#include "kernels/attention.h"

#include <math.h>
#include <stdatomic.h>

#include "base/status.h"
#include "kernels/attention_tiles.h"
#include "kernels/rope.h"

enum {
    SPLIT = ATTENTION_SPLIT_KEYS,
    MAX_QUERIES = 16,
    MAX_V_DIM = 1024,
    MIN_SHARED_PRODUCTS = 100000, // with fewer, the caller is done before others have begun
};

struct attention_task {
    float *out;
    const float *q;
    uint32_t n_heads;
    const struct kv_view *view;
    const struct attention_batch *batch;
    uint32_t window;
    struct device_stream *stream;
    uint32_t unit_rows;      // rows of a unit
    uint32_t unit_heads;     // query heads of a unit, all of one KV head
    uint32_t units_per_tile; // over all heads
    bool together;           // all threads on one unit, or each on its own
    _Atomic uint32_t next_unit;
};

struct query {
    const float *q;
    float *out;
    uint32_t first, end; // the keys it sees
    uint32_t low, high;  // those of them that are in the split
    float max, sum;      // of what has been merged into values
    float split_max, split_sum;
};

// A thread's scratch.
struct attention_scratch {
    struct query queries[MAX_QUERIES];
    float scores[MAX_QUERIES][SPLIT];
    float values[MAX_QUERIES][MAX_V_DIM];
    float split_values[MAX_QUERIES][MAX_V_DIM];
};

struct unit {
    uint32_t sequence;
    uint32_t row, n_rows; // in the batch
    uint32_t head, n_heads;
    uint32_t n_queries;
};

static struct piece piece_at(const struct attention_task *task, const struct unit *unit,
                             uint32_t begin, uint32_t end, size_t offset, uint32_t dim)
{
    const struct kv_view *view = task->view;
    uint32_t kv_head = unit->head / (task->n_heads / view->n_kv_heads);
    uint32_t page_end = begin - begin % view->page_tokens + view->page_tokens;
    uint32_t page = task->batch->block_tables[unit->sequence][begin / view->page_tokens];
    return (struct piece){
        .data = view->pages + (size_t)page * view->page_bytes + offset +
                ((size_t)kv_head * view->page_tokens + begin % view->page_tokens) * dim *
                    dtype_bytes(view->dtype),
        .dtype = view->dtype,
        .dim = dim,
        .begin = begin,
        .end = end < page_end ? end : page_end,
    };
}

// The piece's scores for some queries, whose q begins at an offset of the head.
static void score_piece(struct attention_scratch *scratch, uint32_t first, uint32_t n,
                        uint32_t q_offset, uint32_t split, const struct piece *piece, bool add)
{
    float *scores[TILE_QUERIES];
    const float *q[TILE_QUERIES];
    for (uint32_t a = 0; a < n; a++) {
        scores[a] = scratch->scores[first + a] + (piece->begin - split);
        q[a] = scratch->queries[first + a].q + q_offset;
    }
    if (n == TILE_QUERIES && piece->dtype == DTYPE_BF16)
        score_piece_of(scores, q, piece, DTYPE_BF16, add, TILE_QUERIES);
    else if (n == TILE_QUERIES)
        score_piece_of(scores, q, piece, DTYPE_F32, add, TILE_QUERIES);
    else
        for (uint32_t a = 0; a < n; a++) {
            if (piece->dtype == DTYPE_BF16)
                score_piece_of(scores + a, q + a, piece, DTYPE_BF16, add, 1);
            else
                score_piece_of(scores + a, q + a, piece, DTYPE_F32, add, 1);
        }
}

static void score_all(struct attention_scratch *scratch, const struct unit *unit, uint32_t q_offset,
                      uint32_t split, struct piece *piece, bool add)
{
    for (uint32_t a = 0; a < unit->n_queries; a += TILE_QUERIES) {
        uint32_t n = unit->n_queries - a < TILE_QUERIES ? unit->n_queries - a : TILE_QUERIES;
        score_piece(scratch, a, n, q_offset, split, piece, add);
        piece->meanwhile = NULL; // the first queries have done it for all
    }
}

// Scores of keys [begin, end) of the split that begins at `split`.
static void score_split(const struct attention_task *task, const struct unit *unit,
                        struct attention_scratch *scratch, uint32_t split, uint32_t begin,
                        uint32_t end)
{
    const struct kv_view *view = task->view;
    while (begin < end) {
        struct piece k = piece_at(task, unit, begin, end, view->k_offset, view->k_dim);
        struct piece v = piece_at(task, unit, begin, end, view->v_offset, view->v_dim);
        k.meanwhile = &v;
        score_all(scratch, unit, 0, split, &k, false);
        if (view->k_from_v) {
            score_all(scratch, unit, view->k_dim, split, &v, true);
        }
        begin = k.end;
    }
}

// Scores become weights exp(score - max); whole vectors, whose lanes outside of the query's keys
// count as -infinity.
static void weigh(struct query *query, float *scores, uint32_t split)
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
    query->split_max = vf_max_lane(most);
    vf max = vf_set1(query->split_max);
    vf sum = vf_zero();
    for (uint32_t j = begin; j < end; j += VF_LANES) {
        vf weight = vf_exp(vf_sub(vf_load(scores + j), max));
        vf_store(scores + j, weight);
        sum = vf_add(sum, weight);
    }
    query->split_sum = vf_sum(sum);
}

// Keys [begin, end) of a piece for n queries (1 or TILE_QUERIES) that all see them.
static void add_piece(struct attention_scratch *scratch, uint32_t first, uint32_t n, uint32_t split,
                      const struct piece *piece, uint32_t begin, uint32_t end)
{
    if (begin >= end)
        return;
    float *values[TILE_QUERIES];
    const float *weights[TILE_QUERIES];
    for (uint32_t a = 0; a < n; a++) {
        values[a] = scratch->split_values[first + a];
        weights[a] = scratch->scores[first + a] + (piece->begin - split);
    }
    if (n == TILE_QUERIES && piece->dtype == DTYPE_BF16)
        add_piece_of(values, weights, piece, DTYPE_BF16, begin, end, TILE_QUERIES);
    else if (n == TILE_QUERIES)
        add_piece_of(values, weights, piece, DTYPE_F32, begin, end, TILE_QUERIES);
    else if (piece->dtype == DTYPE_BF16)
        add_piece_of(values, weights, piece, DTYPE_BF16, begin, end, 1);
    else
        add_piece_of(values, weights, piece, DTYPE_F32, begin, end, 1);
}

static uint32_t larger(uint32_t a, uint32_t b)
{
    return a > b ? a : b;
}

static uint32_t smaller(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

// The piece for TILE_QUERIES queries: together where all see its keys, each alone before and
// behind.
static void add_piece_together(struct attention_scratch *scratch, uint32_t first, uint32_t split,
                               const struct piece *piece)
{
    const struct query *queries = scratch->queries + first;
    uint32_t begin = piece->begin, end = piece->end;
    for (uint32_t a = 0; a < TILE_QUERIES; a++) {
        begin = larger(begin, queries[a].low);
        end = smaller(end, queries[a].high);
    }
    if (begin >= end)
        begin = end = piece->end; // nothing in common
    for (uint32_t a = 0; a < TILE_QUERIES; a++)
        add_piece(scratch, first + a, 1, split, piece, larger(piece->begin, queries[a].low),
                  smaller(begin, queries[a].high));
    add_piece(scratch, first, TILE_QUERIES, split, piece, begin, end);
    for (uint32_t a = 0; a < TILE_QUERIES; a++)
        add_piece(scratch, first + a, 1, split, piece, larger(end, queries[a].low),
                  smaller(piece->end, queries[a].high));
}

static void add_values(const struct attention_task *task, const struct unit *unit,
                       struct attention_scratch *scratch, uint32_t split, uint32_t begin,
                       uint32_t end)
{
    const struct kv_view *view = task->view;
    while (begin < end) {
        struct piece v = piece_at(task, unit, begin, end, view->v_offset, view->v_dim);
        uint32_t a = 0;
        for (; a + TILE_QUERIES <= unit->n_queries; a += TILE_QUERIES) {
            add_piece_together(scratch, a, split, &v);
        }
        for (; a < unit->n_queries; a++) {
            add_piece(scratch, a, 1, split, &v, larger(v.begin, scratch->queries[a].low),
                      smaller(v.end, scratch->queries[a].high));
        }
        begin = v.end;
    }
}

// Puts a split's sums to those of the splits before it.
static void merge(struct query *query, float *values, const struct query *split,
                  const float *split_values, uint32_t v_dim)
{
    if (split->low >= split->high)
        return; // sees none of its keys
    float max = fmaxf(query->max, split->split_max);
    float old = vf_first(vf_exp(vf_set1(query->max - max)));
    float new = vf_first(vf_exp(vf_set1(split->split_max - max)));
    query->max = max;
    query->sum = query->sum * old + split->split_sum * new;
    for (uint32_t i = 0; i < v_dim; i += VF_LANES) {
        vf before = vf_mul(vf_load(values + i), vf_set1(old));
        vf_store(values + i, vf_fma(vf_load(split_values + i), vf_set1(new), before));
    }
}

// One split for all queries of the unit, into their split_max, split_sum and split_values.
static void run_split(const struct attention_task *task, const struct unit *unit,
                      struct attention_scratch *scratch, uint32_t split)
{
    uint32_t begin = UINT32_MAX, end = 0;
    for (uint32_t a = 0; a < unit->n_queries; a++) {
        struct query *query = &scratch->queries[a];
        query->low = larger(split, query->first);
        query->high = smaller(split + SPLIT, query->end);
        if (query->low >= query->high) {
            query->low = query->high = split;
            continue;
        }
        begin = smaller(begin, query->low);
        end = larger(end, query->high);
    }
    score_split(task, unit, scratch, split, begin, end);
    for (uint32_t a = 0; a < unit->n_queries; a++) {
        if (scratch->queries[a].low < scratch->queries[a].high)
            weigh(&scratch->queries[a], scratch->scores[a], split);
        memset(scratch->split_values[a], 0, task->view->v_dim * sizeof(float));
    }
    add_values(task, unit, scratch, split, begin, end);
}

static void begin_queries(const struct attention_task *task, struct unit *unit,
                          struct attention_scratch *scratch)
{
    uint32_t width = query_head_width(task->view);
    uint32_t v_dim = task->view->v_dim;
    unit->n_queries = 0;
    for (uint32_t r = 0; r < unit->n_rows; r++) {
        size_t row = unit->row + r;
        uint32_t position = task->batch->first_position[unit->sequence] +
                            (uint32_t)(row - task->batch->row_offsets[unit->sequence]);
        for (uint32_t h = 0; h < unit->n_heads; h++) {
            size_t head = row * task->n_heads + unit->head + h;
            uint32_t a = unit->n_queries++;
            scratch->queries[a] = (struct query){
                .q = task->q + head * width,
                .out = task->out + head * v_dim,
                .first = attention_first_key(position, task->window),
                .end = position + 1,
                .max = -INFINITY,
            };
            memset(scratch->values[a], 0, v_dim * sizeof(float));
        }
    }
}

static void write_query(const struct attention_task *task, const struct query *query,
                        const float *values)
{
    vf sum = vf_set1(query->sum);
    for (uint32_t i = 0; i < task->view->v_dim; i += VF_LANES)
        vf_store_n(query->out + i, vf_rounded(vf_div(vf_load(values + i), sum)),
                   task->view->v_dim - i);
}

// The first key of the first split of a unit, and the end of its keys. Rows ascend.
static uint32_t first_split(const struct unit *unit, const struct query *queries, uint32_t *out_end)
{
    *out_end = queries[unit->n_queries - 1].end;
    return queries[0].first - queries[0].first % SPLIT;
}

static void run_unit(const struct attention_task *task, struct unit *unit,
                     struct attention_scratch *scratch)
{
    begin_queries(task, unit, scratch);
    uint32_t end;
    for (uint32_t split = first_split(unit, scratch->queries, &end); split < end; split += SPLIT) {
        run_split(task, unit, scratch, split);
        for (uint32_t a = 0; a < unit->n_queries; a++)
            merge(&scratch->queries[a], scratch->values[a], &scratch->queries[a],
                  scratch->split_values[a], task->view->v_dim);
    }
    for (uint32_t a = 0; a < unit->n_queries; a++)
        write_query(task, &scratch->queries[a], scratch->values[a]);
}

static struct attention_scratch *scratch_of(const struct attention_task *task, uint32_t thread)
{
    return device_stream_scratch(task->stream, thread, sizeof(struct attention_scratch));
}

// The same by all threads: each takes every n_threads-th split; then they share the queries, whose
// sums are kept by thread 0, and merge the round's splits in order.
static void run_unit_together(const struct attention_task *task, struct unit *unit, uint32_t thread,
                              uint32_t n_threads)
{
    struct attention_scratch *mine = scratch_of(task, thread);
    struct attention_scratch *sums = scratch_of(task, 0);
    begin_queries(task, unit, mine);
    uint32_t end;
    uint32_t first = first_split(unit, mine->queries, &end);
    uint32_t n_splits = (end - first + SPLIT - 1) / SPLIT;
    for (uint32_t round = 0; round < n_splits; round += n_threads) {
        uint32_t n = smaller(n_threads, n_splits - round);
        if (thread < n)
            run_split(task, unit, mine, first + (round + thread) * SPLIT);
        device_stream_barrier(task->stream);
        for (uint32_t a = thread; a < unit->n_queries; a += n_threads)
            for (uint32_t t = 0; t < n; t++)
                merge(&sums->queries[a], sums->values[a], &scratch_of(task, t)->queries[a],
                      scratch_of(task, t)->split_values[a], task->view->v_dim);
        device_stream_barrier(task->stream);
    }
    for (uint32_t a = thread; a < unit->n_queries; a += n_threads)
        write_query(task, &sums->queries[a], sums->values[a]);
    device_stream_barrier(task->stream); // thread 0 begins the next
}

static uint32_t tiles_of(const struct attention_task *task, uint32_t sequence)
{
    const uint32_t *offsets = task->batch->row_offsets;
    uint32_t n_rows = offsets[sequence + 1] - offsets[sequence];
    return (n_rows + task->unit_rows - 1) / task->unit_rows;
}

// Units are numbered by sequence, tile of rows, heads. Whose numbers only go up walks through the
// sequences once.
struct place {
    uint32_t sequence;
    uint32_t first; // number of the sequence's first unit
};

// False: there is no unit of this number.
static bool find_unit(const struct attention_task *task, struct place *place, uint32_t number,
                      struct unit *out)
{
    const struct attention_batch *batch = task->batch;
    for (;; place->sequence++) {
        if (place->sequence == batch->n_seqs)
            return false;
        uint32_t n = tiles_of(task, place->sequence) * task->units_per_tile;
        if (number - place->first < n)
            break;
        place->first += n;
    }
    uint32_t begin = batch->row_offsets[place->sequence];
    uint32_t end = batch->row_offsets[place->sequence + 1];
    uint32_t tile = (number - place->first) / task->units_per_tile;
    uint32_t part = (number - place->first) % task->units_per_tile;
    // A KV head's query heads are cut into parts of unit_heads; no unit has those of two.
    uint32_t group = task->n_heads / task->view->n_kv_heads;
    uint32_t parts = (group + task->unit_heads - 1) / task->unit_heads;
    uint32_t in_group = part % parts * task->unit_heads;
    *out = (struct unit){
        .sequence = place->sequence,
        .row = begin + tile * task->unit_rows,
        .n_rows = smaller(end - begin - tile * task->unit_rows, task->unit_rows),
        .head = part / parts * group + in_group,
        .n_heads = smaller(task->unit_heads, group - in_group),
    };
    return true;
}

static void run_units(void *context, uint32_t thread, uint32_t n_threads)
{
    struct attention_task *task = context;
    struct place place = {0};
    struct unit unit;
    if (task->together) {
        for (uint32_t number = 0; find_unit(task, &place, number, &unit); number++)
            run_unit_together(task, &unit, thread, n_threads);
        return;
    }
    while (find_unit(task, &place, atomic_fetch_add(&task->next_unit, 1), &unit))
        run_unit(task, &unit, scratch_of(task, thread));
}

// Whether all threads on one unit after the other are done before a thread for each: few units with
// many splits, that is a few long sequences.
static bool together_is_sooner(const struct attention_task *task, uint32_t n_threads)
{
    struct place place = {0};
    struct unit unit;
    uint32_t longest = 0, rounds = 0;
    for (uint32_t number = 0; find_unit(task, &place, number, &unit); number++) {
        if (number == n_threads)
            return false; // enough of them
        uint32_t in_sequence = unit.row - task->batch->row_offsets[unit.sequence];
        uint32_t position = task->batch->first_position[unit.sequence] + in_sequence;
        uint32_t first = attention_first_key(position, task->window) / SPLIT;
        uint32_t n_splits = (position + unit.n_rows - 1) / SPLIT - first + 1;
        longest = larger(longest, n_splits);
        rounds += (n_splits + n_threads - 1) / n_threads;
    }
    return rounds < longest;
}

// An upper bound of the step's multiply-adds.
static size_t products(const struct attention_task *task)
{
    const struct attention_batch *batch = task->batch;
    size_t n_scores = 0;
    for (uint32_t s = 0; s < batch->n_seqs; s++) {
        size_t n_rows = batch->row_offsets[s + 1] - batch->row_offsets[s];
        size_t n_keys = batch->first_position[s] + n_rows;
        if (task->window > 0 && n_keys > task->window)
            n_keys = task->window;
        n_scores += n_rows * n_keys;
    }
    return n_scores * task->n_heads * (query_head_width(task->view) + task->view->v_dim);
}

static void attention_paged(float *out, const float *q, uint32_t n_heads,
                            const struct kv_view *view, const struct attention_batch *batch,
                            uint32_t window, struct device_stream *stream)
{
    CHECK(n_heads % view->n_kv_heads == 0 && view->v_dim <= MAX_V_DIM);
    uint32_t group = n_heads / view->n_kv_heads;
    struct attention_task task = {
        .out = out,
        .q = q,
        .n_heads = n_heads,
        .view = view,
        .batch = batch,
        .window = window,
        .stream = stream,
        .unit_heads = smaller(group, MAX_QUERIES),
    };
    task.unit_rows = MAX_QUERIES / task.unit_heads;
    task.units_per_tile = (group + task.unit_heads - 1) / task.unit_heads * view->n_kv_heads;
    if (products(&task) < MIN_SHARED_PRODUCTS) {
        run_units(&task, 0, 1);
        return;
    }
    task.together = together_is_sooner(&task, device_stream_n_threads(stream));
    device_stream_run(stream, run_units, &task);
}

void KERNEL_PUT(attention)(struct ops *out)
{
    out->attention_paged = attention_paged;
}
