/* bench/serve/samples.c - all samples are kept, so percentiles are exact. */
#include "bench/serve/samples.h"

#include <math.h>
#include <stdlib.h>

#include "base/mem.h"

void samples_add(struct samples *samples, uint64_t ns, size_t times)
{
    mem_reserve(&samples->ns, &samples->capacity, samples->n + times, sizeof *samples->ns);
    for (size_t i = 0; i < times; i++)
        samples->ns[samples->n++] = ns;
    samples->sorted = false;
}

void samples_finish(struct samples *samples)
{
    free(samples->ns);
    *samples = (struct samples){0};
}

static int compare(const void *a, const void *b)
{
    uint64_t left = *(const uint64_t *)a;
    uint64_t right = *(const uint64_t *)b;
    return (left > right) - (left < right);
}

uint64_t samples_percentile(struct samples *samples, double part)
{
    if (samples->n == 0)
        return 0;
    if (!samples->sorted)
        qsort(samples->ns, samples->n, sizeof *samples->ns, compare);
    samples->sorted = true;
    size_t rank = (size_t)ceil(part * (double)samples->n);
    return samples->ns[rank > 0 ? rank - 1 : 0];
}

double samples_mean(const struct samples *samples)
{
    double sum = 0;
    for (size_t i = 0; i < samples->n; i++)
        sum += (double)samples->ns[i];
    return samples->n > 0 ? sum / (double)samples->n : 0;
}
