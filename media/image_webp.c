/* media/image_webp.c - libwebp; of an animation the first frame, at its place on the canvas. What
 * it leaves free is transparent, thus white, or black if the file says that it has no alpha, which
 * is what libwebp's own animation decoder leaves there and Pillow shows. */
#include <stdbool.h>
#include <string.h>

#include <webp/decode.h>
#include <webp/demux.h>

#include "media/exif.h"
#include "media/image_format.h"

enum status image_webp_probe(const struct image_file *file, struct image_info *out,
                             struct error *err)
{
    WebPBitstreamFeatures features;
    VP8StatusCode code = WebPGetFeatures(file->bytes, file->n_bytes, &features);
    if (code == VP8_STATUS_NOT_ENOUGH_DATA)
        return image_cut_short(err, "WebP");
    if (code != VP8_STATUS_OK)
        return image_broken(err, "WebP", "its header makes no sense");
    out->width = (uint32_t)features.width;
    out->height = (uint32_t)features.height;
    return STATUS_OK;
}

static unsigned webp_orientation(const WebPDemuxer *demuxer)
{
    WebPChunkIterator exif, xmp;
    bool has_exif = WebPDemuxGetChunk(demuxer, "EXIF", 1, &exif);
    bool has_xmp = WebPDemuxGetChunk(demuxer, "XMP ", 1, &xmp);
    unsigned found =
        metadata_orientation(has_exif ? exif.chunk.bytes : NULL, has_exif ? exif.chunk.size : 0,
                             has_xmp ? xmp.chunk.bytes : NULL, has_xmp ? xmp.chunk.size : 0);
    WebPDemuxReleaseChunkIterator(&exif);
    WebPDemuxReleaseChunkIterator(&xmp);
    return found;
}

static enum status decode_frame(const WebPIterator *frame, bool has_alpha, struct image *out,
                                struct error *err)
{
    const size_t n_channels = has_alpha ? 4 : 3,
                 n_bytes = (size_t)out->width * out->height * n_channels;
    enum status st = image_allocate(out, (unsigned)n_channels, err);
    if (st != STATUS_OK)
        return st;
    bool whole = (uint32_t)frame->width == out->width && (uint32_t)frame->height == out->height;
    if (!whole)
        memset(out->pixels, 0, n_bytes);
    size_t row_bytes = out->width * n_channels;
    size_t start = (size_t)frame->y_offset * row_bytes + (size_t)frame->x_offset * n_channels;
    uint8_t *decoded = (has_alpha ? WebPDecodeRGBAInto : WebPDecodeRGBInto)(
        frame->fragment.bytes, frame->fragment.size, out->pixels + start, n_bytes - start,
        (int)row_bytes);
    if (!decoded)
        return image_broken(err, "WebP", "its pixels cannot be decoded");
    if (has_alpha)
        image_blend_onto_white(out);
    return STATUS_OK;
}

static enum status decode_first(const WebPDemuxer *demuxer, struct image *out, struct error *err)
{
    if (WebPDemuxGetI(demuxer, WEBP_FF_CANVAS_WIDTH) != out->width ||
        WebPDemuxGetI(demuxer, WEBP_FF_CANVAS_HEIGHT) != out->height)
        return image_broken(err, "WebP", "it has two sizes");
    WebPIterator frame;
    if (!WebPDemuxGetFrame(demuxer, 1, &frame))
        return image_broken(err, "WebP", "it has no frame");
    bool inside = frame.complete && frame.width > 0 && frame.height > 0 && frame.x_offset >= 0 &&
                  frame.y_offset >= 0 &&
                  (uint64_t)frame.x_offset + (uint64_t)frame.width <= out->width &&
                  (uint64_t)frame.y_offset + (uint64_t)frame.height <= out->height;
    bool has_alpha = WebPDemuxGetI(demuxer, WEBP_FF_FORMAT_FLAGS) & ALPHA_FLAG;
    enum status st = inside ? decode_frame(&frame, has_alpha, out, err)
                            : image_broken(err, "WebP", "its first frame is not on the canvas");
    WebPDemuxReleaseIterator(&frame);
    return st;
}

enum status image_webp_decode(const struct image_file *file, struct image *out,
                              unsigned *out_orientation, struct error *err)
{
    const WebPData data = {file->bytes, file->n_bytes};
    WebPDemuxState state;
    WebPDemuxer *demuxer = WebPDemuxPartial(&data, &state);
    if (!demuxer || state != WEBP_DEMUX_DONE) {
        WebPDemuxDelete(demuxer);
        return state == WEBP_DEMUX_PARSE_ERROR
                   ? image_broken(err, "WebP", "its chunks make no sense")
                   : image_cut_short(err, "WebP");
    }
    enum status st = decode_first(demuxer, out, err);
    if (st == STATUS_OK)
        *out_orientation = webp_orientation(demuxer);
    WebPDemuxDelete(demuxer);
    return st;
}
