/* kernels/matmul_units.h - how a matmul is cut: what kernels/matmul_cpu.c and
 * kernels/matmul_quantized_cpu.c have in common. A unit is a block of rows times a group of panels;
 * threads share the units. A form brings the function that sums one leaf of a unit; leaves are
 * added in the tree of kernels/types.h here, and the results written. */
#ifndef GEMMAD_KERNELS_MATMUL_UNITS_H
#define GEMMAD_KERNELS_MATMUL_UNITS_H

#include "kernels/matmul.h"
#include "kernels/simd.h"

enum {
    K_RUN = 256, /* inputs that all rows of a unit take of a panel before the next panel's turn, so
                    that they stay in L1; a multiple of QUANT_BLOCK */
    MAX_ROWS = 96,                /* rows of a block */
    MAX_GROUP = 4,                /* panels of a unit */
    MIN_SHARED_PRODUCTS = 100000, /* with fewer, the caller is done before others have begun */
    N_LEVELS = 4,                 /* of the tree of leaves: log2(N_LEAVES) + 1 */
    PANEL_VECTORS = PACK_ROWS / VF_LANES,
};

/* Sums of a unit: [group][MAX_ROWS][PACK_ROWS]. */
typedef float unit_sums[MAX_GROUP][MAX_ROWS][PACK_ROWS];

struct matmul_task {
    float *out;
    size_t out_stride;
    const float *x;
    size_t x_stride;
    uint32_t n_rows;
    const struct packed_matrix *w;
    size_t panel_bytes;
    uint32_t n_panels;
    uint32_t block_rows;
    uint32_t group;
    bool rounds;
    struct device_stream *stream;
};

/* Rows [row, row + n_rows) and panels [panel, panel + n_panels). */
struct unit {
    uint32_t row, n_rows;
    uint32_t panel, n_panels;
};

/* One leaf of a unit into sums, which hold anything before; offset: bytes from the beginning of a
 * panel to the leaf's. scratch is the form's own. */
typedef void leaf_sums_fn(const struct matmul_task *task, const struct unit *unit, uint32_t leaf,
                          size_t offset, float (*sums)[MAX_ROWS][PACK_ROWS], void *scratch);

static inline uint32_t n_parts(uint32_t n, uint32_t part)
{
    return (n + part - 1) / part;
}

/* Blocks of at most max_rows, as large as they may be, made smaller until there is enough to share.
 */
static inline void choose_blocks(struct matmul_task *task, uint32_t max_rows, uint32_t tile_rows,
                                 uint32_t n_threads)
{
    task->block_rows = max_rows;
    task->group = task->n_rows > tile_rows ? MAX_GROUP : 1;
    uint32_t wanted = n_threads == 1 ? 1 : 4 * n_threads;
    while (task->group > 1 && n_parts(task->n_panels, task->group) < wanted)
        task->group /= 2;
    while (task->block_rows > tile_rows &&
           n_parts(task->n_panels, task->group) * n_parts(task->n_rows, task->block_rows) < wanted)
        task->block_rows = n_parts(task->block_rows / 2, tile_rows) * tile_rows;
}

static inline void add_sums(const struct unit *unit, float (*left)[MAX_ROWS][PACK_ROWS],
                            float (*right)[MAX_ROWS][PACK_ROWS])
{
    for (uint32_t p = 0; p < unit->n_panels; p++)
        for (uint32_t r = 0; r < unit->n_rows; r++)
            for (uint32_t i = 0; i < PACK_ROWS; i += VF_LANES)
                vf_store(&left[p][r][i], vf_add(vf_load(&left[p][r][i]), vf_load(&right[p][r][i])));
}

static inline void write_sums(const struct matmul_task *task, const struct unit *unit,
                              float (*sums)[MAX_ROWS][PACK_ROWS])
{
    for (uint32_t p = 0; p < unit->n_panels; p++) {
        uint32_t column = (unit->panel + p) * PACK_ROWS;
        uint32_t n = task->w->n - column < PACK_ROWS ? task->w->n - column : PACK_ROWS;
        for (uint32_t r = 0; r < unit->n_rows; r++) {
            float *out = task->out + (unit->row + r) * task->out_stride + column;
            for (uint32_t i = 0; i < n; i += VF_LANES) {
                vf sum = vf_load(&sums[p][r][i]);
                vf_store_n(out + i, task->rounds ? vf_rounded(sum) : sum, n - i);
            }
        }
    }
}

/* Leaves ascending; level holds the tops of finished subtrees, and two equal ones become one. */
static inline void run_unit(const struct matmul_task *task, const struct unit *unit,
                            unit_sums sums[N_LEVELS], leaf_sums_fn *leaf_sums, void *scratch)
{
    uint32_t level = 0;
    size_t offset = 0;
    for (uint32_t leaf = 0; leaf < task->w->n_leaves; leaf++) {
        uint32_t begin, end;
        packed_leaf_range(task->w, leaf, &begin, &end);
        if (begin == end)
            memset(sums[level], 0, unit->n_panels * sizeof sums[level][0]);
        else
            leaf_sums(task, unit, leaf, offset, sums[level], scratch);
        offset += packed_leaf_bytes(task->w, end - begin);
        for (uint32_t n = leaf + 1; n % 2 == 0; n /= 2, level--)
            add_sums(unit, sums[level - 1], sums[level]);
        level++;
    }
    write_sums(task, unit, sums[0]);
}

/* A thread's share of the units of rows [first, first + n_rows). */
static inline void run_unit_share(const struct matmul_task *task, uint32_t first, uint32_t n_rows,
                                  uint32_t thread, uint32_t n_threads, unit_sums sums[N_LEVELS],
                                  leaf_sums_fn *leaf_sums, void *scratch)
{
    uint32_t n_groups = n_parts(task->n_panels, task->group);
    size_t begin, end;
    device_share((size_t)n_parts(n_rows, task->block_rows) * n_groups, 1, thread, n_threads, &begin,
                 &end);
    for (size_t i = begin; i < end; i++) {
        uint32_t row = (uint32_t)(i / n_groups) * task->block_rows;
        uint32_t panel = (uint32_t)(i % n_groups) * task->group;
        uint32_t rows = n_rows - row, panels = task->n_panels - panel;
        struct unit unit = {
            .row = first + row,
            .n_rows = rows < task->block_rows ? rows : task->block_rows,
            .panel = panel,
            .n_panels = panels < task->group ? panels : task->group,
        };
        run_unit(task, &unit, sums, leaf_sums, scratch);
    }
}

/* The form for quantized weights (kernels/matmul_quantized_cpu.c), as compiled for this variant. */
void KERNEL_NAME(matmul_quantized)(struct matmul_task *task);

#endif
