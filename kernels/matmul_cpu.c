/* kernels/matmul_cpu.c - tiles for bf16, f16 and f32 weights, and the ops.
 *
 * A panel holds the same k of 64 outputs side by side, so an output is a lane and its sum one chain
 * over k: broadcast x, multiply-add. A prepared run of a row is f32, or bf16 pairs for the
 * dot-product form. Checked against the twin, and bit for bit between batch sizes, threads, leaves
 * split over ranks, and AVX2 and AVX-512, by tests/kernels/test_matmul.c. */
#include "kernels/matmul_units.h"

#if defined(__AVX512BF16__)
#define DOT_BF16 1 /* bf16 weights times bf16 pairs of x, exact products, one instruction */
#else
#define DOT_BF16 0
#endif

enum {
    RUN_INPUTS = 128, // even; of bf16, this run and the next fit L1
#ifdef __AVX512F__
    TILE_ROWS = 6, // times 4 vectors: 24 of 32 registers are sums
    TILE_VECTORS = 4,
#else
    TILE_ROWS = 5, // times 1 vector of 2 registers: with 6, halves do not fit beside the sums
    TILE_VECTORS = 1,
#endif
};

// What a row of a run looks like: f32, or bf16 for the dot product.
union run_row {
    float f32[RUN_INPUTS];
    uint16_t bf16[RUN_INPUTS];
};

static bool uses_dot(enum dtype dtype)
{
    return DOT_BF16 && dtype == DTYPE_BF16;
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

ALWAYS_INLINE void tile_run(vf *sums, const struct panel_run *run, enum dtype dtype, uint32_t lane,
                            const union run_row *rows, struct fetcher *fetcher, const int n_rows,
                            const int n_vectors)
{
    uint32_t k = 0;
#if DOT_BF16
    if (dtype == DTYPE_BF16) { // an odd last one has a zero behind it, here and in the panel
        for (; k < run->n; k += 2) {
            fetch_step(fetcher);
            multiply_add_pair(sums, run->data, lane, rows, k, n_rows, n_vectors);
        }
        return;
    }
#endif
    for (; k + 2 <= run->n; k += 2) {
        fetch_step(fetcher);
        multiply_add(sums, run->data, dtype, lane, rows, k, false, n_rows, n_vectors);
        multiply_add(sums, run->data, dtype, lane, rows, k + 1, true, n_rows, n_vectors);
    }
    if (k < run->n)
        multiply_add(sums, run->data, dtype, lane, rows, k, false, n_rows, n_vectors);
}

// A panel's run for n_rows rows and n_vectors vectors of outputs from lane on, sums in registers.
ALWAYS_INLINE void tile(float (*sums)[PACK_ROWS], const struct panel_run *run, enum dtype dtype,
                        uint32_t lane, const union run_row *rows, struct fetcher *fetcher,
                        const int n_rows, const int n_vectors)
{
    vf registers[TILE_ROWS * PANEL_VECTORS];
    UNROLLED for (int r = 0; r < n_rows; r++) UNROLLED for (int v = 0; v < n_vectors; v++)
        registers[r * n_vectors + v] =
            run->begins ? vf_zero() : vf_load(&sums[r][lane + (uint32_t)v * VF_LANES]);
    tile_run(registers, run, dtype, lane, rows, fetcher, n_rows, n_vectors);
    UNROLLED for (int r = 0; r < n_rows; r++) UNROLLED for (int v = 0; v < n_vectors; v++)
        vf_store(&sums[r][lane + (uint32_t)v * VF_LANES], registers[r * n_vectors + v]);
}

ALWAYS_INLINE void tile_of(float (*sums)[PACK_ROWS], const struct panel_run *run, enum dtype dtype,
                           const union run_row *rows, struct fetcher fetcher, const int n_rows,
                           const int n_vectors)
{
    for (uint32_t lane = 0; lane < PACK_ROWS; lane += (uint32_t)n_vectors * VF_LANES)
        tile(sums, run, dtype, lane, rows, &fetcher, n_rows, n_vectors);
}

// Up to TILE_ROWS rows over one panel's run, with the code for just that many.
ALWAYS_INLINE void tile_rows(float (*sums)[PACK_ROWS], const struct panel_run *run,
                             enum dtype dtype, const union run_row *rows, struct fetcher fetcher,
                             uint32_t n_rows)
{
    switch (n_rows) {
    case 1:
        tile_of(sums, run, dtype, rows, fetcher, 1, PANEL_VECTORS);
        break;
    case 2:
        tile_of(sums, run, dtype, rows, fetcher, 2, TILE_VECTORS);
        break;
    case 3:
        tile_of(sums, run, dtype, rows, fetcher, 3, TILE_VECTORS);
        break;
    case 4:
        tile_of(sums, run, dtype, rows, fetcher, 4, TILE_VECTORS);
        break;
    case 5:
        tile_of(sums, run, dtype, rows, fetcher, 5, TILE_VECTORS);
        break;
    default:
        tile_of(sums, run, dtype, rows, fetcher, TILE_ROWS, TILE_VECTORS);
    }
}

static void multiply(const struct panel_run *run, float (*sums)[PACK_ROWS], const void *rows,
                     uint32_t n_rows, void *thread_scratch)
{
    (void)thread_scratch;
    uint32_t n_tiles = n_parts(n_rows, TILE_ROWS);
    uint32_t tile_n = n_parts(n_rows, n_tiles); // 8 rows are 4 and 4, not 6 and 2
    uint32_t n_steps = RUN_INPUTS / 2 * (tile_n > 1 ? PANEL_VECTORS / TILE_VECTORS : 1);
    size_t bytes = RUN_INPUTS * PACK_ROWS * dtype_bytes(run->dtype);
    for (uint32_t r = 0; r < n_rows; r += tile_n) {
        uint32_t some = n_rows - r < tile_n ? n_rows - r : tile_n;
        const union run_row *first = (const union run_row *)rows + r;
        struct fetcher fetcher = fetcher_of(run, bytes, n_steps, r / tile_n, n_tiles);
        if (run->dtype == DTYPE_BF16)
            tile_rows(sums + r, run, DTYPE_BF16, first, fetcher, some);
        else if (run->dtype == DTYPE_F16)
            tile_rows(sums + r, run, DTYPE_F16, first, fetcher, some);
        else
            tile_rows(sums + r, run, DTYPE_F32, first, fetcher, some);
    }
}

static void prepare_row(enum dtype dtype, const float *x, uint32_t n, void *out)
{
    union run_row *row = out;
    if (!uses_dot(dtype)) {
        memcpy(row->f32, x, n * sizeof *x);
        return;
    }
    for (uint32_t i = 0; i < n; i += VF_LANES) // zeros behind the last
        vf_store_bf16_n(row->bf16 + i, vf_load_n(x + i, n - i), VF_LANES);
}

static void multiply_rows(struct matmul_task *task)
{
    static const struct matmul_form form = {
        .run_inputs = RUN_INPUTS,
        .tile_rows = TILE_ROWS,
        .row_bytes = sizeof(union run_row),
        .prepare = prepare_row,
        .multiply = multiply,
    };
    if (dtype_is_quantized(task->w->dtype))
        KERNEL_NAME(matmul_quantized)(task);
    else
        run_matmul(task, &form);
}

static struct matmul_task task_of(float *out, size_t out_stride, const float *x, uint32_t x_stride,
                                  uint32_t n_rows, const struct packed_matrix *w,
                                  struct device_stream *stream)
{
    return (struct matmul_task){.out = out,
                                .out_stride = out_stride,
                                .x = x,
                                .x_stride = x_stride,
                                .n_rows = n_rows,
                                .w = w,
                                .stream = stream};
}

static void matmul(float *out, uint32_t out_stride, const float *x, uint32_t x_stride,
                   uint32_t n_rows, const struct packed_matrix *w, struct device_stream *stream)
{
    struct matmul_task task = task_of(out, out_stride, x, x_stride, n_rows, w, stream);
    task.rounds = true;
    multiply_rows(&task);
}

static void logits(float *out, size_t out_stride, const float *x, uint32_t x_stride,
                   uint32_t n_rows, const struct packed_matrix *w, float cap,
                   struct device_stream *stream)
{
    struct matmul_task task = task_of(out, out_stride, x, x_stride, n_rows, w, stream);
    task.cap = cap;
    multiply_rows(&task);
}

static void matmul_leaves(float *out, uint32_t out_stride, const float *x, uint32_t x_stride,
                          uint32_t n_rows, const struct packed_matrix *w,
                          struct device_stream *stream)
{
    logits(out, out_stride, x, x_stride, n_rows, w, 0, stream);
}

void KERNEL_PUT(matmul)(struct ops *out)
{
    out->matmul = matmul;
    out->matmul_leaves = matmul_leaves;
    out->logits = logits;
}
