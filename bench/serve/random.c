/* bench/serve/random.c - splitmix64. The modulo's bias is below 2^-32: no matter for a load. */
#include "bench/serve/random.h"

#include <math.h>

uint64_t random_next(uint64_t *series)
{
    uint64_t z = (*series += UINT64_C(0x9e3779b97f4a7c15));
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

uint64_t random_series(uint64_t seed, uint64_t number)
{
    uint64_t series = seed;
    series = random_next(&series) ^ number;
    return random_next(&series);
}

uint32_t random_in(uint64_t *series, uint32_t low, uint32_t high)
{
    return low + (uint32_t)(random_next(series) % ((uint64_t)high - low + 1));
}

double random_gap(uint64_t *series)
{
    double unit = (double)((random_next(series) >> 11) + 1) * 0x1p-53; // in (0, 1]
    return -log(unit);
}
