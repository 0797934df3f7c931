/* tests/fuzz/fuzz_media_answer.c - what a child that was taken over may answer: an answer that
 * passes describes parts inside its result. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "media/decoder.h"
#include "media/protocol.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct protocol_answer answer = {0};
    if (size < 2)
        return 0;
    memcpy(&answer, data + 2, size - 2 < sizeof answer ? size - 2 : sizeof answer);
    struct protocol_job job = {.kind = data[0] % 3, .max_seconds = 100};
    if (job.kind == MEDIA_AUDIO)
        job.audio_form = data[1] % 2 ? MEDIA_AUDIO_MEL : MEDIA_AUDIO_RAW;
    else
        job.max_tokens = 70u << data[1] % 5;
    job.result_bytes = protocol_max_result_bytes(&job);
    if (protocol_check_answer(&job, &answer, NULL) != STATUS_OK || answer.refused)
        return 0;
    uint64_t end = 0;
    for (uint32_t i = 0; i < answer.n_parts; i++) {
        const struct protocol_part *part = &answer.parts[i];
        CHECK(part->offset >= end && part->n_bytes > 0 && part->n_tokens > 0);
        end = part->offset + part->n_bytes;
        CHECK(end > part->offset && end <= job.result_bytes);
    }
    return 0;
}
