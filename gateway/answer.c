/* gateway/answer.c - what is the same in every API: the head of each object, the count of tokens,
 * and that chunks and whole answers are lines. */
#include "gateway/answer.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/mem.h"
#include "base/utf8.h"
#include "gateway/answer_shape.h"

#define LOWEST_LOGPROB (-9999.0F)

struct answer *answer_create(const struct answer_config *config)
{
    struct answer *answer = mem_zeroed(1, sizeof *answer);
    answer->config = *config;
    answer->n_choices = config->n_prompts * config->n;
    static const struct answer_shape *const shapes[] = {
        [OPENAI_CHAT] = &chat_answer_shape,
        [OPENAI_COMPLETION] = &completion_answer_shape,
        [OPENAI_RESPONSES] = &responses_answer_shape,
    };
    answer->shape = shapes[config->api];
    answer->shape->create(answer);
    return answer;
}

void answer_destroy(struct answer *answer)
{
    if (!answer)
        return;
    answer->shape->destroy(answer);
    free(answer);
}

// Each choice has what it made; what a prompt took is said by all its choices, and counts once.
static void count(struct answer *answer, const struct engine_event *event)
{
    answer->completion_tokens += event->completion_tokens;
    answer->reasoning_tokens += event->reasoning_tokens;
    if (event->index > 0)
        return;
    answer->prompt_tokens += event->prompt_tokens;
    answer->cached_tokens += event->cached_tokens;
}

enum status answer_push(struct answer *answer, uint32_t prompt, const struct queued_event *event,
                        struct text_buffer *lines, struct error *err)
{
    if (event->event.type == ENGINE_EVENT_FINISH)
        count(answer, &event->event);
    answer->shape->push(answer, prompt * answer->config.n + event->event.index, event, lines);
    if (answer->n_kept_bytes > ANSWER_MAX_BYTES)
        return error_set(err, STATUS_RESOURCE_EXHAUSTED,
                         "the answer is larger than %zu MiB; ask for a stream",
                         ANSWER_MAX_BYTES >> 20);
    return STATUS_OK;
}

void answer_begin_object(const struct answer *answer, const char *object, struct text_buffer *out)
{
    const struct answer_config *config = &answer->config;
    text_buffer_append_text(out, "{\"id\":");
    json_write_string(out, config->id, strlen(config->id));
    text_buffer_append_format(out, ",\"object\":\"%s\",\"created\":%" PRId64 ",\"model\":", object,
                              config->created);
    json_write_string(out, config->model->name, strlen(config->model->name));
    text_buffer_append_text(out, ",\"system_fingerprint\":");
    json_write_string(out, config->fingerprint, strlen(config->fingerprint));
    text_buffer_append_text(out, ",\"choices\":[");
}

static void write_usage(const struct answer *answer, struct text_buffer *out)
{
    text_buffer_append_format(out,
                              ",\"usage\":{\"prompt_tokens\":%" PRIu64
                              ",\"completion_tokens\":%" PRIu64 ",\"total_tokens\":%" PRIu64
                              ",\"prompt_tokens_details\":{\"cached_tokens\":%" PRIu64
                              "},\"completion_tokens_details\":{\"reasoning_tokens\":%" PRIu64 "}}",
                              answer->prompt_tokens, answer->completion_tokens,
                              answer->prompt_tokens + answer->completion_tokens,
                              answer->cached_tokens, answer->reasoning_tokens);
}

void answer_end_chunk(const struct answer *answer, struct text_buffer *lines)
{
    text_buffer_append_text(lines, answer->config.include_usage ? "],\"usage\":null}\n" : "]}\n");
}

void answer_end(struct answer *answer, struct text_buffer *lines)
{
    answer->shape->end(answer, lines);
}

void answer_end_choices(struct answer *answer,
                        void (*write)(struct answer *answer, struct text_buffer *out),
                        struct text_buffer *lines)
{
    bool stream = answer->config.stream;
    if (stream && !answer->config.include_usage)
        return;
    answer_begin_object(answer, stream ? answer->shape->chunk_object : answer->shape->object,
                        lines);
    if (!stream)
        write(answer, lines);
    text_buffer_append_text(lines, "]");
    write_usage(answer, lines);
    text_buffer_append_text(lines, "}\n");
}

const char *answer_finish_reason(const struct engine_event *event)
{
    switch (event->reason) {
    case FINISH_STOP:
        return "stop";
    case FINISH_LENGTH:
        return "length";
    case FINISH_ABORT:
    case FINISH_TIME_LIMIT:
        break;
    }
    return "abort";
}

void answer_write_random_id(struct text_buffer *out)
{
    uint8_t random[12];
    CHECK(getrandom(random, sizeof random, 0) == sizeof random);
    for (size_t i = 0; i < sizeof random; i++)
        text_buffer_append_format(out, "%02x", random[i]);
}

void answer_write_bytes(struct text_buffer *out, const char *bytes, size_t n)
{
    if (utf8_valid(bytes, n, NULL)) {
        json_write_string(out, bytes, n);
        return;
    }
    struct text_buffer text = {0};
    for (size_t i = 0; i < n;) {
        uint32_t code_point;
        char encoded[UTF8_MAX_BYTES];
        i += utf8_decode(bytes + i, n - i, &code_point);
        text_buffer_append(&text, encoded, utf8_encode(code_point, encoded));
    }
    json_write_string(out, text.data, text.length);
    text_buffer_finish(&text);
}

void answer_write_logprob(struct text_buffer *out, float logprob)
{
    double value = logprob > LOWEST_LOGPROB ? (double)logprob : (double)LOWEST_LOGPROB;
    text_buffer_append_format(out, "%.9g", value);
}

void answer_separate(struct text_buffer *out)
{
    if (out->length > 0)
        text_buffer_append_text(out, ",");
}
