/* kernels/rmsnorm.h - norms over rows, alone and at the end of a block.
 *
 *     norm(x, w) = R(x / sqrt(mean(x^2) + eps) * w), w used as it is (not 1 + w), NULL: none
 *     rmsnorm            out = norm(x, weight); in place or rows apart
 *     residual_norm      h = R(R(h + norm(R(x), weight)) * scale)
 *     residual_norm_moe  h = R(R(h + norm(R(norm(R(x1), w1) + norm(R(x2), w2)), w)) * scale)
 *
 * The squares are summed in f32 in NORM_CHAINS * 16 interleaved chains of fused multiply-adds
 * (value i goes to chain i mod 64), which are then added in a fixed tree: dim alone decides the
 * order. All vector forms give the same bits. Against the twin (f64 sums): a factor of 1 +-
 * NORM_TOLERANCE before R, so with bf16 at most one neighbouring value each time R is applied.
 * Bound by memory. */
#ifndef GEMMAD_KERNELS_RMSNORM_H
#define GEMMAD_KERNELS_RMSNORM_H

#include "kernels/ops.h"

#define NORM_CHAINS 4
#define NORM_TOLERANCE 1e-6

#endif
