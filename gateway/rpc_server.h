/* gateway/rpc_server.h - the transport: listeners, threads, calls, over the C core of gRPC.
 *
 * Each thread has a completion queue; a call lives on the queue that accepted it. Thread: create,
 * start, shutdown and destroy have one caller. */
#ifndef GEMMAD_GATEWAY_RPC_SERVER_H
#define GEMMAD_GATEWAY_RPC_SERVER_H

#include "gateway/auth.h"
#include "gateway/rpc_call.h"

#define RPC_MAX_REQUEST_BYTES (64 << 20)

struct rpc_server;

struct rpc_server_config {
    const char *const *listen; /* as in gateway/gateway.h */
    size_t n_listen;
    uint32_t n_threads;               /* at least 2: one for all methods but the heavy ones */
    uint32_t max_streams;             /* of one connection */
    const struct rpc_method *methods; /* [n_methods], live as long as the server */
    size_t n_methods;
    const struct auth *auth; /* whose keys calls of methods that are not open need; may be NULL */
    /* Frees a thread's rpc_call_thread_state; the thread ends. May be NULL. */
    void (*free_thread_state)(void *state);
};

/* Listens. UNAVAILABLE: an address cannot be bound. INVALID_ARGUMENT: an
 * address makes no sense. */
NODISCARD enum status rpc_server_create(const struct rpc_server_config *config,
                                        struct rpc_server **out, struct error *err);
size_t rpc_server_n_addresses(const struct rpc_server *server);
const char *rpc_server_address(const struct rpc_server *server, size_t i);

/* Accepts no more calls, waits up to grace_ns for those of methods that are not lasting, cancels
 * the rest, waits until every call is freed, joins the threads. */
void rpc_server_shutdown(struct rpc_server *server, uint64_t grace_ns);
void rpc_server_destroy(struct rpc_server *server); /* shut down at once if it was not */

#endif
