/* media/decoder.h - from a file's bytes to media.h, in child processes that can do nothing else.
 *
 * A child (gemmad-media) sees the bytes and a place for the result in a memory file, and may call
 * little more than take a job, answer and exit: no files, no network, limited memory and time. One
 * that dies or takes too long is replaced, and the file it died of is tried once more.
 * Errors name neither paths nor addresses. Thread: any; a call blocks until a child is free and has
 * answered. */
#ifndef GEMMAD_MEDIA_DECODER_H
#define GEMMAD_MEDIA_DECODER_H

#include "base/status.h"
#include "media/media.h"

struct media_decoder;

enum media_audio_form { MEDIA_AUDIO_NONE, MEDIA_AUDIO_MEL, MEDIA_AUDIO_RAW };

struct media_decoder_config {
    const char *program; /* path of gemmad-media */
    uint32_t n_children; /* at most, at once; 0: as many as CPUs, at most 8 */
    size_t max_file_bytes;
    uint64_t max_pixels;         /* width * height of an image or a frame, from its header */
    uint32_t max_seconds;        /* of a video or clip */
    uint64_t timeout_ns;         /* of a child's work on one file; and of waiting for a child */
    size_t max_child_bytes;      /* its address space beyond what it starts with */
    enum media_audio_form audio; /* what the model takes */
};

/* What one file is to become; its bytes say what it is. */
struct media_wish {
    enum media_kind kind;
    const unsigned char *bytes;
    size_t n_bytes;
    uint32_t max_tokens; /* of an image or a frame: 70, 140, 280, 560, 1120; 0: 280, of a video's
                            frame 70 */
};

struct media_decoder_stats {
    uint64_t n_decoded, n_rejected, n_child_deaths, decode_ns;
};

/* Starts one child; more come when they are needed, and stay. INVALID_ARGUMENT: a limit is 0.
 * FAILED_PRECONDITION: the program cannot be run. */
NODISCARD enum status media_decoder_create(const struct media_decoder_config *config,
                                           struct media_decoder **out, struct error *err);
void media_decoder_destroy(struct media_decoder *decoder); /* no call is under way; NULL is fine */

/* *out is the caller's reference. INVALID_ARGUMENT: the bytes are no such thing, or beyond a limit,
 * with what was found and the limit. UNIMPLEMENTED: audio where the model has none.
 * RESOURCE_EXHAUSTED: no child came free in time. */
NODISCARD enum status media_decode(struct media_decoder *decoder, const struct media_wish *wish,
                                   struct media **out, struct error *err);
void media_decoder_get_stats(struct media_decoder *decoder, struct media_decoder_stats *out);

#endif
