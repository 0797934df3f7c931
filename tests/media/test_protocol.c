// tests/media/test_protocol.c - answers that no honest child would give.
#include "media/protocol.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "media/decoder.h"
#include "tests/test.h"

static struct protocol_job image_job(void)
{
    struct protocol_job job = {.kind = MEDIA_IMAGE, .max_tokens = 70, .max_seconds = 600};
    job.result_bytes = protocol_max_result_bytes(&job);
    return job;
}

static struct protocol_answer image_answer(void)
{
    return (struct protocol_answer){
        .n_parts = 1,
        .parts = {{.n_tokens = 4,
                   .grid_width = 6,
                   .grid_height = 6,
                   .n_bytes = 4 * MEDIA_TOKEN_PATCHES * MEDIA_PATCH_BYTES}}};
}

static void must_not_pass(const struct protocol_job *job, struct protocol_answer answer)
{
    ASSERT_EQ(protocol_check_answer(job, &answer, NULL), STATUS_INTERNAL);
}

TEST(an_honest_answer_passes)
{
    struct protocol_job job = image_job();
    struct protocol_answer answer = image_answer();
    struct error err = {0};
    ASSERT_OK_ERR(protocol_check_answer(&job, &answer, &err), err);
}

TEST(each_number_of_an_image_is_checked)
{
    struct protocol_job job = image_job();
    const struct protocol_part wrong[] = {
        {.grid_width = 6, .grid_height = 6, .n_bytes = 27648},                 // no tokens
        {.n_tokens = 4, .grid_width = 6, .grid_height = 3, .n_bytes = 27648},  // a smaller grid
        {.n_tokens = 4, .grid_width = 36, .grid_height = 1, .n_bytes = 27648}, // no multiple of 3
        {.n_tokens = 4, .grid_width = 6, .grid_height = 6, .n_bytes = 27647},
        {.n_tokens = 4, .grid_width = 6, .grid_height = 6, .n_bytes = 27648, .offset = 32},
        {.n_tokens = 4, .grid_width = 6, .grid_height = 6, .n_bytes = 27648, .n_frames = 1},
        {.n_tokens = 4, .grid_width = 6, .grid_height = 6, .n_bytes = 27648, .frame = 1},
        {.n_tokens = 4, .grid_width = 6, .grid_height = 6, .n_bytes = 27648, .timestamp_s = 1},
        {.n_tokens = 4, .grid_width = 6, .grid_height = 6, .n_bytes = 27648, .offset = 457216},
        {.n_tokens = 4,
         .grid_width = 6,
         .grid_height = 6,
         .n_bytes = 27648,
         .offset = UINT64_MAX - 63},
        {.n_tokens = 71, .grid_width = 213, .grid_height = 3, .n_bytes = 490752}, // over the budget
        {.grid_width = 3u << 30, .grid_height = 3u << 30},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct protocol_answer answer = image_answer();
        answer.parts[0] = wrong[i];
        if (protocol_check_answer(&job, &answer, NULL) != STATUS_INTERNAL)
            test_fail(__FILE__, __LINE__, "wrong part %zu passes", i);
    }
}

TEST(there_are_as_many_parts_as_a_kind_has)
{
    struct protocol_job job = image_job();
    struct protocol_answer answer = image_answer();
    answer.n_parts = 0;
    must_not_pass(&job, answer);
    answer.n_parts = 2;
    must_not_pass(&job, answer);
    answer.n_parts = UINT32_MAX;
    must_not_pass(&job, answer);
    answer = image_answer();
    answer.refused = 2;
    must_not_pass(&job, answer);
    answer.refused = 1; // but no word why
    must_not_pass(&job, answer);
}

TEST(frames_of_a_video_ascend_and_do_not_overlap)
{
    struct protocol_job job = image_job();
    job.kind = MEDIA_VIDEO;
    job.result_bytes = protocol_max_result_bytes(&job);
    struct protocol_answer answer = image_answer();
    answer.n_parts = 2;
    answer.parts[1] = answer.parts[0];
    answer.parts[1].frame = 3;
    answer.parts[1].timestamp_s = 1;
    answer.parts[1].offset = answer.parts[0].n_bytes;
    struct error err = {0};
    ASSERT_OK_ERR(protocol_check_answer(&job, &answer, &err), err);
    struct protocol_answer wrong = answer;
    wrong.parts[1].offset -= 64;
    must_not_pass(&job, wrong);
    wrong = answer;
    wrong.parts[1].frame = 0;
    must_not_pass(&job, wrong);
    wrong = answer;
    wrong.parts[0].timestamp_s = 2;
    must_not_pass(&job, wrong);
    wrong = answer;
    wrong.parts[1].timestamp_s = 601;
    must_not_pass(&job, wrong);
}

TEST(audio_has_as_many_tokens_as_its_frames_make)
{
    struct protocol_job job = {.kind = MEDIA_AUDIO, .audio_form = MEDIA_AUDIO_MEL};
    job.result_bytes = protocol_max_result_bytes(&job);
    struct protocol_answer answer = {
        .n_parts = 1, .parts = {{.n_tokens = 25, .n_frames = 99, .n_bytes = 99 * 512}}};
    struct error err = {0};
    ASSERT_OK_ERR(protocol_check_answer(&job, &answer, &err), err);
    answer.parts[0].n_tokens = 24;
    must_not_pass(&job, answer);
    answer.parts[0] = (struct protocol_part){.n_tokens = 751, .n_frames = 3001, .n_bytes = 1536512};
    must_not_pass(&job, answer);
    answer.parts[0] = (struct protocol_part){.n_tokens = 0};
    must_not_pass(&job, answer);
    float values[] = {0, 1, -1, 1e30f};
    ASSERT_OK_ERR(protocol_check_samples(values, 4, &err), err);
    values[2] = NAN;
    ASSERT_EQ(protocol_check_samples(values, 4, NULL), STATUS_INTERNAL);
    values[2] = INFINITY;
    ASSERT_EQ(protocol_check_samples(values, 4, NULL), STATUS_INTERNAL);
}

TEST(a_refusal_is_made_printable)
{
    struct protocol_job job = image_job();
    struct protocol_answer answer = {.refused = 1};
    memset(answer.message, 'x', sizeof answer.message); // and no end
    answer.message[0] = '\n';
    answer.message[1] = (char)0x9b;
    ASSERT_EQ(protocol_check_answer(&job, &answer, NULL), STATUS_OK);
    ASSERT_EQ(strlen(answer.message), sizeof answer.message - 1);
    ASSERT_CONTAINS(answer.message, "??xx");
}

TEST(messages_have_one_length_and_at_most_one_descriptor)
{
    int sockets[2];
    ASSERT(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets) == 0);
    struct error err = {0};
    char got[5];
    int fd;
    ASSERT_OK_ERR(protocol_send(sockets[0], "hello", 5, sockets[0], &err), err);
    ASSERT_OK_ERR(protocol_receive(sockets[1], got, 5, &fd, &err), err);
    ASSERT(fd >= 0 && (fcntl(fd, F_GETFD) & FD_CLOEXEC));
    close(fd);
    ASSERT_OK_ERR(protocol_send(sockets[0], "hello", 5, -1, &err), err);
    ASSERT_OK_ERR(protocol_receive(sockets[1], got, 5, &fd, &err), err);
    ASSERT_EQ(fd, -1);
    ASSERT_OK_ERR(protocol_send(sockets[0], "hello!", 6, -1, &err), err);
    ASSERT_EQ(protocol_receive(sockets[1], got, 5, NULL, &err), STATUS_INTERNAL);
    ASSERT_OK_ERR(protocol_send(sockets[0], "hell", 4, -1, &err), err);
    ASSERT_EQ(protocol_receive(sockets[1], got, 5, NULL, &err), STATUS_INTERNAL);
    close(sockets[0]);
    ASSERT_EQ(protocol_receive(sockets[1], got, 5, NULL, &err), STATUS_UNAVAILABLE);
    ASSERT_EQ(protocol_send(sockets[1], "hello", 5, -1, &err), STATUS_UNAVAILABLE);
    close(sockets[1]);
}
