/* gateway/generation.h - the life of one request between the engine and a client, whatever front
 * end the client came through: events wait in a queue until the client can take one.
 *
 * Two threads meet here: the engine's puts events in and wakes the client, the client's takes them
 * out. From start to the last event a generation holds a reference to its client, so whoever owns
 * the client frees the generation when the client's last reference is gone. A client that goes away
 * aborts; one that reads so slowly that the queue is full is told so once, and hears no more.
 * Thread: the client's functions are called from any thread; the functions here by the client, one
 * at a time. */
#ifndef GEMMAD_GATEWAY_GENERATION_H
#define GEMMAD_GATEWAY_GENERATION_H

#include "engine/engine.h"
#include "gateway/event_queue.h"
#include "gateway/generate_request.h"
#include "gateway/metrics.h"

struct generation;

/* Who waits for the events. None of these may block. */
struct generation_client {
    void *context;
    void (*wake)(void *context); /* there is something to take, or it is over */
    void (*ref)(void *context);
    void (*drop)(void *context);
    struct metrics *metrics; /* where it is counted */
};

/* A seed and an id for a request that names none. */
struct generate_random generation_draw_random(void);

/* Submits the request. wake may be called before this returns. max_queued_bytes: of events that the
 * client has not taken. Errors as of engine_submit: then the client is not referenced any more. */
NODISCARD enum status generation_start(struct engine *engine, const struct request *request,
                                       size_t max_queued_bytes,
                                       const struct generation_client *client,
                                       struct generation **out, struct error *err);
/* When the last reference to the client is gone: the engine does not know it then. NULL is fine. */
void generation_destroy(struct generation *generation);

/* The next event, which the caller destroys; NULL: none now. *over: nothing follows it, and
 * *failure (zero-initialised) says why the request failed, or is left as it is. */
struct queued_event *generation_take(struct generation *generation, bool *over,
                                     struct error *failure);
/* True once, when the queue was full: the caller ends the client with RESOURCE_EXHAUSTED. */
bool generation_overflowed(struct generation *generation, struct error *err);
/* Nobody wants more events: ends the request if it runs. */
void generation_abort(struct generation *generation);

/* The request's, which a finish names by index. */
const struct stop_string *generation_stop_strings(const struct generation *generation);

#endif
