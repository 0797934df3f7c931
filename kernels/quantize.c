/* kernels/quantize.c - see kernels/quantize.h. A model of 2 G weights is quantized once, while
 * somebody waits, so weights are vectors of a few rows, a lane each, whatever the CPU makes of
 * them: compilers leave loops over a block scalar as soon as they compare. A lane's sums run in
 * N_CHAINS chains; no result depends on the other lanes or on the vector unit. */
#include "kernels/quantize.h"

#include <math.h>
#include <string.h>

#include "kernels/types.h"

enum {
    N_TRIED = 5, // scales of an int4 block
    N_CHAINS = 8,
};

typedef float floats __attribute__((vector_size(QUANT_LANES * sizeof(float))));
typedef int32_t ints __attribute__((vector_size(QUANT_LANES * sizeof(int32_t))));

static inline floats choose(ints which, floats then, floats otherwise)
{
    return (floats)((which & (ints)then) | (~which & (ints)otherwise));
}

// Nearest integers, even among two, of |x| < 2^22: what does not fit falls off the mantissa. NaN
// becomes the least.
static inline floats nearest(floats x, float least, float most)
{
    const floats zero = {0};
    const float magic = 12582912.0F; // 1.5 * 2^23
    x = choose(x > least, x, zero + least);
    x = choose(x < most, x, zero + most);
    return (x + magic) - magic;
}

static inline floats load(const float lanes[QUANT_LANES])
{
    floats values;
    memcpy(&values, lanes, sizeof values);
    return values;
}

// The values of largest size, with their signs.
static inline floats most_extreme(const float (*block)[QUANT_LANES])
{
    floats low = {0}, high = {0};
    for (size_t i = 0; i < QUANT_BLOCK; i++) {
        floats w = load(block[i]);
        low = choose(w < low, w, low);
        high = choose(w > high, w, high);
    }
    return choose(-low > high, low, high);
}

static inline void store(const float (*block)[QUANT_LANES], const uint16_t *scales, float least,
                         float most, int offset, uint32_t (*out)[QUANT_LANES])
{
    floats scale;
    for (size_t lane = 0; lane < QUANT_LANES; lane++)
        scale[lane] = f16_to_f32(scales[lane]);
    floats inverse = choose(scale != 0.0F, 1.0F / scale, (floats){0});
    for (size_t i = 0; i < QUANT_BLOCK; i += 4) {
        ints four = {0};
        for (int j = 0; j < 4; j++) {
            floats q = nearest(load(block[i + (size_t)j]) * inverse, least, most);
            four |= (__builtin_convertvector(q, ints) + offset) << (8 * j);
        }
        memcpy(out[i / 4], &four, sizeof four);
    }
}

static inline void to_f16(floats values, uint16_t out[QUANT_LANES])
{
    for (size_t lane = 0; lane < QUANT_LANES; lane++)
        out[lane] = f32_to_f16(values[lane]);
}

void quantize_int8(const float (*weights)[QUANT_LANES], uint32_t (*out)[QUANT_LANES],
                   uint16_t out_scales[QUANT_LANES])
{
    floats extreme = most_extreme(weights);
    to_f16(choose(extreme < 0.0F, -extreme, extreme) / 127.0F, out_scales);
    store(weights, out_scales, -127.0F, 127.0F, INT8_OFFSET, out);
}

// With q = the nearest to block * inverse, the best scale is sum(w q) / sum(q q), and the squared
// error it leaves is sum(w w) - gain.
static inline floats best_scale(const float (*block)[QUANT_LANES], floats inverse, floats *out_gain)
{
    floats product = {0}, square = {0};
    for (size_t c = 0; c < N_CHAINS; c++) {
        floats products = {0}, squares = {0};
        for (size_t i = c; i < QUANT_BLOCK; i += N_CHAINS) {
            floats w = load(block[i]), q = nearest(w * inverse, -8.0F, 7.0F);
            products += w * q;
            squares += q * q;
        }
        product += products;
        square += squares;
    }
    *out_gain = choose(square > 0.0F, product * product / square, (floats){0});
    return choose(square > 0.0F, product / square, (floats){0});
}

void quantize_int4(const float (*weights)[QUANT_LANES], uint32_t (*out)[QUANT_LANES],
                   uint16_t out_scales[QUANT_LANES])
{
    floats extreme = most_extreme(weights); // 0: no gain is above 0
    floats scale = {0}, most_gain = {0};
    for (int i = 0; i < N_TRIED; i++) { // the extreme one at -7.2 .. -8.8
        floats gain, tried = best_scale(weights, -(7.2F + 0.4F * (float)i) / extreme, &gain);
        scale = choose(gain > most_gain, tried, scale);
        most_gain = choose(gain > most_gain, gain, most_gain);
    }
    to_f16(scale, out_scales);
    store(weights, out_scales, -8.0F, 7.0F, INT4_OFFSET, out);
}

void quantize_activations(const float *x, size_t n, int8_t out[QUANT_BLOCK], float *out_scale)
{
    const float magic = 12582912.0F; // as in nearest()
    float most = 0, unsound = 0;
    for (size_t i = 0; i < n; i++) {
        most = fabsf(x[i]) > most ? fabsf(x[i]) : most;
        unsound += x[i] * 0.0F;
    }
    *out_scale = most * (1.0F / 127.0F) + unsound;
    bool sound = most > QUANT_LEAST && *out_scale == *out_scale;
    for (size_t i = 0; i < QUANT_BLOCK; i++)
        out[i] = i < n && sound ? (int8_t)((x[i] * (127.0F / most) + magic) - magic) : 0;
}
