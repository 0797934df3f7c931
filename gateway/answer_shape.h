/* gateway/answer_shape.h - what the shapes of answers share: answer.c and the *_answer.c files.
 * Nothing else includes this. */
#ifndef GEMMAD_GATEWAY_ANSWER_SHAPE_H
#define GEMMAD_GATEWAY_ANSWER_SHAPE_H

#include "gateway/answer.h"

/* One API's way to say it. choice is of all prompts' choices. */
struct answer_shape {
    const char *object, *chunk_object; /* "object" of a whole answer, of a chunk */
    void (*create)(struct answer *answer);
    void (*destroy)(struct answer *answer);
    void (*push)(struct answer *answer, uint32_t choice, const struct queued_event *event,
                 struct text_buffer *lines);
    /* As answer_end. */
    void (*end)(struct answer *answer, struct text_buffer *lines);
};

struct answer {
    struct answer_config config;
    const struct answer_shape *shape;
    void *choices; /* the shape's, [n_choices] */
    uint32_t n_choices;
    uint64_t prompt_tokens, cached_tokens, completion_tokens, reasoning_tokens;
    size_t n_kept_bytes; /* of an answer that is not streamed; the shape counts */
};

extern const struct answer_shape chat_answer_shape;
extern const struct answer_shape completion_answer_shape;
extern const struct answer_shape responses_answer_shape;

/* `{"id":..,"object":..,"created":..,"model":..,"system_fingerprint":..,"choices":[` */
void answer_begin_object(const struct answer *answer, const char *object, struct text_buffer *out);
/* The end of what has choices: a last chunk that counts, or the whole answer with the members of
 * its "choices" that write appends. */
void answer_end_choices(struct answer *answer,
                        void (*write)(struct answer *answer, struct text_buffer *out),
                        struct text_buffer *lines);
/* What closes a chunk behind its choices, with the newline. */
void answer_end_chunk(const struct answer *answer, struct text_buffer *lines);
/* "stop" and so on. */
const char *answer_finish_reason(const struct engine_event *event);

/* Appends 24 hex digits that nobody had before. */
void answer_write_random_id(struct text_buffer *out);
/* A text that may be ill-formed, as a JSON string. */
void answer_write_bytes(struct text_buffer *out, const char *bytes, size_t n);
/* A log-probability, never below -9999. */
void answer_write_logprob(struct text_buffer *out, float logprob);
/* Appends each separated by "," when out holds something. */
void answer_separate(struct text_buffer *out);

#endif
