// tests/media/test_video.c - which frames of a clip are seen, in which order, of every container
// and codec; limits; broken files. In this process: the child is tested by test_decoder.c.
#include "media/video.h"

#include "tests/media/media_fixture.h"

struct seen {
    uint32_t n;
    uint32_t index[VIDEO_MAX_FRAMES], timestamp_s[VIDEO_MAX_FRAMES], drawn[VIDEO_MAX_FRAMES];
    uint32_t width, height;
};

static const struct video_limits limits = {.max_pixels = 1 << 20, .max_seconds = 600};

static enum status see(void *context, const struct video_frame *frame, struct error *err)
{
    struct seen *seen = context;
    if (seen->n >= VIDEO_MAX_FRAMES)
        return error_set(err, STATUS_INTERNAL, "too many frames");
    seen->index[seen->n] = frame->index;
    seen->timestamp_s[seen->n] = frame->timestamp_s;
    seen->drawn[seen->n++] = drawn_number(frame->image.pixels, frame->image.width,
                                          frame->image.height);
    seen->width = frame->image.width;
    seen->height = frame->image.height;
    return STATUS_OK;
}

static const struct {
    const char *name;
    uint32_t n_frames, fps;
} clips[] = {
    {"h264.mp4", 75, 30},       {"h264_few.mp4", 5, 24},   {"h264_fragments.mp4", 40, 25},
    {"h264.mkv", 64, 1},        {"hevc.mp4", 40, 25},      {"mpeg4.mp4", 40, 25},
    {"vp8.webm", 40, 25},       {"vp9.webm", 40, 25},      {"av1.webm", 40, 25},
    {"animation.webp", 40, 10}, {"animation.gif", 20, 10},
};

TEST(every_codec_gives_the_frames_of_the_rule)
{
    for (size_t c = 0; c < sizeof clips / sizeof *clips; c++) {
        struct file file = read_media(clips[c].name);
        struct seen seen = {0};
        struct error err = {0};
        if (video_decode(file.bytes, file.n_bytes, &limits, see, &seen, &err) != STATUS_OK)
            test_fail(__FILE__, __LINE__, "%s: %s", clips[c].name, err.message);
        uint32_t want_n = clips[c].n_frames < 32 ? clips[c].n_frames : 32;
        if (seen.n != want_n)
            test_fail(__FILE__, __LINE__, "%s: %u frames, want %u", clips[c].name, seen.n, want_n);
        for (uint32_t i = 0; i < seen.n; i++) {
            uint32_t want = clips[c].n_frames <= 32 ? i : i * clips[c].n_frames / 32;
            if (seen.index[i] != want || seen.drawn[i] != want ||
                seen.timestamp_s[i] != want / clips[c].fps)
                test_fail(__FILE__, __LINE__, "%s: frame %u is %u at %u s, drawn %u; want %u",
                          clips[c].name, i, seen.index[i], seen.timestamp_s[i], seen.drawn[i],
                          want);
        }
        ASSERT_EQ(seen.width, 96);
        ASSERT_EQ(seen.height, 64);
        free(file.bytes);
    }
}

TEST(chosen_frames_are_those_of_the_reference)
{
    uint64_t index[VIDEO_MAX_FRAMES];
    ASSERT_EQ(video_choose(75, index), 32);
    static const uint64_t want[] = {0,  2,  4,  7,  9,  11, 14, 16, 18, 21, 23, 25, 28, 30, 32, 35,
                                    37, 39, 42, 44, 46, 49, 51, 53, 56, 58, 60, 63, 65, 67, 70, 72};
    for (int i = 0; i < 32; i++)
        ASSERT_EQ(index[i], want[i]);
    ASSERT_EQ(video_choose(5400, index), 32);
    ASSERT_EQ(index[31], 5231);
    ASSERT_EQ(video_choose(3, index), 3);
    ASSERT_EQ(index[2], 2);
}
