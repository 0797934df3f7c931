/* kernels/rope.h - angles, and what happens to q, k and v between their projection and attention.
 *
 * rope_angles: cos_out, sin_out [n_rows, half_dim] = R(cos(a)), R(sin(a)), a = position * inv_freq
 * rounded to f32. Rotation is half-split over the whole head: i pairs with i + head_dim / 2,
 *     out[i] = R(x[i] cos[i] - x[i + half] sin[i]),  out[i + half] = R(x[i + half] cos[i] + x[i]
 * sin[i]) with x already R'd by its norm, and one rounding (the reference may round each product as
 * well; one is closer to exact). Angles of 0 (dimensions that a full layer does not rotate) change
 * nothing.
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

/* Where head h of a slot's key (value) begins. */
static inline unsigned char *kv_view_row(const struct kv_view *view, uint32_t slot, uint32_t head,
                                         size_t offset, uint32_t dim)
{
    size_t page = slot / view->page_tokens;
    size_t row = (size_t)head * view->page_tokens + slot % view->page_tokens;
    return view->pages + page * view->page_bytes + offset + row * dim * dtype_bytes(view->dtype);
}

#endif
