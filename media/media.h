/* media/media.h - an image, a video or a clip of audio, ready for the model's encoders: decoded,
 * resized and cut into what they take (gemma4-model.md section 5).
 *
 * It has parts, each of which is encoded by itself and becomes n_tokens soft tokens: one for an
 * image or a clip, one for each frame of a video. Immutable and reference-counted: the request
 * that brought it, and the encoder's queue. Thread: any. */
#ifndef GEMMAD_MEDIA_MEDIA_H
#define GEMMAD_MEDIA_MEDIA_H

#include <stddef.h>
#include <stdint.h>

enum media_kind { MEDIA_IMAGE, MEDIA_VIDEO, MEDIA_AUDIO };

#define MEDIA_MAX_PARTS 32    /* frames of a video */
#define MEDIA_PATCH_PIXELS 16 /* a side of a patch */
#define MEDIA_PATCH_BYTES 768 /* [row, column, channel] u8 */
#define MEDIA_TOKEN_PATCHES 9 /* 3 x 3 patches become a soft token */
#define MEDIA_MAX_IMAGE_TOKENS 1120
#define MEDIA_MAX_AUDIO_TOKENS 750
#define MEDIA_MEL_BINS 128
#define MEDIA_RAW_FRAME_SAMPLES 640 /* where audio is not made into mel features */

struct media_part {
    uint64_t key[2];   /* stands for the content and all that decides the encoding */
    uint32_t n_tokens; /* soft tokens, at least 1 */
    /* image and frame: data u8 [grid_height * grid_width, MEDIA_PATCH_BYTES], patches by row; both
     * sides are multiples of 3 */
    uint32_t grid_width, grid_height;
    /* audio: data f32 [n_frames, MEDIA_MEL_BINS] or [n_frames, MEDIA_RAW_FRAME_SAMPLES] */
    uint32_t n_frames;
    uint32_t timestamp_s; /* of a video's frame, whole seconds */
    const unsigned char *data;
    size_t n_bytes;
};

struct media {
    enum media_kind kind;
    uint32_t n_parts;
    struct media_part parts[MEDIA_MAX_PARTS];
};

/* With one reference and no parts yet: whoever makes it fills them in before anyone else sees it.
 * memory: what the parts' data will point into, made by mmap; the media unmap it. */
struct media *media_create(enum media_kind kind, void *memory, size_t n_bytes);
struct media *media_ref(struct media *media);
void media_drop(struct media *media); /* NULL is fine */
size_t media_live_bytes(void);        /* memory of all media that are not dropped yet */

#endif
