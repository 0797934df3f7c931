/* bench/serve/samples.h - measured times and their percentiles. Thread: a plain value. */
#ifndef GEMMAD_BENCH_SERVE_SAMPLES_H
#define GEMMAD_BENCH_SERVE_SAMPLES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct samples { /* zero-initialise */
    uint64_t *ns;
    size_t n, capacity;
    bool sorted;
};

void samples_add(struct samples *samples, uint64_t ns, size_t times);
void samples_finish(struct samples *samples);

/* The smallest sample that at least this part (0 to 1) of all are not above (nearest rank); 0 if
 * there is none. Sorts the samples. */
uint64_t samples_percentile(struct samples *samples, double part);
double samples_mean(const struct samples *samples); /* 0 if there is none */

#endif
