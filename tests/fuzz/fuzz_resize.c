/* tests/fuzz/fuzz_resize.c - an image of any size and content into any size, by vectors as plainly.
 * The first bytes are the four sides, the rest the pixels, over and over. */
#include <stdint.h>
#include <stdlib.h>

#include "media/resize.h"
#include "media/resize_steps.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 9)
        return 0;
    uint32_t sides[4];
    for (int i = 0; i < 4; i++)
        sides[i] = 1 + (uint32_t)(data[2 * i] | data[2 * i + 1] << 8) % 3000;
    struct image image = {sides[0], sides[1], NULL};
    size_t n_in = (size_t)sides[0] * sides[1] * 3, n_out = (size_t)sides[2] * sides[3] * 3;
    if (n_in > 1 << 15 || n_out > 1 << 15)
        return 0;
    image.pixels = malloc(n_in);
    for (size_t i = 0; i < n_in; i++)
        image.pixels[i] = data[8 + i % (size - 8)];
    unsigned char *out = malloc(n_out), *plain = malloc(n_out);
    resize_bicubic(&image, sides[2], sides[3], out);
    resize_with(&resize_steps_plain, &image, sides[2], sides[3], plain);
    for (size_t i = 0; i < n_out; i++)
        CHECK(out[i] == plain[i]);
    free(out);
    free(plain);
    image_finish(&image);
    return 0;
}
