/* kernels/types.c - conversions that are not worth inlining. */
#include "kernels/types.h"

float f16_to_f32(uint16_t bits)
{
    uint32_t sign = (uint32_t)(bits & 0x8000U) << 16;
    uint32_t exponent = bits >> 10 & 0x1FU;
    uint32_t mantissa = bits & 0x3FFU;
    uint32_t wide;
    if (exponent == 0x1F) {
        wide = sign | 0x7F800000U | mantissa << 13;
    } else if (exponent > 0) {
        wide = sign | (exponent + 112) << 23 | mantissa << 13;
    } else { // zero, or mantissa times 2^-24, exact in f32
        float value = (float)mantissa * 0x1p-24F;
        memcpy(&wide, &value, sizeof wide);
        wide |= sign;
    }
    float value;
    memcpy(&value, &wide, sizeof value);
    return value;
}
