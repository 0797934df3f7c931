/* gateway/generate_call.c - Inference.Generate: a request goes to the engine, its events come back
 * through a queue.
 *
 * Two threads meet here: the engine's puts events into the queue and wakes the call, the call's
 * takes them out when the client can take a message. The engine holds a reference to the call from
 * submit to its last event, so the queue is there as long as either side wants it. A client that
 * goes away, or reads so slowly that the queue is full, has its request aborted; what the engine
 * still sends then is dropped.
 * Invariant: after `over` the engine does not know the call any more, and abort is not called. */
#include <stdlib.h>
#include <sys/random.h>

#include "base/log.h"
#include "base/mem.h"
#include "gateway/event_queue.h"
#include "gateway/generate_request.h"
#include "gateway/message.h"
#include "gateway/response.h"
#include "gateway/services.h"

struct generation {
    struct rpc_call *call;
    struct gateway_state *state;
    char *id;
    struct stop_string stop_strings[STOP_STRINGS_MAX]; // copies
    size_t n_stop_strings;

    pthread_mutex_t lock;
    // Under the lock.
    struct event_queue queue;
    bool over;       // the last event is in the queue, or failure is set
    bool overflowed; // the client does not read
    bool deaf;       // nobody wants more events
    struct error failure;
};

static struct generation *create_generation(struct rpc_call *call, const struct request *request)
{
    struct gateway_state *state = rpc_call_service(call);
    struct generation *g = mem_zeroed(1, sizeof *g);
    g->call = call;
    g->state = state;
    g->id = mem_strdup(request->id);
    g->n_stop_strings = request->n_stop_strings;
    for (size_t i = 0; i < g->n_stop_strings; i++) {
        const struct stop_string *stop = &request->stop_strings[i];
        g->stop_strings[i] = (struct stop_string){mem_copy(stop->bytes, stop->n), stop->n};
    }
    pthread_mutex_init(&g->lock, NULL);
    event_queue_init(&g->queue, request->n, state->max_queued_bytes);
    return g;
}

static void free_generation(void *state)
{
    struct generation *g = state;
    if (!g)
        return;
    event_queue_finish(&g->queue);
    pthread_mutex_destroy(&g->lock);
    for (size_t i = 0; i < g->n_stop_strings; i++)
        free((char *)g->stop_strings[i].bytes);
    free(g->id);
    free(g);
}

// On the engine's thread.
static void on_event(void *context, const struct engine_event *event)
{
    struct generation *g = context;
    bool failed = event->type == ENGINE_EVENT_FAILED;
    bool last = failed || (event->type == ENGINE_EVENT_FINISH && event->last);
    pthread_mutex_lock(&g->lock);
    if (failed)
        g->failure = *event->error;
    else if (!g->deaf && !event_queue_push(&g->queue, event))
        g->overflowed = g->deaf = true;
    g->over = last;
    pthread_mutex_unlock(&g->lock);
    rpc_call_wake(g->call);
    if (last)
        rpc_call_drop(g->call); // g is gone, maybe
}

static void abort_generation(struct generation *g)
{
    pthread_mutex_lock(&g->lock);
    g->deaf = true;
    bool over = g->over;
    pthread_mutex_unlock(&g->lock);
    if (!over)
        engine_abort(g->state->engine, g->id, g);
}

static struct generate_random draw_random(void)
{
    struct generate_random random;
    CHECK(getrandom(&random, sizeof random, 0) == sizeof random);
    return random;
}

static enum status submit(struct rpc_call *call, const Gemmad__V1__GenerateRequest *message,
                          struct error *err)
{
    struct gateway_state *state = rpc_call_service(call);
    struct generate_random random = draw_random();
    struct generate_request generate;
    enum status st = generate_request_init(&generate, message, &state->model,
                                           service_encoder(call, &state->model), &random, err);
    if (st != STATUS_OK)
        return st;
    struct generation *g = create_generation(call, &generate.request);
    rpc_call_set_state(call, g);
    rpc_call_ref(call); // the engine's
    st = engine_submit(state->engine, &generate.request, on_event, g, err);
    if (st != STATUS_OK) {
        g->over = true; // no event will come, so nobody else looks
        rpc_call_drop(call);
    }
    generate_request_finish(&generate);
    return st;
}

static void on_request(struct rpc_call *call, const uint8_t *bytes, size_t n)
{
    struct gateway_state *state = rpc_call_service(call);
    struct error err = {0};
    enum status st = gateway_state_loaded(state, &err);
    if (st == STATUS_OK && gateway_state_draining(state))
        st = error_set(&err, STATUS_UNAVAILABLE, "the server is draining");
    ProtobufCMessage *message = NULL;
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
    struct generation *g = rpc_call_state(call);
    struct error failure = {0};
    pthread_mutex_lock(&g->lock);
    struct queued_event *event = event_queue_pop(&g->queue);
    bool end = g->over && !g->queue.first;
    if (end)
        failure = g->failure;
    pthread_mutex_unlock(&g->lock);
    if (event) {
        struct text_buffer message = {0};
        response_pack(event, g->stop_strings, &message);
        queued_event_destroy(event);
        rpc_call_reply(call, &message);
    }
    if (end)
        rpc_call_end(call, failure.status, failure.message);
}

static void on_wake(struct rpc_call *call)
{
    struct generation *g = rpc_call_state(call);
    pthread_mutex_lock(&g->lock);
    bool overflowed = g->overflowed;
    g->overflowed = false; // said once
    pthread_mutex_unlock(&g->lock);
    if (!overflowed)
        return;
    log_warn("slow_client", "request=%s max_queued_bytes=%zu", g->id, g->state->max_queued_bytes);
    rpc_call_cancel(call, STATUS_RESOURCE_EXHAUSTED,
                    "the client reads too slowly: too many answers wait for it");
}

static void on_closed(struct rpc_call *call)
{
    struct generation *g = rpc_call_state(call);
    if (g)
        abort_generation(g);
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
        .free_state = free_generation,
    };
}
