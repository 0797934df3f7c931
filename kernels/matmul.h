/* kernels/matmul.h - packing of weights, and the order of a matmul's sums.
 *
 * out[r, j] is one chain of f32 fused multiply-adds over k ascending inside a leaf (AVX512-BF16
 * with bf16 weights: over pairs of k, a leaf's odd last one alone); leaves are summed in the tree
 * of kernels/types.h. The chain never depends on n_rows, on n or on threads, and AVX2 and AVX-512
 * give the same bits. Moves packed_matrix_bytes() per call as long as the rows fit the register
 * tile, which is the figure to beat at decode. k is at most MATMUL_MAX_K (a row at
 * least has to fit the stream's scratch as the products want it).
 *
 * The layout: panels of PACK_ROWS outputs, so that one vector holds the same k of neighbouring
 * outputs and no sum ever crosses lanes. f16, f32: [n / 64][k][64]. bf16: pairs of k interleaved,
 * [n / 64][k / 2][64][2], so that a 32-bit lane holds two k's of an output (even k by a shift, odd
 * k by a mask, and the bf16 dot product takes it as it is); each leaf begins a new pair, and the
 * odd last k of a leaf is followed by a zero. Outputs beyond n are zeros.
 *
 * int8, int4: blocks of QUANT_BLOCK inputs (kernels/quantize.h): [n / 64][blocks] of
 * int8: [8 quads of k][64][4] bytes, int4: [4][64][4] bytes, quad i in the lower halves and i + 4
 * in the upper ones; then the block's f16 scales [64]. A 32-bit lane holds four k's of an output,
 * which is what the byte dot products take. Rows are quantized by the same blocks; a block's
 * products are summed exactly in 32 bits, and over blocks sum = fma(f32(integer sum), scale of w *
 * scale of x, sum) ascending, in every form: AVX2, AVX-512 and VNNI give the same bits.
 *
 * Against the twin (f64 chains): |error| <= MATMUL_TOLERANCE * sum over k of |x w|, before R (of
 * the quantized x and w, which the twin has alike). Logits: that, and a factor of
 * 1 +- SOFTCAP_TOLERANCE, as the cap's slope is at most 1. */
#ifndef GEMMAD_KERNELS_MATMUL_H
#define GEMMAD_KERNELS_MATMUL_H

#include "base/status.h"
#include "kernels/quantize.h"
#include "kernels/types.h"

#define PACK_ROWS 64
#define MATMUL_MAX_K 65536
#define MATMUL_TOLERANCE 4e-6
#define SOFTCAP_TOLERANCE 5e-7

/* Bytes of data for the other fields; a multiple of 64. Leaves need not be of equal size. */
size_t packed_matrix_bytes(const struct packed_matrix *matrix);

/* Packs rows [row_begin, row_end) of the destination from source rows of k elements source_stride
 * elements apart (source points at row row_begin, column 0 of this rank's slice; no alignment).
 * Converts source_dtype to destination->dtype when they differ (anything to f32, nearest even to
 * bf16; nothing to f16; anything but itself to int8 and int4). Ranges may begin and end anywhere;
 * those cut at multiples of PACK_ROWS may be packed by several threads at once. Padding rows are
 * zeroed by the range that ends at n. */
void matmul_pack(const struct packed_matrix *destination, uint32_t row_begin, uint32_t row_end,
                 const void *source, enum dtype source_dtype, size_t source_stride);

/* One element of the matrix. */
float packed_matrix_at(const struct packed_matrix *matrix, uint32_t row, uint32_t k);

/* Leaf number `leaf` of this rank (from 0) covers this rank's inputs [*begin, *end). */
static inline void packed_leaf_range(const struct packed_matrix *matrix, uint32_t leaf,
                                     uint32_t *begin, uint32_t *end)
{
    *begin = 0;
    *end = matrix->k;
    if (matrix->n_leaves == 1)
        return;
    uint64_t total = matrix->k_total;
    uint64_t origin = matrix->first_leaf * total / N_LEAVES;
    *begin = (uint32_t)((matrix->first_leaf + leaf) * total / N_LEAVES - origin);
    *end = (uint32_t)((matrix->first_leaf + leaf + 1) * total / N_LEAVES - origin);
}

/* Bytes of one quantized block of a panel: its numbers, then its scales. */
static inline size_t packed_block_bytes(enum dtype dtype)
{
    size_t numbers = (size_t)PACK_ROWS * QUANT_BLOCK / (dtype == DTYPE_INT4 ? 2 : 1);
    return numbers + PACK_ROWS * sizeof(uint16_t);
}

/* Bytes that n inputs of a leaf take in a panel. */
static inline size_t packed_leaf_bytes(const struct packed_matrix *matrix, uint32_t n)
{
    if (dtype_is_quantized(matrix->dtype))
        return quant_blocks(n) * packed_block_bytes(matrix->dtype);
    size_t places = matrix->dtype == DTYPE_BF16 ? ((size_t)n + 1) & ~(size_t)1 : n;
    return places * PACK_ROWS * dtype_bytes(matrix->dtype);
}

static inline size_t packed_panel_bytes(const struct packed_matrix *matrix)
{
    size_t bytes = 0;
    for (uint32_t leaf = 0; leaf < matrix->n_leaves; leaf++) {
        uint32_t begin, end;
        packed_leaf_range(matrix, leaf, &begin, &end);
        bytes += packed_leaf_bytes(matrix, end - begin);
    }
    return bytes;
}

#endif
