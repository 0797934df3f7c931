/* gateway/vllm_generate.c - VllmEngine.Generate: the events of a generation as chunks, or, when
 * they are not to be streamed, kept until their sequence ends.
 *
 * What is kept is bounded by VLLM_MAX_HELD_BYTES of all sequences: beyond it the call ends, because
 * the message could not be sent either. */
#include <stdlib.h>

#include "base/mem.h"
#include "gateway/generation.h"
#include "gateway/message.h"
#include "gateway/services.h"
#include "gateway/vllm_request.h"
#include "gateway/vllm_response.h"

#define VLLM_MAX_HELD_BYTES ((size_t)64 << 20)

struct vllm_generation {
    struct generation *generation;
    bool stream;
    uint32_t n_prompt, n_top, n;
    struct queued_event *prompt; // its logprobs, if they are wanted
    size_t n_held_bytes;
    struct vllm_sequence {
        bool told; // something was: the prompt's logprobs are not told again in chunks
        struct queued_event *held, **last;
    } * sequences; // [n]
};

static struct vllm_generation *create(const struct request *request, bool stream)
{
    struct vllm_generation *v = mem_zeroed(1, sizeof *v);
    v->stream = stream;
    v->n_prompt = (uint32_t)request->n_prompt;
    v->n_top = request->sampling.n_logprobs > 0 ? (uint32_t)request->sampling.n_logprobs : 0;
    v->n = request->n;
    v->sequences = mem_zeroed(v->n, sizeof *v->sequences);
    for (uint32_t i = 0; i < v->n; i++)
        v->sequences[i].last = &v->sequences[i].held;
    return v;
}

static void free_held(struct vllm_sequence *sequence)
{
    struct queued_event *event = sequence->held;
    while (event) {
        struct queued_event *following = event->next;
        queued_event_destroy(event);
        event = following;
    }
    sequence->held = NULL;
    sequence->last = &sequence->held;
}

static void free_state(void *state)
{
    struct vllm_generation *v = state;
    if (!v)
        return;
    generation_destroy(v->generation);
    for (uint32_t i = 0; i < v->n; i++)
        free_held(&v->sequences[i]);
    queued_event_destroy(v->prompt);
    free(v->sequences);
    free(v);
}

static enum status start(struct rpc_call *call, const Vllm__Grpc__Engine__GenerateRequest *message,
                         const Gemmad__V1__GenerateRequest *native, struct error *err)
{
    struct gateway_state *state = rpc_call_service(call);
    struct generate_random random = generation_draw_random();
    struct generate_request generate;
    enum status st = generate_request_init(&generate, native, &state->model,
                                           service_encoder(call, &state->model), &random, err);
    if (st != STATUS_OK)
        return st;
    struct vllm_generation *v = create(&generate.request, message->stream);
    struct generation_client client = service_generation_client(call);
    st = generation_start(state->engine, &generate.request, state->max_queued_bytes, &client,
                          &v->generation, err);
    if (st == STATUS_OK)
        rpc_call_set_state(call, v);
    else
        free_state(v);
    generate_request_finish(&generate);
    return st;
}

static void on_request(struct rpc_call *call, const uint8_t *bytes, size_t n)
{
    struct gateway_state *state = rpc_call_service(call);
    struct error err = {0};
    ProtobufCMessage *message = NULL;
    struct vllm_request request;
    enum status st = gateway_state_ready(state, &err);
    if (st == STATUS_OK)
        st = message_unpack(&vllm__grpc__engine__generate_request__descriptor, bytes, n, &message,
                            &err);
    Vllm__Grpc__Engine__GenerateRequest *asked = (void *)message;
    if (st == STATUS_OK)
        st = vllm_request_init(&request, asked, state->model.max_positions - 1, &err);
    if (st == STATUS_OK) {
        st = start(call, asked, &request.message, &err);
        vllm_request_finish(&request);
    }
    message_free(message);
    if (st != STATUS_OK)
        rpc_call_end(call, st, err.message);
}

static struct vllm_told told_of(const struct vllm_generation *v,
                                const struct vllm_sequence *sequence)
{
    return (struct vllm_told){v->n_prompt, v->n_top, sequence->told ? NULL : v->prompt};
}

// Takes the delta. RESOURCE_EXHAUSTED: too much is held.
static enum status take_delta(struct vllm_generation *v, struct queued_event *event,
                              struct text_buffer *message, struct error *err)
{
    struct vllm_sequence *sequence = &v->sequences[event->event.index];
    if (v->stream) {
        struct vllm_told told = told_of(v, sequence);
        vllm_pack_chunk(event, &told, message);
        sequence->told = true;
        queued_event_destroy(event);
        return STATUS_OK;
    }
    *sequence->last = event;
    sequence->last = &event->next;
    v->n_held_bytes += event->n_bytes;
    if (v->n_held_bytes > VLLM_MAX_HELD_BYTES)
        return error_set(err, STATUS_RESOURCE_EXHAUSTED,
                         "stream=false: the answer is larger than %zu MiB",
                         VLLM_MAX_HELD_BYTES >> 20);
    return STATUS_OK;
}

static void take_finish(struct vllm_generation *v, struct queued_event *event,
                        struct text_buffer *message)
{
    struct vllm_sequence *sequence = &v->sequences[event->event.index];
    struct vllm_told told = told_of(v, sequence);
    vllm_pack_complete(event, sequence->held, generation_stop_strings(v->generation), &told,
                       message);
    queued_event_destroy(event);
    free_held(sequence);
}

// Takes the event; message stays empty when it says nothing to the client.
static enum status take_event(struct vllm_generation *v, struct queued_event *event,
                              struct text_buffer *message, struct error *err)
{
    event->next = NULL; // it was the queue's
    switch (event->event.type) {
    case ENGINE_EVENT_PROMPT:
        v->prompt = event;
        return STATUS_OK;
    case ENGINE_EVENT_DELTA:
        return take_delta(v, event, message, err);
    case ENGINE_EVENT_FINISH:
        take_finish(v, event, message);
        return STATUS_OK;
    case ENGINE_EVENT_FAILED: // ends the call, it is not queued
        break;
    }
    CHECK(!"an event that is queued");
    return STATUS_INTERNAL;
}

static void next(struct rpc_call *call)
{
    struct vllm_generation *v = rpc_call_state(call);
    struct error failure = {0};
    struct text_buffer message = {0};
    bool over = false;
    struct queued_event *event;
    enum status st = STATUS_OK;
    while (st == STATUS_OK && !message.data &&
           (event = generation_take(v->generation, &over, &failure)))
        st = take_event(v, event, &message, &failure);
    if (message.data)
        rpc_call_reply(call, &message);
    if (st != STATUS_OK)
        generation_abort(v->generation);
    if (over || st != STATUS_OK)
        rpc_call_end(call, failure.status, failure.message);
}

static void on_wake(struct rpc_call *call)
{
    struct vllm_generation *v = rpc_call_state(call);
    struct error err = {0};
    if (generation_overflowed(v->generation, &err))
        rpc_call_cancel(call, err.status, err.message);
}

static void on_closed(struct rpc_call *call)
{
    struct vllm_generation *v = rpc_call_state(call);
    if (v)
        generation_abort(v->generation);
}

struct rpc_method vllm_generate_method(struct gateway_state *state)
{
    return (struct rpc_method){
        .path = "/vllm.grpc.engine.VllmEngine/Generate",
        .heavy = true,
        .service = state,
        .on_request = on_request,
        .next = next,
        .on_wake = on_wake,
        .on_closed = on_closed,
        .free_state = free_state,
    };
}
