/* kernels/attention.h - causal attention over paged keys and values, grouped queries.
 *
 * out [n_rows, n_heads, v_dim] = R(softmax(q K^T) V), no scale, no softcap. The row at position i
 * sees keys j <= i, or up to the batch's last_positions, with window > 0 only j > i - window. With
 * view->k_from_v the score is q[0, k_dim) . K + q[k_dim, k_dim + v_dim) . V: a page stores only the
 * rotated part of K (kernels/rope.h). Pages that no row's keys lie in are never looked at.
 *
 * Order: keys are taken in splits of ATTENTION_SPLIT_KEYS that begin at multiples of it, whatever
 * the row's window. A score is one chain of fused multiply-adds over K's dimensions ascending (with
 * AVX512-BF16, bf16 pages and R, where q holds bf16 values there: over pairs of them), then over
 * V's. In a split, weights exp(score - the split's maximum) are summed over its keys in 16
 * interleaved chains, values in one chain of fused multiply-adds over keys ascending; then splits
 * are merged ascending, each rescaled to the larger maximum. Nothing depends on other rows, and
 * AVX2 and AVX-512 give the same bits. Against the twin (f64): |error| <= ATTENTION_TOLERANCE * (1
 * + the largest |score|) * the largest |v| of the row, before R. */
#ifndef GEMMAD_KERNELS_ATTENTION_H
#define GEMMAD_KERNELS_ATTENTION_H

#include "kernels/ops.h"

#define ATTENTION_SPLIT_KEYS 512
#define ATTENTION_TOLERANCE 2e-6
#define ATTENTION_MAX_WIDTH 1024 /* dimensions of a head's query */

/* Whether K may come from V: 16 tokens' values are woven into a tile in steps of 16 bytes. */
static inline bool attention_takes_k_from_v(uint32_t k_dim, uint32_t v_dim)
{
    return v_dim % 8 == 0 && k_dim + v_dim <= ATTENTION_MAX_WIDTH;
}

/* The first key that the row at a position sees. */
static inline uint32_t attention_first_key(uint32_t position, uint32_t window)
{
    return window > 0 && position >= window ? position - window + 1 : 0;
}

/* The last key that a row of the batch sees. */
static inline uint32_t attention_last_key(const struct attention_batch *batch, uint32_t sequence,
                                          size_t row)
{
    if (batch->last_positions)
        return batch->last_positions[row];
    return batch->first_position[sequence] + (uint32_t)(row - batch->row_offsets[sequence]);
}

#endif
