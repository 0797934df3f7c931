/* kernels/embed.h - rows of embedding tables, times a scale.
 *
 * embed_rows: out[t] = R(table[ids[t] - vocab_begin] * scale) from the packed table that is also
 * the head's weight; rows of +0.0 for ids of other ranks, and +0.0 for -0.0, so that an all-reduce
 * (a sum with zeros) gives the owner's bits. gather_rows: out[t] = R(table[ids[t]] * scale) from
 * rows as the file has them. One multiplication in f32 a value: no sums, every form has the twin's
 * bits. Bound by memory. ids are below the table's rows (gather_rows), which the caller has
 * checked. */
#ifndef GEMMAD_KERNELS_EMBED_H
#define GEMMAD_KERNELS_EMBED_H

#include "kernels/ops.h"

#endif
