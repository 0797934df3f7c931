/* media/container.c - avformat's own probing is not asked: a file that is two things at once is
 * read as what its first bytes say. The white lists hold in FFmpeg too, for what it opens while it
 * looks for a stream's properties. */
#include "media/container.h"

#include <libavutil/avstring.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"

#define IO_BUFFER_BYTES 32768
#define MAX_STREAMS 32

static const char decoder_names[] =
    "h264,hevc,vp8,vp9,libdav1d,mpeg4,gif,"
    "pcm_u8,pcm_s16le,pcm_s24le,pcm_s32le,pcm_f32le,pcm_f64le,pcm_alaw,pcm_mulaw,"
    "mp3float,flac,alac,opus,vorbis,aac";

struct beginning {
    size_t at;
    const char *text;
    size_t n_bytes;
    const char *format;
};

static const struct beginning beginnings[] = {
    {4, "ftyp", 4, "mov"},
    {4, "moov", 4, "mov"},
    {4, "wide", 4, "mov"},
    {4, "mdat", 4, "mov"},
    {4, "free", 4, "mov"},
    {4, "skip", 4, "mov"},
    {0, "\x1a\x45\xdf\xa3", 4, "matroska"},
    {0, "GIF87a", 6, "gif"},
    {0, "GIF89a", 6, "gif"},
    {8, "WAVE", 4, "wav"},
    {0, "fLaC", 4, "flac"},
    {0, "OggS", 4, "ogg"},
    {0, "ID3", 3, "mp3"},
};

static const char *format_name(const unsigned char *bytes, size_t n_bytes)
{
    for (size_t i = 0; i < sizeof beginnings / sizeof *beginnings; i++) {
        const struct beginning *b = &beginnings[i];
        if (n_bytes >= b->at + b->n_bytes && memcmp(bytes + b->at, b->text, b->n_bytes) == 0)
            return b->format;
    }
    if (n_bytes >= 2 && bytes[0] == 0xff && (bytes[1] & 0xe6) == 0xe2) // a frame of layer III
        return "mp3";
    return NULL;
}

static int read_bytes(void *opaque, uint8_t *out, int n)
{
    struct container *container = opaque;
    size_t left = container->n_bytes - container->at;
    size_t now = (size_t)n < left ? (size_t)n : left;
    if (now == 0)
        return AVERROR_EOF;
    memcpy(out, container->bytes + container->at, now);
    container->at += now;
    return (int)now;
}

static int64_t seek_bytes(void *opaque, int64_t offset, int whence)
{
    struct container *container = opaque;
    if (whence == AVSEEK_SIZE)
        return (int64_t)container->n_bytes;
    int64_t base = 0;
    if (whence == SEEK_CUR)
        base = (int64_t)container->at;
    else if (whence == SEEK_END)
        base = (int64_t)container->n_bytes;
    int64_t target;
    if (__builtin_add_overflow(base, offset, &target) || target < 0 ||
        target > (int64_t)container->n_bytes)
        return AVERROR(EINVAL);
    container->at = (size_t)target;
    return target;
}

static int refuse_to_open(AVFormatContext *format, AVIOContext **out, const char *url, int flags,
                          AVDictionary **options)
{
    (void)format, (void)out, (void)url, (void)flags, (void)options;
    return AVERROR(EACCES);
}

static const char *thing(const struct container_limits *limits)
{
    return limits->type == AVMEDIA_TYPE_VIDEO ? "video" : "audio";
}

static enum status broken(const struct container_limits *limits, int cause, struct error *err)
{
    if (cause == AVERROR(ENOMEM))
        return error_set(err, STATUS_INVALID_ARGUMENT, "the %s takes too much memory to decode",
                         thing(limits));
    return error_set(err, STATUS_INVALID_ARGUMENT, "the %s file is broken or cut short",
                     thing(limits));
}

static void set_lists(AVFormatContext *format, const char *name)
{
    format->format_whitelist = av_strdup(strcmp(name, "matroska") == 0 ? "matroska,webm"
                                         : strcmp(name, "mov") == 0    ? "mov,mp4,m4a,3gp,3g2,mj2"
                                                                       : name);
    format->codec_whitelist = av_strdup(decoder_names);
    format->protocol_whitelist = av_strdup("none");
    format->io_open = refuse_to_open;
    format->max_streams = MAX_STREAMS;
}

static enum status open_format(struct container *container, const struct container_limits *limits,
                               struct error *err)
{
    const char *name = format_name(container->bytes, container->n_bytes);
    if (!name)
        return error_set(
            err, STATUS_INVALID_ARGUMENT,
            limits->type == AVMEDIA_TYPE_VIDEO
                ? "the bytes are no video: taken are MP4, WebM, Matroska, and animated "
                  "WebP and GIF"
                : "the bytes are no audio: taken are WAV, MP3, FLAC, Ogg, MP4 and "
                  "WebM");
    unsigned char *buffer = av_malloc(IO_BUFFER_BYTES);
    container->io = avio_alloc_context(buffer, IO_BUFFER_BYTES, 0, container, read_bytes, NULL,
                                       seek_bytes);
    AVFormatContext *format = avformat_alloc_context();
    CHECK(container->io && format);
    format->pb = container->io;
    set_lists(format, name);
    int failed = avformat_open_input(&format, NULL, av_find_input_format(name), NULL);
    if (failed < 0) // and format is freed
        return broken(limits, failed, err);
    container->format = format;
    return STATUS_OK;
}

static enum status check_header(const AVFormatContext *format,
                                const struct container_limits *limits, struct error *err)
{
    for (unsigned i = 0; i < format->nb_streams; i++) {
        const AVCodecParameters *stream = format->streams[i]->codecpar;
        if (stream->codec_type != AVMEDIA_TYPE_VIDEO || stream->width <= 0 || stream->height <= 0)
            continue;
        if ((uint64_t)stream->width * (uint64_t)stream->height > limits->max_pixels)
            return error_set(err, STATUS_INVALID_ARGUMENT,
                             "the video has frames of %d x %d pixels, beyond the limit of %" PRIu64
                             " in all",
                             stream->width, stream->height, limits->max_pixels);
    }
    if (format->duration != AV_NOPTS_VALUE &&
        format->duration / AV_TIME_BASE > (int64_t)limits->max_seconds)
        return error_set(err, STATUS_INVALID_ARGUMENT,
                         "the %s is %" PRId64 " s long, beyond the limit of %u s", thing(limits),
                         format->duration / AV_TIME_BASE, limits->max_seconds);
    return STATUS_OK;
}

static void set_options(AVDictionary **options, const struct container_limits *limits)
{
    av_dict_set(options, "threads", "1", 0);
    av_dict_set_int(options, "max_pixels",
                    limits->max_pixels < INT32_MAX ? (int64_t)limits->max_pixels : INT32_MAX, 0);
}

// What only the packets tell: frame rates, sizes that the header leaves out.
static enum status look_into_streams(AVFormatContext *format, const struct container_limits *limits,
                                     struct error *err)
{
    unsigned n = format->nb_streams; // more may be found while looking; they get no options
    AVDictionary **options = mem_zeroed(n, sizeof(AVDictionary *));
    for (unsigned i = 0; i < n; i++)
        set_options(&options[i], limits);
    int failed = avformat_find_stream_info(format, n > 0 ? options : NULL);
    for (unsigned i = 0; i < n; i++)
        av_dict_free(&options[i]);
    free(options);
    return failed < 0 ? broken(limits, failed, err) : STATUS_OK;
}

static enum status open_decoder(struct container *container, const struct container_limits *limits,
                                struct error *err)
{
    int index = av_find_best_stream(container->format, limits->type, -1, -1, NULL, 0);
    if (index < 0)
        return error_set(err, STATUS_INVALID_ARGUMENT, "the file has no %s in it", thing(limits));
    container->stream = container->format->streams[index];
    for (unsigned i = 0; i < container->format->nb_streams; i++)
        if ((int)i != index)
            container->format->streams[i]->discard = AVDISCARD_ALL;
    enum AVCodecID id = container->stream->codecpar->codec_id;
    const AVCodec *codec = avcodec_find_decoder(id);
    if (!codec || av_match_list(codec->name, decoder_names, ',') <= 0)
        return error_set(err, STATUS_INVALID_ARGUMENT, "%s of codec %s is not taken", thing(limits),
                         avcodec_get_name(id));
    container->decoder = avcodec_alloc_context3(codec);
    CHECK(container->decoder);
    container->decoder->pkt_timebase = container->stream->time_base;
    AVDictionary *options = NULL;
    set_options(&options, limits);
    int failed = avcodec_parameters_to_context(container->decoder, container->stream->codecpar);
    if (failed >= 0)
        failed = avcodec_open2(container->decoder, codec, &options);
    av_dict_free(&options);
    if (failed < 0)
        return broken(limits, failed, err);
    container->packet = av_packet_alloc();
    container->frame = av_frame_alloc();
    CHECK(container->packet && container->frame);
    return STATUS_OK;
}

enum status container_open(struct container *container, const unsigned char *bytes, size_t n_bytes,
                           const struct container_limits *limits, struct error *err)
{
    av_log_set_level(AV_LOG_QUIET); // it would write to standard error
    *container = (struct container){.bytes = bytes, .n_bytes = n_bytes};
    enum status st = open_format(container, limits, err);
    if (st == STATUS_OK)
        st = check_header(container->format, limits, err);
    if (st == STATUS_OK)
        st = look_into_streams(container->format, limits, err);
    if (st == STATUS_OK)
        st = check_header(container->format, limits, err);
    if (st == STATUS_OK)
        st = open_decoder(container, limits, err);
    if (st != STATUS_OK)
        container_close(container);
    return st;
}

void container_close(struct container *container)
{
    av_frame_free(&container->frame);
    av_packet_free(&container->packet);
    avcodec_free_context(&container->decoder);
    avformat_close_input(&container->format);
    if (container->io)
        av_freep(&container->io->buffer);
    avio_context_free(&container->io);
    *container = (struct container){0};
}

enum status container_read(struct container *container, int *out_end, struct error *err)
{
    *out_end = 0;
    for (;;) {
        av_packet_unref(container->packet);
        int failed = av_read_frame(container->format, container->packet);
        if (failed == AVERROR(ENOMEM))
            return error_set(err, STATUS_INVALID_ARGUMENT,
                             "the file takes too much memory to read");
        if (failed < 0) {
            *out_end = 1;
            return STATUS_OK;
        }
        if (container->packet->stream_index == container->stream->index)
            return STATUS_OK;
    }
}

enum status container_decode(struct container *container, const AVPacket *packet, struct error *err)
{
    int failed = avcodec_send_packet(container->decoder, packet);
    if (failed < 0 && failed != AVERROR_EOF)
        return error_set(err, STATUS_INVALID_ARGUMENT, "a packet of %s cannot be decoded",
                         container->decoder->codec->name);
    return STATUS_OK;
}

enum status container_take(struct container *container, int *out_some, struct error *err)
{
    int failed = avcodec_receive_frame(container->decoder, container->frame);
    *out_some = failed >= 0;
    if (failed < 0 && failed != AVERROR(EAGAIN) && failed != AVERROR_EOF)
        return error_set(err, STATUS_INVALID_ARGUMENT, "a packet of %s cannot be decoded",
                         container->decoder->codec->name);
    return STATUS_OK;
}
