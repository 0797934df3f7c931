/* gateway/prompt.h - what clients send as a prompt, made into token ids.
 *
 * Thread: the encoder's. */
#ifndef GEMMAD_GATEWAY_PROMPT_H
#define GEMMAD_GATEWAY_PROMPT_H

#include "base/json.h"
#include "base/text_buffer.h"
#include "gateway/model.h"

/* Ids that grow; zero-initialise, free(ids). */
struct token_list {
    uint32_t *ids;
    size_t n;
    size_t capacity;
};

/* The functions append to list; on failure it may hold a part. field names the text in messages.
 * INVALID_ARGUMENT: no UTF-8, or for chat_json: no such JSON, or the template refuses it.
 * FAILED_PRECONDITION: the checkpoint has no chat template. RESOURCE_EXHAUSTED: the template takes
 * too many steps or makes too much text. */
NODISCARD enum status prompt_encode_text(struct tokenizer_encoder *encoder, const char *field,
                                         const uint8_t *text, size_t n, bool parse_special,
                                         struct token_list *list, struct error *err);
/* rendered (may be NULL) takes the prompt as text. */
NODISCARD enum status prompt_encode_chat(const struct gateway_model *model,
                                         struct tokenizer_encoder *encoder, const uint8_t *json,
                                         size_t n, bool parse_content, struct token_list *list,
                                         struct text_buffer *rendered, struct error *err);

/* The same from a parsed request (text/chat.h). */
NODISCARD enum status prompt_encode_messages(const struct gateway_model *model,
                                             struct tokenizer_encoder *encoder,
                                             const struct json_value *request, bool parse_content,
                                             struct token_list *list, struct text_buffer *rendered,
                                             struct error *err);

/* INVALID_ARGUMENT: empty, too long (with the numbers), an id that is not in the vocabulary, or
 * one that stands for media. */
NODISCARD enum status prompt_check(const struct gateway_model *model, const uint32_t *ids, size_t n,
                                   struct error *err);

#endif
