/* kernels/pack.c - weights from rows as a file has them to the panels of kernels/matmul.h.
 *
 * Bound by memory, both ways: sources are read a short run of k at a time, for the 64 rows of a
 * panel in turn, so that both the 64 streams read and the panel written stay in the cache. */
#include "kernels/matmul.h"

enum { RUN = 64 }; // inputs of a row read at a time; a multiple of a pair

static float element_to_f32(const void *elements, enum dtype dtype, size_t i)
{
    const unsigned char *bytes = (const unsigned char *)elements + i * dtype_bytes(dtype);
    if (dtype == DTYPE_F32) {
        float value;
        memcpy(&value, bytes, sizeof value);
        return value;
    }
    uint16_t bits;
    memcpy(&bits, bytes, sizeof bits);
    return dtype == DTYPE_BF16 ? bf16_to_f32(bits) : f16_to_f32(bits);
}

size_t packed_matrix_bytes(const struct packed_matrix *matrix)
{
    size_t n_panels = ((size_t)matrix->n + PACK_ROWS - 1) / PACK_ROWS;
    return n_panels * packed_panel_bytes(matrix);
}

// Where (lane, i-th place of a leaf) lies from the leaf's start in a panel.
static inline size_t place_index(enum dtype dtype, size_t place, uint32_t lane)
{
    if (dtype == DTYPE_BF16)
        return place / 2 * (2 * PACK_ROWS) + 2 * (size_t)lane + place % 2;
    return place * PACK_ROWS + lane;
}

static uint16_t element_to_half(const void *source, enum dtype from, enum dtype to, size_t i)
{
    if (from == to) {
        uint16_t bits;
        memcpy(&bits, (const unsigned char *)source + 2 * i, sizeof bits);
        return bits;
    }
    CHECK(to == DTYPE_BF16);
    return f32_to_bf16(element_to_f32(source, from, i));
}

// Pairs as they are; what most checkpoints and most of loading's time come to.
static void pack_pairs(uint16_t *out, const unsigned char *source, size_t n_pairs)
{
    for (size_t i = 0; i < n_pairs; i++)
        memcpy(out + i * 2 * PACK_ROWS, source + 4 * i, 4);
}

// A run of n inputs of one row, to one lane from a place on. Runs begin at even places.
static void pack_run(void *leaf_data, enum dtype dtype, size_t place, uint32_t lane,
                     const void *source, enum dtype source_dtype, size_t n)
{
    if (dtype == DTYPE_F32) {
        float *out = leaf_data;
        for (size_t i = 0; i < n; i++)
            out[place_index(dtype, place + i, lane)] = element_to_f32(source, source_dtype, i);
        return;
    }
    uint16_t *out = leaf_data;
    size_t i = 0;
    if (dtype == DTYPE_BF16 && source_dtype == DTYPE_BF16) {
        pack_pairs(out + place_index(dtype, place, lane), source, n / 2);
        i = n - n % 2;
    }
    for (; i < n; i++)
        out[place_index(dtype, place + i, lane)] = element_to_half(source, source_dtype, dtype, i);
}

// The places of a lane that no source element fills: all of a padding row's, a leaf's odd last.
static void zero_places(void *leaf_data, enum dtype dtype, uint32_t lane, size_t begin, size_t end)
{
    for (size_t place = begin; place < end; place++) {
        size_t i = place_index(dtype, place, lane);
        memset((unsigned char *)leaf_data + i * dtype_bytes(dtype), 0, dtype_bytes(dtype));
    }
}

// The rows of one panel that a source has.
struct lanes {
    uint32_t begin, end;
    bool last; // lanes from end on are padding
};

static void pack_places(const struct packed_matrix *m, void *leaf_data, uint32_t n_inputs,
                        struct lanes lanes, const unsigned char *source, enum dtype source_dtype,
                        size_t row_bytes)
{
    for (size_t k = 0; k < n_inputs; k += RUN) {
        size_t n = n_inputs - k < RUN ? n_inputs - k : RUN;
        for (uint32_t lane = lanes.begin; lane < lanes.end; lane++)
            pack_run(leaf_data, m->dtype, k, lane,
                     source + (lane - lanes.begin) * row_bytes + k * dtype_bytes(source_dtype),
                     source_dtype, n);
    }
    size_t places = packed_leaf_bytes(m, n_inputs) / PACK_ROWS / dtype_bytes(m->dtype);
    for (uint32_t lane = lanes.begin; lane < (lanes.last ? PACK_ROWS : lanes.end); lane++)
        zero_places(leaf_data, m->dtype, lane, lane < lanes.end ? n_inputs : 0, places);
}

// Where the byte of a lane's i-th number lies in a block; int4 has two numbers in it.
static inline size_t byte_index(size_t i, uint32_t lane)
{
    return i / 4 * (4 * PACK_ROWS) + 4 * (size_t)lane + i % 4;
}

// Blocks of n lanes from one on, numbers as kernels/quantize.h gives them.
static void put_blocks(unsigned char *block, enum dtype dtype, uint32_t lane, size_t n,
                       uint32_t (*numbers)[QUANT_LANES], const uint16_t *scales)
{
    size_t quads = dtype == DTYPE_INT8 ? QUANT_BLOCK / 4 : QUANT_BLOCK / 8;
    for (size_t i = 0; i < quads; i++) {
        if (dtype == DTYPE_INT4)
            for (size_t j = 0; j < QUANT_LANES; j++)
                numbers[i][j] |= numbers[i + quads][j] << 4;
        memcpy(block + byte_index(4 * i, lane), numbers[i], n * sizeof numbers[i][0]);
    }
    unsigned char *first_scale = block + packed_block_bytes(dtype) - PACK_ROWS * sizeof *scales;
    memcpy(first_scale + lane * sizeof *scales, scales, n * sizeof *scales);
}

// A block of one row, to a column.
static void read_values(float (*out)[QUANT_LANES], size_t column, const void *source,
                        enum dtype dtype, size_t n)
{
    if (dtype == DTYPE_BF16) // most of loading's time
        for (size_t i = 0; i < n; i++) {
            uint16_t bits;
            memcpy(&bits, (const unsigned char *)source + 2 * i, sizeof bits);
            out[i][column] = bf16_to_f32(bits);
        }
    else
        for (size_t i = 0; i < n; i++)
            out[i][column] = element_to_f32(source, dtype, i);
}

// Blocks of n inputs of all lanes that there are sources for, and zeros for padding.
static void pack_block(unsigned char *block, enum dtype dtype, struct lanes lanes,
                       const unsigned char *source, enum dtype source_dtype, size_t row_bytes,
                       size_t n)
{
    uint32_t end = lanes.last ? PACK_ROWS : lanes.end;
    for (uint32_t lane = lanes.begin; lane < end; lane += QUANT_LANES) {
        uint32_t some = end - lane < QUANT_LANES ? end - lane : QUANT_LANES;
        float values[QUANT_BLOCK][QUANT_LANES] = {0};
        uint32_t numbers[QUANT_BLOCK / 4][QUANT_LANES];
        uint16_t scales[QUANT_LANES];
        for (uint32_t i = 0; i < some && lane + i < lanes.end; i++)
            read_values(values, i, source + (lane + i - lanes.begin) * row_bytes, source_dtype, n);
        (dtype == DTYPE_INT8 ? quantize_int8 : quantize_int4)(values, numbers, scales);
        put_blocks(block, dtype, lane, some, numbers, scales);
    }
}

static void pack_blocks(const struct packed_matrix *m, void *leaf_data, uint32_t n_inputs,
                        struct lanes lanes, const unsigned char *source, enum dtype source_dtype,
                        size_t row_bytes)
{
    for (size_t k = 0; k < n_inputs; k += QUANT_BLOCK)
        pack_block((unsigned char *)leaf_data + k / QUANT_BLOCK * packed_block_bytes(m->dtype),
                   m->dtype, lanes, source + k * dtype_bytes(source_dtype), source_dtype, row_bytes,
                   n_inputs - k < QUANT_BLOCK ? n_inputs - k : QUANT_BLOCK);
}

void matmul_pack(const struct packed_matrix *destination, uint32_t row_begin, uint32_t row_end,
                 const void *source, enum dtype source_dtype, size_t source_stride)
{
    const struct packed_matrix *m = destination;
    CHECK(row_begin <= row_end && row_end <= m->n && !dtype_is_quantized(source_dtype));
    size_t row_bytes = source_stride * dtype_bytes(source_dtype);
    for (uint32_t row = row_begin; row < row_end; row = row / PACK_ROWS * PACK_ROWS + PACK_ROWS) {
        uint32_t panel = row / PACK_ROWS * PACK_ROWS;
        uint32_t n = row_end - panel < PACK_ROWS ? row_end - panel : PACK_ROWS;
        struct lanes lanes = {row - panel, n, panel + n == m->n};
        const unsigned char *rows = (const unsigned char *)source + (row - row_begin) * row_bytes;
        unsigned char *data = (unsigned char *)m->data + row / PACK_ROWS * packed_panel_bytes(m);
        for (uint32_t leaf = 0; leaf < m->n_leaves; leaf++) {
            uint32_t begin, end;
            packed_leaf_range(m, leaf, &begin, &end);
            (dtype_is_quantized(m->dtype) ? pack_blocks : pack_places)(
                m, data, end - begin, lanes, rows + begin * dtype_bytes(source_dtype), source_dtype,
                row_bytes);
            data += packed_leaf_bytes(m, end - begin);
        }
    }
}

static float block_element(const unsigned char *leaf, enum dtype dtype, uint32_t lane, uint32_t k)
{
    const unsigned char *block = leaf + k / QUANT_BLOCK * packed_block_bytes(dtype);
    uint16_t scale;
    memcpy(&scale, block + packed_block_bytes(dtype) - (PACK_ROWS - lane) * sizeof scale,
           sizeof scale);
    uint32_t i = k % QUANT_BLOCK;
    if (dtype == DTYPE_INT8)
        return f16_to_f32(scale) * (float)(block[byte_index(i, lane)] - INT8_OFFSET);
    unsigned two = block[byte_index(i % (QUANT_BLOCK / 2), lane)];
    int q = (int)(i < QUANT_BLOCK / 2 ? two & 0xFU : two >> 4);
    return f16_to_f32(scale) * (float)(q - INT4_OFFSET);
}

float packed_matrix_at(const struct packed_matrix *matrix, uint32_t row, uint32_t k)
{
    CHECK(row < matrix->n && k < matrix->k);
    const unsigned char *data = matrix->data;
    data += row / PACK_ROWS * packed_panel_bytes(matrix);
    for (uint32_t leaf = 0;; leaf++) {
        uint32_t begin, end, lane = row % PACK_ROWS;
        packed_leaf_range(matrix, leaf, &begin, &end);
        if (k < end && dtype_is_quantized(matrix->dtype))
            return block_element(data, matrix->dtype, lane, k - begin);
        if (k < end)
            return element_to_f32(data, matrix->dtype, place_index(matrix->dtype, k - begin, lane));
        data += packed_leaf_bytes(matrix, end - begin);
    }
}
