/* media/container.h - FFmpeg over bytes in memory: one stream of a file, packet by packet, and its
 * decoder.
 *
 * The file's kind is told by its first bytes, from a short list, and only decoders of a short list
 * are opened, each on one thread. Nothing here opens a file or follows a reference to one.
 * Thread: any, one at a time. */
#ifndef GEMMAD_MEDIA_CONTAINER_H
#define GEMMAD_MEDIA_CONTAINER_H

#include <libavcodec/avcodec.h>
#include <libavformat/avformat.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

struct container {
    AVFormatContext *format;
    AVIOContext *io;
    AVCodecContext *decoder;
    AVStream *stream;
    AVPacket *packet;
    AVFrame *frame;
    const unsigned char *bytes;
    size_t n_bytes, at;
};

struct container_limits {
    enum AVMediaType type; /* of the stream: AVMEDIA_TYPE_VIDEO or _AUDIO */
    uint64_t max_pixels;   /* of a video's frame */
    uint32_t max_seconds;  /* of what the header says, and of audio what is read */
};

/* Opens the file and the decoder of its best stream. The bytes stay the caller's and outlive the
 * container. INVALID_ARGUMENT: no container or codec of the lists, no such stream, beyond a limit.
 */
NODISCARD enum status container_open(struct container *container, const unsigned char *bytes,
                                     size_t n_bytes, const struct container_limits *limits,
                                     struct error *err);
void container_close(struct container *container); /* a zeroed one is fine */

/* The stream's next packet, in container->packet until the next call; *out_end at its end, which
 * is also where a file is cut short. */
NODISCARD enum status container_read(struct container *container, int *out_end, struct error *err);

/* Hands the packet, or NULL at the stream's end, to the decoder. */
NODISCARD enum status container_decode(struct container *container, const AVPacket *packet,
                                       struct error *err);
/* The decoder's next frame, in container->frame until the next call; *out_some 0: it wants more. */
NODISCARD enum status container_take(struct container *container, int *out_some, struct error *err);

#endif
