/* media/image_png.c - libpng, told to keep nothing but what makes pixels. Its own order of
 * transformations is the specification's: a transparent colour is compared at the file's depth,
 * then 16 bits lose the low 8, then gray becomes RGB. Gamma and colour profiles are not applied
 * (Pillow does not either).
 * A chunk with a wrong checksum is an error if it is critical; Pillow does not look at those of
 * IDAT. A file that ends behind its last row of pixels is whole. */
#include <png.h>
#include <stdlib.h>
#include <string.h>

#include "media/exif.h"
#include "media/image_format.h"

enum { HEADER_BYTES = 8, MAX_CHUNK_BYTES = 8 << 20 };

static uint32_t read_u32(const unsigned char *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

enum status image_png_probe(const struct image_file *file, struct image_info *out,
                            struct error *err)
{
    // signature, length, "IHDR", width, height
    if (file->n_bytes < 24)
        return image_cut_short(err, "PNG");
    if (memcmp(file->bytes + 12, "IHDR", 4) != 0)
        return image_broken(err, "PNG", "it does not begin with IHDR");
    out->width = read_u32(file->bytes + 16);
    out->height = read_u32(file->bytes + 20);
    return STATUS_OK;
}

// An XMP packet in an iTXt chunk that is not compressed: keyword, NUL, 2 bytes, two more strings.
static const unsigned char *xmp_of_text(const unsigned char *text, size_t n, size_t *out_n)
{
    static const char keyword[] = "XML:com.adobe.xmp";
    if (n < sizeof keyword + 2 || memcmp(text, keyword, sizeof keyword) != 0 ||
        text[sizeof keyword] != 0)
        return NULL;
    const unsigned char *end = text + n;
    text += sizeof keyword + 2;
    for (int i = 0; i < 2; i++) {
        text = memchr(text, 0, (size_t)(end - text));
        if (!text)
            return NULL;
        text++;
    }
    *out_n = (size_t)(end - text);
    return text;
}

// eXIf may stand behind the pixels, where libpng is never asked to read.
static unsigned png_orientation(const struct image_file *file)
{
    const unsigned char *exif = NULL, *xmp = NULL;
    size_t n_exif = 0, n_xmp = 0, at = HEADER_BYTES;
    while (file->n_bytes - at >= 12) {
        const unsigned char *chunk = file->bytes + at;
        size_t n = read_u32(chunk);
        if (n > file->n_bytes - at - 12 || memcmp(chunk + 4, "IEND", 4) == 0)
            break;
        if (memcmp(chunk + 4, "eXIf", 4) == 0)
            exif = chunk + 8, n_exif = n;
        else if (memcmp(chunk + 4, "iTXt", 4) == 0 && !xmp)
            xmp = xmp_of_text(chunk + 8, n, &n_xmp);
        at += 12 + n;
    }
    return metadata_orientation(exif, n_exif, xmp, n_xmp);
}

struct reader {
    const struct image_file *file;
    size_t at;
    struct image *image;
    unsigned n_channels;
    enum status status;
    struct error *err;
};

static void on_error(png_structp png, png_const_charp what)
{
    struct reader *reader = png_get_error_ptr(png);
    if (reader->status == STATUS_OK)
        reader->status = image_broken(reader->err, "PNG", what);
    png_longjmp(png, 1);
}

static void on_warning(png_structp png, png_const_charp what)
{
    (void)png, (void)what;
}

static void on_read(png_structp png, png_bytep out, size_t n)
{
    struct reader *reader = png_get_io_ptr(png);
    if (n > reader->file->n_bytes - reader->at) {
        reader->status = image_cut_short(reader->err, "PNG");
        png_error(png, "end of file");
    }
    memcpy(out, reader->file->bytes + reader->at, n);
    reader->at += n;
}

// Reads up to the first IDAT and says how pixels are wanted; returns the number of passes.
static int start(png_structp png, png_infop info, struct reader *reader)
{
    png_set_user_limits(png, IMAGE_MAX_SIDE, IMAGE_MAX_SIDE);
    png_set_chunk_malloc_max(png, MAX_CHUNK_BYTES);
    png_set_chunk_cache_max(png, 16);
    png_set_keep_unknown_chunks(png, PNG_HANDLE_CHUNK_NEVER, NULL, -1);
    png_read_info(png, info);
    if (png_get_image_width(png, info) != reader->image->width ||
        png_get_image_height(png, info) != reader->image->height)
        png_error(png, "it has two sizes");
    png_set_expand(png);
    png_set_strip_16(png);
    png_set_gray_to_rgb(png);
    int n_passes = png_set_interlace_handling(png);
    png_read_update_info(png, info);
    reader->n_channels = png_get_channels(png, info);
    size_t row_bytes = (size_t)reader->image->width * reader->n_channels;
    if (png_get_rowbytes(png, info) != row_bytes ||
        (reader->n_channels != 3 && reader->n_channels != 4))
        png_error(png, "its kind of pixels is not known");
    return n_passes;
}

static void read_all(png_structp png, png_infop info, struct reader *reader)
{
    int n_passes = start(png, info, reader);
    struct image *image = reader->image;
    reader->status = image_allocate(image, reader->n_channels, reader->err);
    if (reader->status != STATUS_OK)
        png_error(png, "no memory");
    size_t row_bytes = (size_t)image->width * reader->n_channels;
    for (int pass = 0; pass < n_passes; pass++)
        for (uint32_t y = 0; y < image->height; y++)
            png_read_row(png, image->pixels + y * row_bytes, NULL);
}

enum status image_png_decode(const struct image_file *file, struct image *out,
                             unsigned *out_orientation, struct error *err)
{
    struct reader reader = {.file = file, .image = out, .status = STATUS_OK, .err = err};
    png_structp png = png_create_read_struct(PNG_LIBPNG_VER_STRING, &reader, on_error, on_warning);
    png_infop info = png ? png_create_info_struct(png) : NULL;
    if (!info) {
        png_destroy_read_struct(&png, NULL, NULL);
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "no memory for a PNG decoder");
    }
    if (setjmp(png_jmpbuf(png)) == 0) {
        png_set_read_fn(png, &reader, on_read);
        read_all(png, info, &reader);
    }
    png_destroy_read_struct(&png, &info, NULL);
    if (reader.status != STATUS_OK)
        return reader.status;
    if (reader.n_channels == 4)
        image_blend_onto_white(out);
    *out_orientation = png_orientation(file);
    return STATUS_OK;
}
