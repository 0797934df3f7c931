/* kernels/encode.h - what the vision and audio encoders need beyond the text model's ops.
 *
 *     clamp           out = min(max(x, low), high); a NaN stays one. out may be x.
 *     add_table_rows  h[r] = R(h[r] + R(table[a[r]] + table[b[r]])), rows as the file has them
 *     pool_rows       m = R(the mean of `group` consecutive rows of x), v = m * scale;
 *                     out = R(v), or with bias R((v - bias) * factor)
 *     layer_norm      y = x, or R(x + added); out = R((y - mean(y)) / sqrt(var(y) + eps) * weight
 *                     + bias); bias NULL: none. out may be x.
 *
 * All in f32. Means: rows are added ascending and divided by their number (pool_rows); values in 16
 * interleaved chains, then as vf_sum does, for squares the rest of a row behind whole vectors apart
 * (layer_norm): dim alone decides the order.
 * All vector forms give the same bits. Against the twin (f64): clamp and add_table_rows equal,
 * pool_rows a factor of 1 +- ENCODE_TOLERANCE of the largest summand, layer_norm ENCODE_TOLERANCE *
 * (1 + |weight| * the row's largest |y| / its deviation), before R. Bound by memory. */
#ifndef GEMMAD_KERNELS_ENCODE_H
#define GEMMAD_KERNELS_ENCODE_H

#include "kernels/ops.h"

#define ENCODE_TOLERANCE 2e-6

#endif
