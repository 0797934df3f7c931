/* media/decoder.c - a caller's thread does all of its file but the decoding: limits, the hash, the
 * copy into the job's memory, the look at the answer. */
#include "media/decoder.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "media/child_pool.h"
#include "media/content_key.h"
#include "media/job_memory.h"

#define DEFAULT_MAX_CHILDREN 8
#define DEFAULT_IMAGE_TOKENS 280
#define DEFAULT_FRAME_TOKENS 70
#define N_TRIES 2

struct media_decoder {
    struct media_decoder_config config; /* without the program's name */
    struct child_pool *pool;
    atomic_uint_least64_t n_decoded, n_rejected, n_child_deaths, decode_ns;
};

static uint32_t default_n_children(void)
{
    long n = sysconf(_SC_NPROCESSORS_ONLN);
    return n < 1 ? 1 : n > DEFAULT_MAX_CHILDREN ? DEFAULT_MAX_CHILDREN : (uint32_t)n;
}

enum status media_decoder_create(const struct media_decoder_config *config,
                                 struct media_decoder **out, struct error *err)
{
    if (config->max_file_bytes == 0 || config->max_pixels == 0 || config->max_seconds == 0 ||
        config->timeout_ns == 0 || config->max_child_bytes == 0)
        return error_set(err, STATUS_INVALID_ARGUMENT, "media: a limit is 0");
    uint32_t n_children = config->n_children > 0 ? config->n_children : default_n_children();
    struct child_pool *pool;
    enum status st = child_pool_create(config->program, n_children, config->max_child_bytes, &pool,
                                       err);
    if (st != STATUS_OK)
        return st;
    struct media_decoder *decoder = mem_zeroed(1, sizeof *decoder);
    decoder->config = *config;
    decoder->config.program = NULL;
    decoder->pool = pool;
    *out = decoder;
    return STATUS_OK;
}

void media_decoder_destroy(struct media_decoder *decoder)
{
    if (!decoder)
        return;
    child_pool_destroy(decoder->pool);
    free(decoder);
}

static enum status check_budget(const struct media_wish *wish, struct error *err)
{
    static const uint32_t budgets[] = {0, 70, 140, 280, 560, 1120};
    if (wish->kind == MEDIA_AUDIO && wish->max_tokens != 0)
        return error_set(err, STATUS_INVALID_ARGUMENT, "audio has no budget of soft tokens");
    for (size_t i = 0; i < sizeof budgets / sizeof *budgets; i++)
        if (wish->max_tokens == budgets[i])
            return STATUS_OK;
    return error_set(err, STATUS_INVALID_ARGUMENT,
                     "a budget of %u soft tokens: it is one of 70, 140, 280, 560 and 1120",
                     wish->max_tokens);
}

static enum status check_wish(const struct media_decoder *decoder, const struct media_wish *wish,
                              struct error *err)
{
    if (wish->kind == MEDIA_AUDIO && decoder->config.audio == MEDIA_AUDIO_NONE)
        return error_set(err, STATUS_UNIMPLEMENTED, "the model takes no audio");
    if (wish->n_bytes == 0)
        return error_set(err, STATUS_INVALID_ARGUMENT, "the file is empty");
    if (wish->n_bytes > decoder->config.max_file_bytes)
        return error_set(err, STATUS_INVALID_ARGUMENT,
                         "the file has %zu bytes, beyond the limit of %zu", wish->n_bytes,
                         decoder->config.max_file_bytes);
    return check_budget(wish, err);
}

static struct protocol_job describe_job(const struct media_decoder *decoder,
                                        const struct media_wish *wish)
{
    struct protocol_job job = {.kind = wish->kind,
                               .max_tokens = wish->max_tokens,
                               .max_seconds = decoder->config.max_seconds,
                               .max_pixels = decoder->config.max_pixels,
                               .n_bytes = wish->n_bytes};
    if (wish->kind == MEDIA_AUDIO)
        job.audio_form = decoder->config.audio;
    else if (wish->max_tokens == 0)
        job.max_tokens = wish->kind == MEDIA_VIDEO ? DEFAULT_FRAME_TOKENS : DEFAULT_IMAGE_TOKENS;
    job.result_bytes = protocol_max_result_bytes(&job);
    return job;
}

struct result {
    struct protocol_answer answer;
    unsigned char *data; /* mapped; NULL where the answer refuses */
    size_t n_bytes;
};

static struct media *make_media(const struct protocol_job *job, const struct result *result,
                                const struct media_wish *wish)
{
    unsigned char digest[CONTENT_DIGEST_BYTES];
    content_digest(wish->bytes, wish->n_bytes, digest);
    struct media *media = media_create(wish->kind, result->data, result->n_bytes);
    media->n_parts = result->answer.n_parts;
    for (uint32_t i = 0; i < media->n_parts; i++) {
        const struct protocol_part *part = &result->answer.parts[i];
        media->parts[i] = (struct media_part){.n_tokens = part->n_tokens,
                                              .grid_width = part->grid_width,
                                              .grid_height = part->grid_height,
                                              .n_frames = part->n_frames,
                                              .timestamp_s = part->timestamp_s,
                                              .data = result->data + part->offset,
                                              .n_bytes = part->n_bytes};
        content_key(digest, job, part, media->parts[i].key);
    }
    return media;
}

static enum status keep_result(int fd, const struct protocol_job *job, struct result *result,
                               struct error *err)
{
    result->data = NULL;
    if (result->answer.refused)
        return STATUS_OK;
    enum status st = job_memory_keep(fd, job, &result->answer, &result->data, &result->n_bytes,
                                     err);
    if (st == STATUS_OK && job->kind == MEDIA_AUDIO) {
        st = protocol_check_samples((const float *)result->data, result->n_bytes / sizeof(float),
                                    err);
        if (st != STATUS_OK)
            munmap(result->data, result->n_bytes);
    }
    return st;
}

// *out_usable false: the child died, hung or lied.
static enum status ask(struct media_decoder *decoder, const struct protocol_job *job, int fd,
                       struct result *result, bool *out_usable, struct error *err)
{
    struct media_child *child;
    enum status st = child_pool_take(decoder->pool, decoder->config.timeout_ns, &child, err);
    if (st != STATUS_OK)
        return st;
    uint64_t start_ns = clock_now_ns();
    st = media_child_ask(child, job, fd, decoder->config.timeout_ns, &result->answer, err);
    decoder->decode_ns += clock_now_ns() - start_ns;
    if (st == STATUS_OK)
        st = keep_result(fd, job, result, err);
    *out_usable = st == STATUS_OK;
    child_pool_give_back(decoder->pool, child, *out_usable);
    decoder->n_child_deaths += !*out_usable;
    return st;
}

static enum status decode(struct media_decoder *decoder, struct protocol_job *job,
                          const struct media_wish *wish, struct media **out, bool *out_usable,
                          struct error *err)
{
    struct result result;
    int fd;
    *out_usable = true;
    enum status st = job_memory_create(job, wish->bytes, &fd, err);
    if (st != STATUS_OK)
        return st;
    st = ask(decoder, job, fd, &result, out_usable, err);
    close(fd);
    if (st != STATUS_OK)
        return st;
    if (result.answer.refused)
        return error_set(err, STATUS_INVALID_ARGUMENT, "%s", result.answer.message);
    *out = make_media(job, &result, wish);
    return STATUS_OK;
}

enum status media_decode(struct media_decoder *decoder, const struct media_wish *wish,
                         struct media **out, struct error *err)
{
    enum status st = check_wish(decoder, wish, err);
    if (st == STATUS_OK) {
        struct protocol_job job = describe_job(decoder, wish);
        bool usable = false;
        for (int i = 0; i < N_TRIES && !usable; i++)
            st = decode(decoder, &job, wish, out, &usable, err);
        if (!usable)
            st = error_set(err, STATUS_INVALID_ARGUMENT, "the file cannot be decoded: %s",
                           st == STATUS_DEADLINE_EXCEEDED ? "it takes too long"
                                                          : "the decoder fails on it");
    }
    if (st == STATUS_OK)
        decoder->n_decoded++;
    else
        decoder->n_rejected++;
    return st;
}

void media_decoder_get_stats(struct media_decoder *decoder, struct media_decoder_stats *out)
{
    *out = (struct media_decoder_stats){.n_decoded = decoder->n_decoded,
                                        .n_rejected = decoder->n_rejected,
                                        .n_child_deaths = decoder->n_child_deaths,
                                        .decode_ns = decoder->decode_ns};
}
