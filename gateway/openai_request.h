/* gateway/openai_request.h - a body of the OpenAI API, made into requests for the engine and what
 * its answer must know. One request for a chat, one for each prompt of a completion.
 *
 * A body becomes the message that gRPC clients send (gateway/generate_request.h), so that a value
 * is checked in one place whatever way it came. Thread: the encoder's. */
#ifndef GEMMAD_GATEWAY_OPENAI_REQUEST_H
#define GEMMAD_GATEWAY_OPENAI_REQUEST_H

#include "gateway/answer.h"
#include "gateway/generate_request.h"

struct openai_request {
    struct answer_config answer;
    struct generate_request *parts; /* [n_parts] */
    size_t n_parts;
    struct openai_sources *sources; /* what the parts point into */
};

/* Draws seeds and ids where the body names none. On failure out needs no finish.
 * INVALID_ARGUMENT: "temperature=3: must be from 0 to 2" and the like. NOT_FOUND: no such model.
 * UNIMPLEMENTED: media in a message. Else as gateway/prompt.h. */
NODISCARD enum status openai_request_init(struct openai_request *out, enum openai_api api,
                                          const char *body, size_t n,
                                          const struct gateway_model *model,
                                          struct tokenizer_encoder *encoder, struct error *err);
void openai_request_finish(struct openai_request *request);

#endif
