/* tests/kernels/test_quantize.c - kernels/quantize.h: how large the errors are, and odd inputs. */
#include "kernels/quantize.h"

#include <math.h>

#include "kernels/types.h"
#include "tests/kernels/row_op.h"

enum { N_BLOCKS = 2000 };

typedef void quantize_fn(const float (*)[QUANT_LANES], uint32_t (*)[QUANT_LANES], uint16_t *);

// n weights in a lane, beside others that are not finite: lanes know nothing of each other.
static void quantize_row(quantize_fn *quantize, const float *w, size_t n, uint8_t *out,
                         uint16_t *out_scale)
{
    static size_t lane;
    lane = (lane + 1) % QUANT_LANES;
    float block[QUANT_BLOCK][QUANT_LANES];
    for (size_t i = 0; i < QUANT_BLOCK; i++)
        for (size_t j = 0; j < QUANT_LANES; j++)
            block[i][j] = j != lane ? INFINITY : i < n ? w[i] : 0;
    uint32_t numbers[QUANT_BLOCK / 4][QUANT_LANES];
    uint16_t scales[QUANT_LANES];
    quantize(block, numbers, scales);
    for (size_t i = 0; i < QUANT_BLOCK; i++)
        out[i] = (uint8_t)(numbers[i / 4][lane] >> (8 * (i % 4)));
    *out_scale = scales[lane];
}

static void our_int8(const float *w, size_t n, uint8_t *out, uint16_t *out_scale)
{
    quantize_row(quantize_int8, w, n, out, out_scale);
}

static void our_int4(const float *w, size_t n, uint8_t *out, uint16_t *out_scale)
{
    quantize_row(quantize_int4, w, n, out, out_scale);
}

// Sum of squared errors over sum of squares, of N_BLOCKS blocks of values like a trained model's:
// sums of 12 uniform draws, about normal.
static double relative_error(void (*quantize)(const float *, size_t, uint8_t *, uint16_t *),
                             int offset, double *out_worst_of_max)
{
    float *draws = new_values((size_t)N_BLOCKS * QUANT_BLOCK * 12, 0.01F, 1, COMPUTE_F32);
    double errors = 0, squares = 0;
    *out_worst_of_max = 0;
    for (size_t b = 0; b < N_BLOCKS; b++) {
        float w[QUANT_BLOCK] = {0}, most = 0;
        for (size_t i = 0; i < (size_t)QUANT_BLOCK * 12; i++)
            w[i / 12] += draws[b * QUANT_BLOCK * 12 + i];
        uint8_t q[QUANT_BLOCK];
        uint16_t scale;
        quantize(w, QUANT_BLOCK, q, &scale);
        for (size_t i = 0; i < QUANT_BLOCK; i++)
            most = fabsf(w[i]) > most ? fabsf(w[i]) : most;
        for (size_t i = 0; i < QUANT_BLOCK; i++) {
            double error = fabs((double)f16_to_f32(scale) * (q[i] - offset) - (double)w[i]);
            errors += error * error;
            squares += (double)w[i] * (double)w[i];
            if (error / most > *out_worst_of_max)
                *out_worst_of_max = error / most;
        }
    }
    free(draws);
    return errors / squares;
}

// Q4_0 as others define it: the extreme value at -8.
static void quantize_q4_0(const float *w, size_t n, uint8_t *q, uint16_t *scale)
{
    float extreme = 0;
    for (size_t i = 0; i < n; i++)
        extreme = fabsf(w[i]) > fabsf(extreme) ? w[i] : extreme;
    *scale = f32_to_f16(extreme / -8.0F);
    for (size_t i = 0; i < n; i++) {
        float x = w[i] / f16_to_f32(*scale) + 8.5F;
        q[i] = x > 15.0F ? 15 : (uint8_t)x;
    }
}

TEST(int8_weights_are_within_half_a_step)
{
    double worst, error = relative_error(our_int8, INT8_OFFSET, &worst);
    ASSERT(worst <= 0.5 / 127 * 1.01); // and the f16 of the scale
    ASSERT(error < 4e-5);
}

TEST(int4_weights_have_a_smaller_error_than_q4_0)
{
    double worst, ours = relative_error(our_int4, INT4_OFFSET, &worst);
    double q4_0 = relative_error(quantize_q4_0, INT4_OFFSET, &worst);
    if (!(ours < 0.9 * q4_0))
        test_fail(__FILE__, __LINE__, "relative squared error %g, Q4_0 has %g", ours, q4_0);
}

TEST(blocks_of_zeros_and_of_odd_values_are_quantized_without_harm)
{
    const float values[] = {0, -0.0F, 1e-38F, -1e-8F, 6e4F, -3e38F, INFINITY, -INFINITY, NAN};
    for (size_t v = 0; v < sizeof values / sizeof values[0]; v++)
        for (size_t n = 0; n <= QUANT_BLOCK; n++) {
            float w[QUANT_BLOCK];
            for (size_t i = 0; i < n; i++)
                w[i] = i % 3 ? values[v] : 0.5F * values[v];
            uint8_t q[QUANT_BLOCK];
            int8_t x[QUANT_BLOCK];
            uint16_t half;
            float scale;
            our_int8(w, n, q, &half);
            for (size_t i = n; i < QUANT_BLOCK; i++)
                ASSERT_EQ(q[i], INT8_OFFSET);
            our_int4(w, n, q, &half);
            for (size_t i = 0; i < QUANT_BLOCK; i++)
                ASSERT(q[i] < 16 && (i < n || q[i] == INT4_OFFSET));
            quantize_activations(w, n, x, &scale);
            ASSERT(n == 0 || isfinite(values[v]) == (isfinite(scale) != 0));
            for (size_t i = n; i < QUANT_BLOCK; i++)
                ASSERT_EQ(x[i], 0);
        }
}

TEST(f16_rounds_to_the_nearest_even)
{
    for (uint32_t bits = 0; bits < 0x7C00; bits++) {
        float low = f16_to_f32((uint16_t)bits);
        ASSERT_EQ(f32_to_f16(low), bits);
        ASSERT_EQ(f32_to_f16(-low), bits | 0x8000U);
        if (bits == 0x7BFF)
            break;
        float high = f16_to_f32((uint16_t)(bits + 1)), middle = low + (high - low) / 2;
        ASSERT_EQ(f32_to_f16(middle), bits + bits % 2);
        ASSERT_EQ(f32_to_f16(nextafterf(middle, low)), bits);
        ASSERT_EQ(f32_to_f16(nextafterf(middle, high)), bits + 1);
    }
    ASSERT_EQ(f32_to_f16(65519.0F), 0x7BFF);
    ASSERT_EQ(f32_to_f16(65520.0F), 0x7C00);
    ASSERT_EQ(f32_to_f16(-INFINITY), 0xFC00);
    ASSERT(isnan(f16_to_f32(f32_to_f16(NAN))));
}
