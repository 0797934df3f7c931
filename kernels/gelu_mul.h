/* kernels/gelu_mul.h - out = R(R(gelu_tanh(gate)) * up), rows of dim with strides; out may be gate.
 *
 * gelu_tanh(x) = 0.5 x (1 + tanh(u)), u = 0.7978845608 (x + 0.044715 x^3), computed as
 * x / (1 + exp(-2u)), which is the same and does not cancel for large negative x. No sums. Against
 * the twin: a factor of 1 +- GELU_TOLERANCE for |gate| <= 4, GELU_FAR_ERROR * |up| beyond, before
 * R. */
#ifndef GEMMAD_KERNELS_GELU_MUL_H
#define GEMMAD_KERNELS_GELU_MUL_H

#include "kernels/ops.h"

#define GELU_TOLERANCE 4e-6
#define GELU_FAR_ERROR 1e-8

#endif
