/* media/video_frame.h - a decoded frame as an RGB image: colours by the frame's own matrix and
 * range, transparency blended onto white, turned as the stream says. */
#ifndef GEMMAD_MEDIA_VIDEO_FRAME_H
#define GEMMAD_MEDIA_VIDEO_FRAME_H

#include <libavformat/avformat.h>

#include "base/status.h"
#include "media/image.h"

struct SwsContext;

struct frame_converter {
    struct SwsContext *scaler; /* of the last frame's size and format */
    int quarter_turns;         /* clockwise, 0..3 */
};

void frame_converter_init(struct frame_converter *converter, const AVStream *stream);
void frame_converter_finish(struct frame_converter *converter);

/* The caller calls image_finish. INVALID_ARGUMENT: pixels of a kind that cannot be converted. */
NODISCARD enum status frame_converter_run(struct frame_converter *converter, const AVFrame *frame,
                                          struct image *out, struct error *err);

#endif
