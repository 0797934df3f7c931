/* text/float_repr.h - a double as Python writes it: what templates print, and the arguments of tool
 * calls. */
#ifndef GEMMAD_TEXT_FLOAT_REPR_H
#define GEMMAD_TEXT_FLOAT_REPR_H

#include <stddef.h>

/* The shortest text that reads back as number, with a NUL; returns its length. Whole numbers end
 * in ".0", from 1e16 on and below 1e-4 there is an exponent; also "nan", "inf", "-inf". */
size_t float_repr(double number, char out[32]);

#endif
