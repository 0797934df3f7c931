/* media/protocol.c - messages are structs as they lie in memory: both ends are programs of one
 * build, which the hello checks. */
#include "media/protocol.h"

#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>

#include "media/decoder.h"

#define HELLO_MAGIC UINT64_C(0x316169646d656767) /* "ggmedia1" */
#define TOKEN_BYTES ((uint64_t)MEDIA_TOKEN_PATCHES * MEDIA_PATCH_BYTES)
#define MAX_MEL_FRAMES 3000 /* 30 s, a frame each 10 ms */

struct protocol_hello protocol_hello(void)
{
    return (struct protocol_hello){.magic = HELLO_MAGIC,
                                   .job_bytes = sizeof(struct protocol_job),
                                   .answer_bytes = sizeof(struct protocol_answer)};
}

static uint64_t audio_frame_bytes(const struct protocol_job *job)
{
    uint64_t n = job->audio_form == MEDIA_AUDIO_MEL ? MEDIA_MEL_BINS : MEDIA_RAW_FRAME_SAMPLES;
    return n * sizeof(float);
}

static uint32_t max_audio_frames(const struct protocol_job *job)
{
    return job->audio_form == MEDIA_AUDIO_MEL ? MAX_MEL_FRAMES : MEDIA_MAX_AUDIO_TOKENS;
}

uint64_t protocol_max_result_bytes(const struct protocol_job *job)
{
    switch ((enum media_kind)job->kind) {
    case MEDIA_IMAGE:
        return job->max_tokens * TOKEN_BYTES;
    case MEDIA_VIDEO:
        return MEDIA_MAX_PARTS * (job->max_tokens * TOKEN_BYTES);
    case MEDIA_AUDIO:
        return max_audio_frames(job) * audio_frame_bytes(job);
    }
    return 0;
}

uint32_t protocol_audio_tokens(uint32_t audio_form, uint32_t n_frames)
{
    if (audio_form == MEDIA_AUDIO_RAW)
        return n_frames;
    uint32_t half = (n_frames - 1) / 2 + 1;
    return (half - 1) / 2 + 1;
}

static bool audio_makes_sense(const struct protocol_job *job, const struct protocol_part *part)
{
    return part->n_frames >= 1 && part->n_frames <= max_audio_frames(job) &&
           part->n_tokens == protocol_audio_tokens(job->audio_form, part->n_frames) &&
           part->n_tokens <= MEDIA_MAX_AUDIO_TOKENS &&
           part->n_bytes == part->n_frames * audio_frame_bytes(job) && part->grid_width == 0 &&
           part->grid_height == 0 && part->timestamp_s == 0 && part->frame == 0;
}

static bool image_makes_sense(const struct protocol_job *job, const struct protocol_part *part)
{
    uint64_t n_patches = (uint64_t)part->grid_width * part->grid_height;
    return part->grid_width >= 1 && part->grid_width % 3 == 0 && part->grid_height >= 1 &&
           part->grid_height % 3 == 0 && part->n_tokens <= job->max_tokens &&
           n_patches == (uint64_t)part->n_tokens * MEDIA_TOKEN_PATCHES &&
           part->n_bytes == part->n_tokens * TOKEN_BYTES && part->n_frames == 0 &&
           part->timestamp_s <= job->max_seconds;
}

static bool part_follows(const struct protocol_job *job, const struct protocol_part *part,
                         const struct protocol_part *previous)
{
    uint64_t free_from = previous ? previous->offset + previous->n_bytes : 0;
    if (part->offset % PROTOCOL_DATA_ALIGNMENT != 0 || part->offset < free_from ||
        part->offset > job->result_bytes || part->n_bytes > job->result_bytes - part->offset)
        return false;
    if (previous)
        return part->frame > previous->frame && part->timestamp_s >= previous->timestamp_s;
    return job->kind == MEDIA_VIDEO || (part->timestamp_s == 0 && part->frame == 0);
}

static void make_printable(char *message)
{
    message[PROTOCOL_MESSAGE_BYTES - 1] = '\0';
    for (char *c = message; *c; c++)
        if (*c < ' ' || *c > '~')
            *c = '?';
}

enum status protocol_check_answer(const struct protocol_job *job, struct protocol_answer *answer,
                                  struct error *err)
{
    make_printable(answer->message);
    if (answer->refused == 1 && answer->message[0] != '\0')
        return STATUS_OK;
    uint32_t max_parts = job->kind == MEDIA_VIDEO ? MEDIA_MAX_PARTS : 1;
    if (answer->refused != 0 || answer->n_parts < 1 || answer->n_parts > max_parts)
        return error_set(err, STATUS_INTERNAL, "a decoder's answer makes no sense: %u, %u parts",
                         answer->refused, answer->n_parts);
    for (uint32_t i = 0; i < answer->n_parts; i++) {
        const struct protocol_part *part = &answer->parts[i];
        bool sense = job->kind == MEDIA_AUDIO ? audio_makes_sense(job, part)
                                              : image_makes_sense(job, part);
        if (!sense || !part_follows(job, part, i > 0 ? part - 1 : NULL))
            return error_set(err, STATUS_INTERNAL, "part %u of a decoder's answer makes no sense",
                             i);
    }
    return STATUS_OK;
}

enum status protocol_check_samples(const float *samples, size_t n, struct error *err)
{
    for (size_t i = 0; i < n; i++)
        if (!isfinite(samples[i]))
            return error_set(err, STATUS_INTERNAL, "value %zu of a decoder's audio is not finite",
                             i);
    return STATUS_OK;
}

union passed_descriptor {
    struct cmsghdr header;
    char room[CMSG_SPACE(sizeof(int))];
};

enum status protocol_send(int socket_fd, const void *message, size_t n_bytes, int passed_fd,
                          struct error *err)
{
    union passed_descriptor control = {0};
    struct iovec bytes = {.iov_base = (void *)message, .iov_len = n_bytes};
    struct msghdr header = {.msg_iov = &bytes, .msg_iovlen = 1};
    if (passed_fd >= 0) {
        header.msg_control = control.room;
        header.msg_controllen = sizeof control.room;
        struct cmsghdr *first = CMSG_FIRSTHDR(&header);
        first->cmsg_level = SOL_SOCKET;
        first->cmsg_type = SCM_RIGHTS;
        first->cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(first), &passed_fd, sizeof passed_fd);
    }
    ssize_t n;
    do
        n = sendmsg(socket_fd, &header, MSG_NOSIGNAL);
    while (n < 0 && errno == EINTR);
    if (n != (ssize_t)n_bytes)
        return error_set(err, STATUS_UNAVAILABLE, "send: %s", strerror(errno));
    return STATUS_OK;
}

enum status protocol_receive(int socket_fd, void *message, size_t n_bytes, int *out_fd,
                             struct error *err)
{
    union passed_descriptor control = {0};
    struct iovec bytes = {.iov_base = message, .iov_len = n_bytes};
    struct msghdr header = {.msg_iov = &bytes, .msg_iovlen = 1};
    if (out_fd) {
        *out_fd = -1;
        header.msg_control = control.room;
        header.msg_controllen = sizeof control.room;
    }
    ssize_t n;
    do
        n = recvmsg(socket_fd, &header, MSG_CMSG_CLOEXEC);
    while (n < 0 && errno == EINTR);
    if (n <= 0)
        return error_set(err, STATUS_UNAVAILABLE, "receive: %s",
                         n == 0 ? "the other side is gone" : strerror(errno));
    struct cmsghdr *first = CMSG_FIRSTHDR(&header);
    if (out_fd && first && first->cmsg_level == SOL_SOCKET && first->cmsg_type == SCM_RIGHTS &&
        first->cmsg_len == CMSG_LEN(sizeof(int)))
        memcpy(out_fd, CMSG_DATA(first), sizeof *out_fd);
    if (n != (ssize_t)n_bytes || (header.msg_flags & MSG_TRUNC))
        return error_set(err, STATUS_INTERNAL, "a message of another length");
    return STATUS_OK;
}
