/* kernels/matmul.h - packing of weights, and the order of a matmul's sums.
 *
 * out[r, j] is one chain of f32 fused multiply-adds over k ascending inside a leaf (AVX512-BF16:
 * over pairs of k, a leaf's odd last one alone); leaves are summed in the tree of kernels/types.h.
 * The chain never depends on n_rows, on n or on threads. Moves packed_matrix_bytes() per call as
 * long as the rows fit the register tile, which is the figure to beat at decode. */
#ifndef GEMMAD_KERNELS_MATMUL_H
#define GEMMAD_KERNELS_MATMUL_H

#include "base/status.h"
#include "kernels/types.h"

/* Bytes of data for the other fields; a multiple of 64. Leaves need not be of equal size. */
size_t packed_matrix_bytes(const struct packed_matrix *matrix);

/* Packs rows [row_begin, row_end) of the destination from source rows of k elements source_stride
 * elements apart (source points at row row_begin, column 0 of this rank's slice; no alignment).
 * Converts source_dtype to destination->dtype when they differ. Row ranges cut at multiples of
 * PACK_ROWS may be packed by several threads at once; padding rows are zeroed by the last range. */
#define PACK_ROWS 64
void matmul_pack(const struct packed_matrix *destination, uint32_t row_begin, uint32_t row_end,
                 const void *source, enum dtype source_dtype, size_t source_stride);

#endif
