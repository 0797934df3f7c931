/* kernels/router.h - which experts a row goes to, and the way there and back.
 *
 * router_input: out = R(R(norm(x) * scale_weight) * dim^(-1/2)), norm without a weight, as in
 * kernels/rmsnorm.h (order of sums, tolerance); the last factor is f32.
 * router_top_k: p = softmax(scores) in f32, summed over experts ascending; the top_k largest p, the
 * lower id first among equals, in descending order; weights p / (their sum in that order) *
 * per_expert_scale[id]. A choice has no tolerance, so all variants use one form.
 * gather_activations: out[i] = x[rows[i]].
 * moe_combine: out[r] = sum over this rank's entries of row r of weight * f[source]: one chain of
 * f32 fused multiply-adds in entry order inside each leaf, leaves in the tree of kernels/types.h,
 * unrounded. Every form has the twin's bits. */
#ifndef GEMMAD_KERNELS_ROUTER_H
#define GEMMAD_KERNELS_ROUTER_H

#include "kernels/ops.h"

#endif
