/* gateway/gateway.h - the front ends (gRPC, HTTP) as the daemon sees them: they listen from the
 * start, serve once there is a model and an engine, drain, end.
 *
 *     loading --gateway_set_model--> serving --gateway_drain--> draining --gateway_shutdown-->
 * ended
 *
 * While loading and draining, health is NOT_SERVING and Generate is UNAVAILABLE, with the reason;
 * health, reflection and Control answer in every state.
 * Owns its threads, one completion queue each. The engine and the model stay the caller's and live
 * until gateway_shutdown has returned. Thread: any, except that create, set_model, shutdown and
 * destroy have one caller; none of them may run on the engine thread. */
#ifndef GEMMAD_GATEWAY_GATEWAY_H
#define GEMMAD_GATEWAY_GATEWAY_H

#include "engine/engine.h"
#include "gateway/auth.h"
#include "gateway/model.h"

struct gateway;

#define GATEWAY_DEFAULT_ADDRESS "127.0.0.1:8431"
#define GATEWAY_DEFAULT_HTTP_ADDRESS "127.0.0.1:8432"

struct gateway_config {
    /* "host:port" (port 0 picks a free one), "[::1]:port", "unix:/path"; none: the default one */
    const char *const *listen;
    size_t n_listen;
    const char *http_listen; /* "HOST:PORT" or "[IPV6]:PORT"; NULL: no HTTP */
    uint32_t n_threads;      /* 2 or more; 0: 5 */
    uint32_t max_streams;    /* calls at once of one connection; 0: 1024 */
    size_t max_queued_bytes; /* events that one client has not read yet; 0: 4 MiB */
    const char *version;     /* of the program, for GetServerInfo */
    const struct auth *auth; /* who may call; NULL: everybody. Lives as long as the gateway */
    /* A client asked for Drain; may be NULL. On one of the gateway's threads; must not block. */
    void (*on_drain)(void *context);
    void *context;
};

/* Listens and answers. UNAVAILABLE: an address cannot be bound. INVALID_ARGUMENT: no address. */
NODISCARD enum status gateway_create(const struct gateway_config *config, struct gateway **out,
                                     struct error *err);
/* Shuts down at once if that was not done. NULL is fine. */
void gateway_destroy(struct gateway *gateway);

/* The addresses as bound: of listeners on port 0 with the port they got. */
size_t gateway_n_addresses(const struct gateway *gateway);
const char *gateway_address(const struct gateway *gateway, size_t i);
const char *gateway_http_address(const struct gateway *gateway); /* NULL: no HTTP */

/* Loading is done; once. The struct is copied, what it points to is not. Serving from here on,
 * unless draining or set_serving said otherwise. */
void gateway_set_model(struct gateway *gateway, const struct gateway_model *model,
                       struct engine *engine);
/* Says in health whether requests are served just now: false while the workers are being started
 * again. True is the start value and changes nothing while loading or draining. */
void gateway_set_serving(struct gateway *gateway, bool serving);

/* No new requests; on_drained (may be NULL) is called once, from any thread, when the running ones
 * are finished. The only caller of engine_drain. A second call replaces on_drained. */
void gateway_drain(struct gateway *gateway, void (*on_drained)(void *context), void *context);

/* Accepts no more calls, waits up to grace_ns for those that generate, cancels the rest and waits
 * for the engine to let go of them. */
void gateway_shutdown(struct gateway *gateway, uint64_t grace_ns);

#endif
