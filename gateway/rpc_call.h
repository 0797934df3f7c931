/* gateway/rpc_call.h - one call of a client, as the services see it: whatever its kind, a method is
 * a few functions that are run when something happened.
 *
 * A call belongs to one of the server's threads: all functions of its method run there, one at a
 * time, and so do the functions here, except those that say "any thread". Answers are pulled: when
 * the client can take a message, next is asked for one, so a slow client costs one message here and
 * what its service keeps for it. */
#ifndef GEMMAD_GATEWAY_RPC_CALL_H
#define GEMMAD_GATEWAY_RPC_CALL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "base/text_buffer.h"

struct rpc_call;

struct rpc_method {
    const char *path;   /* "/package.Service/Method" */
    bool many_requests; /* the client streams: on_request for each, the next one after all
                           answers to it were sent; its half-close ends the call with OK */
    bool lasting;       /* open as long as the client likes: a shutdown does not wait for it */
    bool heavy;         /* may compute for long: has threads that serve nothing else, so that
                           health and control never wait behind a huge prompt */
    bool open;          /* needs no API key: that the server is there is no secret */
    void *service;      /* rpc_call_service */
    /* A request message came; bytes live during the call. Must end the call, reply, or see to it
     * that next or rpc_call_wake does later. */
    void (*on_request)(struct rpc_call *call, const uint8_t *bytes, size_t n);
    /* The client can take a message: rpc_call_reply, rpc_call_end, both or neither (then
     * rpc_call_wake makes it be asked again). NULL: all was said in on_request. */
    void (*next)(struct rpc_call *call);
    /* rpc_call_wake was called; next may or may not follow. May be NULL. */
    void (*on_wake)(struct rpc_call *call);
    /* Nothing reaches the client any more: it cancelled, its deadline passed, its connection broke,
     * or it has its status. Once; may come before on_request. May be NULL. */
    void (*on_closed)(struct rpc_call *call);
    /* The last reference is gone: frees the call's state, which may be NULL. Any thread. */
    void (*free_state)(void *state);
};

void *rpc_call_service(const struct rpc_call *call);
/* What the method keeps for the call: NULL until set. */
void rpc_call_set_state(struct rpc_call *call, void *state);
void *rpc_call_state(const struct rpc_call *call);
/* A place for what the services keep for each of the server's threads (rpc_server_config). */
void **rpc_call_thread_state(const struct rpc_call *call);
bool rpc_call_closed(const struct rpc_call *call);

/* The next message: takes the bytes, message is empty then. At most one between two nexts. */
void rpc_call_reply(struct rpc_call *call, struct text_buffer *message);
/* The last thing: the client gets the status behind what was replied. The first end counts. */
void rpc_call_end(struct rpc_call *call, enum status status, const char *message);
/* The same at once, even if the client does not read; what was under way to it is lost. */
void rpc_call_cancel(struct rpc_call *call, enum status status, const char *message);

/* Any thread, with a reference: has on_wake and next run soon. Cheap, does no I/O. */
void rpc_call_wake(struct rpc_call *call);
/* Any thread. A call lives while there is a reference; the server holds one until it is closed. */
void rpc_call_ref(struct rpc_call *call);
void rpc_call_drop(struct rpc_call *call);

#endif
