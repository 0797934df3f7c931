/* bench/serve/random.h - seeded randomness: the same load for the same seed on every machine.
 * Thread: a plain value. */
#ifndef GEMMAD_BENCH_SERVE_RANDOM_H
#define GEMMAD_BENCH_SERVE_RANDOM_H

#include <stdint.h>

/* A series of its own for each (seed, number). */
uint64_t random_series(uint64_t seed, uint64_t number);
uint64_t random_next(uint64_t *series);
/* Uniform in [low, high]. */
uint32_t random_in(uint64_t *series, uint32_t low, uint32_t high);
/* Exponential with mean 1: the gaps between events that do not know of each other. */
double random_gap(uint64_t *series);

#endif
