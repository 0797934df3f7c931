/* gateway/generate_request.h - a GenerateRequest, checked field by field and completed: absent
 * sampling fields come from the checkpoint's generation_config, then are neutral.
 *
 * A pure function: what is random comes from the caller. Thread: the encoder's. */
#ifndef GEMMAD_GATEWAY_GENERATE_REQUEST_H
#define GEMMAD_GATEWAY_GENERATE_REQUEST_H

#include "engine/request.h"
#include "engine/stop_strings.h"
#include "gateway/generate_prompt.h"
#include "proto/inference.pb-c.h"

#define GENERATE_MAX_ID_BYTES 256        /* of request_id and of cache_salt */
#define GENERATE_MAX_STOP_TOKEN_IDS 1024 /* of a request */
#define GENERATE_MAX_LOGIT_BIAS 65536    /* entries */

/* Used where the request says nothing. */
struct generate_random {
    uint64_t seed;
    uint64_t id;
};

/* What request points to is here or in the message; of its grammar it has a reference. */
struct generate_request {
    struct request request;
    struct generate_prompt prompt;
    char *id;
    char *cache_salt;
    uint32_t *stop_ids;
    struct logit_bias *biases;
    struct stop_string stop_strings[STOP_STRINGS_MAX];
};

/* out lives no longer than message. Errors name the field and say why; out needs no finish then.
 * INVALID_ARGUMENT, FAILED_PRECONDITION, RESOURCE_EXHAUSTED as in gateway/generate_prompt.h. */
NODISCARD enum status
generate_request_init(struct generate_request *out, const Gemmad__V1__GenerateRequest *message,
                      const struct gateway_model *model, struct tokenizer_encoder *encoder,
                      const struct generate_random *random, struct error *err);
/* The same with a parsed chat request (text/chat.h) as the prompt, whatever message says of one. */
NODISCARD enum status
generate_request_init_chat(struct generate_request *out, const Gemmad__V1__GenerateRequest *message,
                           const struct json_value *chat, const struct gateway_model *model,
                           struct tokenizer_encoder *encoder, const struct generate_random *random,
                           struct error *err);
void generate_request_finish(struct generate_request *request);

#endif
