/* media/patches.h - an RGB image as the patches that the vision encoder takes
 * (gemma4-model.md 5.1).
 *
 * The image is resized, keeping its shape as nearly as whole soft tokens allow, to as many of them
 * as the budget holds; small images are enlarged. Thread: any; plain values. */
#ifndef GEMMAD_MEDIA_PATCHES_H
#define GEMMAD_MEDIA_PATCHES_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "media/image.h"

struct patches_plan {
    uint32_t width, height;           /* the image is resized to: multiples of 48 */
    uint32_t grid_width, grid_height; /* in patches: multiples of 3 */
    uint32_t n_tokens;                /* at least 1, at most max_tokens */
    size_t n_bytes;                   /* grid_height * grid_width * MEDIA_PATCH_BYTES */
};

/* The plan of a width x height image (after turning by EXIF) for a budget of max_tokens.
 * INVALID_ARGUMENT: a side is 0, the budget is none of 70, 140, 280, 560, 1120, or the shape is too
 * extreme for it. */
NODISCARD enum status patches_plan(uint32_t width, uint32_t height, uint32_t max_tokens,
                                   struct patches_plan *out, struct error *err);

/* Resizes the image that the plan is for and cuts it: out u8 [grid_height * grid_width,
 * MEDIA_PATCH_BYTES], plan->n_bytes in all, patches by row, [row, column, channel] in each.
 * Memory: about 3 * image height * plan width bytes. */
void patches_write(const struct image *image, const struct patches_plan *plan, unsigned char *out);

#endif
