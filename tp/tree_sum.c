/* tp/tree_sum.c - plain loops that the compiler vectorises across i; the order of the additions
 * of one i is written out, and without -ffast-math it may not be changed. The sums are bound by
 * the memory that peers wrote, not by the adders, so there is no form for wider vectors. */
#include "tp/tree_sum.h"

#include <string.h>

#include "base/status.h"

static void sum_2(float *restrict out, const float *const *p, size_t n)
{
    const float *restrict a = p[0], *restrict b = p[1];
    for (size_t i = 0; i < n; i++)
        out[i] = a[i] + b[i];
}

static void sum_4(float *restrict out, const float *const *p, size_t n)
{
    const float *restrict a = p[0], *restrict b = p[1], *restrict c = p[2], *restrict d = p[3];
    for (size_t i = 0; i < n; i++)
        out[i] = (a[i] + b[i]) + (c[i] + d[i]);
}

static void sum_8(float *restrict out, const float *const *p, size_t n)
{
    const float *restrict a = p[0], *restrict b = p[1], *restrict c = p[2], *restrict d = p[3];
    const float *restrict e = p[4], *restrict f = p[5], *restrict g = p[6], *restrict h = p[7];
    for (size_t i = 0; i < n; i++)
        out[i] = ((a[i] + b[i]) + (c[i] + d[i])) + ((e[i] + f[i]) + (g[i] + h[i]));
}

void tree_sum(float *restrict out, const float *const *parts, uint32_t n_parts, size_t n)
{
    switch (n_parts) {
    case 1:
        memcpy(out, parts[0], n * sizeof *out);
        return;
    case 2:
        sum_2(out, parts, n);
        return;
    case 4:
        sum_4(out, parts, n);
        return;
    case 8:
        sum_8(out, parts, n);
        return;
    default:
        CHECK(n_parts == 1 || n_parts == 2 || n_parts == 4 || n_parts == 8);
    }
}
