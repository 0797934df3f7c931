/* gateway/http_info.c - the routes with one question and one answer: health, models, tokens,
 * metrics, and the page. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/mem.h"
#include "gateway/http_routes.h"
#include "gateway/metrics_page.h"
#include "gateway/openai_messages.h"
#include "gateway/openai_tools.h"
#include "gateway/prompt.h"
#include "gateway/web_page.h"
#include "text/detokenizer.h"

/* Of a detokenize: an id of a few bytes may stand for a text of many. */
#define MAX_TEXT_BYTES ((size_t)64 << 20)

struct tokenizer_encoder *http_encoder(struct http_call *call, const struct gateway_model *model)
{
    void **slot = http_call_thread_state(call);
    if (!*slot)
        *slot = tokenizer_encoder_create(model->tokenizer);
    return *slot;
}

void http_free_thread_state(void *state)
{
    if (state)
        tokenizer_encoder_destroy(state);
}

void http_answer_json(struct http_call *call, struct text_buffer *body)
{
    http_call_answer(call, 200, "application/json", body);
}

static void on_page(struct http_call *call, const char *body, size_t n)
{
    (void)body;
    (void)n;
    struct text_buffer page = {0};
    text_buffer_append(&page, web_page, web_page_length);
    http_call_answer(call, 200, "text/html; charset=utf-8", &page);
}

// Alive: the process answers. Ready is whether it takes requests.
static void on_health(struct http_call *call, const char *body, size_t n)
{
    (void)body;
    (void)n;
    struct text_buffer answer = {0};
    text_buffer_append_format(&answer, "{\"status\":\"%s\"}",
                              gateway_state_name(http_call_service(call)));
    http_answer_json(call, &answer);
}

static void on_ready(struct http_call *call, const char *body, size_t n)
{
    struct error err = {0};
    if (gateway_state_takes_requests(http_call_service(call))) {
        on_health(call, body, n);
        return;
    }
    error_set(&err, STATUS_UNAVAILABLE, "%s", gateway_state_name(http_call_service(call)));
    http_call_fail(call, &err);
}

static void on_metrics(struct http_call *call, const char *body, size_t n)
{
    (void)body;
    (void)n;
    struct text_buffer page = {0};
    metrics_write(http_call_service(call), &page);
    http_call_answer(call, 200, METRICS_CONTENT_TYPE, &page);
}

static void write_model(const struct gateway_state *state, struct text_buffer *out)
{
    const struct gateway_model *model = &state->model;
    uint64_t age_s = (clock_now_ns() - state->started_ns) / NS_PER_S;
    text_buffer_append_text(out, "{\"id\":");
    json_write_string(out, model->name, strlen(model->name));
    text_buffer_append_format(out,
                              ",\"object\":\"model\",\"created\":%" PRIu64
                              ",\"owned_by\":\"gemmad\",\"max_model_len\":%u,"
                              "\"input_modalities\":[\"text\"",
                              clock_unix_ns() / NS_PER_S - age_s, model->max_positions);
    const struct {
        const char *name;
        uint32_t id;
    } media[] = {{"image", model->media_token_ids.image_token_id},
                 {"video", model->media_token_ids.video_token_id},
                 {"audio", model->media_token_ids.audio_token_id}};
    for (size_t i = 0; i < sizeof media / sizeof media[0]; i++)
        if (model->media_decoder && media[i].id != TOKEN_NONE)
            text_buffer_append_format(out, ",\"%s\"", media[i].name);
    text_buffer_append_text(out, "]}");
}

static void on_models(struct http_call *call, const char *body, size_t n)
{
    (void)body;
    (void)n;
    struct gateway_state *state = http_call_service(call);
    struct error err = {0};
    if (gateway_state_loaded(state, &err) != STATUS_OK) {
        http_call_fail(call, &err);
        return;
    }
    struct text_buffer answer = {0};
    text_buffer_append_text(&answer, "{\"object\":\"list\",\"data\":[");
    write_model(state, &answer);
    text_buffer_append_text(&answer, "]}");
    http_answer_json(call, &answer);
}

static void on_model(struct http_call *call, const char *body, size_t n)
{
    (void)body;
    (void)n;
    struct gateway_state *state = http_call_service(call);
    struct error err = {0};
    enum status st = gateway_state_loaded(state, &err);
    if (st == STATUS_OK && strcmp(http_call_rest(call), state->model.name) != 0)
        st = error_set(&err, STATUS_NOT_FOUND, "model: there is no such one");
    if (st != STATUS_OK) {
        http_call_fail(call, &err);
        return;
    }
    struct text_buffer answer = {0};
    write_model(state, &answer);
    http_answer_json(call, &answer);
}

static void on_embeddings(struct http_call *call, const char *body, size_t n)
{
    (void)body;
    (void)n;
    struct error err = {0};
    error_set(&err, STATUS_UNIMPLEMENTED, "embeddings are not served yet");
    http_call_fail(call, &err);
}

static enum status tokenize_chat(const struct gateway_model *model,
                                 struct tokenizer_encoder *encoder, const struct json_value *body,
                                 struct token_list *list, struct error *err)
{
    const struct openai_fields fields = {
        .messages = json_get_present(body, "messages"),
        .tools = json_get_present(body, "tools"),
        .chat_template_kwargs = json_get_present(body, "chat_template_kwargs"),
        .reasoning_effort = json_get_present(body, "reasoning_effort"),
        .add_generation_prompt = json_get_present(body, "add_generation_prompt"),
    };
    struct openai_tools tools = {0};
    struct openai_chat chat;
    enum status st = openai_messages_check(fields.messages, false, err);
    if (st == STATUS_OK)
        st = openai_tools_read(&tools, fields.tools, NULL, err);
    if (st == STATUS_OK) {
        openai_chat_init(&chat, &fields, openai_tools_for_template(&tools));
        st = prompt_encode_messages(model, encoder, &chat.root, model->special_tokens_in_content,
                                    list, NULL, err);
    }
    openai_tools_finish(&tools);
    return st;
}

// A text is encoded as a completion's prompt is, with the <bos> before it unless
// add_special_tokens is false; a chat as its own completion would.
static enum status tokenize(struct http_call *call, const struct json_value *body,
                            struct token_list *list, struct error *err)
{
    struct gateway_state *state = http_call_service(call);
    const struct gateway_model *model = &state->model;
    struct tokenizer_encoder *encoder = http_encoder(call, model);
    if (json_get_present(body, "messages"))
        return tokenize_chat(model, encoder, body, list, err);
    const struct json_value *prompt = json_get(body, "prompt");
    bool add_special = true;
    if (!prompt || prompt->type != JSON_STRING)
        return error_set(err, STATUS_INVALID_ARGUMENT, "prompt: must be a string");
    enum status st = openai_read_bool("add_special_tokens", json_get(body, "add_special_tokens"),
                                      &add_special, err);
    if (st != STATUS_OK)
        return st;
    st = prompt_encode_text(encoder, "prompt", (const uint8_t *)prompt->text, prompt->length, true,
                            list, err);
    bool has_bos = list->n > 0 && list->ids[0] == model->bos_id;
    if (st != STATUS_OK || !add_special || has_bos || model->bos_id == TOKEN_NONE)
        return st;
    mem_reserve(&list->ids, &list->capacity, list->n + 1, sizeof *list->ids);
    memmove(list->ids + 1, list->ids, list->n * sizeof *list->ids);
    list->ids[0] = model->bos_id;
    list->n++;
    return STATUS_OK;
}

// What both directions begin with. *out is destroyed by the caller.
static enum status begin(struct http_call *call, const char *body, size_t n,
                         struct json_document **out, struct error *err)
{
    enum status st = gateway_state_loaded(http_call_service(call), err);
    if (st != STATUS_OK)
        return st;
    st = json_parse(body, n, NULL, out, err);
    return st == STATUS_OK ? st : error_prefix(err, "the body is no JSON");
}

static void on_tokenize(struct http_call *call, const char *body, size_t n)
{
    struct gateway_state *state = http_call_service(call);
    struct json_document *document = NULL;
    struct token_list list = {0};
    struct error err = {0};
    enum status st = begin(call, body, n, &document, &err);
    if (st == STATUS_OK)
        st = tokenize(call, json_root(document), &list, &err);
    if (st == STATUS_OK) {
        struct text_buffer answer = {0};
        text_buffer_append_format(&answer, "{\"count\":%zu,\"max_model_len\":%u,\"tokens\":[",
                                  list.n, state->model.max_positions);
        for (size_t i = 0; i < list.n; i++)
            text_buffer_append_format(&answer, i ? ",%u" : "%u", list.ids[i]);
        text_buffer_append_text(&answer, "]}");
        http_answer_json(call, &answer);
    } else {
        http_call_fail(call, &err);
    }
    free(list.ids);
    json_document_destroy(document);
}

static enum status detokenize(const struct gateway_model *model, const struct json_value *tokens,
                              struct text_buffer *text, struct error *err)
{
    struct detokenizer detokenizer;
    if (!tokens || tokens->type != JSON_ARRAY)
        return error_set(err, STATUS_INVALID_ARGUMENT, "tokens: must be an array of token ids");
    detokenizer_init(&detokenizer, model->tokenizer, false);
    for (uint32_t i = 0; i < tokens->n; i++) {
        int64_t id;
        if (!json_int64(&tokens->items[i], &id) || id < 0 || id >= model->vocab_size)
            return error_set(err, STATUS_INVALID_ARGUMENT,
                             "tokens[%u]: must be a token id below %u", i, model->vocab_size);
        detokenizer_push(&detokenizer, (uint32_t)id, text);
        if (text->length > MAX_TEXT_BYTES)
            return error_set(err, STATUS_RESOURCE_EXHAUSTED, "tokens: more than %zu MiB of text",
                             MAX_TEXT_BYTES >> 20);
    }
    detokenizer_flush(&detokenizer, text);
    return STATUS_OK;
}

static void on_detokenize(struct http_call *call, const char *body, size_t n)
{
    struct gateway_state *state = http_call_service(call);
    struct json_document *document = NULL;
    struct text_buffer text = {0};
    struct error err = {0};
    enum status st = begin(call, body, n, &document, &err);
    if (st == STATUS_OK)
        st = detokenize(&state->model, json_get(json_root(document), "tokens"), &text, &err);
    if (st == STATUS_OK) {
        struct text_buffer answer = {0};
        text_buffer_append_text(&answer, "{\"prompt\":");
        json_write_string(&answer, text.length > 0 ? text.data : "", text.length);
        text_buffer_append_text(&answer, "}");
        http_answer_json(call, &answer);
    } else {
        http_call_fail(call, &err);
    }
    text_buffer_finish(&text);
    json_document_destroy(document);
}

size_t http_info_routes(struct gateway_state *state, struct http_route *out)
{
    // The page is for everybody: it holds nothing, and asks for a key itself.
    static const struct http_route routes[] = {
        {.method = "GET", .path = "/", .open = true, .on_request = on_page},
        {.method = "GET", .path = "/health", .open = true, .on_request = on_health},
        {.method = "GET", .path = "/ready", .open = true, .on_request = on_ready},
        {.method = "GET", .path = "/metrics", .on_request = on_metrics},
        {.method = "GET", .path = "/v1/models", .on_request = on_models},
        {.method = "GET", .path = "/v1/models/", .below = true, .on_request = on_model},
        {.method = "POST", .path = "/v1/embeddings", .on_request = on_embeddings},
        {.method = "POST", .path = "/tokenize", .heavy = true, .on_request = on_tokenize},
        {.method = "POST", .path = "/detokenize", .heavy = true, .on_request = on_detokenize},
    };
    size_t n = sizeof routes / sizeof routes[0];
    for (size_t i = 0; i < n; i++) {
        out[i] = routes[i];
        out[i].service = state;
    }
    return n;
}
