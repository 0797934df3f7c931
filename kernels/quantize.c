/* kernels/quantize.c - see kernels/quantize.h. Loops over a block are written so that the compiler
 * turns them into vectors: a model of 2 G weights is quantized once, while somebody waits. */
#include "kernels/quantize.h"

#include <math.h>

#include "kernels/types.h"

enum {
    N_TRIED = 5, // scales of an int4 block
    N_CHAINS = 8,
};

// Nearest integer, even among two, of |x| < 2^22: what does not fit falls off the mantissa.
static inline float nearest(float x)
{
    const float magic = 12582912.0F; // 1.5 * 2^23
    return (x + magic) - magic;
}

static void fill(float block[QUANT_BLOCK], const float *values, size_t n)
{
    for (size_t i = 0; i < QUANT_BLOCK; i++)
        block[i] = i < n ? values[i] : 0.0F;
}

// The value of largest size, with its sign.
static float most_extreme(const float block[QUANT_BLOCK])
{
    float low = 0, high = 0;
    for (size_t i = 0; i < QUANT_BLOCK; i++) {
        low = block[i] < low ? block[i] : low;
        high = block[i] > high ? block[i] : high;
    }
    return -low > high ? low : high;
}

static void store(const float block[QUANT_BLOCK], float inverse, float least, float most,
                  int offset, uint8_t out[QUANT_BLOCK])
{
    for (size_t i = 0; i < QUANT_BLOCK; i++) {
        float scaled = block[i] * inverse;
        scaled = scaled > least ? scaled : least; // NaN too
        scaled = scaled < most ? scaled : most;
        out[i] = (uint8_t)((int)nearest(scaled) + offset);
    }
}

static float inverse_of(float scale)
{
    return scale != 0 ? 1.0F / scale : 0.0F;
}

void quantize_int8(const float *weights, size_t n, uint8_t out[QUANT_BLOCK], uint16_t *out_scale)
{
    float block[QUANT_BLOCK];
    fill(block, weights, n);
    *out_scale = f32_to_f16(fabsf(most_extreme(block)) / 127.0F);
    store(block, inverse_of(f16_to_f32(*out_scale)), -127.0F, 127.0F, INT8_OFFSET, out);
}

// With q = the nearest to block * inverse, the best scale is sum(w q) / sum(q q), and the squared
// error it leaves is sum(w w) - gain. Sums run in N_CHAINS chains, which fit any vector unit.
static float best_scale(const float block[QUANT_BLOCK], float inverse, float *out_gain)
{
    float products[N_CHAINS] = {0}, squares[N_CHAINS] = {0};
    for (size_t i = 0; i < QUANT_BLOCK; i += N_CHAINS)
        for (size_t c = 0; c < N_CHAINS; c++) {
            float q = nearest(block[i + c] * inverse);
            q = q > -8.0F ? q : -8.0F;
            q = q < 7.0F ? q : 7.0F;
            products[c] += block[i + c] * q;
            squares[c] += q * q;
        }
    float product = 0, square = 0;
    for (size_t c = 0; c < N_CHAINS; c++) {
        product += products[c];
        square += squares[c];
    }
    *out_gain = square > 0 ? product * product / square : 0;
    return square > 0 ? product / square : 0;
}

void quantize_int4(const float *weights, size_t n, uint8_t out[QUANT_BLOCK], uint16_t *out_scale)
{
    float block[QUANT_BLOCK];
    fill(block, weights, n);
    float extreme = most_extreme(block);
    float scale = 0, most_gain = 0;
    for (int i = 0; extreme != 0 && i < N_TRIED; i++) { // the extreme one at -7.2 .. -8.8
        float gain, tried = best_scale(block, -(7.2F + 0.4F * (float)i) / extreme, &gain);
        if (gain > most_gain) {
            most_gain = gain;
            scale = tried;
        }
    }
    *out_scale = f32_to_f16(scale);
    store(block, inverse_of(f16_to_f32(*out_scale)), -8.0F, 7.0F, INT4_OFFSET, out);
}

void quantize_activations(const float *x, size_t n, int8_t out[QUANT_BLOCK], float *out_scale)
{
    float block[QUANT_BLOCK], most = 0, unsound = 0;
    fill(block, x, n);
    for (size_t i = 0; i < QUANT_BLOCK; i++) {
        most = fabsf(block[i]) > most ? fabsf(block[i]) : most;
        unsound += block[i] * 0.0F;
    }
    *out_scale = most * (1.0F / 127.0F) + unsound;
    bool sound = most > QUANT_LEAST && *out_scale == *out_scale;
    for (size_t i = 0; i < QUANT_BLOCK; i++)
        out[i] = sound ? (int8_t)nearest(block[i] * (127.0F / most)) : 0;
}
