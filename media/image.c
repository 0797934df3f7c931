/* media/image.c - one decoder for each format, and what they share: limits, alpha, turning.
 *
 * Where this is not what transformers does (Pillow opens, ImageOps.exif_transpose turns,
 * convert_to_rgb blends): a 16-bit gray PNG keeps its high bytes, where Pillow's clamp at 255
 * leaves white; a PNG's transparent colour is compared at the file's own depth, where Pillow
 * compares low bytes; EXIF that makes no sense is passed over, where Pillow may raise. */
#include "media/image.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "media/image_format.h"

static const char *const format_names[] = {"JPEG", "PNG", "WebP", "GIF"};

int image_detect(const unsigned char *bytes, size_t n_bytes, enum image_format *out)
{
    if (n_bytes >= 3 && memcmp(bytes, "\xff\xd8\xff", 3) == 0)
        *out = IMAGE_JPEG;
    else if (n_bytes >= 8 && memcmp(bytes, "\x89PNG\r\n\x1a\n", 8) == 0)
        *out = IMAGE_PNG;
    else if (n_bytes >= 12 && memcmp(bytes, "RIFF", 4) == 0 && memcmp(bytes + 8, "WEBP", 4) == 0)
        *out = IMAGE_WEBP;
    else if (n_bytes >= 6 && (memcmp(bytes, "GIF87a", 6) == 0 || memcmp(bytes, "GIF89a", 6) == 0))
        *out = IMAGE_GIF;
    else
        return 0;
    return 1;
}

enum status image_probe(const unsigned char *bytes, size_t n_bytes, struct image_info *out,
                        struct error *err)
{
    static enum status (*const probes[])(const struct image_file *, struct image_info *,
                                         struct error *) = {image_jpeg_probe, image_png_probe,
                                                            image_webp_probe, image_gif_probe};
    struct image_info info = {0};
    if (!image_detect(bytes, n_bytes, &info.format))
        return error_set(err, STATUS_INVALID_ARGUMENT,
                         "the bytes are no JPEG, PNG, WebP or GIF image");
    const struct image_file file = {bytes, n_bytes};
    enum status st = probes[info.format](&file, &info, err);
    if (st != STATUS_OK)
        return st;
    if (!info.width || !info.height || info.width > IMAGE_MAX_SIDE || info.height > IMAGE_MAX_SIDE)
        return error_set(err, STATUS_INVALID_ARGUMENT,
                         "the %s image is %" PRIu32 " x %" PRIu32 " pixels; a side is 1 to %d",
                         format_names[info.format], info.width, info.height, IMAGE_MAX_SIDE);
    *out = info;
    return STATUS_OK;
}

enum status image_allocate(struct image *image, unsigned n_channels, struct error *err)
{
    size_t n_bytes = (size_t)image->width * image->height * n_channels;
    image->pixels = malloc(n_bytes);
    if (!image->pixels)
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "no memory for an image of %zu bytes",
                         n_bytes);
    return STATUS_OK;
}

enum status image_broken(struct error *err, const char *format, const char *what)
{
    return error_set(err, STATUS_INVALID_ARGUMENT, "the %s image is broken: %s", format, what);
}

enum status image_cut_short(struct error *err, const char *format)
{
    return error_set(err, STATUS_INVALID_ARGUMENT, "the %s image ends too early", format);
}

void image_blend_onto_white(struct image *image)
{
    const unsigned char *from = image->pixels;
    unsigned char *to = image->pixels;
    for (size_t i = 0, n = (size_t)image->width * image->height; i < n; i++, from += 4, to += 3) {
        // Pillow's alpha_composite: 7 more bits, and a division by 255 that rounds.
        uint32_t alpha = from[3], white = 255 * (255 - alpha);
        for (int c = 0; c < 3; c++) {
            uint32_t scaled = ((from[c] * alpha + white) << 7) + (0x80 << 7);
            to[c] = (unsigned char)((((scaled >> 8) + scaled) >> 8) >> 7);
        }
    }
}

// Where a stored pixel goes: result index = start + x * step_x + y * step_y.
struct turn {
    uint32_t width, height;
    ptrdiff_t start, step_x, step_y;
};

static struct turn turn_of(unsigned orientation, uint32_t width, uint32_t height)
{
    const ptrdiff_t w = width, h = height, last = w * h - 1;
    switch (orientation) {
    case 2:
        return (struct turn){width, height, w - 1, -1, w};
    case 3:
        return (struct turn){width, height, last, -1, -w};
    case 4:
        return (struct turn){width, height, last - (w - 1), 1, -w};
    case 5:
        return (struct turn){height, width, 0, h, 1};
    case 6:
        return (struct turn){height, width, h - 1, h, -1};
    case 7:
        return (struct turn){height, width, last, -h, -1};
    case 8:
        return (struct turn){height, width, last - (h - 1), -h, 1};
    default:
        return (struct turn){width, height, 0, 1, w};
    }
}

// In squares: both the pixels read and those written stay in the cache.
enum status image_turn(struct image *image, unsigned orientation, struct error *err)
{
    enum { SQUARE = 32 };
    const uint32_t width = image->width, height = image->height;
    const struct turn turn = turn_of(orientation, width, height);
    struct image out = {turn.width, turn.height, NULL};
    enum status st = image_allocate(&out, 3, err);
    if (st != STATUS_OK)
        return st;
    for (uint32_t top = 0; top < height; top += SQUARE) {
        for (uint32_t left = 0; left < width; left += SQUARE) {
            uint32_t bottom = top + SQUARE < height ? top + SQUARE : height;
            uint32_t right = left + SQUARE < width ? left + SQUARE : width;
            for (uint32_t y = top; y < bottom; y++) {
                const unsigned char *from = image->pixels + ((size_t)y * width + left) * 3;
                unsigned char *to = out.pixels + 3 * (turn.start + (ptrdiff_t)y * turn.step_y +
                                                      (ptrdiff_t)left * turn.step_x);
                for (uint32_t x = left; x < right; x++, from += 3, to += 3 * turn.step_x)
                    memcpy(to, from, 3);
            }
        }
    }
    image_finish(image);
    *image = out;
    return STATUS_OK;
}

enum status image_decode(const unsigned char *bytes, size_t n_bytes, uint64_t max_pixels,
                         struct image *out, struct error *err)
{
    static image_decode_fn *const decoders[] = {image_jpeg_decode, image_png_decode,
                                                image_webp_decode, image_gif_decode};
    struct image_info info = {0};
    enum status st = image_probe(bytes, n_bytes, &info, err);
    if (st != STATUS_OK)
        return st;
    if ((uint64_t)info.width * info.height > max_pixels)
        return error_set(err, STATUS_INVALID_ARGUMENT,
                         "the image has %" PRIu32 " x %" PRIu32 " pixels; at most %" PRIu64
                         " are taken",
                         info.width, info.height, max_pixels);
    const struct image_file file = {bytes, n_bytes};
    struct image image = {info.width, info.height, NULL};
    unsigned orientation = 1;
    st = decoders[info.format](&file, &image, &orientation, err);
    if (st == STATUS_OK && orientation != 1)
        st = image_turn(&image, orientation, err);
    if (st != STATUS_OK) {
        image_finish(&image);
        return st;
    }
    *out = image;
    return STATUS_OK;
}

void image_finish(struct image *image)
{
    free(image->pixels);
    *image = (struct image){0};
}
