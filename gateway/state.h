/* gateway/state.h - what the services share: the model and the engine once they are there, whether
 * requests are taken, and the calls that wait for that to change.
 *
 * Thread: any; the lock is held for moments and no callback runs under it. */
#ifndef GEMMAD_GATEWAY_STATE_H
#define GEMMAD_GATEWAY_STATE_H

#include <pthread.h>
#include <stdatomic.h>

#include "engine/engine.h"
#include "gateway/metrics.h"
#include "gateway/model.h"
#include "gateway/rpc_call.h"
#include "gateway/tokenizer_archive.h"

struct gateway_watcher;

struct gateway_state {
    pthread_mutex_t lock;
    pthread_cond_t changed; /* drained */
    /* Under the lock. */
    bool serving, draining, drained;
    void (*on_drained)(void *context);
    void *drained_context;
    struct gateway_watcher *watchers;
    /* Set once, under the lock, then read-only; the flag tells whether. */
    atomic_bool loaded;
    struct gateway_model model;
    struct engine *engine;
    char fingerprint[96];   /* what answers depend on beside the request */
    struct metrics metrics; /* atomic */
    /* Made when first asked for; under its own lock, as it takes long. */
    pthread_mutex_t archive_lock;
    struct tokenizer_archive *archive;
    /* From the start. */
    const char *version;
    uint64_t started_ns;
    size_t max_queued_bytes;
    void (*on_drain_asked)(void *context);
    void *drain_asked_context;
};

void gateway_state_init(struct gateway_state *state);
void gateway_state_finish(struct gateway_state *state);

void gateway_state_set_model(struct gateway_state *state, const struct gateway_model *model,
                             struct engine *engine);
void gateway_state_set_serving(struct gateway_state *state, bool serving);

/* UNAVAILABLE while the model is loading: then state->model and state->engine are not there. */
NODISCARD enum status gateway_state_loaded(struct gateway_state *state, struct error *err);

/* The same, and also UNAVAILABLE while draining: what a new request needs. */
NODISCARD enum status gateway_state_ready(struct gateway_state *state, struct error *err);

/* "loading", "serving", "draining". */
const char *gateway_state_name(struct gateway_state *state);
bool gateway_state_takes_requests(struct gateway_state *state); /* what health says */
bool gateway_state_draining(struct gateway_state *state);
bool gateway_state_drained(struct gateway_state *state);

/* Begins to drain; watchers hear when it begins and when it is done. */
void gateway_state_drain(struct gateway_state *state);
/* on_drained is called once drained, maybe at once. */
void gateway_state_on_drained(struct gateway_state *state, void (*on_drained)(void *context),
                              void *context);

/* If it drains, waits until the engine has said that it is done: it calls back into state. */
void gateway_state_wait_drained(struct gateway_state *state);

/* The model is loaded. *out lives as long as state. INTERNAL: tokenizer_archive_create's. */
NODISCARD enum status gateway_state_archive(struct gateway_state *state,
                                            const struct tokenizer_archive **out,
                                            struct error *err);

/* The call is woken at every change until unwatch; holds a reference. */
struct gateway_watcher *gateway_state_watch(struct gateway_state *state, struct rpc_call *call);
void gateway_state_unwatch(struct gateway_state *state, struct gateway_watcher *watcher);

#endif
