/* engine/random.h - Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3",
 * 2011): a counter-based generator. The same (key, counter) gives the same number anywhere. */
#ifndef GEMMAD_ENGINE_RANDOM_H
#define GEMMAD_ENGINE_RANDOM_H

#include <stdint.h>

static inline void philox4x32(uint64_t key, uint64_t counter, uint32_t out[4])
{
    uint32_t k0 = (uint32_t)key;
    uint32_t k1 = (uint32_t)(key >> 32);
    uint32_t x[4] = {(uint32_t)counter, (uint32_t)(counter >> 32), 0, 0};
    for (int round = 0; round < 10; round++) {
        uint64_t p0 = (uint64_t)UINT32_C(0xD2511F53) * x[0];
        uint64_t p1 = (uint64_t)UINT32_C(0xCD9E8D57) * x[2];
        uint32_t y0 = (uint32_t)(p1 >> 32) ^ x[1] ^ k0;
        uint32_t y2 = (uint32_t)(p0 >> 32) ^ x[3] ^ k1;
        x[1] = (uint32_t)p1;
        x[3] = (uint32_t)p0;
        x[0] = y0;
        x[2] = y2;
        k0 += UINT32_C(0x9E3779B9);
        k1 += UINT32_C(0xBB67AE85);
    }
    for (int i = 0; i < 4; i++)
        out[i] = x[i];
}

/* Uniform in [0, 1) with 53 bits. */
static inline double random_uniform(uint64_t seed, uint64_t position)
{
    uint32_t bits[4];
    philox4x32(seed, position, bits);
    uint64_t wide = (uint64_t)bits[0] << 32 | bits[1];
    return (double)(wide >> 11) * 0x1p-53;
}

#endif
