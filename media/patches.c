/* media/patches.c - the size rule in doubles, as the reference has it, then a copy. */
#include "media/patches.h"

#include <inttypes.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "media/media.h"
#include "media/resize.h"

enum {
    TOKEN_PIXELS = 48, // a side of a soft token
    PATCH_ROW_BYTES = MEDIA_PATCH_PIXELS * 3,
};

static bool is_budget(uint32_t max_tokens)
{
    static const uint32_t budgets[] = {70, 140, 280, 560, MEDIA_MAX_IMAGE_TOKENS};
    for (size_t i = 0; i < sizeof budgets / sizeof *budgets; i++)
        if (max_tokens == budgets[i])
            return true;
    return false;
}

// Soft tokens along the side that an extreme shape leaves at one token's width.
static uint64_t along_strip(uint32_t longer, uint32_t shorter, uint32_t max_tokens)
{
    uint64_t n = longer / shorter;
    return n < max_tokens ? n : max_tokens;
}

enum status patches_plan(uint32_t width, uint32_t height, uint32_t max_tokens,
                         struct patches_plan *out, struct error *err)
{
    if (width == 0 || height == 0 || width > IMAGE_MAX_SIDE || height > IMAGE_MAX_SIDE)
        return error_set(err, STATUS_INVALID_ARGUMENT,
                         "an image of %" PRIu32 " x %" PRIu32 " pixels", width, height);
    if (!is_budget(max_tokens))
        return error_set(err, STATUS_INVALID_ARGUMENT,
                         "%" PRIu32 " soft tokens for an image: 70, 140, 280, 560 and 1120 are "
                         "possible",
                         max_tokens);
    double n_pixels = (double)max_tokens * TOKEN_PIXELS * TOKEN_PIXELS;
    double factor = sqrt(n_pixels / ((double)height * width));
    uint64_t rows = (uint64_t)floor(factor * height / TOKEN_PIXELS);
    uint64_t columns = (uint64_t)floor(factor * width / TOKEN_PIXELS);
    if (rows == 0 && columns > 0) {
        rows = 1;
        columns = along_strip(width, height, max_tokens);
    } else if (columns == 0 && rows > 0) {
        columns = 1;
        rows = along_strip(height, width, max_tokens);
    }
    if (rows == 0 || columns == 0 || rows * columns > max_tokens)
        return error_set(err, STATUS_INVALID_ARGUMENT,
                         "an image of %" PRIu32 " x %" PRIu32 " pixels has no place in %" PRIu32
                         " soft tokens",
                         width, height, max_tokens);
    *out = (struct patches_plan){
        .width = (uint32_t)columns * TOKEN_PIXELS,
        .height = (uint32_t)rows * TOKEN_PIXELS,
        .grid_width = (uint32_t)columns * 3,
        .grid_height = (uint32_t)rows * 3,
        .n_tokens = (uint32_t)(rows * columns),
        .n_bytes = rows * columns * MEDIA_TOKEN_PATCHES * MEDIA_PATCH_BYTES,
    };
    return STATUS_OK;
}

// A row of patches from MEDIA_PATCH_PIXELS rows of pixels.
static void cut_row(const unsigned char *pixels, const struct patches_plan *plan,
                    unsigned char *out)
{
    size_t row_bytes = (size_t)plan->width * 3;
    for (uint32_t x = 0; x < plan->grid_width; x++)
        for (uint32_t y = 0; y < MEDIA_PATCH_PIXELS; y++, out += PATCH_ROW_BYTES)
            memcpy(out, pixels + y * row_bytes + (size_t)x * PATCH_ROW_BYTES, PATCH_ROW_BYTES);
}

void patches_write(const struct image *image, const struct patches_plan *plan, unsigned char *out)
{
    unsigned char *resized = NULL;
    const unsigned char *pixels = image->pixels;
    if (image->width != plan->width || image->height != plan->height) {
        resized = mem_zeroed((size_t)plan->width * plan->height, 3);
        resize_bicubic(image, plan->width, plan->height, resized);
        pixels = resized;
    }
    size_t pixel_rows = (size_t)plan->width * 3 * MEDIA_PATCH_PIXELS;
    size_t patch_rows = (size_t)plan->grid_width * MEDIA_PATCH_BYTES;
    for (uint32_t y = 0; y < plan->grid_height; y++)
        cut_row(pixels + y * pixel_rows, plan, out + y * patch_rows);
    free(resized);
}
