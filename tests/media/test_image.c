/* tests/media/test_image.c - formats by their bytes, limits, files cut short, orientation. */
#include "media/image.h"

#include "media/exif.h"
#include "tests/media/media_fixture.h"

static const char *const stills[] = {"still.jpg", "still.png", "still.webp", "animation.gif",
                                     "animation.webp"};
enum { N_STILLS = sizeof stills / sizeof *stills };

TEST(a_header_says_what_decoding_yields)
{
    static const enum image_format formats[] = {IMAGE_JPEG, IMAGE_PNG, IMAGE_WEBP, IMAGE_GIF,
                                                IMAGE_WEBP};
    for (int i = 0; i < N_STILLS; i++) {
        struct file file = read_media(stills[i]);
        struct image_info info;
        struct image image;
        struct error err = {0};
        ASSERT_OK_ERR(image_probe(file.bytes, file.n_bytes, &info, &err), err);
        ASSERT_EQ(info.format, formats[i]);
        ASSERT_OK_ERR(image_decode(file.bytes, file.n_bytes, 1 << 20, &image, &err), err);
        ASSERT_EQ((uint64_t)image.width * image.height, (uint64_t)info.width * info.height);
        image_finish(&image);
        free(file.bytes);
    }
}

TEST(an_image_of_more_pixels_than_allowed_is_refused_unread)
{
    for (int i = 0; i < N_STILLS; i++) {
        struct file file = read_media(stills[i]);
        struct image_info info;
        struct image image;
        struct error err = {0};
        ASSERT_OK(image_probe(file.bytes, file.n_bytes, &info, &err));
        uint64_t n_pixels = (uint64_t)info.width * info.height;
        ASSERT_EQ(image_decode(file.bytes, file.n_bytes, n_pixels - 1, &image, &err),
                  STATUS_INVALID_ARGUMENT);
        ASSERT_CONTAINS(err.message, "pixels; at most");
        ASSERT_OK(image_decode(file.bytes, file.n_bytes, n_pixels, &image, &err));
        image_finish(&image);
        free(file.bytes);
    }
}

// Whether bytes behind the pixels are missing makes no difference to them.
TEST(a_file_cut_short_is_refused_or_decodes_to_the_same)
{
    for (int i = 0; i < N_STILLS; i++) {
        struct file file = read_media(stills[i]);
        struct image whole, part;
        struct error err = {0};
        size_t n_refused = 0;
        ASSERT_OK(image_decode(file.bytes, file.n_bytes, 1 << 20, &whole, &err));
        for (size_t n = 0; n < file.n_bytes; n++) {
            unsigned char *copy = copy_of(file.bytes, n);
            enum status st = image_decode(copy, n, 1 << 20, &part, &err);
            n_refused += st != STATUS_OK;
            if (st == STATUS_OK) {
                ASSERT(memcmp(whole.pixels, part.pixels, (size_t)whole.width * whole.height * 3) ==
                       0);
                image_finish(&part);
            } else {
                ASSERT_EQ(st, STATUS_INVALID_ARGUMENT);
            }
            free(copy);
        }
        printf("%s: %zu of %zu prefixes are refused\n", stills[i], n_refused, file.n_bytes);
        ASSERT(n_refused > 100);
        image_finish(&whole);
        free(file.bytes);
    }
}

TEST(bytes_behind_an_image_are_not_looked_at)
{
    for (int i = 0; i < N_STILLS; i++) {
        struct file file = read_media(stills[i]);
        struct image image;
        struct error err = {0};
        unsigned char *longer = malloc(file.n_bytes + 1000);
        memcpy(longer, file.bytes, file.n_bytes);
        memset(longer + file.n_bytes, 0xa5, 1000);
        ASSERT_OK_ERR(image_decode(longer, file.n_bytes + 1000, 1 << 20, &image, &err), err);
        image_finish(&image);
        free(longer);
        free(file.bytes);
    }
}

TEST(what_is_no_image_is_refused)
{
    static const char *const others[] = {
        "", "G", "GIF88a..........", "BM......", "RIFF....WAVE", "\xff\xd8", "<svg/>"};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        struct image_info info;
        struct error err = {0};
        ASSERT_EQ(image_probe((const unsigned char *)others[i], strlen(others[i]), &info, &err),
                  STATUS_INVALID_ARGUMENT);
        ASSERT_CONTAINS(err.message, "no JPEG, PNG, WebP or GIF");
    }
}

// A GIF of 2 x 3 pixels: colours 0 1 2 3 0 1 of a palette of four grays, as single codes.
static const unsigned char small_gif[] = {'G', 'I', 'F', '8', '9',  'a',  2,    0,    3,  0,  0x81,
                                          0,   0,   10,  10,  10,   20,   20,   20,   30, 30, 30,
                                          40,  40,  40,  ',', 0,    0,    0,    0,    2,  0,  3,
                                          0,   0,   2,   4,   0x44, 0x34, 0x10, 0x05, 0,  ';'};

TEST(a_gif_is_decoded_pixel_by_pixel)
{
    struct image image;
    struct error err = {0};
    ASSERT_OK_ERR(image_decode(small_gif, sizeof small_gif, 6, &image, &err), err);
    ASSERT_EQ(image.width, 2);
    ASSERT_EQ(image.height, 3);
    static const int want[] = {10, 20, 30, 40, 10, 20};
    for (int i = 0; i < 6; i++)
        ASSERT_EQ(image.pixels[3 * i], want[i]);
    image_finish(&image);
}

// Both byte orders, SHORT and LONG, with the Exif name before it or not.
TEST(orientation_is_found_in_exif)
{
    static const unsigned char little[] = "II*\0\10\0\0\0\1\0\x12\1\3\0\1\0\0\0\6\0\0\0\0\0\0\0";
    static const unsigned char big[] = "Exif\0\0MM\0*\0\0\0\10\0\1\1\x12\0\4\0\0\0\1\0\0\0\3";
    ASSERT_EQ(exif_orientation(little, sizeof little - 1), 6);
    ASSERT_EQ(exif_orientation(big, sizeof big - 1), 3);
    for (size_t n = 0; n < 22; n++) {
        unsigned char *copy = copy_of(little, n);
        ASSERT_EQ(exif_orientation(copy, n), n < 22 ? 0 : 6);
        free(copy);
    }
    unsigned char wrong[sizeof little];
    memcpy(wrong, little, sizeof little);
    wrong[18] = 9; // there is no orientation 9
    ASSERT_EQ(exif_orientation(wrong, sizeof little - 1), 0);
    memcpy(wrong, little, sizeof little);
    wrong[5] = 0xff; // the directory is beyond the end
    ASSERT_EQ(exif_orientation(wrong, sizeof little - 1), 0);
}

TEST(orientation_in_xmp_counts_where_exif_has_none)
{
    static const char attribute[] = "<rdf tiff:Orientation=\"8\">";
    static const char element[] = "tiff:Orientation <tiff:Orientation>5</tiff:Orientation>";
    static const unsigned char exif[] = "II*\0\10\0\0\0\1\0\x12\1\3\0\1\0\0\0\1\0\0\0\0\0\0\0";
    const unsigned char *xmp = (const unsigned char *)attribute;
    ASSERT_EQ(xmp_orientation(xmp, sizeof attribute - 1), 8);
    ASSERT_EQ(xmp_orientation((const unsigned char *)element, sizeof element - 1), 5);
    ASSERT_EQ(xmp_orientation(xmp, 22), 0); // cut off before the digit
    ASSERT_EQ(metadata_orientation(NULL, 0, xmp, sizeof attribute - 1), 8);
    ASSERT_EQ(metadata_orientation(exif, sizeof exif - 1, xmp, sizeof attribute - 1), 1);
    ASSERT_EQ(metadata_orientation(NULL, 0, NULL, 0), 1);
}
