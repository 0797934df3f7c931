/* media/image.h - a still image's bytes as 8-bit RGB, made as the reference makes it.
 *
 * JPEG, PNG, WebP and GIF (of an animation the first frame), known by their first bytes. Turned as
 * their EXIF orientation says; alpha is blended onto white; what Pillow's convert("RGB") does
 * decides the rest (image_rgb.h). A file that ends too early is an error; bytes behind its end are
 * not looked at. Nothing here opens files or starts threads.
 * Memory: 3 bytes a pixel of the result, as much again while it is turned, and up to 4 bytes a
 * pixel while a WebP, a GIF or an interlaced PNG is decoded: bound it by image_probe first. */
#ifndef GEMMAD_MEDIA_IMAGE_H
#define GEMMAD_MEDIA_IMAGE_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

enum image_format { IMAGE_JPEG, IMAGE_PNG, IMAGE_WEBP, IMAGE_GIF };

#define IMAGE_MAX_SIDE 65535 /* of any format */

struct image {
    uint32_t width, height; /* at least 1 */
    unsigned char *pixels;  /* [height, width, 3] */
};

struct image_info {
    enum image_format format;
    uint32_t width, height; /* as stored: turning by EXIF may swap them */
};

/* Whether the bytes begin as one of the formats; *out then says which. */
int image_detect(const unsigned char *bytes, size_t n_bytes, enum image_format *out);

/* What the header says, without decoding or allocating. INVALID_ARGUMENT: no such format, a header
 * that is not whole or wrong, or a side of 0 or above IMAGE_MAX_SIDE. */
NODISCARD enum status image_probe(const unsigned char *bytes, size_t n_bytes,
                                  struct image_info *out, struct error *err);

/* Decodes at most max_pixels (width * height; checked before anything is allocated). The caller
 * calls image_finish. INVALID_ARGUMENT: no such format, over the limit, broken or cut short. */
NODISCARD enum status image_decode(const unsigned char *bytes, size_t n_bytes, uint64_t max_pixels,
                                   struct image *out, struct error *err);
void image_finish(struct image *image); /* a zeroed one is fine */

#endif
