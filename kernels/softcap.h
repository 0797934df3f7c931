/* kernels/softcap.h - x = cap * tanh(x / cap) in f32, in place; cap > 0. No sums, never rounded to
 * bf16. Against the twin: a factor of 1 +- SOFTCAP_TOLERANCE. */
#ifndef GEMMAD_KERNELS_SOFTCAP_H
#define GEMMAD_KERNELS_SOFTCAP_H

#include "kernels/ops.h"

#define SOFTCAP_TOLERANCE 5e-7

#endif
