/* media/animation.c - libwebp composes each frame on the canvas, so that all before a chosen one
 * are decoded. */
#include "media/animation.h"

#include <inttypes.h>
#include <string.h>
#include <webp/demux.h>

#include "media/image_format.h"

#define DEFAULT_FPS 24

bool animation_is_webp(const unsigned char *bytes, size_t n_bytes)
{
    return n_bytes >= 12 && memcmp(bytes, "RIFF", 4) == 0 && memcmp(bytes + 8, "WEBP", 4) == 0;
}

static enum status broken(struct error *err)
{
    return error_set(err, STATUS_INVALID_ARGUMENT, "the WebP file is broken or cut short");
}

// From the frames' headers, before anything is decoded.
static enum status survey(const WebPData *data, const struct video_limits *limits,
                          uint64_t *out_n_frames, uint64_t *out_ms, struct error *err)
{
    WebPDemuxer *demuxer = WebPDemux(data);
    if (!demuxer)
        return broken(err);
    uint32_t width = WebPDemuxGetI(demuxer, WEBP_FF_CANVAS_WIDTH);
    uint32_t height = WebPDemuxGetI(demuxer, WEBP_FF_CANVAS_HEIGHT);
    *out_n_frames = WebPDemuxGetI(demuxer, WEBP_FF_FRAME_COUNT);
    WebPIterator frame;
    if (WebPDemuxGetFrame(demuxer, 1, &frame)) {
        do
            *out_ms += (uint64_t)(frame.duration > 0 ? frame.duration : 0);
        while (WebPDemuxNextFrame(&frame));
        WebPDemuxReleaseIterator(&frame);
    }
    WebPDemuxDelete(demuxer);
    if ((uint64_t)width * height > limits->max_pixels)
        return error_set(err, STATUS_INVALID_ARGUMENT,
                         "the video has frames of %u x %u pixels, beyond the limit of %" PRIu64
                         " in all",
                         width, height, limits->max_pixels);
    if (*out_ms / 1000 > limits->max_seconds)
        return error_set(err, STATUS_INVALID_ARGUMENT,
                         "the video is %" PRIu64 " s long, beyond the limit of %u s",
                         *out_ms / 1000, limits->max_seconds);
    return *out_n_frames > 0 ? STATUS_OK : broken(err);
}

static enum status hand_over(const uint8_t *canvas, const WebPAnimInfo *info,
                             struct video_frame *frame, video_frame_fn *take, void *context,
                             struct error *err)
{
    frame->image = (struct image){.width = info->canvas_width, .height = info->canvas_height};
    enum status st = image_allocate(&frame->image, 4, err);
    if (st == STATUS_OK) {
        memcpy(frame->image.pixels, canvas, (size_t)info->canvas_width * info->canvas_height * 4);
        image_blend_onto_white(&frame->image);
        st = take(context, frame, err);
    }
    image_finish(&frame->image);
    return st;
}

static uint32_t timestamp_s(uint64_t index, uint64_t n_frames, uint64_t ms)
{
    return (uint32_t)(ms > 0 ? index * ms / (n_frames * 1000) : index / DEFAULT_FPS);
}

enum status animation_decode(const unsigned char *bytes, size_t n_bytes,
                             const struct video_limits *limits, video_frame_fn *take, void *context,
                             struct error *err)
{
    WebPData data = {bytes, n_bytes};
    uint64_t n_frames = 0;
    uint64_t ms = 0;
    enum status st = survey(&data, limits, &n_frames, &ms, err);
    if (st != STATUS_OK)
        return st;
    WebPAnimDecoder *decoder = WebPAnimDecoderNew(&data, NULL);
    WebPAnimInfo info;
    if (!decoder || !WebPAnimDecoderGetInfo(decoder, &info)) {
        WebPAnimDecoderDelete(decoder);
        return broken(err);
    }
    uint64_t chosen[VIDEO_MAX_FRAMES];
    uint32_t n_chosen = video_choose(n_frames, chosen);
    uint32_t next = 0;
    for (uint64_t index = 0; next < n_chosen && st == STATUS_OK; index++) {
        uint8_t *canvas;
        int end_ms;
        if (!WebPAnimDecoderGetNext(decoder, &canvas, &end_ms)) {
            st = broken(err);
        } else if (index == chosen[next]) {
            struct video_frame frame = {.index = (uint32_t)index,
                                        .timestamp_s = timestamp_s(index, n_frames, ms)};
            st = hand_over(canvas, &info, &frame, take, context, err);
            next++;
        }
    }
    WebPAnimDecoderDelete(decoder);
    return st;
}
