/* gateway/generate_prompt.h - the prompt of a GenerateRequest: its ids, and the media in it.
 *
 * Thread: the encoder's; media are decoded meanwhile, which takes long. */
#ifndef GEMMAD_GATEWAY_GENERATE_PROMPT_H
#define GEMMAD_GATEWAY_GENERATE_PROMPT_H

#include "engine/request.h"
#include "gateway/media_load.h"
#include "gateway/prompt.h"
#include "proto/inference.pb-c.h"

struct generate_prompt {
    const uint32_t *ids; /* [n] in list, or in the message */
    size_t n;
    struct token_list list;
    struct media_list media;
    struct request_part *parts; /* [n_parts] */
    size_t n_parts;
};

/* chat: a parsed chat request (text/chat.h) in the place of the message's own prompt, or NULL. The
 * message's media stand where the prompt has placeholders, or parts without data.
 * INVALID_ARGUMENT names the field; else as gateway/prompt.h and gateway/media_load.h. On failure
 * out needs no finish. */
NODISCARD enum status generate_prompt_init(struct generate_prompt *out,
                                           const Gemmad__V1__GenerateRequest *message,
                                           const struct json_value *chat,
                                           const struct gateway_model *model,
                                           struct tokenizer_encoder *encoder, struct error *err);
void generate_prompt_finish(struct generate_prompt *prompt);

#endif
