/* media/protocol.h - what the coordinator and a child of gemmad-media say to each other, over a
 * SOCK_SEQPACKET socket: a hello from the child, then jobs and answers in turn.
 *
 * With a job goes a memory file: the file's bytes at 0, room for the result at result_offset.
 * The child is believed nothing: protocol_check_answer looks at every number of an answer against
 * its job, protocol_check_samples at the data that are not bytes. Thread: any; plain values. */
#ifndef GEMMAD_MEDIA_PROTOCOL_H
#define GEMMAD_MEDIA_PROTOCOL_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "media/media.h"

#define PROTOCOL_CHILD_FD 3
#define PROTOCOL_MESSAGE_BYTES 512 /* as struct error has */
#define PROTOCOL_DATA_ALIGNMENT 64

/* Both sides are of one build if this is right. */
struct protocol_hello {
    uint64_t magic;
    uint32_t job_bytes, answer_bytes;
};
struct protocol_hello protocol_hello(void);

struct protocol_job {
    uint32_t kind;       /* enum media_kind */
    uint32_t max_tokens; /* of an image or a frame; 0 for audio */
    uint32_t audio_form; /* enum media_audio_form; 0 unless audio */
    uint32_t max_seconds;
    uint64_t max_pixels;
    uint64_t n_bytes;
    uint64_t result_offset; /* a multiple of the page size */
    uint64_t result_bytes;
};

struct protocol_part {
    uint32_t n_tokens;
    uint32_t grid_width, grid_height;
    uint32_t n_frames;
    uint32_t timestamp_s;
    uint32_t frame;  /* its index in the video */
    uint64_t offset; /* from result_offset, a multiple of PROTOCOL_DATA_ALIGNMENT */
    uint64_t n_bytes;
};

struct protocol_answer {
    uint32_t refused; /* 0: n_parts parts; 1: the message says why not */
    uint32_t n_parts;
    char message[PROTOCOL_MESSAGE_BYTES];
    struct protocol_part parts[MEDIA_MAX_PARTS];
};

/* Soft tokens of n_frames > 0: two convolutions of stride 2 shorten mel frames (gemma4-model.md
 * section 5.5), raw ones are a token each. */
uint32_t protocol_audio_tokens(uint32_t audio_form, uint32_t n_frames);

/* Bytes that the largest result of a kind takes. */
uint64_t protocol_max_result_bytes(const struct protocol_job *job);

/* INTERNAL: a number that no child of ours would send. Makes the message printable. */
NODISCARD enum status protocol_check_answer(const struct protocol_job *job,
                                            struct protocol_answer *answer, struct error *err);

/* INTERNAL: audio of an accepted answer has a value that is not finite. */
NODISCARD enum status protocol_check_samples(const float *samples, size_t n, struct error *err);

/* One message with at most one descriptor, -1: none. UNAVAILABLE: the other side is gone. */
NODISCARD enum status protocol_send(int socket_fd, const void *message, size_t n_bytes,
                                    int passed_fd, struct error *err);
/* Waits for a message of exactly n_bytes. out_fd NULL: none is taken; else *out_fd is the passed
 * one (close-on-exec), or -1. UNAVAILABLE: the other side is gone. INTERNAL: another length. */
NODISCARD enum status protocol_receive(int socket_fd, void *message, size_t n_bytes, int *out_fd,
                                       struct error *err);

#endif
