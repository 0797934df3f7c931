/* media/video.c - two readings of the file: the first lists every packet's time and whether
 * decoding can begin there, which gives the frames' order and number; the second decodes from the
 * last such packet before each chosen frame.
 *
 * A chosen frame is the first one shown at or after its time, so that packets which show nothing
 * (VP8's alternate references) cost no frame. A GIF's every frame builds on the one before it. */
#include "media/video.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "media/animation.h"
#include "media/container.h"
#include "media/video_frame.h"

#define DEFAULT_FPS 24
#define MAX_FRAMES_PER_S 240 /* more than any camera of this use */

struct packet_time {
    int64_t time;
    uint64_t packet; /* in order of decoding */
};

struct survey {
    struct packet_time *shown;  /* [n_shown], by time once sorted */
    struct packet_time *starts; /* [n_starts], in order of decoding */
    size_t n_shown, n_starts, shown_capacity, starts_capacity;
    AVRational fps;
};

// A frame to come: where decoding for it may begin.
struct wanted_frame {
    uint64_t index;
    int64_t time;
    uint64_t start_packet;
};

struct decoding {
    struct container container;
    struct frame_converter converter;
    struct wanted_frame wanted[VIDEO_MAX_FRAMES];
    uint32_t n_wanted, next;
    AVRational fps;
    video_frame_fn *take;
    void *context;
};

uint32_t video_choose(uint64_t n_total, uint64_t out_index[VIDEO_MAX_FRAMES])
{
    uint32_t n = n_total < VIDEO_MAX_FRAMES ? (uint32_t)n_total : VIDEO_MAX_FRAMES;
    for (uint32_t i = 0; i < n; i++)
        out_index[i] = n_total <= VIDEO_MAX_FRAMES ? i : i * n_total / VIDEO_MAX_FRAMES;
    return n;
}

static int by_time(const void *a, const void *b)
{
    const struct packet_time *x = a;
    const struct packet_time *y = b;
    if (x->time != y->time)
        return x->time < y->time ? -1 : 1;
    return x->packet < y->packet ? -1 : x->packet > y->packet;
}

static int64_t packet_time(const AVPacket *packet)
{
    return packet->pts != AV_NOPTS_VALUE ? packet->pts : packet->dts;
}

static void note(struct survey *survey, const AVPacket *packet, uint64_t number, bool all_start)
{
    struct packet_time entry = {packet_time(packet), number};
    if (!(packet->flags & AV_PKT_FLAG_DISCARD)) {
        mem_reserve(&survey->shown, &survey->shown_capacity, survey->n_shown + 1, sizeof entry);
        survey->shown[survey->n_shown++] = entry;
    }
    if (number == 0 || (all_start && (packet->flags & AV_PKT_FLAG_KEY))) {
        mem_reserve(&survey->starts, &survey->starts_capacity, survey->n_starts + 1, sizeof entry);
        survey->starts[survey->n_starts++] = entry;
    }
}

static uint32_t timestamp_s(const AVRational *fps, uint64_t index)
{
    return (uint32_t)(index * (uint64_t)fps->den / (uint64_t)fps->num);
}

// Both by the packets' times and by the frame rate, from which timestamps come.
static enum status check_survey(const struct survey *survey, AVRational time_base,
                                const struct video_limits *limits, struct error *err)
{
    if (survey->n_shown == 0)
        return error_set(err, STATUS_INVALID_ARGUMENT, "the video has no frames");
    const struct packet_time *last = &survey->shown[survey->n_shown - 1];
    double seconds = fmax(((double)last->time - (double)survey->shown[0].time) * av_q2d(time_base),
                          (double)(survey->n_shown - 1) / av_q2d(survey->fps));
    if (!(seconds < (double)limits->max_seconds + 1))
        return error_set(err, STATUS_INVALID_ARGUMENT,
                         "the video is %.0f s long, beyond the limit of %u s", seconds,
                         limits->max_seconds);
    return STATUS_OK;
}

static enum status read_packets(struct container *container, const struct video_limits *limits,
                                struct survey *survey, struct error *err)
{
    bool keys_start = container->decoder->codec_id != AV_CODEC_ID_GIF;
    uint64_t max_packets = ((uint64_t)limits->max_seconds + 1) * MAX_FRAMES_PER_S;
    for (uint64_t number = 0;; number++) {
        int end;
        enum status st = container_read(container, &end, err);
        if (st != STATUS_OK)
            return st;
        if (end)
            break;
        if (number >= max_packets)
            return error_set(err, STATUS_INVALID_ARGUMENT,
                             "the video has more than %" PRIu64 " frames", max_packets);
        note(survey, container->packet, number, keys_start);
    }
    if (survey->n_shown > 0)
        qsort(survey->shown, survey->n_shown, sizeof *survey->shown, by_time);
    survey->fps = container->stream->avg_frame_rate;
    if (survey->fps.num <= 0 || survey->fps.den <= 0)
        survey->fps = (AVRational){DEFAULT_FPS, 1};
    return check_survey(survey, container->stream->time_base, limits, err);
}

// The last start, in order of decoding, that is shown no later than the frame.
static uint64_t start_for(const struct survey *survey, const struct packet_time *frame)
{
    uint64_t start = 0;
    for (size_t i = 0; i < survey->n_starts && survey->starts[i].packet <= frame->packet; i++)
        if (survey->starts[i].time <= frame->time)
            start = survey->starts[i].packet;
    return start;
}

static void choose(const struct survey *survey, struct decoding *decoding)
{
    uint64_t index[VIDEO_MAX_FRAMES];
    decoding->n_wanted = video_choose(survey->n_shown, index);
    for (uint32_t i = 0; i < decoding->n_wanted; i++) {
        const struct packet_time *frame = &survey->shown[index[i]];
        decoding->wanted[i] = (struct wanted_frame){
            .index = index[i], .time = frame->time, .start_packet = start_for(survey, frame)};
    }
    decoding->fps = survey->fps;
}

static enum status hand_over(struct decoding *decoding, struct error *err)
{
    struct video_frame frame = {0};
    enum status st = frame_converter_run(&decoding->converter, decoding->container.frame,
                                         &frame.image, err);
    int64_t time = decoding->container.frame->best_effort_timestamp;
    while (st == STATUS_OK && decoding->next < decoding->n_wanted &&
           decoding->wanted[decoding->next].time <= time) {
        const struct wanted_frame *wanted = &decoding->wanted[decoding->next++];
        frame.index = (uint32_t)wanted->index;
        frame.timestamp_s = timestamp_s(&decoding->fps, wanted->index);
        st = decoding->take(decoding->context, &frame, err);
    }
    image_finish(&frame.image);
    return st;
}

static enum status take_frames(struct decoding *decoding, struct error *err)
{
    while (decoding->next < decoding->n_wanted) {
        int some;
        enum status st = container_take(&decoding->container, &some, err);
        if (st != STATUS_OK || !some)
            return st;
        if (decoding->container.frame->best_effort_timestamp >=
            decoding->wanted[decoding->next].time)
            st = hand_over(decoding, err);
        if (st != STATUS_OK)
            return st;
    }
    return STATUS_OK;
}

// What nothing else refers to is decoded only where it is itself wanted.
static void allow_skipping(struct decoding *decoding, const AVPacket *packet)
{
    AVCodecContext *decoder = decoding->container.decoder;
    decoder->skip_frame = AVDISCARD_NONREF;
    for (uint32_t i = decoding->next; i < decoding->n_wanted; i++)
        if (decoding->wanted[i].time == packet_time(packet))
            decoder->skip_frame = AVDISCARD_DEFAULT;
}

static enum status decode_packets(struct decoding *decoding, struct error *err)
{
    struct container *container = &decoding->container;
    bool skipped = false;
    for (uint64_t number = 0; decoding->next < decoding->n_wanted; number++) {
        int end;
        enum status st = container_read(container, &end, err);
        if (st != STATUS_OK)
            return st;
        if (!end && number < decoding->wanted[decoding->next].start_packet) {
            skipped = true;
            continue;
        }
        if (skipped) // what the decoder still holds is older than the frame that is looked for
            avcodec_flush_buffers(container->decoder);
        skipped = false;
        if (!end)
            allow_skipping(decoding, container->packet);
        st = container_decode(container, end ? NULL : container->packet, err);
        if (st == STATUS_OK)
            st = take_frames(decoding, err);
        if (st != STATUS_OK || end)
            return st;
    }
    return STATUS_OK;
}

static enum status survey_file(struct decoding *decoding, const unsigned char *bytes,
                               size_t n_bytes, const struct container_limits *container_limits,
                               const struct video_limits *limits, struct error *err)
{
    struct survey survey = {0};
    struct container container;
    enum status st = container_open(&container, bytes, n_bytes, container_limits, err);
    if (st != STATUS_OK)
        return st;
    st = read_packets(&container, limits, &survey, err);
    container_close(&container);
    if (st == STATUS_OK)
        choose(&survey, decoding);
    free(survey.shown);
    free(survey.starts);
    return st;
}

enum status video_decode(const unsigned char *bytes, size_t n_bytes,
                         const struct video_limits *limits, video_frame_fn *take, void *context,
                         struct error *err)
{
    if (animation_is_webp(bytes, n_bytes))
        return animation_decode(bytes, n_bytes, limits, take, context, err);
    struct container_limits container_limits = {AVMEDIA_TYPE_VIDEO, limits->max_pixels,
                                                limits->max_seconds};
    struct decoding decoding = {.take = take, .context = context};
    enum status st = survey_file(&decoding, bytes, n_bytes, &container_limits, limits, err);
    if (st == STATUS_OK)
        st = container_open(&decoding.container, bytes, n_bytes, &container_limits, err);
    if (st != STATUS_OK)
        return st;
    frame_converter_init(&decoding.converter, decoding.container.stream);
    st = decode_packets(&decoding, err);
    frame_converter_finish(&decoding.converter);
    container_close(&decoding.container);
    if (st == STATUS_OK && decoding.next == 0)
        return error_set(err, STATUS_INVALID_ARGUMENT, "no frame of the video can be decoded");
    return st;
}
