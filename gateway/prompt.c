/* gateway/prompt.c - the length is checked before the ids, so a prompt that cannot be served is not
 * read to its end. */
#include "gateway/prompt.h"

#include "base/json.h"
#include "base/utf8.h"
#include "media/media.h"
#include "text/chat.h"

static enum status check_utf8(const char *field, const uint8_t *text, size_t n, struct error *err)
{
    size_t bad;
    if (!utf8_valid((const char *)text, n, &bad))
        return error_set(err, STATUS_INVALID_ARGUMENT, "%s: not UTF-8 at byte %zu", field, bad);
    return STATUS_OK;
}

enum status prompt_encode_text(struct tokenizer_encoder *encoder, const char *field,
                               const uint8_t *text, size_t n, bool parse_special,
                               struct token_list *list, struct error *err)
{
    enum status st = check_utf8(field, text, n, err);
    if (st == STATUS_OK && n > 0)
        tokenizer_encode(encoder, (const char *)text, n, parse_special, &list->ids, &list->n,
                         &list->capacity);
    return st;
}

static enum status check_template(const struct gateway_model *model, struct error *err)
{
    if (model->chat_template)
        return STATUS_OK;
    return error_set(err, STATUS_FAILED_PRECONDITION, "the checkpoint has no chat template");
}

enum status prompt_render_messages(const struct gateway_model *model,
                                   const struct json_value *request, struct template_output *out,
                                   struct error *err)
{
    struct chat_options options = {.bos_token = model->bos_text};
    enum status st = check_template(model, err);
    if (st == STATUS_OK)
        st = chat_render(model->chat_template, request, &options, out, err);
    return st;
}

enum status prompt_encode_messages(const struct gateway_model *model,
                                   struct tokenizer_encoder *encoder,
                                   const struct json_value *request, bool parse_content,
                                   struct token_list *list, struct text_buffer *rendered,
                                   struct error *err)
{
    struct template_output output = {0};
    enum status st = prompt_render_messages(model, request, &output, err);
    if (st != STATUS_OK)
        return st;
    chat_encode(model->tokenizer, encoder, &output, parse_content, &list->ids, &list->n,
                &list->capacity);
    if (rendered)
        text_buffer_append(rendered, output.text, output.length);
    template_output_finish(&output);
    return STATUS_OK;
}

enum status prompt_encode_chat(const struct gateway_model *model, struct tokenizer_encoder *encoder,
                               const uint8_t *json, size_t n, bool parse_content,
                               struct token_list *list, struct text_buffer *rendered,
                               struct error *err)
{
    struct json_document *document = NULL;
    enum status st = check_template(model, err);
    if (st == STATUS_OK)
        st = json_parse((const char *)json, n, NULL, &document, err);
    if (st == STATUS_OK)
        st = prompt_encode_messages(model, encoder, json_root(document), parse_content, list,
                                    rendered, err);
    json_document_destroy(document);
    return st == STATUS_OK ? st : error_prefix(err, "chat_json");
}

enum status prompt_check(const struct gateway_model *model, const uint32_t *ids, size_t n,
                         const struct request_part *parts, size_t n_parts, struct error *err)
{
    size_t part = 0;
    if (n == 0)
        return error_set(err, STATUS_INVALID_ARGUMENT, "prompt: empty");
    if (n >= model->max_positions)
        return error_set(err, STATUS_INVALID_ARGUMENT,
                         "prompt: %zu tokens, but %u is the most for prompt and answer together", n,
                         model->max_positions);
    for (size_t i = 0; i < n; i++) {
        if (ids[i] >= model->vocab_size)
            return error_set(err, STATUS_INVALID_ARGUMENT,
                             "prompt: token %zu is %u, but the vocabulary has %u", i, ids[i],
                             model->vocab_size);
        if (part < n_parts && i == parts[part].first) {
            i += parts[part].media->parts[parts[part].part].n_tokens - 1;
            part++;
            continue;
        }
        for (size_t k = 0; k < model->n_soft_token_ids; k++)
            if (ids[i] == model->soft_token_ids[k])
                return error_set(err, STATUS_INVALID_ARGUMENT,
                                 "prompt: token %zu is %u, which stands for an image, a frame or "
                                 "audio; the request has none",
                                 i, ids[i]);
    }
    return STATUS_OK;
}
