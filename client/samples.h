/* client/samples.h - measured times and their percentiles. Thread: a plain value. */
#ifndef GEMMAD_CLIENT_SAMPLES_H
#define GEMMAD_CLIENT_SAMPLES_H

#include <stddef.h>
#include <stdint.h>

struct samples { /* zero-initialise */
    uint64_t *ns;
    size_t n, capacity;
};

void samples_add(struct samples *samples, uint64_t ns, size_t times);
/* Puts from's samples behind to's; from is empty then. */
void samples_move(struct samples *to, struct samples *from);
void samples_finish(struct samples *samples);

/* The smallest sample that at least this part (0 to 1) of all are not above; 0 if there is none.
 * Sorts the samples. */
uint64_t samples_percentile(struct samples *samples, double part);
/* Prints p50, p90 and p99 in milliseconds: a row of a table; `,"name":{"p50":...}`. */
void samples_print_row(struct samples *samples, const char *name);
void samples_print_json(struct samples *samples, const char *name);

#endif
