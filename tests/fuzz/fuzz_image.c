/* tests/fuzz/fuzz_image.c - any bytes as an image: refused, or pixels, all of which are there. */
#include <stdint.h>
#include <stdlib.h>

#include "media/image.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint64_t max_pixels = 1 << 16;
    struct image_info info;
    struct image image;
    struct error err = {0};
    enum status probed = image_probe(data, size, &info, &err);
    if (image_decode(data, size, max_pixels, &image, &err) != STATUS_OK)
        return 0;
    uint64_t n_pixels = (uint64_t)image.width * image.height;
    CHECK(probed == STATUS_OK && n_pixels == (uint64_t)info.width * info.height);
    CHECK(n_pixels >= 1 && n_pixels <= max_pixels);
    unsigned sum = 0;
    for (uint64_t i = 0; i < n_pixels * 3; i++)
        sum += image.pixels[i];
    CHECK(sum <= n_pixels * 3 * 255);
    image_finish(&image);
    return 0;
}
