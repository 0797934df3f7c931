/* kernels/types.h - the element types and views that the ops share.
 *
 * Activations are f32 in memory on the CPU backend. With COMPUTE_BF16 every op that the model
 * contract ends in a rounding point R(.) rounds its result to a bf16 value (nearest even) and
 * stores it as f32; with COMPUTE_F32 R is the identity. Which of the two an op does is fixed when
 * the table is selected, so that callers never branch on it. */
#ifndef GEMMAD_KERNELS_TYPES_H
#define GEMMAD_KERNELS_TYPES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* DTYPE_INT8 and DTYPE_INT4 are packed matrices alone: blocks with scales (kernels/quantize.h). */
enum dtype { DTYPE_BF16, DTYPE_F16, DTYPE_F32, DTYPE_INT8, DTYPE_INT4 };
enum compute { COMPUTE_F32, COMPUTE_BF16 };

/* Of an element; quantized ones have no size of their own. */
static inline size_t dtype_bytes(enum dtype dtype)
{
    return dtype == DTYPE_F32 ? 4 : 2;
}

static inline bool dtype_is_quantized(enum dtype dtype)
{
    return dtype == DTYPE_INT8 || dtype == DTYPE_INT4;
}

static inline float bf16_to_f32(uint16_t bits)
{
    uint32_t wide = (uint32_t)bits << 16;
    float value;
    memcpy(&value, &wide, sizeof value);
    return value;
}

/* Nearest even; NaN stays NaN. */
static inline uint16_t f32_to_bf16(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    if ((bits & 0x7FFFFFFFU) > 0x7F800000U)
        return (uint16_t)(bits >> 16 | 0x40U);
    return (uint16_t)((bits + 0x7FFFU + (bits >> 16 & 1U)) >> 16);
}

static inline float bf16_round(float value)
{
    return bf16_to_f32(f32_to_bf16(value));
}

float f16_to_f32(uint16_t bits);  /* exact, subnormals and infinities too */
uint16_t f32_to_f16(float value); /* nearest even; infinity beyond 65504, NaN stays NaN */

/* Row-parallel products are summed over this many leaves of the whole input dimension, in the
 * tree ((0+1)+(2+3))+((4+5)+(6+7)), whatever the world size: a rank owns 8 / world_size
 * neighbouring leaves, that is a subtree, and the all-reduce goes on from there. */
#define N_LEAVES 8

/* A linear's weight [n, k] in the layout the kernels want (kernels/matmul.h packs it). */
struct packed_matrix {
    enum dtype dtype;
    uint32_t n;          /* outputs (rows of the weight) this rank holds */
    uint32_t k;          /* inputs this rank holds */
    uint32_t n_leaves;   /* 1: column-parallel, one chain over k; else N_LEAVES / world_size */
    uint32_t first_leaf; /* row-parallel: the first of this rank's leaves; else 0 */
    uint32_t k_total;    /* row-parallel: inputs over all ranks; leaf l of N_LEAVES covers inputs
                            [l k_total / N_LEAVES, (l + 1) k_total / N_LEAVES), floors; else k */
    void *data;          /* packed_matrix_bytes() bytes, 64-byte aligned; not owned */
};

/* Rows [n_rows, row_length] as a file holds them (the per-layer embedding table stays mapped). */
struct raw_matrix {
    enum dtype dtype;
    uint32_t n_rows;
    uint32_t row_length;
    const void *data; /* no alignment beyond the element's */
};

/* One layer's keys and values in this rank's pages. A page holds page_tokens tokens of every layer
 * of its group; inside, each head's rows lie together:
 *     V of page p, head h, token t: pages + p * page_bytes + v_offset + ((h * page_tokens + t) *
 * v_dim) * element. K likewise with k_offset and k_dim, but 16 tokens' rows are woven into a tile
 * (kernels/rope.h). k_from_v (attention_k_eq_v, full layers): K holds only the rotated dimensions,
 * [0, r) then [v_dim / 2, v_dim / 2 + r), k_dim = 2 r; the rest of the score comes from V
 * (kernels/attention.h). */
struct kv_view {
    unsigned char *pages;
    size_t page_bytes;
    size_t k_offset;
    size_t v_offset;
    enum dtype dtype;     /* DTYPE_BF16 or DTYPE_F32 */
    uint32_t page_tokens; /* a multiple of 16 */
    uint32_t n_kv_heads;  /* of this rank */
    uint32_t k_dim;
    uint32_t v_dim; /* head_dim */
    bool k_from_v;
};

/* The rows of one step as attention sees them: rows row_offsets[s] .. row_offsets[s + 1] - 1 belong
 * to sequence s and stand at consecutive positions from first_position[s]. */
struct attention_batch {
    uint32_t n_seqs;
    uint32_t n_rows;
    const uint32_t *row_offsets;         /* [n_seqs + 1] */
    const uint32_t *first_position;      /* [n_seqs] */
    const uint32_t *const *block_tables; /* [n_seqs] -> page id by position / page_tokens */
    /* [n_rows]: the last position that a row sees, its own or a later one that has been written,
     * not descending in a sequence (image blocks); NULL: its own. */
    const uint32_t *last_positions;
};

#endif
