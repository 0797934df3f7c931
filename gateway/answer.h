/* gateway/answer.h - the events of an OpenAI request on their way to JSON, in the shape of the API
 * that it came through.
 *
 * A stream's chunks, and a whole answer, are lines: JSON without a newline in it, and one behind
 * it. What a whole answer holds is what its stream would have said, put together.
 * Thread: the owner's. */
#ifndef GEMMAD_GATEWAY_ANSWER_H
#define GEMMAD_GATEWAY_ANSWER_H

#include "gateway/event_queue.h"
#include "gateway/model.h"
#include "gateway/openai_fields.h"

#define ANSWER_MAX_ID_BYTES 320
/* Of an answer that is not streamed. */
#define ANSWER_MAX_BYTES ((size_t)64 << 20)

struct answer_config {
    enum openai_api api;
    const struct gateway_model *model;
    char id[ANSWER_MAX_ID_BYTES];
    int64_t created; /* Unix seconds */
    const char *fingerprint;
    uint32_t n_prompts;
    uint32_t n; /* choices of each prompt */
    bool stream;
    bool include_usage;     /* with stream: a last chunk counts tokens */
    bool include_reasoning; /* its text; it is counted in any case */
    bool parse_tools;
    int32_t n_logprobs; /* -1: none; else the best ones beside each token's own */
    bool echo;          /* OPENAI_COMPLETION: the prompt is part of the text */
};

struct answer;

struct answer *answer_create(const struct answer_config *config); /* copies it */
void answer_destroy(struct answer *answer);                       /* NULL is fine */

/* An event of the prompt-th request. Appends the chunks that it makes, if the answer is streamed.
 * RESOURCE_EXHAUSTED: the answer is not streamed, and larger than ANSWER_MAX_BYTES. */
NODISCARD enum status answer_push(struct answer *answer, uint32_t prompt,
                                  const struct queued_event *event, struct text_buffer *lines,
                                  struct error *err);
/* Every request is finished: appends the last chunk, or the whole answer. */
void answer_end(struct answer *answer, struct text_buffer *lines);

#endif
