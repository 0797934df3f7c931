// tests/media/test_video.c - which frames of a clip are seen, in which order, of every container
// and codec; limits; broken files. In this process: the child is tested by test_decoder.c.
#include "media/video.h"

#include "base/json.h"
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
    struct json_document *document;
    struct error err = {0};
    ASSERT_OK_ERR(
        json_parse_file(test_path("data/goldens/dense/video.json"), NULL, &document, &err), err);
    const struct json_value *rows = json_get(json_root(document), "sampling");
    ASSERT(rows && rows->n > 0);
    for (uint32_t r = 0; r < rows->n; r++) {
        int64_t n_total;
        ASSERT(json_int64(json_get(&rows->items[r], "total_num_frames"), &n_total));
        const struct json_value *want = json_get(&rows->items[r], "frames_indices");
        uint64_t index[VIDEO_MAX_FRAMES];
        ASSERT_EQ(video_choose((uint64_t)n_total, index), want->n);
        for (uint32_t i = 0; i < want->n; i++) {
            int64_t want_index;
            ASSERT(json_int64(&want->items[i], &want_index));
            ASSERT_EQ(index[i], want_index);
        }
    }
    json_document_destroy(document);
}

TEST(of_a_short_video_all_frames_are_chosen)
{
    uint64_t index[VIDEO_MAX_FRAMES];
    ASSERT_EQ(video_choose(3, index), 3);
    ASSERT_EQ(index[2], 2);
    ASSERT_EQ(video_choose(0, index), 0);
}

static unsigned char *find(struct file *file, const char *tag)
{
    unsigned char *at = memmem(file->bytes, file->n_bytes, tag, strlen(tag));
    ASSERT(at);
    return at;
}

static void put_u32_be(unsigned char *at, uint32_t value)
{
    for (int i = 0; i < 4; i++)
        at[i] = (unsigned char)(value >> (24 - 8 * i));
}

// The matrix of a phone that was held upright: what was recorded lies on its side.
static void turn_clockwise(struct file *file)
{
    unsigned char *matrix = find(file, "tkhd") + 4 + 40;
    static const uint32_t quarter[9] = {0, 1u << 16, 0, UINT32_MAX << 16, 0, 0, 0, 0, 1u << 30};
    for (size_t i = 0; i < 9; i++)
        put_u32_be(matrix + i * 4, quarter[i]);
}

static enum status check_turned(void *context, const struct video_frame *frame, struct error *err)
{
    (void)context, (void)err;
    ASSERT_EQ(frame->image.width, 64);
    ASSERT_EQ(frame->image.height, 96);
    // The first square, bit 0, was at the upper left and is at the upper right.
    const unsigned char *pixel = frame->image.pixels + (12 * 64 + 48) * 3;
    ASSERT_EQ(pixel[0] > 128, frame->index & 1);
    return STATUS_OK;
}

TEST(a_video_is_turned_as_it_says)
{
    struct file file = read_media("h264_few.mp4");
    turn_clockwise(&file);
    struct error err = {0};
    ASSERT_OK_ERR(video_decode(file.bytes, file.n_bytes, &limits, check_turned, NULL, &err), err);
    free(file.bytes);
}

static void must_refuse(const struct file *file, const struct video_limits *narrow,
                        const char *part)
{
    struct seen seen = {0};
    struct error err = {0};
    ASSERT_EQ(video_decode(file->bytes, file->n_bytes, narrow, see, &seen, &err),
              STATUS_INVALID_ARGUMENT);
    ASSERT_CONTAINS(err.message, part);
    ASSERT_EQ(seen.n, 0);
}

TEST(limits_are_checked_before_anything_is_decoded)
{
    const struct video_limits small = {.max_pixels = 96 * 64 - 1, .max_seconds = 600};
    const struct video_limits short_one = {.max_pixels = 1 << 20, .max_seconds = 1};
    for (size_t c = 0; c < sizeof clips / sizeof *clips; c++) {
        struct file file = read_media(clips[c].name);
        bool says_size = strcmp(clips[c].name, "mpeg4.mp4") != 0; // in its header, that is
        must_refuse(&file, &small, says_size ? "beyond the limit of 6143" : "mpeg4");
        if (clips[c].n_frames >= 2 * clips[c].fps)
            must_refuse(&file, &short_one, "beyond the limit of 1 s");
        free(file.bytes);
    }
}

TEST(a_header_that_claims_too_much_is_refused)
{
    struct file file = read_media("h264.mp4");
    put_u32_be(find(&file, "stsd") + 16 + 4 + 24, 0xffffffff); // width and height
    must_refuse(&file, &limits, "65535 x 65535");
    free(file.bytes);
}

TEST(what_is_no_video_is_refused)
{
    struct file audio = read_media("tone.m4a");
    must_refuse(&audio, &limits, "no video");
    struct file text = {(unsigned char *)"#EXTM3U\nfile.mp4\n", 17};
    must_refuse(&text, &limits, "MP4, WebM");
    struct file none = {(unsigned char *)"", 0};
    must_refuse(&none, &limits, "MP4, WebM");
    free(audio.bytes);
}

static enum status stop_at_two(void *context, const struct video_frame *frame, struct error *err)
{
    (void)frame;
    uint32_t *n = context;
    return ++*n < 2 ? STATUS_OK : error_set(err, STATUS_CANCELLED, "enough");
}

TEST(whoever_takes_the_frames_can_stop)
{
    for (size_t c = 0; c < sizeof clips / sizeof *clips; c++) {
        struct file file = read_media(clips[c].name);
        uint32_t n = 0;
        ASSERT_EQ(video_decode(file.bytes, file.n_bytes, &limits, stop_at_two, &n, NULL),
                  STATUS_CANCELLED);
        ASSERT_EQ(n, 2);
        free(file.bytes);
    }
}
