/* daemon/nearest.h - "did you mean": of some names, the one that a misspelt word is closest to.
 * Thread: a plain value. */
#ifndef GEMMAD_DAEMON_NEAREST_H
#define GEMMAD_DAEMON_NEAREST_H

#include <stddef.h>

#define NEAREST_MAX_BYTES 64 /* longer words are like nothing */

struct nearest {
    const char *word;
    size_t n;
    const char *best; /* points to an offered name */
    size_t distance;  /* of best; starts as the most that still counts as a slip */
};

/* word stays the caller's and must outlive the search. */
void nearest_begin(struct nearest *nearest, const char *word, size_t n);
void nearest_offer(struct nearest *nearest, const char *name);
/* NULL: no name is near. */
const char *nearest_best(const struct nearest *nearest);

#endif
