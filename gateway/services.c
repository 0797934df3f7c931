/* gateway/services.c - what every service does the same way. */
#include "gateway/services.h"

#include <string.h>

#include "gateway/message.h"

void service_answer(struct rpc_call *call, const ProtobufCMessage *message)
{
    struct text_buffer bytes = {0};
    message_pack(message, &bytes);
    rpc_call_reply(call, &bytes);
    rpc_call_end(call, STATUS_OK, "");
}

ProtobufCBinaryData service_text(const char *text)
{
    return (ProtobufCBinaryData){strlen(text), (uint8_t *)text};
}

bool service_is_text(const ProtobufCBinaryData *bytes, const char *text)
{
    return bytes->len == strlen(text) &&
           (bytes->len == 0 || memcmp(bytes->data, text, bytes->len) == 0);
}

static void wake_call(void *call)
{
    rpc_call_wake(call);
}

static void ref_call(void *call)
{
    rpc_call_ref(call);
}

static void drop_call(void *call)
{
    rpc_call_drop(call);
}

struct generation_client service_generation_client(struct rpc_call *call)
{
    struct gateway_state *state = rpc_call_service(call);
    return (struct generation_client){
        .context = call,
        .wake = wake_call,
        .ref = ref_call,
        .drop = drop_call,
        .metrics = &state->metrics,
    };
}

struct tokenizer_encoder *service_encoder(struct rpc_call *call, const struct gateway_model *model)
{
    void **slot = rpc_call_thread_state(call);
    if (!*slot)
        *slot = tokenizer_encoder_create(model->tokenizer);
    return *slot;
}

void service_free_thread_state(void *state)
{
    if (state)
        tokenizer_encoder_destroy(state);
}
