/* kernels/matmul_quantized_cpu.c - matmul with int8 and int4 weights (kernels/quantize.h).
 *
 * The rows of a block are quantized once, by all threads, into the first thread's scratch; then the
 * threads share the units as in kernels/matmul_cpu.c. Inside a unit, runs of K_RUN inputs go by:
 * the rows' runs are copied close together, an int4 panel's run is widened to bytes once for all
 * rows, and tiles of rows times outputs sum the byte products of each block in integers. Sums over
 * blocks are f32 in scratch: one load, fused multiply-add and store a block, which hide behind its
 * 8 byte products. Integer sums are exact, so AVX2, AVX-512 and VNNI give the same bits. */
#include <math.h>

#include "kernels/matmul_units.h"
#include "kernels/simd_bytes.h"

enum {
    QUADS = QUANT_BLOCK / 4, // four k's of an output lie in a lane
    RUN_BLOCKS = K_RUN / QUANT_BLOCK,
    BLOCK_NUMBERS = QUANT_BLOCK * PACK_ROWS, // bytes of a block's numbers, when they are bytes
    AHEAD = 4096,                            // bytes from what is read to what is fetched
#if DOT_BYTES
    TILE_ROWS = 6, // times 4 vectors: 24 of 32 registers are sums
    TILE_VECTORS = 4,
#elif defined(__AVX512F__)
    TILE_ROWS = 6, // the widened form wants two registers for a vector of weights
    TILE_VECTORS = 2,
#else
    TILE_ROWS = 4, // times 1 vector of 2 registers: 8 of 16
    TILE_VECTORS = 1,
#endif
};

// A row's run: its numbers as the products take them, and for each block the scale and what the
// integer sum starts with, so that the weights' offset falls out.
struct run_row {
    union {
        int8_t bytes[K_RUN];
        int16_t words[K_RUN]; // of four: 0, 2, 1, 3
    };
    float scale[RUN_BLOCKS];
    int32_t start[RUN_BLOCKS];
};

// A thread's scratch; behind the first thread's lie the quantized rows of the block.
struct quantized_scratch {
    unit_sums sums[N_LEVELS];
    struct run_row rows[MAX_ROWS];
    _Alignas(64) uint8_t widened[RUN_BLOCKS * BLOCK_NUMBERS];
};

struct quantized_rows {
    uint32_t first, n; // of the matmul's rows
    size_t n_blocks;   // of a row
    int8_t *bytes;     // [n, n_blocks * QUANT_BLOCK]
    float *scale;      // [n, n_blocks]
    int32_t *sum;      // [n, n_blocks] of the numbers
};

struct quantized_task {
    struct matmul_task *matmul;
    struct quantized_rows rows;
    uint32_t max_rows; // that fit
};

// A panel's run: numbers as bytes, scales.
struct panel_run {
    const uint8_t *numbers, *scales;
    size_t numbers_stride, scales_stride; // from block to block
    uint32_t n_blocks;
    bool begins, fetches;
};

static size_t row_blocks(const struct packed_matrix *w)
{
    size_t n = 0;
    for (uint32_t leaf = 0; leaf < w->n_leaves; leaf++) {
        uint32_t begin, end;
        packed_leaf_range(w, leaf, &begin, &end);
        n += quant_blocks(end - begin);
    }
    return n;
}

static void quantize_block(const float *x, uint32_t n, int8_t *out, float *out_scale,
                           int32_t *out_sum)
{
    vf a = vf_load_n(x, n);
    vf b = n > VF_LANES ? vf_load_n(x + VF_LANES, n - VF_LANES) : vf_zero();
    int32_t bits = vi_max_lane(vi_max32(vi_size_bits(a), vi_size_bits(b)));
    float most;
    memcpy(&most, &bits, sizeof most);
    *out_scale = bits < 0x7F800000 ? most * (1.0F / 127.0F) : NAN;
    vf inverse = vf_set1(most > QUANT_LEAST && bits < 0x7F800000 ? 127.0F / most : 0.0F);
    vi first = vi_from_float(vf_mul(a, inverse));
    vi second = vi_from_float(vf_mul(b, inverse));
    vi_store_bytes(out, first, second);
    *out_sum = vi_sum(vi_add32(first, second));
}

// Block number i of row r of the block of rows.
static void quantize_item(const struct quantized_task *task, uint32_t r, size_t leaf_block,
                          uint32_t begin, uint32_t end)
{
    const struct quantized_rows *rows = &task->rows;
    const float *x = task->matmul->x + (rows->first + r) * task->matmul->x_stride;
    size_t at = r * rows->n_blocks + leaf_block;
    for (uint32_t k = begin; k < end; k += QUANT_BLOCK, at++)
        quantize_block(x + k, end - k < QUANT_BLOCK ? end - k : QUANT_BLOCK,
                       rows->bytes + at * QUANT_BLOCK, rows->scale + at, rows->sum + at);
}

// A thread's share of the rows' blocks: whole rows when there are many, else parts of leaves.
static void quantize_share(const struct quantized_task *task, uint32_t thread, uint32_t n_threads)
{
    const struct packed_matrix *w = task->matmul->w;
    uint32_t n = task->rows.n;
    size_t first, last, first_block = 0, leaf_block = 0;
    device_share((size_t)n * w->n_leaves, 1, thread, n_threads, &first, &last);
    if (w->n_leaves == 1 && n < 4 * n_threads) { // cut the leaf itself
        size_t begin, end;
        device_share(w->k, QUANT_BLOCK, thread, n_threads, &begin, &end);
        for (uint32_t r = 0; r < n; r++)
            quantize_item(task, r, begin / QUANT_BLOCK, (uint32_t)begin, (uint32_t)end);
        return;
    }
    for (uint32_t leaf = 0; leaf < w->n_leaves; leaf++, leaf_block = first_block) {
        uint32_t begin, end;
        packed_leaf_range(w, leaf, &begin, &end);
        first_block += quant_blocks(end - begin);
        for (uint32_t r = 0; r < n; r++) {
            size_t item = (size_t)leaf * n + r;
            if (item >= first && item < last)
                quantize_item(task, r, leaf_block, begin, end);
        }
    }
}

static void widen_run(uint8_t *out, const uint8_t *blocks, uint32_t n_blocks)
{
    vi low_half = vi_set1(0x0F0F0F0F);
    for (uint32_t b = 0; b < n_blocks; b++) {
        const uint8_t *block = blocks + b * packed_block_bytes(DTYPE_INT4);
        uint8_t *numbers = out + b * BLOCK_NUMBERS;
        for (uint32_t i = 0; i < BLOCK_NUMBERS / 2; i += 4 * VF_LANES) {
            _mm_prefetch(block + i + AHEAD, _MM_HINT_T0);
            vi two = vi_load(block + i);
            vi_store(numbers + i, vi_and(two, low_half));
            vi_store(numbers + BLOCK_NUMBERS / 2 + i,
                     vi_and(vi_shift_words_right(two, 4), low_half));
        }
    }
}

// Adds four k's of a tile to its integer sums; `small`: weights are below 16.
ALWAYS_INLINE void dot_quad(vi *sums, const uint8_t *weights, const struct run_row *rows,
                            uint32_t k, const bool small, const int n_rows, const int n_vectors)
{
    vi w[PANEL_VECTORS];
    UNROLLED for (int v = 0; v < n_vectors; v++) w[v] = vi_load(weights + (size_t)v * 4 * VF_LANES);
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

// A block's integer sums, exact.
ALWAYS_INLINE void dot_block(vi *sums, const struct panel_run *run, uint32_t b, uint32_t lane,
                             const struct run_row *rows, const bool small, const int n_rows,
                             const int n_vectors)
{
    bool sums_of_words = small && !DOT_BYTES;
    UNROLLED for (int r = 0; r < n_rows; r++) UNROLLED for (int v = 0; v < n_vectors; v++)
        sums[r * n_vectors + v] = vi_set1(sums_of_words ? 0 : rows[r].start[b]);
    const uint8_t *numbers = run->numbers + b * run->numbers_stride + (size_t)lane * 4;
    UNROLLED for (uint32_t quad = 0; quad < QUADS; quad++)
    {
        if (run->fetches && lane == 0)
            UNROLLED for (size_t line = 0; line < 4 * PACK_ROWS; line += 64)
                _mm_prefetch(numbers + quad * 4 * PACK_ROWS + line + AHEAD, _MM_HINT_T0);
        dot_quad(sums, numbers + (size_t)quad * 4 * PACK_ROWS, rows, b * QUANT_BLOCK + quad * 4,
                 small, n_rows, n_vectors);
    }
    if (!sums_of_words)
        return;
    UNROLLED for (int r = 0; r < n_rows; r++) UNROLLED for (int v = 0; v < n_vectors; v++)
    {
        vi *sum = &sums[r * n_vectors + v];
        *sum = vi_add32(vi_dot_words(*sum, vi_set1(0x00010001)), vi_set1(rows[r].start[b]));
    }
}

ALWAYS_INLINE void tile(float (*sums)[PACK_ROWS], const struct panel_run *run, uint32_t lane,
                        const struct run_row *rows, const bool small, const int n_rows,
                        const int n_vectors)
{
    for (uint32_t b = 0; b < run->n_blocks; b++) {
        vi products[TILE_ROWS * PANEL_VECTORS];
        dot_block(products, run, b, lane, rows, small, n_rows, n_vectors);
        const uint8_t *scales = run->scales + b * run->scales_stride + lane * sizeof(uint16_t);
        vf w_scale[PANEL_VECTORS];
        UNROLLED for (int v = 0; v < n_vectors; v++)
            w_scale[v] = vf_load_f16((const uint16_t *)(const void *)scales + v * VF_LANES);
        bool first = run->begins && b == 0;
        UNROLLED for (int r = 0; r < n_rows; r++)
        {
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

ALWAYS_INLINE void tile_of(float (*sums)[PACK_ROWS], const struct panel_run *run,
                           const struct run_row *rows, const bool small, const int n_rows,
                           const int n_vectors)
{
    for (uint32_t lane = 0; lane < PACK_ROWS; lane += (uint32_t)n_vectors * VF_LANES)
        tile(sums, run, lane, rows, small, n_rows, n_vectors);
}

// Up to TILE_ROWS rows over one panel's run, with the code for just that many.
ALWAYS_INLINE void tile_rows(float (*sums)[PACK_ROWS], const struct panel_run *run,
                             const struct run_row *rows, const bool small, uint32_t n_rows)
{
    switch (n_rows) {
    case 1:
        tile_of(sums, run, rows, small, 1, TILE_VECTORS > 1 ? PANEL_VECTORS : 2);
        break;
    case 2:
        tile_of(sums, run, rows, small, 2, TILE_VECTORS);
        break;
    case 3:
        tile_of(sums, run, rows, small, 3, TILE_VECTORS);
        break;
    case 4:
        tile_of(sums, run, rows, small, 4, TILE_VECTORS);
        break;
    case 5:
        tile_of(sums, run, rows, small, TILE_ROWS < 5 ? TILE_ROWS : 5, TILE_VECTORS);
        break;
    default:
        tile_of(sums, run, rows, small, TILE_ROWS, TILE_VECTORS);
    }
}

static void multiply_run(float (*sums)[PACK_ROWS], struct panel_run run, bool small,
                         const struct run_row *rows, uint32_t n_rows)
{
    uint32_t n_tiles = n_parts(n_rows, TILE_ROWS);
    uint32_t tile_n = n_parts(n_rows, n_tiles);
    bool from_memory = run.fetches;
    for (uint32_t r = 0; r < n_rows; r += tile_n) {
        uint32_t some = n_rows - r < tile_n ? n_rows - r : tile_n;
        run.fetches = from_memory && r == 0;
        if (small)
            tile_rows(sums + r, &run, rows + r, true, some);
        else
            tile_rows(sums + r, &run, rows + r, false, some);
    }
}

// Blocks [block, block + n_blocks) of the unit's rows, as the products take them.
static void copy_rows(const struct quantized_task *task, const struct unit *unit, size_t block,
                      uint32_t n_blocks, struct run_row *out)
{
    const struct quantized_rows *rows = &task->rows;
    bool small = task->matmul->w->dtype == DTYPE_INT4;
    int32_t offset = small ? INT4_OFFSET : INT8_OFFSET;
    for (uint32_t r = 0; r < unit->n_rows; r++) {
        size_t at = (unit->row - rows->first + r) * rows->n_blocks + block;
        const int8_t *bytes = rows->bytes + at * QUANT_BLOCK;
        if (DOT_BYTES || small)
            memcpy(out[r].bytes, bytes, n_blocks * QUANT_BLOCK);
        else
            for (uint32_t i = 0; i < n_blocks * QUANT_BLOCK; i += 4) {
                const int8_t *four = bytes + i;
                memcpy(out[r].words + i, (int16_t[]){four[0], four[2], four[1], four[3]},
                       4 * sizeof(int16_t));
            }
        for (uint32_t b = 0; b < n_blocks; b++) {
            out[r].scale[b] = rows->scale[at + b];
            out[r].start[b] = -offset * rows->sum[at + b];
        }
    }
}

struct unit_context {
    const struct quantized_task *task;
    struct quantized_scratch *scratch;
};

static void multiply_panel(const struct unit_context *c, const struct unit *unit,
                           const uint8_t *blocks, uint32_t n_blocks, bool begins,
                           float (*sums)[PACK_ROWS])
{
    enum dtype dtype = c->task->matmul->w->dtype;
    size_t block_bytes = packed_block_bytes(dtype);
    struct panel_run run = {
        .numbers = blocks,
        .numbers_stride = block_bytes,
        .scales = blocks + block_bytes - PACK_ROWS * sizeof(uint16_t),
        .scales_stride = block_bytes,
        .n_blocks = n_blocks,
        .begins = begins,
        .fetches = true,
    };
    if (dtype == DTYPE_INT4) {
        widen_run(c->scratch->widened, blocks, n_blocks);
        run.numbers = c->scratch->widened;
        run.numbers_stride = BLOCK_NUMBERS;
        run.fetches = false;
    }
    multiply_run(sums, run, dtype == DTYPE_INT4, c->scratch->rows, unit->n_rows);
}

static void leaf_sums(const struct matmul_task *task, const struct unit *unit, uint32_t leaf,
                      size_t offset, float (*sums)[MAX_ROWS][PACK_ROWS], void *context)
{
    const struct unit_context *c = context;
    const struct packed_matrix *w = task->w;
    uint32_t begin, end;
    packed_leaf_range(w, leaf, &begin, &end);
    size_t block_bytes = packed_block_bytes(w->dtype);
    size_t before = offset / block_bytes; // blocks of a row in earlier leaves
    uint32_t n_blocks = (uint32_t)quant_blocks(end - begin);
    for (uint32_t b = 0; b < n_blocks; b += RUN_BLOCKS) {
        uint32_t n = n_blocks - b < RUN_BLOCKS ? n_blocks - b : RUN_BLOCKS;
        copy_rows(c->task, unit, before + b, n, c->scratch->rows);
        for (uint32_t p = 0; p < unit->n_panels; p++)
            multiply_panel(c, unit,
                           (const uint8_t *)w->data + (unit->panel + p) * task->panel_bytes +
                               offset + b * block_bytes,
                           n, b == 0, sums[p]);
    }
}

static void run_units(void *context, uint32_t thread, uint32_t n_threads)
{
    struct quantized_task shared = *(struct quantized_task *)context; // each thread's own place
    struct quantized_task *task = &shared;
    const struct matmul_task *matmul = task->matmul;
    struct unit_context c = {
        task, device_stream_scratch(matmul->stream, thread, sizeof(struct quantized_scratch))};
    for (uint32_t first = 0; first < matmul->n_rows; first += task->max_rows) {
        uint32_t left = matmul->n_rows - first;
        task->rows.first = first;
        task->rows.n = left < task->max_rows ? left : task->max_rows;
        if (first > 0 && n_threads > 1)
            device_stream_barrier(matmul->stream); // nobody reads the rows before any more
        quantize_share(task, thread, n_threads);
        if (n_threads > 1)
            device_stream_barrier(matmul->stream);
        run_unit_share(matmul, first, task->rows.n, thread, n_threads, c.scratch->sums, leaf_sums,
                       &c);
    }
}

// Lays the quantized rows out behind the first thread's scratch.
static void place_rows(struct quantized_task *task)
{
    struct quantized_rows *rows = &task->rows;
    size_t bytes = device_stream_scratch_bytes(task->matmul->stream);
    size_t own = (sizeof(struct quantized_scratch) + 63) & ~(size_t)63;
    unsigned char *data = device_stream_scratch(task->matmul->stream, 0, bytes);
    rows->n_blocks = row_blocks(task->matmul->w);
    size_t row_bytes = rows->n_blocks * (QUANT_BLOCK + sizeof(float) + sizeof(int32_t));
    size_t fit = bytes > own ? (bytes - own) / (row_bytes ? row_bytes : 1) : 0;
    CHECK(fit > 0); // MATMUL_MAX_K and the least scratch see to it
    task->max_rows = fit < MAX_ROWS ? (uint32_t)fit : MAX_ROWS;
    rows->bytes = (int8_t *)data + own;
    rows->scale = (float *)(void *)(rows->bytes + task->max_rows * rows->n_blocks * QUANT_BLOCK);
    rows->sum = (int32_t *)(void *)(rows->scale + task->max_rows * rows->n_blocks);
}

void KERNEL_NAME(matmul_quantized)(struct matmul_task *matmul)
{
    struct quantized_task task = {.matmul = matmul};
    place_rows(&task);
    bool alone = (size_t)matmul->n_rows * matmul->w->n * matmul->w->k < MIN_SHARED_PRODUCTS;
    choose_blocks(matmul, task.max_rows, TILE_ROWS,
                  alone ? 1 : device_stream_n_threads(matmul->stream));
    if (alone)
        run_units(&task, 0, 1);
    else
        device_stream_run(matmul->stream, run_units, &task);
}
