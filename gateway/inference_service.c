/* gateway/inference_service.c - gemmad.v1.Inference without Generate: one question, one answer. */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "gateway/message.h"
#include "gateway/prompt.h"
#include "gateway/services.h"
#include "proto/inference.pb-c.h"
#include "text/detokenizer.h"

/* Of a Detokenize: an id of one byte may stand for a text of many. */
#define MAX_TEXT_BYTES (64 << 20)

// The request's message once the model is loaded; NULL: the call was ended with the reason.
static ProtobufCMessage *take_request(struct rpc_call *call,
                                      const ProtobufCMessageDescriptor *descriptor,
                                      const uint8_t *bytes, size_t n)
{
    struct error err = {0};
    ProtobufCMessage *message = NULL;
    enum status st = gateway_state_loaded(rpc_call_service(call), &err);
    if (st == STATUS_OK)
        st = message_unpack(descriptor, bytes, n, &message, &err);
    if (st != STATUS_OK)
        rpc_call_end(call, st, err.message);
    return message;
}

static enum status encode(struct rpc_call *call, const Gemmad__V1__TokenizeRequest *request,
                          struct token_list *list, struct text_buffer *text, struct error *err)
{
    struct gateway_state *state = rpc_call_service(call);
    const struct gateway_model *model = &state->model;
    struct tokenizer_encoder *encoder = service_encoder(call, model);
    const ProtobufCBinaryData *input = &request->text;
    bool parse = true;
    enum status st = STATUS_OK;
    switch (request->input_case) {
    case GEMMAD__V1__TOKENIZE_REQUEST__INPUT_TEXT:
        if (request->has_parse_special)
            parse = request->parse_special;
        st = prompt_encode_text(encoder, "text", input->data, input->len, parse, list, err);
        if (st == STATUS_OK)
            text_buffer_append(text, input->data, input->len);
        return st;
    case GEMMAD__V1__TOKENIZE_REQUEST__INPUT_CHAT_JSON:
        input = &request->chat_json;
        parse = model->special_tokens_in_content;
        if (request->has_parse_special)
            parse = request->parse_special;
        return prompt_encode_chat(model, encoder, input->data, input->len, parse, list, text, err);
    default:
        return error_set(err, STATUS_INVALID_ARGUMENT,
                         "input: one of text and chat_json is needed");
    }
}

static void on_tokenize(struct rpc_call *call, const uint8_t *bytes, size_t n)
{
    ProtobufCMessage *message = take_request(call, &gemmad__v1__tokenize_request__descriptor, bytes,
                                             n);
    if (!message)
        return;
    struct token_list list = {0};
    struct text_buffer text = {0};
    struct error err = {0};
    enum status st = encode(call, (Gemmad__V1__TokenizeRequest *)message, &list, &text, &err);
    if (st == STATUS_OK) {
        Gemmad__V1__TokenizeResponse response = GEMMAD__V1__TOKENIZE_RESPONSE__INIT;
        response.n_token_ids = list.n;
        response.token_ids = list.ids;
        response.has_text = true;
        response.text = (ProtobufCBinaryData){text.length, (uint8_t *)text.data};
        service_answer(call, &response.base);
    } else {
        rpc_call_end(call, st, err.message);
    }
    text_buffer_finish(&text);
    free(list.ids);
    message_free(message);
}

static enum status decode(const struct gateway_model *model,
                          const Gemmad__V1__DetokenizeRequest *request, struct text_buffer *text,
                          struct error *err)
{
    struct detokenizer detokenizer;
    bool skip_special = !request->has_skip_special_tokens || request->skip_special_tokens;
    detokenizer_init(&detokenizer, model->tokenizer, skip_special);
    for (size_t i = 0; i < request->n_token_ids; i++) {
        if (request->token_ids[i] >= model->vocab_size)
            return error_set(err, STATUS_INVALID_ARGUMENT,
                             "token_ids[%zu]=%u: the vocabulary has %u", i, request->token_ids[i],
                             model->vocab_size);
        if (text->length > MAX_TEXT_BYTES)
            return error_set(err, STATUS_RESOURCE_EXHAUSTED, "token_ids: more than %d MiB of text",
                             MAX_TEXT_BYTES >> 20);
        detokenizer_push(&detokenizer, request->token_ids[i], text);
    }
    detokenizer_flush(&detokenizer, text);
    return STATUS_OK;
}

static void on_detokenize(struct rpc_call *call, const uint8_t *bytes, size_t n)
{
    ProtobufCMessage *message = take_request(call, &gemmad__v1__detokenize_request__descriptor,
                                             bytes, n);
    if (!message)
        return;
    struct gateway_state *state = rpc_call_service(call);
    struct text_buffer text = {0};
    struct error err = {0};
    enum status st = decode(&state->model, (Gemmad__V1__DetokenizeRequest *)message, &text, &err);
    if (st == STATUS_OK) {
        Gemmad__V1__DetokenizeResponse response = GEMMAD__V1__DETOKENIZE_RESPONSE__INIT;
        response.has_text = true;
        response.text = (ProtobufCBinaryData){text.length, (uint8_t *)text.data};
        service_answer(call, &response.base);
    } else {
        rpc_call_end(call, st, err.message);
    }
    text_buffer_finish(&text);
    message_free(message);
}

static void on_get_model_info(struct rpc_call *call, const uint8_t *bytes, size_t n)
{
    ProtobufCMessage *message = take_request(call, &gemmad__v1__get_model_info_request__descriptor,
                                             bytes, n);
    if (!message)
        return;
    message_free(message);
    struct gateway_state *state = rpc_call_service(call);
    const struct gateway_model *model = &state->model;
    Gemmad__V1__GetModelInfoResponse r = GEMMAD__V1__GET_MODEL_INFO_RESPONSE__INIT;
    r.has_model = r.has_model_type = r.has_vocab_size = r.has_max_context_tokens = true;
    r.has_n_layers = r.has_hidden_size = r.has_has_chat_template = true;
    r.model = service_text(model->name);
    r.model_type = service_text(model->model_type);
    r.vocab_size = model->vocab_size;
    r.max_context_tokens = model->max_positions;
    r.n_layers = model->n_layers;
    r.hidden_size = model->hidden_size;
    r.n_stop_token_ids = model->n_stop_ids;
    r.stop_token_ids = (uint32_t *)model->stop_ids;
    r.has_chat_template = model->chat_template != NULL;
    r.has_bos_token_id = model->bos_id != TOKEN_NONE;
    r.bos_token_id = model->bos_id;
    service_answer(call, &r.base);
}

static void on_abort(struct rpc_call *call, const uint8_t *bytes, size_t n)
{
    ProtobufCMessage *message = take_request(call, &gemmad__v1__abort_request__descriptor, bytes,
                                             n);
    if (!message)
        return;
    struct gateway_state *state = rpc_call_service(call);
    const ProtobufCBinaryData *id = &((Gemmad__V1__AbortRequest *)message)->request_id;
    char *text = mem_copy(id->data, id->len);
    Gemmad__V1__AbortResponse response = GEMMAD__V1__ABORT_RESPONSE__INIT;
    response.has_found = true;
    response.found = strlen(text) == id->len && engine_abort(state->engine, text, NULL);
    free(text);
    message_free(message);
    service_answer(call, &response.base);
}

size_t inference_service_methods(struct gateway_state *state, struct rpc_method *out)
{
    const struct rpc_method methods[] = {
        generate_method(state),
        chat_method(state),
        {.path = "/gemmad.v1.Inference/Tokenize", .heavy = true, .on_request = on_tokenize},
        {.path = "/gemmad.v1.Inference/Detokenize", .heavy = true, .on_request = on_detokenize},
        {.path = "/gemmad.v1.Inference/GetModelInfo", .on_request = on_get_model_info},
        {.path = "/gemmad.v1.Inference/Abort", .on_request = on_abort},
    };
    size_t n = sizeof methods / sizeof methods[0];
    for (size_t i = 0; i < n; i++) {
        out[i] = methods[i];
        out[i].service = state;
    }
    return n;
}
