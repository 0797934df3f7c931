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

uint16_t f32_to_f16(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    uint16_t sign = (uint16_t)(bits >> 16 & 0x8000U);
    uint32_t size = bits & 0x7FFFFFFFU;
    if (size > 0x7F800000U)
        return sign | 0x7E00U;
    if (size >= 0x477FF000U) // 65520 and more
        return sign | 0x7C00U;
    if (size < 0x38800000U) { // below the least normal one: added to 0.5, the mantissa rounds
        float small, half = 0.5F;
        memcpy(&small, &size, sizeof small);
        small += half;
        memcpy(&size, &small, sizeof size);
        return sign | (uint16_t)(size - 0x3F000000U);
    }
    uint32_t rounded = size + 0xFFFU + (size >> 13 & 1U) - (112U << 23);
    return sign | (uint16_t)(rounded >> 13);
}
