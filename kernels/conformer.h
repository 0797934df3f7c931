/* kernels/conformer.h - what the audio encoder needs beyond the other ops (gemma4-model.md section
 * 5.5). Rows are points in time; age[r] says how many rows of the same clip stand directly before
 * row r, and an op reads no row before those.
 *
 *     silu                out = R(x * s(x)), s(x) = 1 / (1 + e^-x)
 *     gated_linear        out[r, i] = R(x[r, i] * s(x[r, dim + i]))
 *     add_rows            out[r] = R(out[r] + x[r]); x_stride 0: the same x for all rows
 *     causal_conv         out[r, c] = R(sum over m < n_taps of w[m, c] * x[r - (n_taps - 1) + m,
 * c]) relative_attention  query r sees keys r - d, d <= age[r], d < n_keys, head by head: l_d =
 * q_scale * q_r . (k_scale * k_(r - d) + relative_d), out = R(sum of softmax(cap * tanh(l / cap)) *
 * v) mel_conv            out[t, f, c] = R(sum over i, j < 3 of w[3 i + j, c] * R(x[2 t - 1 + i, 2 f
 *                         - 1 + j])): 3 x 3, stride 2, zeros around
 *     unfold_conv         out[t, f, c * 9 + 3 i + j] = x[2 t - 1 + i, 2 f - 1 + j, c], zeros
 * around: rows for a matmul with weights [n, c, 3, 3]
 *
 * All in f32. causal_conv and mel_conv: one fma chain in the order of the weights; scores one chain
 * of 16 interleaved sums over the head; keys from the query's own to the oldest. All vector forms
 * give the same bits. Against the twin (f64), before R: silu and gated_linear a factor of 1 +-
 * CONFORMER_TOLERANCE; sums CONFORMER_TOLERANCE * the sum of the sizes of what is added;
 * relative_attention CONFORMER_TOLERANCE * (1 + the largest |l|) * the largest |v|. */
#ifndef GEMMAD_KERNELS_CONFORMER_H
#define GEMMAD_KERNELS_CONFORMER_H

#include "kernels/ops.h"

#define CONFORMER_TOLERANCE 2e-6
#define CONFORMER_MAX_KEYS 64
#define CONFORMER_MAX_HEAD_DIM 256

#endif
