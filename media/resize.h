/* media/resize.h - bicubic resizing with antialiasing, as Pillow's resize(BICUBIC) makes it, bit
 * for bit: coefficients of 22 fractional bits, first the rows, then the columns, each pass rounded
 * to 8 bits.
 *
 * Memory: the intermediate rows, 3 * height * the new width bytes, and the coefficients. Thread:
 * any; pure functions. */
#ifndef GEMMAD_MEDIA_RESIZE_H
#define GEMMAD_MEDIA_RESIZE_H

#include "media/image.h"

/* out: 8-bit RGB [out_height, out_width, 3], sides at least 1. */
void resize_bicubic(const struct image *image, uint32_t out_width, uint32_t out_height,
                    unsigned char *out);

#endif
