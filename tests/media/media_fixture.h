/* tests/media/media_fixture.h - what tests of media/ share: files of tests/data/media, and the
 * number that make_media.py drew into a frame. */
#ifndef GEMMAD_TESTS_MEDIA_FIXTURE_H
#define GEMMAD_TESTS_MEDIA_FIXTURE_H

#include "tests/test.h"

struct file {
    unsigned char *bytes;
    size_t n_bytes;
};

static inline struct file read_media(const char *name)
{
    char path[128];
    snprintf(path, sizeof path, "data/media/%s", name);
    struct file file;
    file.bytes = (unsigned char *)test_read_file(path, &file.n_bytes);
    return file;
}

/* Of exactly n bytes, so that sanitizers see reads beyond the end. The caller frees. */
static inline unsigned char *copy_of(const unsigned char *bytes, size_t n)
{
    unsigned char *copy = malloc(n > 0 ? n : 1);
    memcpy(copy, bytes, n);
    return copy;
}

/* From the middles of the 4 x 2 squares of an RGB image. */
static inline uint32_t drawn_number(const unsigned char *pixels, uint32_t width, uint32_t height)
{
    uint32_t number = 0;
    for (uint32_t i = 0; i < 8; i++) {
        size_t y = height / 4 + i / 4 * (height / 2);
        size_t x = width / 8 + i % 4 * (width / 4);
        number |= (uint32_t)(pixels[(y * width + x) * 3] > 128) << i;
    }
    return number;
}

#endif
