/* kernels/matmul_quantized_cpu.c - tiles for int8 and int4 weights (kernels/quantize.h).
 *
 * A prepared run of a row is its quantized numbers; tiles of rows times outputs sum the byte
 * products of each block in integers. int4 is widened to bytes in registers, or, where many tiles
 * without VNNI would each do it, once for them all. Sums over blocks are f32 in scratch: one load,
 * fused multiply-add and store a block, which hide behind its 8 byte products. Integer sums are
 * exact, so AVX2, AVX-512 and VNNI give the same bits. */
#include <math.h>

#include "kernels/matmul_units.h"
#include "kernels/simd_bytes.h"

enum {
    QUADS = QUANT_BLOCK / 4, // four k's of an output lie in a lane
    RUN_BLOCKS = 8,
    RUN_INPUTS = RUN_BLOCKS * QUANT_BLOCK,
    BLOCK_NUMBERS = QUANT_BLOCK * PACK_ROWS, // bytes of a block's numbers, when they are bytes
#if DOT_BYTES
    TILE_ROWS = 4, // times 4 vectors: with more, a block's end keeps the next one waiting
    TILE_VECTORS = 4,
    WIDENED_TILES = INT32_MAX, // never: it hides behind the products
#elif defined(__AVX512F__)
    TILE_ROWS = 6, // the widened form wants two registers for a vector of weights
    TILE_VECTORS = 2,
    WIDENED_TILES = 4, // int4: from so many on, its run is widened once for them all
#else
    TILE_ROWS = 4, // times 1 vector of 2 registers: 8 of 16
    TILE_VECTORS = 1,
    WIDENED_TILES = 4,
#endif
};

// Before the loop over a block's quads. Without the unrolling, gcc moves sums from register to
// register; with it, clang keeps them in memory.
#ifdef __clang__
#define BY_QUADS _Pragma("clang loop unroll(disable)")
#else
#define BY_QUADS UNROLLED
#endif

// A row's run: its numbers as the products take them, and for each block the scale and what the
// integer sum starts with, so that the weights' offset falls out.
struct run_row {
    union {
        int8_t bytes[RUN_INPUTS];
        int16_t words[RUN_INPUTS]; // of four: 0, 2, 1, 3
    };
    float scale[RUN_BLOCKS];
    int32_t start[RUN_BLOCKS];
};

// How a run's numbers lie in memory: bytes, bytes below 16, or two of those in a byte.
enum numbers { BYTES, SMALL_BYTES, HALF_BYTES };

// A panel's run: numbers, scales.
struct byte_run {
    const uint8_t *numbers, *scales;
    size_t numbers_stride, scales_stride; // from block to block
    uint32_t n_blocks;
    bool begins;
};

// 32 inputs; returns the numbers' sum.
static int32_t quantize_block(const float *x, uint32_t n, int8_t *out, float *out_scale)
{
    vf a = vf_load_n(x, n);
    vf b = n > VF_LANES ? vf_load_n(x + VF_LANES, n - VF_LANES) : vf_zero();
    int32_t bits = vi_max_lane(vi_max32(vi_size_bits(a), vi_size_bits(b)));
    bool finite = bits < 0x7F800000;
    float most;
    memcpy(&most, &bits, sizeof most);
    *out_scale = finite ? most * (1.0F / 127.0F) : NAN;
    vf inverse = vf_set1(finite && most > QUANT_LEAST ? 127.0F / most : 0.0F);
    vi first = vi_from_float(vf_mul(a, inverse));
    vi second = vi_from_float(vf_mul(b, inverse));
    vi_store_bytes(out, first, second);
    return vi_sum(vi_add32(first, second));
}

static void prepare_row(enum dtype dtype, const float *x, uint32_t n, void *out)
{
    struct run_row *row = out;
    bool small = dtype == DTYPE_INT4;
    for (uint32_t b = 0; b * QUANT_BLOCK < n; b++) {
        int8_t bytes[QUANT_BLOCK];
        int32_t sum = quantize_block(x + b * QUANT_BLOCK, n - b * QUANT_BLOCK, bytes,
                                     &row->scale[b]);
        row->start[b] = -(small ? INT4_OFFSET : INT8_OFFSET) * sum;
        if (DOT_BYTES || small)
            memcpy(row->bytes + b * QUANT_BLOCK, bytes, sizeof bytes);
        else
            for (uint32_t i = 0; i < QUANT_BLOCK; i += 4)
                memcpy(row->words + b * QUANT_BLOCK + i,
                       (int16_t[]){bytes[i], bytes[i + 2], bytes[i + 1], bytes[i + 3]},
                       4 * sizeof(int16_t));
    }
}

static void widen_run(uint8_t *out, const uint8_t *blocks, uint32_t n_blocks)
{
    vi low_half = vi_set1(0x0F0F0F0F);
    for (uint32_t b = 0; b < n_blocks; b++) {
        const uint8_t *block = blocks + b * packed_block_bytes(DTYPE_INT4);
        uint8_t *numbers = out + b * BLOCK_NUMBERS;
        for (uint32_t i = 0; i < BLOCK_NUMBERS / 2; i += 4 * VF_LANES) {
            vi two = vi_load(block + i);
            vi_store(numbers + i, vi_and(two, low_half));
            vi_store(numbers + BLOCK_NUMBERS / 2 + i,
                     vi_and(vi_shift_words_right(two, 4), low_half));
        }
    }
}

// Nothing is loaded earlier than it is written here: loads that a compiler moves up past many
// others hold registers, and sums leave theirs.
ALWAYS_INLINE void in_order(void)
{
    __asm__ volatile("" ::: "memory");
}

// Adds four k's of a tile to its integer sums, with weights that it may change; `small`: they are
// below 16.
ALWAYS_INLINE void dot_quad(vi *sums, vi *w, const struct run_row *rows, uint32_t k,
                            const bool small, const int n_rows, const int n_vectors)
{
#if DOT_BYTES
    (void)small;
    UNROLLED for (int r = 0; r < n_rows; r++)
    {
        vi x = vi_broadcast(rows[r].bytes + k);
        UNROLLED for (int v = 0; v < n_vectors; v++)
            sums[r * n_vectors + v] = _mm512_dpbusd_epi32(sums[r * n_vectors + v], w[v], x);
    }
#else
    if (small) {
        UNROLLED for (int r = 0; r < n_rows; r++)
        {
            vi x = vi_broadcast(rows[r].bytes + k);
            UNROLLED for (int v = 0; v < n_vectors; v++) sums[r * n_vectors + v] =
                vi_add16(sums[r * n_vectors + v], vi_dot_bytes_16(w[v], x));
        }
        return;
    }
    vi even_bytes = vi_set1(0x00FF00FF), odd[PANEL_VECTORS];
    UNROLLED for (int v = 0; v < n_vectors; v++)
    {
        odd[v] = vi_shift_words_right(w[v], 8);
        w[v] = vi_and(w[v], even_bytes);
    }
    UNROLLED for (int r = 0; r < n_rows; r++)
    {
        vi x_even = vi_broadcast(rows[r].words + k), x_odd = vi_broadcast(rows[r].words + k + 2);
        UNROLLED for (int v = 0; v < n_vectors; v++)
        {
            vi *sum = &sums[r * n_vectors + v];
            *sum = vi_add32(*sum, vi_dot_words(w[v], x_even));
            *sum = vi_add32(*sum, vi_dot_words(odd[v], x_odd));
        }
    }
#endif
}

// The products of a block's numbers.
ALWAYS_INLINE void dot_numbers(vi *sums, const uint8_t *numbers, const struct run_row *rows,
                               uint32_t k, struct fetcher *fetcher, const enum numbers kind,
                               const int n_rows, const int n_vectors)
{
    const uint32_t n = kind == HALF_BYTES ? QUADS / 2 : QUADS;
    BY_QUADS for (uint32_t i = 0; i < n; i++)
    {
        vi w[PANEL_VECTORS], high[PANEL_VECTORS];
        fetch_step(fetcher);
        in_order();
        UNROLLED for (int v = 0; v < n_vectors; v++)
        {
            w[v] = vi_load(numbers + (size_t)i * 4 * PACK_ROWS + (size_t)v * 4 * VF_LANES);
            if (kind == HALF_BYTES) {
                high[v] = vi_and(vi_shift_words_right(w[v], 4), vi_set1(0x0F0F0F0F));
                w[v] = vi_and(w[v], vi_set1(0x0F0F0F0F));
            }
        }
        dot_quad(sums, w, rows, k + 4 * i, kind != BYTES, n_rows, n_vectors);
        if (kind == HALF_BYTES)
            dot_quad(sums, high, rows, k + QUANT_BLOCK / 2 + 4 * i, true, n_rows, n_vectors);
    }
}

// A block's integer sums, exact.
ALWAYS_INLINE void dot_block(vi *sums, const struct byte_run *run, uint32_t b, uint32_t lane,
                             const struct run_row *rows, struct fetcher *fetcher,
                             const enum numbers kind, const int n_rows, const int n_vectors)
{
    bool sums_of_words = kind != BYTES && !DOT_BYTES;
    UNROLLED for (int r = 0; r < n_rows; r++) UNROLLED for (int v = 0; v < n_vectors; v++)
        sums[r * n_vectors + v] = vi_set1(sums_of_words ? 0 : rows[r].start[b]);
    dot_numbers(sums, run->numbers + b * run->numbers_stride + (size_t)lane * 4, rows,
                b * QUANT_BLOCK, fetcher, kind, n_rows, n_vectors);
    if (!sums_of_words)
        return;
    UNROLLED for (int r = 0; r < n_rows; r++) UNROLLED for (int v = 0; v < n_vectors; v++)
    {
        vi *sum = &sums[r * n_vectors + v];
        *sum = vi_add32(vi_dot_words(*sum, vi_set1(0x00010001)), vi_set1(rows[r].start[b]));
    }
}

ALWAYS_INLINE void tile(float (*sums)[PACK_ROWS], const struct byte_run *run, uint32_t lane,
                        const struct run_row *rows, struct fetcher *fetcher,
                        const enum numbers kind, const int n_rows, const int n_vectors)
{
    for (uint32_t b = 0; b < run->n_blocks; b++) {
        vi products[TILE_ROWS * PANEL_VECTORS];
        dot_block(products, run, b, lane, rows, fetcher, kind, n_rows, n_vectors);
        const uint8_t *scales = run->scales + b * run->scales_stride + lane * sizeof(uint16_t);
        vf w_scale[PANEL_VECTORS];
        UNROLLED for (int v = 0; v < n_vectors; v++)
            w_scale[v] = vf_load_f16((const uint16_t *)(const void *)scales + v * VF_LANES);
        bool first = run->begins && b == 0;
        UNROLLED for (int r = 0; r < n_rows; r++)
        {
            in_order();
            vf x_scale = vf_set1(rows[r].scale[b]);
            UNROLLED for (int v = 0; v < n_vectors; v++)
            {
                float *sum = &sums[r][lane + (uint32_t)v * VF_LANES];
                vf before = first ? vf_zero() : vf_load(sum);
                vf_store(sum, vf_fma(vi_to_float(products[r * n_vectors + v]),
                                     vf_mul(w_scale[v], x_scale), before));
            }
        }
    }
}

ALWAYS_INLINE void tile_of(float (*sums)[PACK_ROWS], const struct byte_run *run,
                           const struct run_row *rows, struct fetcher fetcher,
                           const enum numbers kind, const int n_rows, const int n_vectors)
{
    for (uint32_t lane = 0; lane < PACK_ROWS; lane += (uint32_t)n_vectors * VF_LANES)
        tile(sums, run, lane, rows, &fetcher, kind, n_rows, n_vectors);
}

// Up to TILE_ROWS rows over one panel's run, with the code for just that many.
ALWAYS_INLINE void tile_rows(float (*sums)[PACK_ROWS], const struct byte_run *run,
                             const struct run_row *rows, struct fetcher fetcher,
                             const enum numbers kind, uint32_t n_rows)
{
    switch (n_rows) {
    case 1:
        tile_of(sums, run, rows, fetcher, kind, 1, TILE_VECTORS > 1 ? PANEL_VECTORS : 2);
        break;
    case 2:
        tile_of(sums, run, rows, fetcher, kind, 2, TILE_VECTORS);
        break;
    case 3:
        tile_of(sums, run, rows, fetcher, kind, 3, TILE_VECTORS);
        break;
    case 4:
        tile_of(sums, run, rows, fetcher, kind, 4, TILE_VECTORS);
        break;
    case 5:
        tile_of(sums, run, rows, fetcher, kind, TILE_ROWS < 5 ? TILE_ROWS : 5, TILE_VECTORS);
        break;
    default:
        tile_of(sums, run, rows, fetcher, kind, TILE_ROWS, TILE_VECTORS);
    }
}

// In one go of a tile over a run there are this many steps.
static uint32_t tile_steps(uint32_t n_rows, enum numbers kind)
{
    uint32_t vectors = n_rows == 1 ? (TILE_VECTORS > 1 ? PANEL_VECTORS : 2) : TILE_VECTORS;
    return RUN_BLOCKS * QUADS / (kind == HALF_BYTES ? 2 : 1) * (PANEL_VECTORS / vectors);
}

static void multiply(const struct panel_run *run, float (*sums)[PACK_ROWS], const void *rows,
                     uint32_t n_rows, void *thread_scratch)
{
    size_t block_bytes = packed_block_bytes(run->dtype);
    uint32_t n_tiles = n_parts(n_rows, TILE_ROWS);
    uint32_t tile_n = n_parts(n_rows, n_tiles); // 8 rows are 4 and 4, not 6 and 2
    enum numbers kind = n_tiles < WIDENED_TILES ? HALF_BYTES : SMALL_BYTES;
    if (run->dtype == DTYPE_INT8)
        kind = BYTES;
    struct byte_run bytes = {
        .numbers = run->data,
        .numbers_stride = block_bytes,
        .scales = run->data + block_bytes - PACK_ROWS * sizeof(uint16_t),
        .scales_stride = block_bytes,
        .n_blocks = (uint32_t)quant_blocks(run->n),
        .begins = run->begins,
    };
    if (kind == SMALL_BYTES) { // once for all tiles
        widen_run(thread_scratch, run->data, bytes.n_blocks);
        bytes.numbers = thread_scratch;
        bytes.numbers_stride = BLOCK_NUMBERS;
    }
    for (uint32_t r = 0; r < n_rows; r += tile_n) {
        uint32_t some = n_rows - r < tile_n ? n_rows - r : tile_n;
        const struct run_row *first = (const struct run_row *)rows + r;
        struct fetcher fetcher = fetcher_of(run, RUN_BLOCKS * block_bytes, tile_steps(tile_n, kind),
                                            r / tile_n, n_tiles);
        if (kind == BYTES)
            tile_rows(sums + r, &bytes, first, fetcher, BYTES, some);
        else if (kind == SMALL_BYTES)
            tile_rows(sums + r, &bytes, first, fetcher, SMALL_BYTES, some);
        else
            tile_rows(sums + r, &bytes, first, fetcher, HALF_BYTES, some);
    }
}

void KERNEL_NAME(matmul_quantized)(struct matmul_task *task)
{
    static const struct matmul_form form = {
        .run_inputs = RUN_INPUTS,
        .tile_rows = TILE_ROWS,
        .row_bytes = sizeof(struct run_row),
        .thread_bytes = RUN_BLOCKS * BLOCK_NUMBERS,
        .prepare = prepare_row,
        .multiply = multiply,
    };
    run_matmul(task, &form);
}
