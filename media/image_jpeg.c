/* media/image_jpeg.c - libjpeg-turbo with its defaults, which are Pillow's: the slow integer DCT
 * and smooth upsampling. Never scaled down while decoding: the result would differ.
 * Four channels are taken as inverted CMYK, whether Adobe's marker is there or not, as Pillow
 * does. What libjpeg only warns of (bad codes, bytes between markers) is accepted, as Pillow does;
 * a file that ends before its end marker is not.
 * A progressive file makes the decoder keep all coefficients, at most 8 bytes a pixel, and go over
 * them once a scan: both are bounded. */
#include <setjmp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jpeglib.h>

#include <jerror.h>

#include "media/exif.h"
#include "media/image_format.h"

enum { MAX_SCANS = 500, MARKER_EXIF = JPEG_APP0 + 1 };

struct reader {
    struct jpeg_decompress_struct jpeg; // first: libjpeg's callbacks get its address
    struct jpeg_error_mgr errors;
    struct jpeg_source_mgr source;
    struct jpeg_progress_mgr progress;
    jmp_buf back;
    struct image *image;
    unsigned char *row; // of four channels
    enum status status;
    struct error *err;
};

_Noreturn static void fail(struct reader *reader, enum status status)
{
    reader->status = status;
    longjmp(reader->back, 1);
}

_Noreturn static void on_error(j_common_ptr jpeg)
{
    struct reader *reader = (struct reader *)jpeg;
    char what[JMSG_LENGTH_MAX];
    jpeg->err->format_message(jpeg, what);
    fail(reader, image_broken(reader->err, "JPEG", what));
}

static void on_warning(j_common_ptr jpeg, int level)
{
    (void)jpeg, (void)level;
}

static void no_init(j_decompress_ptr jpeg)
{
    (void)jpeg;
}

// Called when all bytes are used up: there are no more.
static boolean on_more(j_decompress_ptr jpeg)
{
    (void)jpeg;
    return FALSE;
}

static void on_skip(j_decompress_ptr jpeg, long n)
{
    struct jpeg_source_mgr *source = jpeg->src;
    size_t skipped = n <= 0                                ? 0
                     : (size_t)n < source->bytes_in_buffer ? (size_t)n
                                                           : source->bytes_in_buffer;
    source->next_input_byte += skipped;
    source->bytes_in_buffer -= skipped;
}

static void on_progress(j_common_ptr jpeg)
{
    struct reader *reader = (struct reader *)jpeg;
    if (jpeg->is_decompressor && reader->jpeg.input_scan_number > MAX_SCANS)
        fail(reader, image_broken(reader->err, "JPEG", "it has more than 500 scans"));
}

static void reader_init(struct reader *reader, const struct image_file *file, struct image *image,
                        struct error *err)
{
    *reader = (struct reader){.image = image, .status = STATUS_OK, .err = err};
    reader->jpeg.err = jpeg_std_error(&reader->errors);
    reader->errors.error_exit = on_error;
    reader->errors.emit_message = on_warning;
    reader->progress.progress_monitor = on_progress;
    reader->source = (struct jpeg_source_mgr){
        .next_input_byte = file->bytes,
        .bytes_in_buffer = file->n_bytes,
        .init_source = no_init,
        .fill_input_buffer = on_more,
        .skip_input_data = on_skip,
        .resync_to_restart = jpeg_resync_to_restart,
        .term_source = no_init,
    };
}

static void read_header(struct reader *reader)
{
    struct jpeg_decompress_struct *jpeg = &reader->jpeg;
    jpeg_create_decompress(jpeg);
    jpeg->src = &reader->source;
    jpeg->progress = &reader->progress;
    if (reader->image)
        jpeg_save_markers(jpeg, MARKER_EXIF, 0xffff);
    if (jpeg_read_header(jpeg, TRUE) != JPEG_HEADER_OK)
        fail(reader, image_cut_short(reader->err, "JPEG"));
}

enum status image_jpeg_probe(const struct image_file *file, struct image_info *out,
                             struct error *err)
{
    struct reader reader;
    reader_init(&reader, file, NULL, err);
    if (setjmp(reader.back) == 0) {
        read_header(&reader);
        out->width = reader.jpeg.image_width;
        out->height = reader.jpeg.image_height;
    }
    jpeg_destroy_decompress(&reader.jpeg);
    return reader.status;
}

static unsigned jpeg_orientation(const struct jpeg_decompress_struct *jpeg)
{
    static const char xmp_name[] = "http://ns.adobe.com/xap/1.0/";
    const jpeg_saved_marker_ptr none = NULL;
    jpeg_saved_marker_ptr exif = none, xmp = none;
    for (jpeg_saved_marker_ptr m = jpeg->marker_list; m; m = m->next) {
        if (!exif && m->data_length >= 6 && memcmp(m->data, "Exif\0\0", 6) == 0)
            exif = m;
        else if (m->data_length >= sizeof xmp_name &&
                 memcmp(m->data, xmp_name, sizeof xmp_name) == 0)
            xmp = m;
    }
    return metadata_orientation(exif ? exif->data : NULL, exif ? exif->data_length : 0,
                                xmp ? xmp->data + sizeof xmp_name : NULL,
                                xmp ? xmp->data_length - sizeof xmp_name : 0);
}

static unsigned divide_by_255(unsigned product)
{
    unsigned rounded = product + 128;
    return ((rounded >> 8) + rounded) >> 8;
}

// Inverted: 255 is no ink.
static void cmyk_to_rgb(const unsigned char *from, unsigned char *to, uint32_t n)
{
    for (uint32_t x = 0; x < n; x++, from += 4, to += 3) {
        unsigned light = from[3];
        for (int c = 0; c < 3; c++) {
            unsigned ink = divide_by_255((255u - from[c]) * light);
            to[c] = (unsigned char)(light - ink);
        }
    }
}

static void read_rows(struct reader *reader)
{
    struct jpeg_decompress_struct *jpeg = &reader->jpeg;
    struct image *image = reader->image;
    const bool cmyk = jpeg->out_color_space == JCS_CMYK;
    while (jpeg->output_scanline < image->height) {
        unsigned char *out = image->pixels + (size_t)jpeg->output_scanline * image->width * 3;
        unsigned char *row = cmyk ? reader->row : out;
        if (jpeg_read_scanlines(jpeg, &row, 1) != 1)
            fail(reader, image_cut_short(reader->err, "JPEG"));
        if (cmyk)
            cmyk_to_rgb(row, out, image->width);
    }
}

static void read_all(struct reader *reader)
{
    struct jpeg_decompress_struct *jpeg = &reader->jpeg;
    struct image *image = reader->image;
    read_header(reader);
    if (jpeg->num_components != 1 && jpeg->num_components != 3 && jpeg->num_components != 4)
        fail(reader, image_broken(reader->err, "JPEG", "it has neither 1, 3 nor 4 channels"));
    jpeg->out_color_space = jpeg->num_components == 4 ? JCS_CMYK : JCS_RGB;
    jpeg->mem->max_memory_to_use = (long)((size_t)image->width * image->height * 12 + (16 << 20));
    if (!jpeg_start_decompress(jpeg))
        fail(reader, image_cut_short(reader->err, "JPEG"));
    enum status st = image_allocate(image, 3, reader->err);
    if (st != STATUS_OK)
        fail(reader, st);
    if (jpeg->out_color_space == JCS_CMYK)
        reader->row = jpeg->mem->alloc_large((j_common_ptr)jpeg, JPOOL_IMAGE,
                                             (size_t)image->width * 4);
    read_rows(reader);
}

enum status image_jpeg_decode(const struct image_file *file, struct image *out,
                              unsigned *out_orientation, struct error *err)
{
    struct reader reader;
    reader_init(&reader, file, out, err);
    if (setjmp(reader.back) == 0) {
        read_all(&reader);
        *out_orientation = jpeg_orientation(&reader.jpeg);
    }
    jpeg_destroy_decompress(&reader.jpeg);
    return reader.status;
}
