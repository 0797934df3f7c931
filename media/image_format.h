/* media/image_format.h - what each format does for image.c, and what they share: the room of the
 * pixels, alpha onto white, and errors. A decoder sees only files whose header image_probe has
 * read and whose size the caller has allowed. */
#ifndef GEMMAD_MEDIA_IMAGE_FORMAT_H
#define GEMMAD_MEDIA_IMAGE_FORMAT_H

#include "media/image.h"

struct image_file {
    const unsigned char *bytes;
    size_t n_bytes;
};

/* Fill in width and height, which may still be 0 or too large. */
NODISCARD enum status image_jpeg_probe(const struct image_file *file, struct image_info *out,
                                       struct error *err);
NODISCARD enum status image_png_probe(const struct image_file *file, struct image_info *out,
                                      struct error *err);
NODISCARD enum status image_webp_probe(const struct image_file *file, struct image_info *out,
                                       struct error *err);
NODISCARD enum status image_gif_probe(const struct image_file *file, struct image_info *out,
                                      struct error *err);

/* out->width and out->height are set; pixels are made here, also on failure (image_finish), and
 * *out_orientation is EXIF's, 1 to 8: how the pixels are still to be turned. */
typedef enum status image_decode_fn(const struct image_file *file, struct image *out,
                                    unsigned *out_orientation, struct error *err);
image_decode_fn image_jpeg_decode, image_png_decode, image_webp_decode, image_gif_decode;

/* Room for width x height pixels of n_channels bytes, not cleared. RESOURCE_EXHAUSTED. */
NODISCARD enum status image_allocate(struct image *image, unsigned n_channels, struct error *err);

/* Pixels [height, width, 4] of colour and alpha become [height, width, 3], in place: blended onto
 * white and rounded as the reference does. */
void image_blend_onto_white(struct image *image);

/* Turns and mirrors the pixels as orientation, 1 to 8, says that they are still to be. */
NODISCARD enum status image_turn(struct image *image, unsigned orientation, struct error *err);

/* "the FORMAT image is broken: what" and "the FORMAT image ends too early". */
enum status image_broken(struct error *err, const char *format, const char *what);
enum status image_cut_short(struct error *err, const char *format);

#endif
