/* gateway/chat_service.c - Inference.Chat: the lines of an OpenAI call, a message each. */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "gateway/message.h"
#include "gateway/openai_call.h"
#include "gateway/services.h"
#include "proto/inference.pb-c.h"

struct chat_state {
    struct openai_call *call;
    struct text_buffer lines; // of which said bytes were sent
    size_t said;
    bool over;
    struct error failure;
};

static void free_state(void *state)
{
    struct chat_state *chat = state;
    if (!chat)
        return;
    openai_call_destroy(chat->call);
    text_buffer_finish(&chat->lines);
    free(chat);
}

static enum status start(struct rpc_call *call, const Gemmad__V1__ChatRequest *message,
                         struct error *err)
{
    struct gateway_state *state = rpc_call_service(call);
    struct chat_state *chat = mem_zeroed(1, sizeof *chat);
    struct generation_client client = service_generation_client(call);
    rpc_call_set_state(call, chat);
    return openai_call_create(state, OPENAI_CHAT, (const char *)message->json.data,
                              message->json.len, service_encoder(call, &state->model), &client,
                              &chat->call, err);
}

static void on_request(struct rpc_call *call, const uint8_t *bytes, size_t n)
{
    struct error err = {0};
    ProtobufCMessage *message = NULL;
    enum status st = gateway_state_ready(rpc_call_service(call), &err);
    if (st == STATUS_OK)
        st = message_unpack(&gemmad__v1__chat_request__descriptor, bytes, n, &message, &err);
    if (st == STATUS_OK)
        st = start(call, (Gemmad__V1__ChatRequest *)message, &err);
    message_free(message);
    if (st != STATUS_OK)
        rpc_call_end(call, st, err.message);
}

static void reply_line(struct rpc_call *call, struct chat_state *chat)
{
    char *line = chat->lines.data + chat->said;
    size_t n = (size_t)((char *)memchr(line, '\n', chat->lines.length - chat->said) - line);
    Gemmad__V1__ChatResponse response = GEMMAD__V1__CHAT_RESPONSE__INIT;
    response.has_json = true;
    response.json = (ProtobufCBinaryData){n, (uint8_t *)line};
    struct text_buffer message = {0};
    message_pack(&response.base, &message);
    chat->said += n + 1;
    if (chat->said == chat->lines.length) {
        text_buffer_clear(&chat->lines);
        chat->said = 0;
    }
    rpc_call_reply(call, &message);
}

static void next(struct rpc_call *call)
{
    struct chat_state *chat = rpc_call_state(call);
    if (chat->lines.length == 0 && !chat->over)
        openai_call_take(chat->call, &chat->lines, &chat->over, &chat->failure);
    if (chat->lines.length > 0)
        reply_line(call, chat);
    if (chat->over && chat->lines.length == 0)
        rpc_call_end(call, chat->failure.status, chat->failure.message);
}

static void on_wake(struct rpc_call *call)
{
    struct chat_state *chat = rpc_call_state(call);
    struct error err = {0};
    if (chat->call && openai_call_overflowed(chat->call, &err))
        rpc_call_cancel(call, err.status, err.message);
}

static void on_closed(struct rpc_call *call)
{
    struct chat_state *chat = rpc_call_state(call);
    if (chat && chat->call)
        openai_call_abort(chat->call);
}

struct rpc_method chat_method(struct gateway_state *state)
{
    return (struct rpc_method){
        .path = "/gemmad.v1.Inference/Chat",
        .heavy = true,
        .service = state,
        .on_request = on_request,
        .next = next,
        .on_wake = on_wake,
        .on_closed = on_closed,
        .free_state = free_state,
    };
}
