/* media/video_frame.c - swscale in its exact mode, at the frame's own size: the resize to the
 * model's size is media/patches.h's, the same as for images. */
#include "media/video_frame.h"

#include <libavutil/display.h>
#include <libavutil/pixdesc.h>
#include <libswscale/swscale.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>

#include "media/image_format.h"

#define SCALER_OVERRUN_BYTES 64 /* its vector code may write beyond a row's end */

void frame_converter_init(struct frame_converter *converter, const AVStream *stream)
{
    *converter = (struct frame_converter){0};
    size_t n_bytes = 0;
    const uint8_t *matrix = av_stream_get_side_data(stream, AV_PKT_DATA_DISPLAYMATRIX, &n_bytes);
    if (!matrix || n_bytes < 9 * sizeof(int32_t))
        return;
    double clockwise = -av_display_rotation_get((const int32_t *)matrix);
    if (isfinite(clockwise))
        converter->quarter_turns = (int)((lround(clockwise / 90) % 4 + 4) % 4);
}

void frame_converter_finish(struct frame_converter *converter)
{
    sws_freeContext(converter->scaler);
    converter->scaler = NULL;
}

static bool has_alpha(enum AVPixelFormat format)
{
    const AVPixFmtDescriptor *descriptor = av_pix_fmt_desc_get(format);
    return descriptor && (descriptor->flags & AV_PIX_FMT_FLAG_ALPHA);
}

static enum status prepare_scaler(struct frame_converter *converter, const AVFrame *frame,
                                  enum AVPixelFormat to, struct error *err)
{
    converter->scaler = sws_getCachedContext(converter->scaler, frame->width, frame->height,
                                             frame->format, frame->width, frame->height, to,
                                             SWS_BILINEAR, NULL, NULL, NULL);
    if (!converter->scaler)
        return error_set(err, STATUS_INVALID_ARGUMENT,
                         "a frame of %d x %d pixels cannot be converted to RGB", frame->width,
                         frame->height);
    const AVPixFmtDescriptor *descriptor = av_pix_fmt_desc_get(frame->format);
    if (descriptor && !(descriptor->flags & (AV_PIX_FMT_FLAG_RGB | AV_PIX_FMT_FLAG_PAL)))
        sws_setColorspaceDetails(converter->scaler, sws_getCoefficients(frame->colorspace),
                                 frame->color_range == AVCOL_RANGE_JPEG,
                                 sws_getCoefficients(SWS_CS_DEFAULT), 1, 0, 1 << 16, 1 << 16);
    return STATUS_OK;
}

static enum status scale(struct frame_converter *converter, const AVFrame *frame,
                         struct image *image, unsigned n_channels, struct error *err)
{
    size_t row_bytes = (size_t)image->width * n_channels;
    image->pixels = malloc(row_bytes * image->height + SCALER_OVERRUN_BYTES);
    if (!image->pixels)
        return error_set(err, STATUS_INVALID_ARGUMENT, "no memory for a frame of %u x %u pixels",
                         image->width, image->height);
    uint8_t *planes[4] = {image->pixels};
    int strides[4] = {(int)row_bytes};
    int n_rows = sws_scale(converter->scaler, (const uint8_t *const *)frame->data, frame->linesize,
                           0, frame->height, planes, strides);
    if (n_rows != frame->height)
        return error_set(err, STATUS_INVALID_ARGUMENT, "a frame cannot be converted to RGB");
    return STATUS_OK;
}

enum status frame_converter_run(struct frame_converter *converter, const AVFrame *frame,
                                struct image *out, struct error *err)
{
    static const unsigned orientations[4] = {1, 6, 3, 8}; // as EXIF numbers them
    struct image image = {.width = (uint32_t)frame->width, .height = (uint32_t)frame->height};
    bool alpha = has_alpha(frame->format);
    enum status st = prepare_scaler(converter, frame, alpha ? AV_PIX_FMT_RGBA : AV_PIX_FMT_RGB24,
                                    err);
    if (st == STATUS_OK)
        st = scale(converter, frame, &image, alpha ? 4 : 3, err);
    if (st == STATUS_OK && alpha)
        image_blend_onto_white(&image);
    if (st == STATUS_OK && converter->quarter_turns != 0)
        st = image_turn(&image, orientations[converter->quarter_turns], err);
    if (st != STATUS_OK) {
        image_finish(&image);
        return st;
    }
    *out = image;
    return STATUS_OK;
}
