/* kernels/matmul_units.h - how a matmul is cut: what kernels/matmul_cpu.c and
 * kernels/matmul_quantized_cpu.c have in common.
 *
 * Inputs go by in runs of `run_inputs`. The rows of a block are first prepared, into the first
 * thread's scratch: each run of a row as the products want it, the rows of a run side by side; by
 * all threads, or by the caller alone if that takes no longer than meeting would. Then the threads
 * take the units one by one, a block of rows times a group of panels; inside a unit
 * all rows pass over one panel's run while it stays in L1, so every weight is read from memory once
 * per block of rows, and the next run is fetched meanwhile. Sums wait in scratch between runs,
 * which changes no bit; leaves are added in the tree of kernels/types.h. */
#ifndef GEMMAD_KERNELS_MATMUL_UNITS_H
#define GEMMAD_KERNELS_MATMUL_UNITS_H

#include "kernels/matmul.h"
#include "kernels/simd.h"

enum {
    MAX_ROWS = 96, /* rows of a block */
    MAX_GROUP = 4, /* panels of a unit: of many rows, whose runs are then read once for them all */
    MIN_GROUPED_ROWS = 33,
    AHEAD = 8192, /* bytes from what is read to what is fetched, when memory is the limit */
    MAX_ALONE_INPUTS = 16384,     /* of all rows: the caller prepares no more alone */
    MIN_SHARED_PRODUCTS = 100000, /* with fewer, the caller is done before others have begun */
    N_LEVELS = 4,                 /* of the tree of leaves: log2(N_LEAVES) + 1 */
    PANEL_VECTORS = PACK_ROWS / VF_LANES,
};

/* Sums of a unit: [group][MAX_ROWS][PACK_ROWS]. */
typedef float unit_sums[MAX_GROUP][MAX_ROWS][PACK_ROWS];

/* One run of a panel, for the rows of a unit. */
struct panel_run {
    const unsigned char *data;
    const unsigned char *next; /* what is read after it, to be fetched meanwhile */
    enum dtype dtype;
    uint32_t n;  /* inputs */
    bool begins; /* sums begin at zero, or go on */
};

/* What a file of tiles brings. */
struct matmul_form {
    uint32_t run_inputs; /* a multiple of QUANT_BLOCK */
    uint32_t tile_rows;
    size_t row_bytes;    /* of a prepared run of a row */
    size_t thread_bytes; /* scratch that `multiply` wants of its own */
    /* n <= run_inputs of a row's inputs into out [row_bytes]. */
    void (*prepare)(enum dtype dtype, const float *x, uint32_t n, void *out);
    /* Adds a run to the sums of n_rows prepared rows. */
    void (*multiply)(const struct panel_run *run, float (*sums)[PACK_ROWS], const void *rows,
                     uint32_t n_rows, void *thread_scratch);
};

struct matmul_task {
    float *out;
    size_t out_stride;
    const float *x;
    size_t x_stride;
    uint32_t n_rows;
    const struct packed_matrix *w;
    bool rounds;
    float cap; /* of logits; 0: none */
    struct device_stream *stream;
    const struct matmul_form *form;
    size_t panel_bytes;
    uint32_t n_panels;
    uint32_t prepared_rows; /* of a block of rows that are prepared together */
    uint32_t block_rows, group;
    bool prepared;       /* all rows, before the threads begin */
    unsigned char *rows; /* [runs of all leaves][prepared_rows][form->row_bytes] */
};

/* Rows [row, row + n_rows) of those prepared, and panels [panel, panel + n_panels). */
struct unit {
    uint32_t first_row; /* of the matmul, that is prepared as number 0 */
    uint32_t row, n_rows;
    uint32_t panel, n_panels;
};

static inline uint32_t n_parts(uint32_t n, uint32_t part)
{
    return (n + part - 1) / part;
}

static inline unsigned char *prepared_run(const struct matmul_task *task, size_t run, uint32_t row)
{
    return task->rows + (run * task->prepared_rows + row) * task->form->row_bytes;
}

/* A leaf of a unit into sums, which hold anything before; offset: bytes from the beginning of a
 * panel to the leaf's; first_run: runs of the leaves before. */
static inline void leaf_sums(const struct matmul_task *task, const struct unit *unit,
                             uint32_t n_inputs, size_t offset, size_t first_run,
                             float (*sums)[MAX_ROWS][PACK_ROWS], void *thread_scratch)
{
    const struct packed_matrix *w = task->w;
    uint32_t length = task->form->run_inputs;
    size_t run_bytes = packed_leaf_bytes(w, length);
    for (uint32_t k = 0; k < n_inputs; k += length) {
        const unsigned char *rows = prepared_run(task, first_run + k / length, unit->row);
        const unsigned char *first = (const unsigned char *)w->data +
                                     unit->panel * task->panel_bytes + offset +
                                     k / length * run_bytes;
        for (uint32_t p = 0; p < unit->n_panels; p++) {
            struct panel_run run = {
                .data = first + p * task->panel_bytes,
                .next = first + (p + 1 < unit->n_panels ? (p + 1) * task->panel_bytes : run_bytes),
                .dtype = w->dtype,
                .n = n_inputs - k < length ? n_inputs - k : length,
                .begins = k == 0,
            };
            task->form->multiply(&run, sums[p], rows, unit->n_rows, thread_scratch);
        }
    }
    if (n_inputs == 0)
        memset(sums, 0, unit->n_panels * sizeof sums[0]);
}

static inline void add_sums(const struct unit *unit, float (*left)[MAX_ROWS][PACK_ROWS],
                            float (*right)[MAX_ROWS][PACK_ROWS])
{
    for (uint32_t p = 0; p < unit->n_panels; p++)
        for (uint32_t r = 0; r < unit->n_rows; r++)
            for (uint32_t i = 0; i < PACK_ROWS; i += VF_LANES)
                vf_store(&left[p][r][i], vf_add(vf_load(&left[p][r][i]), vf_load(&right[p][r][i])));
}

ALWAYS_INLINE vf finished(const struct matmul_task *task, vf sum)
{
    vf cap = vf_set1(task->cap);
    if (task->cap > 0)
        sum = vf_mul(cap, vf_tanh(vf_div(sum, cap)));
    return task->rounds ? vf_rounded(sum) : sum;
}

static inline void write_sums(const struct matmul_task *task, const struct unit *unit,
                              float (*sums)[MAX_ROWS][PACK_ROWS])
{
    for (uint32_t p = 0; p < unit->n_panels; p++) {
        uint32_t column = (unit->panel + p) * PACK_ROWS;
        uint32_t n = task->w->n - column < PACK_ROWS ? task->w->n - column : PACK_ROWS;
        for (uint32_t r = 0; r < unit->n_rows; r++) {
            float *out = task->out + (unit->first_row + unit->row + r) * task->out_stride + column;
            for (uint32_t i = 0; i < n; i += VF_LANES)
                vf_store_n(out + i, finished(task, vf_load(&sums[p][r][i])), n - i);
        }
    }
}

/* Leaves ascending; level holds the tops of finished subtrees, and two equal ones become one. */
static inline void run_unit(const struct matmul_task *task, const struct unit *unit,
                            unit_sums sums[N_LEVELS], void *thread_scratch)
{
    uint32_t level = 0;
    size_t offset = 0, first_run = 0;
    for (uint32_t leaf = 0; leaf < task->w->n_leaves; leaf++) {
        uint32_t begin, end;
        packed_leaf_range(task->w, leaf, &begin, &end);
        leaf_sums(task, unit, end - begin, offset, first_run, sums[level], thread_scratch);
        offset += packed_leaf_bytes(task->w, end - begin);
        first_run += n_parts(end - begin, task->form->run_inputs);
        for (uint32_t n = leaf + 1; n % 2 == 0; n /= 2, level--)
            add_sums(unit, sums[level - 1], sums[level]);
        level++;
    }
    write_sums(task, unit, sums[0]);
}

static inline uint32_t n_units(const struct matmul_task *task, uint32_t n_rows)
{
    return n_parts(n_rows, task->block_rows) * n_parts(task->n_panels, task->group);
}

/* Units of n prepared rows, until none is left. */
static inline void run_units(const struct matmul_task *task, uint32_t first_row, uint32_t n_rows,
                             uint32_t thread, uint32_t n_threads, unit_sums *sums,
                             void *thread_scratch)
{
    uint32_t n_groups = n_parts(task->n_panels, task->group);
    uint32_t number;
    while (device_stream_take(task->stream, thread, n_threads, &number)) {
        uint32_t row = number / n_groups * task->block_rows;
        uint32_t panel = number % n_groups * task->group;
        uint32_t rows = n_rows - row, panels = task->n_panels - panel;
        struct unit unit = {
            .first_row = first_row,
            .row = row,
            .n_rows = rows < task->block_rows ? rows : task->block_rows,
            .panel = panel,
            .n_panels = panels < task->group ? panels : task->group,
        };
        run_unit(task, &unit, sums, thread_scratch);
    }
}

/* A thread's share of the runs of n rows. */
static inline void prepare_share(const struct matmul_task *task, uint32_t first_row,
                                 uint32_t n_rows, uint32_t thread, uint32_t n_threads)
{
    const struct matmul_form *form = task->form;
    size_t run = 0;
    for (uint32_t leaf = 0; leaf < task->w->n_leaves; leaf++) {
        uint32_t begin, end;
        packed_leaf_range(task->w, leaf, &begin, &end);
        for (uint32_t k = begin; k < end; k += form->run_inputs, run++) {
            if (n_rows < n_threads && run % n_threads != thread)
                continue; // fewer rows than threads: by runs, else by rows
            uint32_t n = end - k < form->run_inputs ? end - k : form->run_inputs;
            uint32_t step = n_rows < n_threads ? 1 : n_threads;
            for (uint32_t r = step > 1 ? thread : 0; r < n_rows; r += step)
                form->prepare(task->w->dtype, task->x + (first_row + r) * task->x_stride + k, n,
                              prepared_run(task, run, r));
        }
    }
}

static inline void run_threads(void *context, uint32_t thread, uint32_t n_threads)
{
    const struct matmul_task *task = context;
    size_t sums_bytes = N_LEVELS * sizeof(unit_sums);
    unsigned char *own = device_stream_scratch(task->stream, thread,
                                               sums_bytes + task->form->thread_bytes);
    for (uint32_t first = 0; first < task->n_rows; first += task->prepared_rows) {
        uint32_t left = task->n_rows - first;
        uint32_t n = left < task->prepared_rows ? left : task->prepared_rows;
        if (first > 0 && n_threads > 1)
            device_stream_barrier(task->stream); // nobody reads the rows before any more
        if (!task->prepared) {
            if (thread == 0)
                device_stream_share(task->stream, n_units(task, n), n_threads);
            prepare_share(task, first, n, thread, n_threads);
            if (n_threads > 1)
                device_stream_barrier(task->stream);
        }
        run_units(task, first, n, thread, n_threads, (unit_sums *)(void *)own, own + sums_bytes);
    }
}

/* Room for the prepared rows: behind the first thread's own scratch. */
static inline void place_rows(struct matmul_task *task)
{
    const struct matmul_form *form = task->form;
    size_t n_runs = 0, bytes = device_stream_scratch_bytes(task->stream);
    size_t own = (N_LEVELS * sizeof(unit_sums) + form->thread_bytes + 63) & ~(size_t)63;
    for (uint32_t leaf = 0; leaf < task->w->n_leaves; leaf++) {
        uint32_t begin, end;
        packed_leaf_range(task->w, leaf, &begin, &end);
        n_runs += n_parts(end - begin, form->run_inputs);
    }
    size_t fit = bytes < own ? 0 : n_runs ? (bytes - own) / (n_runs * form->row_bytes) : MAX_ROWS;
    CHECK(fit > 0); // MATMUL_MAX_K and the least scratch see to it
    task->rows = (unsigned char *)device_stream_scratch(task->stream, 0, bytes) + own;
    task->prepared_rows = fit < MAX_ROWS ? (uint32_t)fit : MAX_ROWS;
}

/* Blocks as large as they may be, made smaller until there is enough to share. */
static inline void choose_blocks(struct matmul_task *task, uint32_t n_threads)
{
    uint32_t tile_rows = task->form->tile_rows;
    uint32_t n_rows = task->n_rows < task->prepared_rows ? task->n_rows : task->prepared_rows;
    task->block_rows = task->prepared_rows;
    task->group = n_rows >= MIN_GROUPED_ROWS ? MAX_GROUP : 1;
    uint32_t wanted = n_threads == 1 ? 1 : 4 * n_threads;
    while (task->group > 1 && n_parts(task->n_panels, task->group) < wanted)
        task->group /= 2;
    while (task->block_rows > tile_rows &&
           n_parts(task->n_panels, task->group) * n_parts(n_rows, task->block_rows) < wanted)
        task->block_rows = n_parts(task->block_rows / 2, tile_rows) * tile_rows;
}

/* The fields up to stream are the caller's. */
static inline void run_matmul(struct matmul_task *task, const struct matmul_form *form)
{
    task->form = form;
    task->panel_bytes = packed_panel_bytes(task->w);
    task->n_panels = n_parts(task->w->n, PACK_ROWS);
    place_rows(task);
    bool alone = (size_t)task->n_rows * task->w->n * task->w->k < MIN_SHARED_PRODUCTS;
    uint32_t n_threads = alone ? 1 : device_stream_n_threads(task->stream);
    choose_blocks(task, n_threads);
    task->prepared = task->n_rows <= task->prepared_rows &&
                     (size_t)task->n_rows * task->w->k <= MAX_ALONE_INPUTS;
    if (task->prepared) {
        prepare_share(task, 0, task->n_rows, 0, 1);
        device_stream_share(task->stream, n_units(task, task->n_rows), n_threads);
    }
    if (alone)
        run_threads(task, 0, 1);
    else
        device_stream_run(task->stream, run_threads, task);
}

/* Fetches a share of what comes next, step by step of a tile's loop. */
struct fetcher {
    const unsigned char *at, *due; /* up to where it is, and should be */
    size_t step_bytes;
};

/* The share of tile number `tile` of n_tiles; a run of `bytes` goes by in n_steps steps of a tile.
 * While a run is read many times, the next one is fetched; a run that is read once leaves less
 * time, so what is AHEAD. */
static inline struct fetcher fetcher_of(const struct panel_run *run, size_t bytes, uint32_t n_steps,
                                        uint32_t tile, uint32_t n_tiles)
{
    const unsigned char *begin = n_tiles == 1 ? run->data + AHEAD : run->next;
    begin += bytes / n_tiles * tile;
    return (struct fetcher){begin, begin, bytes / n_steps / n_tiles};
}

/* It may reach past the matrix, which no fetch minds. */
ALWAYS_INLINE void fetch_step(struct fetcher *fetcher)
{
    fetcher->due += fetcher->step_bytes;
    for (; fetcher->at < fetcher->due; fetcher->at += 64)
        _mm_prefetch(fetcher->at, _MM_HINT_T0);
}

/* The form for quantized weights (kernels/matmul_quantized_cpu.c), as compiled for this variant. */
void KERNEL_NAME(matmul_quantized)(struct matmul_task *task);

#endif
