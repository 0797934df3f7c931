/* gateway/generate_call.c - Inference.Generate: the call is the generation's client, and gives its
 * events on as messages when its own client can take one. */
#include "gateway/generation.h"
#include "gateway/message.h"
#include "gateway/response.h"
#include "gateway/services.h"

static enum status submit(struct rpc_call *call, const Gemmad__V1__GenerateRequest *message,
                          struct error *err)
{
    struct gateway_state *state = rpc_call_service(call);
    struct generate_random random = generation_draw_random();
    struct generate_request generate;
    enum status st = generate_request_init(&generate, message, &state->model,
                                           service_encoder(call, &state->model), &random, err);
    if (st != STATUS_OK)
        return st;
    struct generation *generation = NULL;
    struct generation_client client = service_generation_client(call);
    st = generation_start(state->engine, &generate.request, state->max_queued_bytes, &client,
                          &generation, err);
    rpc_call_set_state(call, generation);
    generate_request_finish(&generate);
    return st;
}

static void on_request(struct rpc_call *call, const uint8_t *bytes, size_t n)
{
    struct error err = {0};
    ProtobufCMessage *message = NULL;
    enum status st = gateway_state_ready(rpc_call_service(call), &err);
    if (st == STATUS_OK)
        st = message_unpack(&gemmad__v1__generate_request__descriptor, bytes, n, &message, &err);
    if (st == STATUS_OK)
        st = submit(call, (Gemmad__V1__GenerateRequest *)message, &err);
    message_free(message);
    if (st != STATUS_OK)
        rpc_call_end(call, st, err.message);
}

static void next(struct rpc_call *call)
{
    struct generation *generation = rpc_call_state(call);
    struct error failure = {0};
    bool over;
    struct queued_event *event = generation_take(generation, &over, &failure);
    if (event) {
        struct text_buffer message = {0};
        response_pack(event, generation_stop_strings(generation), &message);
        queued_event_destroy(event);
        rpc_call_reply(call, &message);
    }
    if (over)
        rpc_call_end(call, failure.status, failure.message);
}

static void on_wake(struct rpc_call *call)
{
    struct error err = {0};
    if (generation_overflowed(rpc_call_state(call), &err))
        rpc_call_cancel(call, err.status, err.message);
}

static void on_closed(struct rpc_call *call)
{
    struct generation *generation = rpc_call_state(call);
    if (generation)
        generation_abort(generation);
}

static void free_state(void *generation)
{
    generation_destroy(generation);
}

struct rpc_method generate_method(struct gateway_state *state)
{
    return (struct rpc_method){
        .path = "/gemmad.v1.Inference/Generate",
        .heavy = true,
        .service = state,
        .on_request = on_request,
        .next = next,
        .on_wake = on_wake,
        .on_closed = on_closed,
        .free_state = free_state,
    };
}
