/* kernels/matmul_cpu.c - matmul in vector registers: a tile of rows times a panel's outputs.
 *
 * A panel holds the same k of 64 outputs side by side, so an output is a lane and its sum one chain
 * over k: broadcast x, multiply-add. Work is cut in blocks of rows and groups of panels, the units
 * that threads share; inside a unit, k goes by in runs of K_RUN whose rows are first copied close
 * together (as bf16 pairs for the dot-product form), so that a panel's run stays in L1 while all
 * rows pass over it, and every weight is read from memory once per block of rows. Sums wait in
 * scratch between runs, which changes no bit. A single tile of rows (decode) takes panels one by
 * one, as they lie in memory. Checked against the twin, and bit for bit between batch sizes,
 * threads, leaves split over ranks, and AVX2 and AVX-512, by tests/kernels/test_matmul.c. */
#include "kernels/matmul_units.h"

#if defined(__AVX512BF16__)
#define DOT_BF16 1 /* bf16 weights times bf16 pairs of x, exact products, one instruction */
#else
#define DOT_BF16 0
#endif

enum {
    AHEAD = 4096, // bytes from what is read to what is fetched: memory is that far away
#ifdef __AVX512F__
    TILE_ROWS = 6, // times 4 vectors: 24 of 32 registers are sums
    TILE_VECTORS = 4,
#else
    TILE_ROWS = 6, // times 1 vector of 2 registers: 12 of 16
    TILE_VECTORS = 1,
#endif
};

// What a row of a run looks like: f32, or bf16 for the dot product.
union run_row {
    float f32[K_RUN];
    uint16_t bf16[K_RUN];
};

// A thread's scratch.
struct matmul_scratch {
    unit_sums sums[N_LEVELS];
    union run_row rows[MAX_ROWS];
};

// n k of one panel; sums begin at zero or go on; what lies ahead in memory is fetched or not.
struct panel_run {
    const void *data;
    uint32_t n;
    bool begins, fetches;
};

static bool uses_dot(const struct packed_matrix *w)
{
    return DOT_BF16 && w->dtype == DTYPE_BF16;
}

// 16 outputs' weights for k, whose being odd is known when this is compiled.
ALWAYS_INLINE vf weights(const void *run, enum dtype dtype, uint32_t k, bool odd, uint32_t lane)
{
    if (dtype == DTYPE_F32)
        return vf_load((const float *)run + (size_t)k * PACK_ROWS + lane);
    if (dtype == DTYPE_F16)
        return vf_load_f16((const uint16_t *)run + (size_t)k * PACK_ROWS + lane);
    const uint16_t *pairs = (const uint16_t *)run + (size_t)(k / 2) * (2 * PACK_ROWS) + 2 * lane;
    return odd ? vf_load_pairs_odd(pairs) : vf_load_pairs_even(pairs);
}

// One k of a tile: every row's x times the vectors of weights.
ALWAYS_INLINE void multiply_add(vf *sums, const void *run, enum dtype dtype, uint32_t lane,
                                const union run_row *rows, uint32_t k, const bool odd,
                                const int n_rows, const int n_vectors)
{
    vf w[PANEL_VECTORS];
    UNROLLED for (int v = 0; v < n_vectors; v++)
        w[v] = weights(run, dtype, k, odd, lane + (uint32_t)v * VF_LANES);
    UNROLLED for (int r = 0; r < n_rows; r++)
    {
        vf x = vf_set1(rows[r].f32[k]);
        UNROLLED for (int v = 0; v < n_vectors; v++)
            sums[r * n_vectors + v] = vf_fma(x, w[v], sums[r * n_vectors + v]);
    }
}

#if DOT_BF16
// One pair of k.
ALWAYS_INLINE void multiply_add_pair(vf *sums, const void *run, uint32_t lane,
                                     const union run_row *rows, uint32_t k, const int n_rows,
                                     const int n_vectors)
{
    const uint16_t *pairs = (const uint16_t *)run + (size_t)k * PACK_ROWS + 2 * lane;
    __m512i w[PANEL_VECTORS];
    UNROLLED for (int v = 0; v < n_vectors; v++)
        w[v] = _mm512_loadu_si512(pairs + v * 2 * VF_LANES);
    UNROLLED for (int r = 0; r < n_rows; r++)
    {
        int pair;
        memcpy(&pair, &rows[r].bf16[k], sizeof pair);
        __m512bh x = (__m512bh)_mm512_set1_epi32(pair);
        UNROLLED for (int v = 0; v < n_vectors; v++)
            sums[r * n_vectors + v] = _mm512_dpbf16_ps(sums[r * n_vectors + v], (__m512bh)w[v], x);
    }
}
#endif

// It may reach past the matrix, which no fetch minds.
ALWAYS_INLINE void fetch_ahead(const void *run, enum dtype dtype, uint32_t k)
{
    const char *two_rows = (const char *)run + (size_t)k * PACK_ROWS * dtype_bytes(dtype) + AHEAD;
    UNROLLED for (size_t line = 0; line < 2 * PACK_ROWS * dtype_bytes(dtype); line += 64)
        _mm_prefetch(two_rows + line, _MM_HINT_T0);
}

ALWAYS_INLINE void tile_run(vf *sums, const struct panel_run *run, enum dtype dtype, uint32_t lane,
                            const union run_row *rows, const int n_rows, const int n_vectors)
{
    bool fetches = run->fetches && lane == 0;
    uint32_t k = 0;
#if DOT_BF16
    if (dtype == DTYPE_BF16) { // an odd last one has a zero behind it, here and in the panel
        for (; k < run->n; k += 2) {
            if (fetches)
                fetch_ahead(run->data, dtype, k);
            multiply_add_pair(sums, run->data, lane, rows, k, n_rows, n_vectors);
        }
        return;
    }
#endif
    for (; k + 2 <= run->n; k += 2) {
        if (fetches)
            fetch_ahead(run->data, dtype, k);
        multiply_add(sums, run->data, dtype, lane, rows, k, false, n_rows, n_vectors);
        multiply_add(sums, run->data, dtype, lane, rows, k + 1, true, n_rows, n_vectors);
    }
    if (k < run->n)
        multiply_add(sums, run->data, dtype, lane, rows, k, false, n_rows, n_vectors);
}

// A panel's run for n_rows rows and n_vectors vectors of outputs from lane on, sums in registers.
ALWAYS_INLINE void tile(float (*sums)[PACK_ROWS], const struct panel_run *run, enum dtype dtype,
                        uint32_t lane, const union run_row *rows, const int n_rows,
                        const int n_vectors)
{
    vf registers[TILE_ROWS * PANEL_VECTORS];
    UNROLLED for (int r = 0; r < n_rows; r++) UNROLLED for (int v = 0; v < n_vectors; v++)
        registers[r * n_vectors + v] =
            run->begins ? vf_zero() : vf_load(&sums[r][lane + (uint32_t)v * VF_LANES]);
    tile_run(registers, run, dtype, lane, rows, n_rows, n_vectors);
    UNROLLED for (int r = 0; r < n_rows; r++) UNROLLED for (int v = 0; v < n_vectors; v++)
        vf_store(&sums[r][lane + (uint32_t)v * VF_LANES], registers[r * n_vectors + v]);
}

ALWAYS_INLINE void tile_of(float (*sums)[PACK_ROWS], const struct panel_run *run, enum dtype dtype,
                           const union run_row *rows, const int n_rows, const int n_vectors)
{
    for (uint32_t lane = 0; lane < PACK_ROWS; lane += (uint32_t)n_vectors * VF_LANES)
        tile(sums, run, dtype, lane, rows, n_rows, n_vectors);
}

// Up to TILE_ROWS rows over one panel's run, with the code for just that many.
ALWAYS_INLINE void tile_rows(float (*sums)[PACK_ROWS], const struct panel_run *run,
                             enum dtype dtype, const union run_row *rows, uint32_t n_rows)
{
    switch (n_rows) {
    case 1:
        tile_of(sums, run, dtype, rows, 1, PANEL_VECTORS);
        break;
    case 2:
        tile_of(sums, run, dtype, rows, 2, TILE_VECTORS);
        break;
    case 3:
        tile_of(sums, run, dtype, rows, 3, TILE_VECTORS);
        break;
    case 4:
        tile_of(sums, run, dtype, rows, 4, TILE_VECTORS);
        break;
    case 5:
        tile_of(sums, run, dtype, rows, 5, TILE_VECTORS);
        break;
    default:
        tile_of(sums, run, dtype, rows, TILE_ROWS, TILE_VECTORS);
    }
}

// All rows of a block over one panel's run; the first tile brings it into L1.
static void multiply_run(float (*sums)[PACK_ROWS], struct panel_run run, enum dtype dtype,
                         const union run_row *rows, uint32_t n_rows)
{
    uint32_t n_tiles = n_parts(n_rows, TILE_ROWS);
    uint32_t tile_n = n_parts(n_rows, n_tiles); // 8 rows are 4 and 4, not 6 and 2
    for (uint32_t r = 0; r < n_rows; r += tile_n) {
        uint32_t some = n_rows - r < tile_n ? n_rows - r : tile_n;
        run.fetches = r == 0;
        if (dtype == DTYPE_BF16)
            tile_rows(sums + r, &run, DTYPE_BF16, rows + r, some);
        else if (dtype == DTYPE_F16)
            tile_rows(sums + r, &run, DTYPE_F16, rows + r, some);
        else
            tile_rows(sums + r, &run, DTYPE_F32, rows + r, some);
    }
}

// Copies n inputs from k on of a unit's rows close together.
static void copy_rows(const struct matmul_task *task, const struct unit *unit, uint32_t k,
                      uint32_t n, union run_row *rows)
{
    for (uint32_t r = 0; r < unit->n_rows; r++) {
        const float *x = task->x + (unit->row + r) * task->x_stride + k;
        if (!uses_dot(task->w)) {
            memcpy(rows[r].f32, x, n * sizeof *x);
            continue;
        }
        for (uint32_t i = 0; i < n; i += VF_LANES) // zeros behind the last
            vf_store_bf16_n(rows[r].bf16 + i, vf_load_n(x + i, n - i), VF_LANES);
    }
}

static void leaf_sums(const struct matmul_task *task, const struct unit *unit, uint32_t leaf,
                      size_t offset, float (*sums)[MAX_ROWS][PACK_ROWS], void *scratch)
{
    const struct packed_matrix *w = task->w;
    union run_row *rows = ((struct matmul_scratch *)scratch)->rows;
    uint32_t begin, end;
    packed_leaf_range(w, leaf, &begin, &end);
    for (uint32_t k = begin; k < end; k += K_RUN) {
        uint32_t n = end - k < K_RUN ? end - k : K_RUN;
        copy_rows(task, unit, k, n, rows);
        for (uint32_t p = 0; p < unit->n_panels; p++) {
            struct panel_run run = {
                .data = (const unsigned char *)w->data + (unit->panel + p) * task->panel_bytes +
                        offset + (size_t)(k - begin) * PACK_ROWS * dtype_bytes(w->dtype),
                .n = n,
                .begins = k == begin,
            };
            multiply_run(sums[p], run, w->dtype, rows, unit->n_rows);
        }
    }
}

static void run_units(void *context, uint32_t thread, uint32_t n_threads)
{
    const struct matmul_task *task = context;
    struct matmul_scratch *scratch = device_stream_scratch(task->stream, thread, sizeof *scratch);
    run_unit_share(task, 0, task->n_rows, thread, n_threads, scratch->sums, leaf_sums, scratch);
}

static void run_matmul(float *out, uint32_t out_stride, const float *x, uint32_t x_stride,
                       uint32_t n_rows, const struct packed_matrix *w, bool rounds,
                       struct device_stream *stream)
{
    struct matmul_task task = {
        .out = out,
        .out_stride = out_stride,
        .x = x,
        .x_stride = x_stride,
        .n_rows = n_rows,
        .w = w,
        .panel_bytes = packed_panel_bytes(w),
        .n_panels = n_parts(w->n, PACK_ROWS),
        .rounds = rounds,
        .stream = stream,
    };
    if (dtype_is_quantized(w->dtype)) {
        KERNEL_NAME(matmul_quantized)(&task);
        return;
    }
    bool alone = (size_t)n_rows * w->n * w->k < MIN_SHARED_PRODUCTS;
    choose_blocks(&task, MAX_ROWS, TILE_ROWS, alone ? 1 : device_stream_n_threads(stream));
    if (alone)
        run_units(&task, 0, 1);
    else
        device_stream_run(stream, run_units, &task);
}

static void matmul(float *out, uint32_t out_stride, const float *x, uint32_t x_stride,
                   uint32_t n_rows, const struct packed_matrix *w, struct device_stream *stream)
{
    run_matmul(out, out_stride, x, x_stride, n_rows, w, true, stream);
}

static void matmul_leaves(float *out, uint32_t out_stride, const float *x, uint32_t x_stride,
                          uint32_t n_rows, const struct packed_matrix *w,
                          struct device_stream *stream)
{
    run_matmul(out, out_stride, x, x_stride, n_rows, w, false, stream);
}

void KERNEL_PUT(matmul)(struct ops *out)
{
    out->matmul = matmul;
    out->matmul_leaves = matmul_leaves;
}
