/* gateway/state.c - one list of watchers for every kind of change: changes are rare, and a woken
 * call looks for itself whether it has something to say. */
#include "gateway/state.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/mem.h"

struct gateway_watcher {
    struct rpc_call *call;
    struct gateway_watcher *prev, *next;
};

void gateway_state_init(struct gateway_state *state)
{
    *state = (struct gateway_state){.serving = true, .started_ns = clock_now_ns()};
    pthread_mutex_init(&state->lock, NULL);
    pthread_mutex_init(&state->archive_lock, NULL);
    pthread_cond_init(&state->changed, NULL);
}

void gateway_state_finish(struct gateway_state *state)
{
    CHECK(!state->watchers);
    pthread_cond_destroy(&state->changed);
    pthread_mutex_destroy(&state->lock);
    pthread_mutex_destroy(&state->archive_lock);
    tokenizer_archive_destroy(state->archive);
}

// Under the lock; waking a call only posts to its queue.
static void wake_watchers(struct gateway_state *state)
{
    for (struct gateway_watcher *watcher = state->watchers; watcher; watcher = watcher->next)
        rpc_call_wake(watcher->call);
}

void gateway_state_set_model(struct gateway_state *state, const struct gateway_model *model,
                             struct engine *engine)
{
    pthread_mutex_lock(&state->lock);
    CHECK(!atomic_load(&state->loaded));
    state->model = *model;
    state->engine = engine;
    snprintf(state->fingerprint, sizeof state->fingerprint, "gemmad-%s-%s-%s", state->version,
             model->compute, model->kernels);
    atomic_store(&state->loaded, true);
    wake_watchers(state);
    pthread_mutex_unlock(&state->lock);
}

void gateway_state_set_serving(struct gateway_state *state, bool serving)
{
    pthread_mutex_lock(&state->lock);
    if (serving && !state->serving)
        atomic_fetch_add_explicit(&state->metrics.worker_restarts, 1, memory_order_relaxed);
    state->serving = serving;
    wake_watchers(state);
    pthread_mutex_unlock(&state->lock);
}

enum status gateway_state_loaded(struct gateway_state *state, struct error *err)
{
    if (!atomic_load(&state->loaded))
        return error_set(err, STATUS_UNAVAILABLE, "the model is still loading");
    return STATUS_OK;
}

enum status gateway_state_ready(struct gateway_state *state, struct error *err)
{
    enum status st = gateway_state_loaded(state, err);
    if (st == STATUS_OK && gateway_state_draining(state))
        st = error_set(err, STATUS_UNAVAILABLE, "the server is draining");
    return st;
}

const char *gateway_state_name(struct gateway_state *state)
{
    if (gateway_state_draining(state))
        return "draining";
    return atomic_load(&state->loaded) ? "serving" : "loading";
}

bool gateway_state_takes_requests(struct gateway_state *state)
{
    pthread_mutex_lock(&state->lock);
    bool takes = atomic_load(&state->loaded) && state->serving && !state->draining;
    pthread_mutex_unlock(&state->lock);
    return takes;
}

bool gateway_state_draining(struct gateway_state *state)
{
    pthread_mutex_lock(&state->lock);
    bool draining = state->draining;
    pthread_mutex_unlock(&state->lock);
    return draining;
}

bool gateway_state_drained(struct gateway_state *state)
{
    pthread_mutex_lock(&state->lock);
    bool drained = state->drained;
    pthread_mutex_unlock(&state->lock);
    return drained;
}

// The callback has returned before anybody hears of it: state may be gone soon after that.
static void set_drained(void *context)
{
    struct gateway_state *state = context;
    pthread_mutex_lock(&state->lock);
    while (state->on_drained) {
        void (*on_drained)(void *) = state->on_drained;
        void *drained_context = state->drained_context;
        state->on_drained = NULL;
        pthread_mutex_unlock(&state->lock);
        on_drained(drained_context);
        pthread_mutex_lock(&state->lock);
    }
    state->drained = true;
    wake_watchers(state);
    pthread_cond_broadcast(&state->changed);
    pthread_mutex_unlock(&state->lock);
}

void gateway_state_wait_drained(struct gateway_state *state)
{
    pthread_mutex_lock(&state->lock);
    while (state->draining && !state->drained)
        pthread_cond_wait(&state->changed, &state->lock);
    pthread_mutex_unlock(&state->lock);
}

void gateway_state_drain(struct gateway_state *state)
{
    pthread_mutex_lock(&state->lock);
    bool first = !state->draining;
    state->draining = true;
    struct engine *engine = atomic_load(&state->loaded) ? state->engine : NULL;
    wake_watchers(state);
    pthread_mutex_unlock(&state->lock);
    if (!first)
        return;
    if (engine)
        engine_drain(engine, set_drained, state);
    else
        set_drained(state); // nothing can be running
}

void gateway_state_on_drained(struct gateway_state *state, void (*on_drained)(void *context),
                              void *context)
{
    pthread_mutex_lock(&state->lock);
    bool drained = state->drained;
    if (!drained) {
        state->on_drained = on_drained;
        state->drained_context = context;
    }
    pthread_mutex_unlock(&state->lock);
    if (drained && on_drained)
        on_drained(context);
}

enum status gateway_state_archive(struct gateway_state *state, const struct tokenizer_archive **out,
                                  struct error *err)
{
    const struct gateway_model *model = &state->model;
    enum status st = STATUS_OK;
    pthread_mutex_lock(&state->archive_lock);
    if (!state->archive)
        st = tokenizer_archive_create(model->folder, model->chat_template_source,
                                      model->n_chat_template_source, &state->archive, err);
    *out = state->archive;
    pthread_mutex_unlock(&state->archive_lock);
    return st;
}

struct gateway_watcher *gateway_state_watch(struct gateway_state *state, struct rpc_call *call)
{
    struct gateway_watcher *watcher = mem_zeroed(1, sizeof *watcher);
    watcher->call = call;
    rpc_call_ref(call);
    pthread_mutex_lock(&state->lock);
    watcher->next = state->watchers;
    if (watcher->next)
        watcher->next->prev = watcher;
    state->watchers = watcher;
    pthread_mutex_unlock(&state->lock);
    return watcher;
}

void gateway_state_unwatch(struct gateway_state *state, struct gateway_watcher *watcher)
{
    pthread_mutex_lock(&state->lock);
    if (watcher->prev)
        watcher->prev->next = watcher->next;
    else
        state->watchers = watcher->next;
    if (watcher->next)
        watcher->next->prev = watcher->prev;
    pthread_mutex_unlock(&state->lock);
    rpc_call_drop(watcher->call);
    free(watcher);
}
