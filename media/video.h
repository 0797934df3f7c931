/* media/video.h - the frames of a video that the model sees (gemma4-model.md section 5.4), decoded
 * to RGB: all of up to 32, else number floor(i * total / 32) for i of 0..31, in order of
 * presentation.
 *
 * MP4, WebM, Matroska and GIF through media/container.h, WebP (animated or not) through libwebp.
 * Frames are counted by their packets, not by what the header says. Nothing that no chosen frame
 * needs is decoded. Rotation that the file asks for is applied; transparency is blended onto white.
 * Thread: any; nothing is kept between calls. */
#ifndef GEMMAD_MEDIA_VIDEO_H
#define GEMMAD_MEDIA_VIDEO_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "media/image.h"

#define VIDEO_MAX_FRAMES 32

struct video_limits {
    uint64_t max_pixels; /* of a frame */
    uint32_t max_seconds;
};

struct video_frame {
    uint32_t index;       /* among the video's frames */
    uint32_t timestamp_s; /* index / frames per second, whole seconds */
    struct image image;   /* valid during the call */
};

/* Called for each chosen frame; what it returns but OK ends the decoding. */
typedef enum status video_frame_fn(void *context, const struct video_frame *frame,
                                   struct error *err);

/* INVALID_ARGUMENT: no video that can be decoded, or beyond a limit. */
NODISCARD enum status video_decode(const unsigned char *bytes, size_t n_bytes,
                                   const struct video_limits *limits, video_frame_fn *take,
                                   void *context, struct error *err);

/* The rule: which of n_total frames are chosen. Returns how many. */
uint32_t video_choose(uint64_t n_total, uint64_t out_index[VIDEO_MAX_FRAMES]);

#endif
