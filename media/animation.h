/* media/animation.h - an animated WebP as a video (a still one is a video of one frame):
 * libavformat 5 reads no animations. Frame rate: frames by the sum of their durations. */
#ifndef GEMMAD_MEDIA_ANIMATION_H
#define GEMMAD_MEDIA_ANIMATION_H

#include <stdbool.h>

#include "media/video.h"

bool animation_is_webp(const unsigned char *bytes, size_t n_bytes);

/* As video_decode. */
NODISCARD enum status animation_decode(const unsigned char *bytes, size_t n_bytes,
                                       const struct video_limits *limits, video_frame_fn *take,
                                       void *context, struct error *err);

#endif
