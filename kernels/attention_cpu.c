/* kernels/attention_cpu.c - paged attention: the step cut into units, and units over threads.
 *
 * A unit is up to MAX_QUERIES queries (some consecutive rows of one sequence times the query heads
 * of one KV head), so that each key and value that is loaded serves them all; threads take the next
 * unit when they are done with one, as their lengths differ. A unit goes through its keys split by
 * split (kernels/attention_split.h), each merged into the result. Prefill and decode are the same
 * code. Where units are few (a long sequence alone), all threads share the splits of one unit after
 * the other; splits are merged in the same order either way.
 * Checked bit for bit between batches, chunks and threads, and between AVX2 and AVX-512, by
 * tests/kernels/test_attention.c. */
#include "kernels/attention.h"

#include <stdatomic.h>

#include "base/status.h"
#include "kernels/attention_split.h"

enum {
    MAX_ROUND = 256,              // splits that all threads together keep
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
    _Atomic uint32_t next_split; // together: of the unit
    struct {
        uint32_t thread, slot;
    } places[MAX_ROUND]; // together: where the splits of the round are
};

struct unit {
    struct source source;
    uint32_t sequence;
    uint32_t row, n_rows; // in the batch
    uint32_t head, n_heads;
    uint32_t n_queries;
};

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
                .out = task->out + head * v_dim,
                .first = attention_first_key(position, task->window),
                .end = attention_last_key(task->batch, unit->sequence, row) + 1,
                .max = -INFINITY,
            };
            memset(scratch->values[a], 0, v_dim * sizeof(float));
            copy_query(task->view, task->q + head * width, &scratch->key_queries[a]);
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
        run_split(&unit->source, scratch, unit->n_queries, 0, split, split + SPLIT);
        for (uint32_t a = 0; a < unit->n_queries; a++)
            merge(&scratch->queries[a], scratch->values[a], &scratch->parts[0][a],
                  slot_values(task->view, scratch, unit->n_queries, 0, a), task->view->v_dim);
    }
    for (uint32_t a = 0; a < unit->n_queries; a++)
        write_query(task, &scratch->queries[a], scratch->values[a]);
}

static struct attention_scratch *scratch_of(const struct attention_task *task, uint32_t thread)
{
    return device_stream_scratch(task->stream, thread, sizeof(struct attention_scratch));
}

static bool take_split(struct attention_task *task, uint32_t end, uint32_t *out)
{
    *out = atomic_load(&task->next_split);
    while (*out < end)
        if (atomic_compare_exchange_weak(&task->next_split, out, *out + 1))
            return true;
    return false;
}

// Merges a round's n splits, ascending, into the sums that thread 0 keeps of a query.
static void merge_round(const struct attention_task *task, const struct unit *unit, uint32_t query,
                        uint32_t n)
{
    struct attention_scratch *sums = scratch_of(task, 0);
    for (uint32_t i = 0; i < n; i++) {
        struct attention_scratch *from = scratch_of(task, task->places[i].thread);
        uint32_t slot = task->places[i].slot;
        merge(&sums->queries[query], sums->values[query], &from->parts[slot][query],
              slot_values(task->view, from, unit->n_queries, slot, query), task->view->v_dim);
    }
}

// The same by all threads, in rounds of as many splits as they have slots: each takes the next one
// when it is done with one; then they share the queries and merge the round.
static void run_unit_together(struct attention_task *task, struct unit *unit, uint32_t thread,
                              uint32_t n_threads)
{
    struct attention_scratch *mine = scratch_of(task, thread);
    begin_queries(task, unit, mine);
    uint32_t end;
    uint32_t first = first_split(unit, mine->queries, &end);
    uint32_t n_splits = (end - first + SPLIT - 1) / SPLIT;
    uint32_t slots = n_slots(task->view, unit->n_queries);
    uint32_t most = smaller(MAX_ROUND, slots * n_threads);
    for (uint32_t round = 0; round < n_splits; round += most) {
        uint32_t n = smaller(most, n_splits - round);
        for (uint32_t slot = 0, i; slot < slots && take_split(task, round + n, &i); slot++) {
            run_split(&unit->source, mine, unit->n_queries, slot, first + i * SPLIT,
                      first + (i + n_threads) * SPLIT);
            task->places[i - round].thread = thread;
            task->places[i - round].slot = slot;
        }
        device_stream_barrier(task->stream);
        for (uint32_t a = thread; a < unit->n_queries; a += n_threads)
            merge_round(task, unit, a, n);
        device_stream_barrier(task->stream);
    }
    struct attention_scratch *sums = scratch_of(task, 0);
    for (uint32_t a = thread; a < unit->n_queries; a += n_threads)
        write_query(task, &sums->queries[a], sums->values[a]);
    if (thread == 0)
        atomic_store(&task->next_split, 0);
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
        .source = {task->view, batch->block_tables[place->sequence], part / parts},
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
    uint32_t number = 0, longest = 0, rounds = 0;
    for (; find_unit(task, &place, number, &unit); number++) {
        if (number == 4 * n_threads)
            return false; // enough of them
        uint32_t in_sequence = unit.row - task->batch->row_offsets[unit.sequence];
        uint32_t position = task->batch->first_position[unit.sequence] + in_sequence;
        uint32_t first = attention_first_key(position, task->window) / SPLIT;
        uint32_t last = attention_last_key(task->batch, unit.sequence, unit.row + unit.n_rows - 1);
        uint32_t n_splits = last / SPLIT - first + 1;
        longest = larger(longest, n_splits);
        rounds += (n_splits + n_threads - 1) / n_threads;
    }
    return rounds < (number + n_threads - 1) / n_threads * longest;
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
    CHECK(n_heads % view->n_kv_heads == 0 && query_head_width(view) <= ATTENTION_MAX_WIDTH);
    CHECK(!view->k_from_v || attention_takes_k_from_v(view->k_dim, view->v_dim));
    CHECK(view->page_tokens % KEY_TILE == 0);
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
