/* tests/fuzz/fuzz_video.c - any bytes as a video: refused, or frames in ascending order. */
#include <stddef.h>
#include <stdint.h>

#include "media/video.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct seen {
    uint32_t n, last;
};

static enum status see(void *context, const struct video_frame *frame, struct error *err)
{
    (void)err;
    struct seen *seen = context;
    CHECK(seen->n < VIDEO_MAX_FRAMES && (seen->n == 0 || frame->index > seen->last));
    CHECK((uint64_t)frame->image.width * frame->image.height <= 1 << 16);
    size_t n_bytes = (size_t)frame->image.width * frame->image.height * 3;
    CHECK(n_bytes > 0);
    volatile unsigned char last = frame->image.pixels[n_bytes - 1];
    (void)last;
    seen->last = frame->index;
    seen->n++;
    return STATUS_OK;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct video_limits limits = {.max_pixels = 1 << 16, .max_seconds = 100};
    struct seen seen = {0};
    if (video_decode(data, size, &limits, see, &seen, NULL) == STATUS_OK)
        CHECK(seen.n > 0);
    return 0;
}
