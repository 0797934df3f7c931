/* client/samples.c - all samples are kept: percentiles are exact. */
#include "client/samples.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"

void samples_add(struct samples *samples, uint64_t ns, size_t times)
{
    mem_reserve(&samples->ns, &samples->capacity, samples->n + times, sizeof *samples->ns);
    for (size_t i = 0; i < times; i++)
        samples->ns[samples->n++] = ns;
}

void samples_move(struct samples *to, struct samples *from)
{
    mem_reserve(&to->ns, &to->capacity, to->n + from->n, sizeof *to->ns);
    if (from->n > 0)
        memcpy(to->ns + to->n, from->ns, from->n * sizeof *to->ns);
    to->n += from->n;
    samples_finish(from);
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
    qsort(samples->ns, samples->n, sizeof *samples->ns, compare);
    size_t rank = (size_t)ceil(part * (double)samples->n);
    return samples->ns[rank > 0 ? rank - 1 : 0];
}

static double percentile_ms(struct samples *samples, double part)
{
    return (double)samples_percentile(samples, part) / (double)NS_PER_MS;
}

void samples_print_row(struct samples *samples, const char *name)
{
    printf("%-22s%12.2f%12.2f%12.2f\n", name, percentile_ms(samples, 0.5),
           percentile_ms(samples, 0.9), percentile_ms(samples, 0.99));
}

void samples_print_json(struct samples *samples, const char *name)
{
    printf(",\"%s\":{\"p50\":%.3f,\"p90\":%.3f,\"p99\":%.3f}", name, percentile_ms(samples, 0.5),
           percentile_ms(samples, 0.9), percentile_ms(samples, 0.99));
}
