/* kernels/quantize.h - numbers in blocks of QUANT_BLOCK with one scale each.
 *
 * Weights (when they are packed): int8: w = scale * q, q in -127..127, scale = f16(max|w| / 127):
 * the error of Q8_0. int4: w = scale * q, q in -8..7, the f16 scale of several tried whose squared
 * error is least: below Q4_0's. Stored with an offset (q + 128, q + 8), as the byte products of
 * x86 want one unsigned factor.
 *
 * Activations (inside a matmul with such weights): q = x * (127 / max|x|) to the nearest integer
 * (even among two), scale = max|x| / 127, in f32; all q are 0 where max|x| <= QUANT_LEAST, whose
 * inverse could overflow. A value that is not finite makes the scale NaN, so that it reaches the
 * output. Blocks are cut from the beginning of a leaf (kernels/types.h), a
 * leaf's last may be short; so neither depends on the world size. */
#ifndef GEMMAD_KERNELS_QUANTIZE_H
#define GEMMAD_KERNELS_QUANTIZE_H

#include <stddef.h>
#include <stdint.h>

#define QUANT_BLOCK 32
#define QUANT_LANES 4
#define QUANT_LEAST 1e-30F
#define INT8_OFFSET 128
#define INT4_OFFSET 8

/* Weights of QUANT_LANES rows side by side, a block of each [QUANT_BLOCK][QUANT_LANES], zeros where
 * there are none, to stored values (with the offset), a byte each, four inputs of a row in a word,
 * the first one lowest [QUANT_BLOCK / 4][QUANT_LANES], and the f16 bits of the rows' scales. */
void quantize_int8(const float (*weights)[QUANT_LANES], uint32_t (*out)[QUANT_LANES],
                   uint16_t out_scales[QUANT_LANES]);
void quantize_int4(const float (*weights)[QUANT_LANES], uint32_t (*out)[QUANT_LANES],
                   uint16_t out_scales[QUANT_LANES]);

/* n <= QUANT_BLOCK activations, as the twin does it; behind n zeros. */
void quantize_activations(const float *x, size_t n, int8_t out[QUANT_BLOCK], float *out_scale);

static inline size_t quant_blocks(size_t n)
{
    return (n + QUANT_BLOCK - 1) / QUANT_BLOCK;
}

#endif
