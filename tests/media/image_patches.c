/* tests/media/image_patches.c - decodes, resizes and cuts images for test_image_parity.py.
 *
 * Each line of standard input is "MAX_TOKENS FILE OUT"; the answer, a line of standard output, is
 * "ok WIDTH HEIGHT N_TOKENS NS" (of the resized image) with the patches in OUT, or "error WHY". */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "media/image.h"
#include "media/patches.h"

enum { MAX_FILE_BYTES = 512 << 20 };

static const uint64_t max_pixels = 8000 * 6000;

static size_t read_file(const char *path, unsigned char **out)
{
    FILE *file = fopen(path, "rb");
    if (!file)
        return 0;
    *out = mem_resized(NULL, MAX_FILE_BYTES, 1);
    size_t n = fread(*out, 1, MAX_FILE_BYTES, file);
    fclose(file);
    return n;
}

static void answer(uint32_t max_tokens, const char *path, const char *out_path)
{
    unsigned char *bytes = NULL, *patches = NULL;
    size_t n_bytes = read_file(path, &bytes);
    struct image image = {0};
    struct patches_plan plan;
    struct error err = {0};
    uint64_t start = clock_now_ns();
    enum status st = image_decode(bytes, n_bytes, max_pixels, &image, &err);
    if (st == STATUS_OK)
        st = patches_plan(image.width, image.height, max_tokens, &plan, &err);
    if (st == STATUS_OK) {
        patches = mem_resized(NULL, plan.n_bytes, 1);
        patches_write(&image, &plan, patches);
        uint64_t ns = clock_now_ns() - start;
        FILE *out = fopen(out_path, "wb");
        CHECK(out && fwrite(patches, 1, plan.n_bytes, out) == plan.n_bytes && fclose(out) == 0);
        printf("ok %" PRIu32 " %" PRIu32 " %" PRIu32 " %" PRIu64 "\n", plan.width, plan.height,
               plan.n_tokens, ns);
    } else {
        printf("error %s\n", err.message);
    }
    fflush(stdout);
    image_finish(&image);
    free(patches);
    free(bytes);
}

int main(void)
{
    uint32_t max_tokens;
    char path[1024], out_path[1024];
    while (scanf("%" SCNu32 " %1023s %1023s", &max_tokens, path, out_path) == 3)
        answer(max_tokens, path, out_path);
    return 0;
}
