/* gateway/generate_prompt.c - a chat is rendered and its placeholders are counted before anything
 * is decoded: a request whose media have no place costs little. */
#include "gateway/generate_prompt.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/utf8.h"
#include "gateway/chat_media.h"
#include "gateway/media_prompt.h"
#include "text/chat.h"

struct maker {
    struct generate_prompt *out;
    const struct gateway_model *model;
    struct tokenizer_encoder *encoder;
    struct media_sources given; // the message's media
    struct error *err;
};

static enum status take_medium(struct maker *m, size_t i, const Gemmad__V1__Media *medium)
{
    struct media_source source = {.bytes = medium->data.data, .n = medium->data.len};
    snprintf(source.field, sizeof source.field, "media[%zu]", i);
    if (!media_kind_of_mime_type((const char *)medium->mime_type.data, medium->mime_type.len,
                                 &source.kind))
        return error_set(m->err, STATUS_INVALID_ARGUMENT,
                         "media[%zu].mime_type: must be image/..., video/... or audio/...", i);
    enum status st = media_source_check_mime_type(&source, (const char *)medium->mime_type.data,
                                                  medium->mime_type.len, m->err);
    if (st != STATUS_OK)
        return st;
    if (source.n == 0)
        return error_set(m->err, STATUS_INVALID_ARGUMENT, "media[%zu].data: empty", i);
    if (medium->has_max_soft_tokens && source.kind == MEDIA_AUDIO)
        return error_set(m->err, STATUS_INVALID_ARGUMENT,
                         "media[%zu].max_soft_tokens: audio has no budget", i);
    if (medium->has_max_soft_tokens) {
        char field[64];
        snprintf(field, sizeof field, "media[%zu].max_soft_tokens", i);
        st = media_check_budget(field, medium->max_soft_tokens, m->err);
        source.max_tokens = medium->max_soft_tokens;
    }
    return st == STATUS_OK ? media_sources_add(&m->given, &source, m->err) : st;
}

static enum status take_media(struct maker *m, const Gemmad__V1__GenerateRequest *message)
{
    enum status st = STATUS_OK;
    for (size_t i = 0; i < message->n_media && st == STATUS_OK; i++)
        st = take_medium(m, i, message->media[i]);
    return st;
}

// Without media, placeholders are prompt_check's matter.
static enum status place_media(struct maker *m, const uint32_t *ids, size_t n)
{
    struct generate_prompt *out = m->out;
    if (out->media.n == 0) {
        out->ids = ids;
        out->n = n;
        return STATUS_OK;
    }
    struct token_list placed = {0};
    enum status st = media_prompt_place(m->model, m->encoder, &out->media, ids, n, &placed,
                                        &out->parts, &out->n_parts, m->err);
    free(out->list.ids);
    out->list = placed;
    out->ids = placed.ids;
    out->n = placed.n;
    return st;
}

static bool has_video(const struct media_list *media)
{
    bool found = false;
    for (size_t i = 0; i < media->n; i++)
        found |= media->items[i]->kind == MEDIA_VIDEO;
    return found;
}

static enum status write_videos(struct maker *m, const ProtobufCBinaryData *text)
{
    struct template_output output = {.text = mem_copy(text->data, text->len),
                                     .length = text->len,
                                     .spans = mem_zeroed(1, sizeof *output.spans),
                                     .n_spans = 1};
    output.spans[0].length = text->len;
    media_prompt_write_videos(m->model, &m->out->media, &output);
    enum status st = prompt_encode_text(m->encoder, "text", (const uint8_t *)output.text,
                                        output.length, true, &m->out->list, m->err);
    template_output_finish(&output);
    return st;
}

// A text gets the beginning that the model was trained with; ids and chats are taken as they are.
static enum status take_text(struct maker *m, const ProtobufCBinaryData *text)
{
    struct token_list *list = &m->out->list;
    size_t bad;
    if (text->len == 0)
        return error_set(m->err, STATUS_INVALID_ARGUMENT, "text: empty");
    if (!utf8_valid((const char *)text->data, text->len, &bad))
        return error_set(m->err, STATUS_INVALID_ARGUMENT, "text: not UTF-8 at byte %zu", bad);
    enum status st = media_list_load(&m->out->media, &m->given, m->model, m->err);
    if (st != STATUS_OK)
        return st;
    bool has_bos = m->model->bos_id != TOKEN_NONE;
    if (has_bos) {
        mem_reserve(&list->ids, &list->capacity, 1, sizeof *list->ids);
        list->ids[list->n++] = m->model->bos_id;
    }
    if (has_video(&m->out->media))
        st = write_videos(m, text);
    else
        st = prompt_encode_text(m->encoder, "text", text->data, text->len, true, list, m->err);
    if (st != STATUS_OK)
        return st;
    // It may have brought its own.
    size_t skip = has_bos && list->n > 1 && list->ids[1] == m->model->bos_id;
    return place_media(m, list->ids + skip, list->n - skip);
}

static enum status take_ids(struct maker *m, const Gemmad__V1__TokenIds *ids)
{
    enum status st = media_list_load(&m->out->media, &m->given, m->model, m->err);
    return st == STATUS_OK ? place_media(m, ids->ids, ids->n_ids) : st;
}

static enum status encode_chat(struct maker *m, const struct chat_media *chat,
                               struct template_output *rendered)
{
    struct generate_prompt *out = m->out;
    enum status st = STATUS_OK;
    if (chat->sources.n > 0)
        st = media_prompt_check(m->model, rendered, &chat->sources, m->err);
    if (st == STATUS_OK)
        st = media_list_load(&out->media, &chat->sources, m->model, m->err);
    if (st != STATUS_OK)
        return st;
    if (has_video(&out->media))
        media_prompt_write_videos(m->model, &out->media, rendered);
    chat_encode(m->model->tokenizer, m->encoder, rendered, m->model->special_tokens_in_content,
                &out->list.ids, &out->list.n, &out->list.capacity);
    return place_media(m, out->list.ids, out->list.n);
}

static enum status take_chat(struct maker *m, const struct json_value *request)
{
    struct chat_media chat;
    struct template_output rendered = {0};
    enum status st = chat_media_read(&chat, request, &m->given, m->err);
    if (st != STATUS_OK)
        return st;
    st = prompt_render_messages(m->model, &chat.request, &rendered, m->err);
    if (st == STATUS_OK) {
        st = encode_chat(m, &chat, &rendered);
        template_output_finish(&rendered);
    }
    chat_media_finish(&chat);
    return st;
}

static enum status take_chat_json(struct maker *m, const ProtobufCBinaryData *json)
{
    struct json_document *document = NULL;
    enum status st = json_parse((const char *)json->data, json->len, NULL, &document, m->err);
    if (st == STATUS_OK)
        st = take_chat(m, json_root(document));
    json_document_destroy(document);
    return st == STATUS_OK ? st : error_prefix(m->err, "chat_json");
}

static enum status take_prompt(struct maker *m, const Gemmad__V1__GenerateRequest *message)
{
    switch (message->prompt_case) {
    case GEMMAD__V1__GENERATE_REQUEST__PROMPT_TEXT:
        return take_text(m, &message->text);
    case GEMMAD__V1__GENERATE_REQUEST__PROMPT_TOKEN_IDS:
        return take_ids(m, message->token_ids);
    case GEMMAD__V1__GENERATE_REQUEST__PROMPT_CHAT_JSON:
        return take_chat_json(m, &message->chat_json);
    default:
        return error_set(m->err, STATUS_INVALID_ARGUMENT,
                         "prompt: one of text, token_ids and chat_json is needed");
    }
}

enum status generate_prompt_init(struct generate_prompt *out,
                                 const Gemmad__V1__GenerateRequest *message,
                                 const struct json_value *chat, const struct gateway_model *model,
                                 struct tokenizer_encoder *encoder, struct error *err)
{
    *out = (struct generate_prompt){0};
    struct maker m = {.out = out, .model = model, .encoder = encoder, .err = err};
    enum status st = take_media(&m, message);
    if (st == STATUS_OK)
        st = chat ? take_chat(&m, chat) : take_prompt(&m, message);
    if (st == STATUS_OK)
        st = prompt_check(model, out->ids, out->n, out->parts, out->n_parts, err);
    media_sources_finish(&m.given);
    if (st != STATUS_OK)
        generate_prompt_finish(out);
    return st;
}

void generate_prompt_finish(struct generate_prompt *prompt)
{
    free(prompt->list.ids);
    free(prompt->parts);
    media_list_finish(&prompt->media);
    *prompt = (struct generate_prompt){0};
}
