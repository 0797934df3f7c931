/* tp/tree_sum.h - the sum over ranks in the one order that every world size shares. */
#ifndef GEMMAD_TP_TREE_SUM_H
#define GEMMAD_TP_TREE_SUM_H

#include <stddef.h>
#include <stdint.h>

/* out[i] = ((p0 + p1) + (p2 + p3)) + ((p4 + p5) + (p6 + p7)) for 8 parts, its left half for 4, and
 * so on. parts [n_parts][n], n_parts 1, 2, 4 or 8; out overlaps none of them. */
void tree_sum(float *restrict out, const float *const *parts, uint32_t n_parts, size_t n);

#endif
