/* kernels/per_layer.h - the per-layer inputs of E2B and E4B, for all layers at once:
 *
 *     out [n_rows, n_layers, dim] = R(R(norm(R(ctx * ctx_scale), weight) + tok) * 2^(-1/2))
 *
 * The two scales are f32 factors as in the reference, not rounded themselves. Norm over dim, as in
 * kernels/rmsnorm.h (order of sums, tolerance). out may be tok. */
#ifndef GEMMAD_KERNELS_PER_LAYER_H
#define GEMMAD_KERNELS_PER_LAYER_H

#include "kernels/ops.h"

#define PER_LAYER_SCALE 0.70710678F /* 2^(-1/2) */

#endif
