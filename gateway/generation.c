/* gateway/generation.c - the engine holds the client's reference from submit to its last event, so
 * the queue is there as long as either side wants it; what the engine still sends to a client that
 * does not listen any more is dropped.
 * Invariant: after `over` the engine does not know the generation any more, and abort asks nothing
 * of it. */
#include "gateway/generation.h"

#include <pthread.h>
#include <stdlib.h>
#include <sys/random.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"

struct generation {
    struct engine *engine;
    struct generation_client client;
    char *id;
    struct stop_string stop_strings[STOP_STRINGS_MAX]; // copies
    size_t n_stop_strings;
    struct request_times times; // the engine thread's

    pthread_mutex_t lock;
    // Under the lock.
    struct event_queue queue;
    bool over;       // the last event is in the queue, or failure is set
    bool overflowed; // the client does not read
    bool deaf;       // nobody wants more events
    struct error failure;
};

struct generate_random generation_draw_random(void)
{
    struct generate_random random;
    CHECK(getrandom(&random, sizeof random, 0) == sizeof random);
    return random;
}

static struct generation *create(struct engine *engine, const struct request *request,
                                 size_t max_queued_bytes, const struct generation_client *client)
{
    struct generation *g = mem_zeroed(1, sizeof *g);
    g->engine = engine;
    g->client = *client;
    g->id = mem_strdup(request->id);
    g->n_stop_strings = request->n_stop_strings;
    for (size_t i = 0; i < g->n_stop_strings; i++) {
        const struct stop_string *stop = &request->stop_strings[i];
        g->stop_strings[i] = (struct stop_string){mem_copy(stop->bytes, stop->n), stop->n};
    }
    pthread_mutex_init(&g->lock, NULL);
    request_times_init(&g->times, request->n, clock_now_ns());
    event_queue_init(&g->queue, request->n, max_queued_bytes);
    return g;
}

void generation_destroy(struct generation *g)
{
    if (!g)
        return;
    event_queue_finish(&g->queue);
    request_times_finish(&g->times);
    pthread_mutex_destroy(&g->lock);
    for (size_t i = 0; i < g->n_stop_strings; i++)
        free((char *)g->stop_strings[i].bytes);
    free(g->id);
    free(g);
}

static void set_too_slow(struct error *err)
{
    error_set(err, STATUS_RESOURCE_EXHAUSTED,
              "the client reads too slowly: too many answers wait for it");
}

// On the engine's thread.
static void on_event(void *context, const struct engine_event *event)
{
    struct generation *g = context;
    struct generation_client client = g->client;
    bool failed = event->type == ENGINE_EVENT_FAILED;
    bool last = failed || (event->type == ENGINE_EVENT_FINISH && event->last);
    metrics_take_event(client.metrics, &g->times, event, clock_now_ns());
    pthread_mutex_lock(&g->lock);
    if (failed) {
        g->failure = *event->error;
    } else if (!g->deaf && !event_queue_push(&g->queue, event)) {
        g->overflowed = g->deaf = true;
        // A client that goes on reading after all must not take what it got for the whole.
        set_too_slow(&g->failure);
    }
    g->over = last;
    pthread_mutex_unlock(&g->lock);
    client.wake(client.context);
    if (last)
        client.drop(client.context); // g is gone, maybe
}

enum status generation_start(struct engine *engine, const struct request *request,
                             size_t max_queued_bytes, const struct generation_client *client,
                             struct generation **out, struct error *err)
{
    struct generation *g = create(engine, request, max_queued_bytes, client);
    client->ref(client->context); // the engine's
    enum status st = engine_submit(engine, request, on_event, g, err);
    if (st != STATUS_OK) { // no event will come, so nobody else looks
        metrics_take_failure(client->metrics, st);
        client->drop(client->context);
        generation_destroy(g);
        return st;
    }
    *out = g;
    return STATUS_OK;
}

struct queued_event *generation_take(struct generation *g, bool *over, struct error *failure)
{
    pthread_mutex_lock(&g->lock);
    struct queued_event *event = event_queue_pop(&g->queue);
    *over = g->over && !g->queue.first;
    if (*over && g->failure.status != STATUS_OK)
        *failure = g->failure;
    pthread_mutex_unlock(&g->lock);
    return event;
}

bool generation_overflowed(struct generation *g, struct error *err)
{
    pthread_mutex_lock(&g->lock);
    bool overflowed = g->overflowed;
    g->overflowed = false; // said once
    pthread_mutex_unlock(&g->lock);
    if (overflowed) {
        log_warn("slow_client", "request=%s max_queued_bytes=%zu", g->id, g->queue.max_bytes);
        set_too_slow(err);
    }
    return overflowed;
}

void generation_abort(struct generation *g)
{
    pthread_mutex_lock(&g->lock);
    g->deaf = true;
    bool over = g->over;
    pthread_mutex_unlock(&g->lock);
    if (!over)
        engine_abort(g->engine, g->id, g);
}

const struct stop_string *generation_stop_strings(const struct generation *g)
{
    return g->stop_strings;
}
