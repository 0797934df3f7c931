/* daemon/nearest.c - edit distance (insert, delete, replace, swap neighbours), by the usual table
 * of which three rows are kept. A word counts as a slip of a name when a third of it or less
 * differs: "max_seq" is one of "max_seqs", "foo" is one of nothing. */
#include "daemon/nearest.h"

#include <string.h>

void nearest_begin(struct nearest *nearest, const char *word, size_t n)
{
    *nearest = (struct nearest){.word = word, .n = n, .distance = n / 3 + 2};
}

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

static size_t edit_distance(const char *a, size_t n_a, const char *b, size_t n_b)
{
    size_t rows[3][NEAREST_MAX_BYTES + 1];
    size_t *before = rows[0];
    size_t *above = rows[1];
    size_t *row = rows[2];
    for (size_t j = 0; j <= n_b; j++)
        above[j] = j;
    for (size_t i = 1; i <= n_a; i++) {
        row[0] = i;
        for (size_t j = 1; j <= n_b; j++) {
            size_t replaced = above[j - 1] + (a[i - 1] != b[j - 1]);
            row[j] = least(replaced, least(above[j], row[j - 1]) + 1);
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                row[j] = least(row[j], before[j - 2] + 1);
        }
        size_t *oldest = before;
        before = above;
        above = row;
        row = oldest;
    }
    return above[n_b];
}

void nearest_offer(struct nearest *nearest, const char *name)
{
    size_t n = strlen(name);
    if (n > NEAREST_MAX_BYTES || nearest->n > NEAREST_MAX_BYTES)
        return;
    size_t distance = edit_distance(nearest->word, nearest->n, name, n);
    if (distance < nearest->distance) {
        nearest->distance = distance;
        nearest->best = name;
    }
}

const char *nearest_best(const struct nearest *nearest)
{
    return nearest->best;
}
