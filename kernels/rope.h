/* kernels/rope.h - angles, and what happens to q, k and v between their projection and attention.
 *
 * rope_angles: cos_out, sin_out [n_rows, half_dim] = R(cos(a)), R(sin(a)), a = position * inv_freq
 * rounded to f32, of size below 2^20 (but for the twin); the twin's f32, or its neighbour. Rotation
 * is half-split over the whole head: i pairs with i + head_dim / 2, out[i] = R(x[i] cos[i] - x[i +
 * half] sin[i]),  out[i + half] = R(x[i + half] cos[i] + x[i] sin[i]) with x already R'd by its
 * norm, and one rounding (the reference may round each product as well; one is closer to exact).
 * Angles of 0 (dimensions that a full layer does not rotate) change nothing.
 *
 * query_finish: per head rope(norm(q, q_norm)); with view->k_from_v the head becomes k_dim + v_dim
 * wide: the rotated dimensions in the order of K's ([0, r), then [half, half + r), r = k_dim / 2),
 * then norm(q) * k_norm, unrounded, with the rotated dimensions zero, to be multiplied with V.
 * kv_write: K = rope(norm(k, k_norm)), V = norm(v) into the pages, as bf16 or f32 (view->dtype).
 * head_dim = view->v_dim; even. Norms as in kernels/rmsnorm.h, in the same order of sums.
 * Against the twin: ROPE_TOLERANCE of the pair's length before R; one bf16 neighbour for each R. */
#ifndef GEMMAD_KERNELS_ROPE_H
#define GEMMAD_KERNELS_ROPE_H

#include "kernels/ops.h"

#define ROPE_TOLERANCE 2e-6

/* Width of one head of query_finish's out, which is one head of attention_paged's q. */
static inline uint32_t query_head_width(const struct kv_view *view)
{
    return view->k_from_v ? view->k_dim + view->v_dim : view->v_dim;
}

/* Where keys lie (kernels/types.h): tiles of KV_TILE_TOKENS tokens, in which a vector of 32-bit
 * lanes holds the same dimension (or pair of them) of neighbouring tokens, so that attention sums
 * up a score in one lane. Each tile is as long as its tokens' rows would be. */
#define KV_TILE_TOKENS 16

/* Dimensions that a tile keeps side by side for each token. */
static inline uint32_t kv_key_run(enum dtype dtype)
{
    return dtype == DTYPE_F32 ? 1 : 2;
}

/* Row of a head's page that a slot has, of all pages. */
static inline unsigned char *kv_view_row(const struct kv_view *view, uint32_t slot, uint32_t head,
                                         size_t offset, uint32_t dim)
{
    size_t page = slot / view->page_tokens;
    size_t row = (size_t)head * view->page_tokens + slot % view->page_tokens;
    return view->pages + page * view->page_bytes + offset + row * dim * dtype_bytes(view->dtype);
}

/* Where the key tile of a slot begins. */
static inline unsigned char *kv_view_tile(const struct kv_view *view, uint32_t slot, uint32_t head)
{
    return kv_view_row(view, slot - slot % KV_TILE_TOKENS, head, view->k_offset, view->k_dim);
}

/* Element d of a slot's key; those of a run (kv_key_run) lie together. */
static inline unsigned char *kv_view_key(const struct kv_view *view, uint32_t slot, uint32_t head,
                                         uint32_t d)
{
    uint32_t run = kv_key_run(view->dtype);
    size_t place = ((size_t)(d / run) * KV_TILE_TOKENS + slot % KV_TILE_TOKENS) * run + d % run;
    return kv_view_tile(view, slot, head) + place * dtype_bytes(view->dtype);
}

/* Where head h of a slot's value begins: a row. */
static inline unsigned char *kv_view_value(const struct kv_view *view, uint32_t slot, uint32_t head)
{
    return kv_view_row(view, slot, head, view->v_offset, view->v_dim);
}

#endif
