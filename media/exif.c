/* media/exif.c - only the first directory is read, and of it only the one entry. As in Pillow the
 * last of several entries counts, and a directory that is cut off counts as far as it goes. */
#include "media/exif.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

enum { TAG_ORIENTATION = 0x112, TYPE_SHORT = 3, TYPE_LONG = 4, ENTRY_BYTES = 12 };

struct tiff {
    const unsigned char *bytes;
    size_t n_bytes;
    bool big_endian;
};

// The caller has checked that the bytes are there.
static uint32_t read_u16(const struct tiff *tiff, size_t at)
{
    const unsigned char *p = tiff->bytes + at;
    return tiff->big_endian ? (uint32_t)p[0] << 8 | p[1] : (uint32_t)p[1] << 8 | p[0];
}

static uint32_t read_u32(const struct tiff *tiff, size_t at)
{
    uint32_t first = read_u16(tiff, at), second = read_u16(tiff, at + 2);
    return tiff->big_endian ? first << 16 | second : second << 16 | first;
}

static bool tiff_init(struct tiff *tiff, const unsigned char *bytes, size_t n_bytes)
{
    for (int i = 0; i < 2 && n_bytes >= 6 && memcmp(bytes, "Exif\0\0", 6) == 0; i++)
        bytes += 6, n_bytes -= 6;
    if (n_bytes < 8)
        return false;
    *tiff = (struct tiff){bytes, n_bytes, bytes[0] == 'M'};
    bool order = memcmp(bytes, "II", 2) == 0 || memcmp(bytes, "MM", 2) == 0;
    return order && (memcmp(bytes + 2, "\0*", 2) == 0 || memcmp(bytes + 2, "*\0", 2) == 0);
}

unsigned exif_orientation(const unsigned char *bytes, size_t n_bytes)
{
    struct tiff tiff;
    if (!tiff_init(&tiff, bytes, n_bytes))
        return 0;
    size_t at = read_u32(&tiff, 4);
    if (at > tiff.n_bytes || tiff.n_bytes - at < 2)
        return 0;
    uint32_t n_entries = read_u16(&tiff, at);
    unsigned found = 0;
    at += 2;
    for (uint32_t i = 0; i < n_entries && tiff.n_bytes - at >= ENTRY_BYTES;
         i++, at += ENTRY_BYTES) {
        uint32_t type = read_u16(&tiff, at + 2), count = read_u32(&tiff, at + 4);
        if (read_u16(&tiff, at) != TAG_ORIENTATION || count != 1)
            continue;
        if (type == TYPE_SHORT)
            found = read_u16(&tiff, at + 8);
        else if (type == TYPE_LONG)
            found = read_u32(&tiff, at + 8);
    }
    return found <= 8 ? found : 0;
}

unsigned xmp_orientation(const unsigned char *bytes, size_t n_bytes)
{
    static const char name[] = "tiff:Orientation";
    const size_t n_name = sizeof name - 1;
    const unsigned char *end = bytes + n_bytes;
    while ((bytes = memmem(bytes, (size_t)(end - bytes), name, n_name)) != NULL) {
        bytes += n_name;
        size_t skip = end - bytes >= 3 && memcmp(bytes, "=\"", 2) == 0 ? 2
                      : end - bytes >= 2 && bytes[0] == '>'            ? 1
                                                                       : 0;
        if (skip && bytes[skip] >= '0' && bytes[skip] <= '9')
            return bytes[skip] <= '8' ? (unsigned)(bytes[skip] - '0') : 0;
    }
    return 0;
}

unsigned metadata_orientation(const unsigned char *exif, size_t n_exif, const unsigned char *xmp,
                              size_t n_xmp)
{
    unsigned found = exif ? exif_orientation(exif, n_exif) : 0;
    if (!found && xmp)
        found = xmp_orientation(xmp, n_xmp);
    return found ? found : 1;
}
