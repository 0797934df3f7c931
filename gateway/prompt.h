/* gateway/prompt.h - what clients send as a prompt, made into token ids.
 *
 * Thread: the encoder's. */
#ifndef GEMMAD_GATEWAY_PROMPT_H
#define GEMMAD_GATEWAY_PROMPT_H

#include "base/json.h"
#include "base/text_buffer.h"
#include "engine/request.h"
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

/* A parsed request (text/chat.h) as the template writes it; the caller finishes out. */
NODISCARD enum status prompt_render_messages(const struct gateway_model *model,
                                             const struct json_value *request,
                                             struct template_output *out, struct error *err);

/* prompt_encode_chat from a parsed request. */
NODISCARD enum status prompt_encode_messages(const struct gateway_model *model,
                                             struct tokenizer_encoder *encoder,
                                             const struct json_value *request, bool parse_content,
                                             struct token_list *list, struct text_buffer *rendered,
                                             struct error *err);

/* parts [n_parts] are the media that ids stand for. INVALID_ARGUMENT: empty, too long (with the
 * numbers), an id that is not in the vocabulary, or one that stands for media and is of none. */
NODISCARD enum status prompt_check(const struct gateway_model *model, const uint32_t *ids, size_t n,
                                   const struct request_part *parts, size_t n_parts,
                                   struct error *err);

#endif
