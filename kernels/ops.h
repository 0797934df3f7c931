/* kernels/ops.h - the table of ops: what the model calls, filled once at start.
 *
 * kernels_select puts the C twins in first, then the fastest form this CPU can run over each;
 * nothing else branches on hardware. Common to all ops:
 *   - arrays are row-major, activations f32 (kernels/types.h), outputs never overlap inputs unless
 *     the op says so; strides are in elements;
 *   - R(.) is the rounding of the selected compute type;
 *   - every sum runs in an order that depends on one row's shape alone, so a row's result has the
 *     same bits in any batch, chunk and with any number of threads;
 *   - an op spreads its work over the stream's threads (a twin stays on the caller's) and is
 * finished when it returns;
 *   - no op allocates: scratch comes from the stream (device/stream.h).
 * Each op's own header gives the formula, the order of its sums and its tolerance to the twin. */
#ifndef GEMMAD_KERNELS_OPS_H
#define GEMMAD_KERNELS_OPS_H

#include "device/stream.h"
#include "kernels/types.h"

/* kernels/embed.h: out[t] = R(table[ids[t] - vocab_begin] * scale) for ids in
 * [vocab_begin, vocab_begin + table->n), rows of +0.0 for others; never yields -0.0. */
typedef void embed_rows_fn(float *out, const struct packed_matrix *table, const uint32_t *ids,
                           uint32_t n_tokens, uint32_t vocab_begin, float scale,
                           struct device_stream *stream);

/* kernels/embed.h: out[t] = R(table[ids[t]] * scale), from rows as the file has them. */
typedef void gather_rows_fn(float *out, const struct raw_matrix *table, const uint32_t *ids,
                            uint32_t n_tokens, float scale, struct device_stream *stream);

/* kernels/matmul.h: out[r, :] = R(x[r, :] . w^T). x [n_rows, w->k] with x_stride, out
 * [n_rows, w->n] with out_stride. One fma chain over k per output (n_leaves == 1). */
typedef void matmul_fn(float *out, uint32_t out_stride, const float *x, uint32_t x_stride,
                       uint32_t n_rows, const struct packed_matrix *w,
                       struct device_stream *stream);

/* kernels/matmul.h: the same without R: the sum over this rank's leaves (a chain over k inside a
 * leaf, then the tree), as tp_all_reduce takes it. */
typedef matmul_fn matmul_leaves_fn;

/* kernels/matmul.h: out[r, :] = softcap(x[r, :] . w^T), unrounded: softcap(y) = cap * tanh(y /
 * cap), cap 0: y itself. One pass over what may be 262144 numbers a row. n_leaves == 1. */
typedef void logits_fn(float *out, size_t out_stride, const float *x, uint32_t x_stride,
                       uint32_t n_rows, const struct packed_matrix *w, float cap,
                       struct device_stream *stream);

/* kernels/rmsnorm.h: out = R(x / sqrt(mean(x^2) + eps) * weight); weight NULL: none. May be in
 * place. Rows of dim with strides. */
typedef void rmsnorm_fn(float *out, uint32_t out_stride, const float *x, uint32_t x_stride,
                        const float *weight, uint32_t n_rows, uint32_t dim, float eps,
                        struct device_stream *stream);

/* kernels/rmsnorm.h: h = R(R(h + norm(R(x), weight)) * scale): the end of an attention or MLP
 * block; scale is layer_scalar on the last one of a layer, else 1. x is the all-reduced sum. */
typedef void residual_norm_fn(float *h, const float *x, const float *weight, uint32_t n_rows,
                              uint32_t dim, float eps, float scale, struct device_stream *stream);

/* kernels/rmsnorm.h: h = R(R(h + norm(R(norm(R(x1), w1) + norm(R(x2), w2)), w)) * scale): the same
 * for a layer with experts. x1, x2 rows with stride x_stride (they travel as [n_rows, 2 dim]). */
typedef void residual_norm_moe_fn(float *h, const float *x1, const float *x2, uint32_t x_stride,
                                  const float *w1, const float *w2, const float *w, uint32_t n_rows,
                                  uint32_t dim, float eps, float scale,
                                  struct device_stream *stream);

/* kernels/rope.h: cos_out, sin_out [n_rows, half_dim]: R(cos(position * inv_freq)), R(sin(..)),
 * the angle in f32. */
typedef void rope_angles_fn(float *cos_out, float *sin_out, const uint32_t *positions,
                            const float *inv_freq, uint32_t n_rows, uint32_t half_dim,
                            struct device_stream *stream);

/* kernels/rope.h: q [n_rows, n_heads, head_dim] -> out: per head norm with q_norm [head_dim], then
 * the half-split rotation. k_from_v (view->k_from_v): out [n_rows, n_heads, k_dim + v_dim]: first
 * the rotated dimensions in the order of K's, then q * k_norm with the rotated ones zero; else out
 * [n_rows, n_heads, head_dim]. k_norm is used by k_from_v alone. */
typedef void query_finish_fn(float *out, const float *q, uint32_t q_stride, uint32_t n_heads,
                             const float *q_norm, const float *k_norm, const float *cos,
                             const float *sin, uint32_t n_rows, float eps,
                             const struct kv_view *view, struct device_stream *stream);

/* kernels/rope.h: k, v [n_rows, n_kv_heads, head_dim] of the projections: K = rope(norm(k,
 * k_norm)), V = norm(v), written at slots [n_rows] (page * page_tokens + token within the page). v
 * may be k (attention_k_eq_v). With view->k_from_v only K's rotated dimensions are stored. */
typedef void kv_write_fn(const struct kv_view *view, const uint32_t *slots, const float *k,
                         uint32_t k_stride, const float *v, uint32_t v_stride, const float *k_norm,
                         const float *cos, const float *sin, uint32_t n_rows, float eps,
                         struct device_stream *stream);

/* kernels/attention.h: out [n_rows, n_heads, v_dim] = R(softmax(q K^T) V), causal, f32 inside, no
 * scale; window > 0: the last window keys, the row's own included. q is query_finish's out.
 * n_heads is a multiple of view->n_kv_heads; query head j reads kv head j / (n_heads/n_kv_heads).
 * Keys are taken in splits aligned to absolute positions and combined in ascending order. */
typedef void attention_paged_fn(float *out, const float *q, uint32_t n_heads,
                                const struct kv_view *view, const struct attention_batch *batch,
                                uint32_t window, struct device_stream *stream);

/* kernels/gelu_mul.h: out = R(R(gelu_tanh(gate)) * up), rows of dim with strides; out may be gate.
 */
typedef void gelu_mul_fn(float *out, uint32_t out_stride, const float *gate, uint32_t gate_stride,
                         const float *up, uint32_t up_stride, uint32_t n_rows, uint32_t dim,
                         struct device_stream *stream);

/* kernels/per_layer.h: out [n_rows, n_layers, dim] = R(R(norm(R(ctx * ctx_scale), weight) + tok) *
 * 2^(-1/2)): the per-layer inputs of E2B and E4B. out may be tok. */
typedef void per_layer_inputs_fn(float *out, const float *ctx, const float *tok,
                                 const float *weight, uint32_t n_rows, uint32_t n_layers,
                                 uint32_t dim, float ctx_scale, float eps,
                                 struct device_stream *stream);

/* kernels/router.h: out = R(R(norm(x) * scale_weight) * dim^(-1/2)): the router's input. */
typedef void router_input_fn(float *out, const float *x, const float *scale_weight, uint32_t n_rows,
                             uint32_t dim, float eps, struct device_stream *stream);

/* kernels/router.h: softmax over scores [n_rows, n_experts] in f32, the top_k largest (lower id on
 * ties) in descending order, weights renormalised to 1, then times per_expert_scale.
 * ids, weights [n_rows, top_k]. */
typedef void router_top_k_fn(uint32_t *ids, float *weights, const float *scores,
                             const float *per_expert_scale, uint32_t n_rows, uint32_t n_experts,
                             uint32_t top_k, struct device_stream *stream);

/* kernels/router.h: out[i] = x[rows[i]] for i < n, rows of dim. */
typedef void gather_activations_fn(float *out, const float *x, uint32_t x_stride,
                                   const uint32_t *rows, uint32_t n, uint32_t dim,
                                   struct device_stream *stream);

/* kernels/router.h: the experts' weighted sum. Row r has entries e in [offsets[r], offsets[r + 1]),
 * in top-k order, only those of this rank's experts: value row source[e] of f [*, dim], factor
 * weight[e], leaf[e] < n_leaves (leaf of the expert, kernels/types.h). Each leaf is summed in entry
 * order in f32, the leaves in the tree. out [n_rows, dim] with out_stride, unrounded. */
typedef void moe_combine_fn(float *out, uint32_t out_stride, const float *f,
                            const uint32_t *offsets, const uint32_t *source, const float *weight,
                            const uint32_t *leaf, uint32_t n_leaves, uint32_t n_rows, uint32_t dim,
                            struct device_stream *stream);

/* kernels/encode.h: out = x kept in [low, high]; n values; may be in place. */
typedef void clamp_fn(float *out, const float *x, float low, float high, size_t n,
                      struct device_stream *stream);

/* kernels/encode.h: h[r] = R(h[r] + R(table[a[r]] + table[b[r]])); rows of table->row_length. */
typedef void add_table_rows_fn(float *h, const struct raw_matrix *table, const uint32_t *a,
                               const uint32_t *b, uint32_t n_rows, struct device_stream *stream);

/* kernels/encode.h: out [n_rows, dim] = R(v), v = R(mean of `group` rows of x) * scale; with bias
 * and factor [dim] R((v - bias) * factor). */
typedef void pool_rows_fn(float *out, const float *x, uint32_t group, float scale,
                          const float *bias, const float *factor, uint32_t n_rows, uint32_t dim,
                          struct device_stream *stream);

/* kernels/encode.h: out = R(LayerNorm(y) * weight + bias), y = x or, with added [dim], R(x +
 * added); bias may be NULL; may be in place. */
typedef void layer_norm_fn(float *out, const float *x, const float *added, const float *weight,
                           const float *bias, uint32_t n_rows, uint32_t dim, float eps,
                           struct device_stream *stream);

/* kernels/conformer.h: the audio encoder's. out may be x in silu. */
typedef void silu_fn(float *out, const float *x, size_t n, struct device_stream *stream);
/* x [n_rows, 2 dim], out [n_rows, dim]. */
typedef void gated_linear_fn(float *out, const float *x, uint32_t n_rows, uint32_t dim,
                             struct device_stream *stream);
typedef void add_rows_fn(float *out, const float *x, uint32_t x_stride, uint32_t n_rows,
                         uint32_t dim, struct device_stream *stream);
/* x, out [n_rows, dim], before x the ages' rows; w [n_taps, dim]. */
typedef void causal_conv_fn(float *out, const float *x, const uint32_t *ages, const float *w,
                            uint32_t n_taps, uint32_t n_rows, uint32_t dim,
                            struct device_stream *stream);

/* What all queries of a layer have in common. */
struct relative_keys {
    uint32_t n_heads, head_dim, n_keys;
    const float *relative; /* [n_keys, n_heads * head_dim], by distance */
    const float *q_scale;  /* [head_dim] */
    float k_scale, cap;
};

/* out, q, k, v [n_rows, n_heads * head_dim], before k and v the ages' rows. */
typedef void relative_attention_fn(float *out, const float *q, const float *k, const float *v,
                                   const uint32_t *ages, const struct relative_keys *keys,
                                   uint32_t n_rows, struct device_stream *stream);
/* x [n_frames, n_bins], w [9, n_channels]; out: rows from first_row on, [n_rows, n_bins / 2,
 * n_channels]. */
typedef void mel_conv_fn(float *out, const float *x, uint32_t n_frames, uint32_t n_bins,
                         const float *w, uint32_t n_channels, uint32_t first_row, uint32_t n_rows,
                         struct device_stream *stream);

struct unfold_input {
    const float *x; /* rows from first_row on, [.., n_bins, n_channels], of n_rows in all */
    uint32_t first_row, n_rows, n_bins, n_channels;
};

/* out: rows from first_row on, [n_rows, in->n_bins / 2, 9 * in->n_channels]. */
typedef void unfold_conv_fn(float *out, const struct unfold_input *in, uint32_t first_row,
                            uint32_t n_rows, struct device_stream *stream);

struct ops {
    embed_rows_fn *embed_rows;
    gather_rows_fn *gather_rows;
    matmul_fn *matmul;
    matmul_leaves_fn *matmul_leaves;
    logits_fn *logits;
    rmsnorm_fn *rmsnorm;
    residual_norm_fn *residual_norm;
    residual_norm_moe_fn *residual_norm_moe;
    rope_angles_fn *rope_angles;
    query_finish_fn *query_finish;
    kv_write_fn *kv_write;
    attention_paged_fn *attention_paged;
    gelu_mul_fn *gelu_mul;
    per_layer_inputs_fn *per_layer_inputs;
    router_input_fn *router_input;
    router_top_k_fn *router_top_k;
    gather_activations_fn *gather_activations;
    moe_combine_fn *moe_combine;
    clamp_fn *clamp;
    add_table_rows_fn *add_table_rows;
    pool_rows_fn *pool_rows;
    layer_norm_fn *layer_norm;
    silu_fn *silu;
    gated_linear_fn *gated_linear;
    add_rows_fn *add_rows;
    causal_conv_fn *causal_conv;
    relative_attention_fn *relative_attention;
    mel_conv_fn *mel_conv;
    unfold_conv_fn *unfold_conv;
};

/* Each has what those before it have; VNNI: dot products of bytes, BF16: also of bf16 pairs. */
enum kernels_variant {
    KERNELS_TWIN,
    KERNELS_AVX2,
    KERNELS_AVX512,
    KERNELS_AVX512_VNNI,
    KERNELS_AVX512_BF16
};

/* The fastest variant this CPU can run (by CPUID; GEMMAD_KERNELS=twin|avx2|avx512|avx512_bf16 caps
 * it, see docs/environment.md). */
enum kernels_variant kernels_best_variant(void);
const char *kernels_variant_name(enum kernels_variant variant);
/* What `--compute auto` means here: bf16 where the CPU has bf16 dot products, else f32. */
enum compute kernels_auto_compute(void);
/* Fills the table for one variant (at most kernels_best_variant()) and compute type. */
void kernels_select(enum kernels_variant variant, enum compute compute, struct ops *out);

#endif
