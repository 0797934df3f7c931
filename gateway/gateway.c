/* gateway/gateway.c - the services over one transport and one state. */
#include "gateway/gateway.h"

#include <stdlib.h>

#include "base/mem.h"
#include "gateway/rpc_server.h"
#include "gateway/services.h"

#define DEFAULT_THREADS 5
#define DEFAULT_MAX_STREAMS 1024
#define DEFAULT_MAX_QUEUED_BYTES ((size_t)4 << 20)
#define N_SERVICES 6

struct gateway {
    struct gateway_state state;
    struct rpc_method methods[N_SERVICES * SERVICE_MAX_METHODS];
    struct rpc_server *server;
    bool shut_down;
};

static size_t collect_methods(struct gateway *gateway)
{
    struct gateway_state *state = &gateway->state;
    size_t n = inference_service_methods(state, gateway->methods);
    n += control_service_methods(state, gateway->methods + n);
    n += health_service_methods(state, gateway->methods + n);
    n += reflection_service_methods(state, gateway->methods + n);
    n += vllm_service_methods(state, gateway->methods + n);
    n += kserve_service_methods(state, gateway->methods + n);
    return n;
}

enum status gateway_create(const struct gateway_config *config, struct gateway **out,
                           struct error *err)
{
    static const char *const default_listen[] = {GATEWAY_DEFAULT_ADDRESS};
    struct gateway *gateway = mem_zeroed(1, sizeof *gateway);
    struct gateway_state *state = &gateway->state;
    gateway_state_init(state);
    state->version = config->version ? config->version : "";
    state->max_queued_bytes = config->max_queued_bytes ? config->max_queued_bytes
                                                       : DEFAULT_MAX_QUEUED_BYTES;
    state->on_drain_asked = config->on_drain;
    state->drain_asked_context = config->context;
    struct rpc_server_config server = {
        .listen = config->n_listen ? config->listen : default_listen,
        .n_listen = config->n_listen ? config->n_listen : 1,
        .n_threads = config->n_threads ? config->n_threads : DEFAULT_THREADS,
        .max_streams = config->max_streams ? config->max_streams : DEFAULT_MAX_STREAMS,
        .methods = gateway->methods,
        .n_methods = collect_methods(gateway),
        .auth = config->auth,
        .free_thread_state = service_free_thread_state,
    };
    enum status st = rpc_server_create(&server, &gateway->server, err);
    if (st != STATUS_OK) {
        gateway_destroy(gateway);
        return st;
    }
    *out = gateway;
    return STATUS_OK;
}

void gateway_destroy(struct gateway *gateway)
{
    if (!gateway)
        return;
    gateway_shutdown(gateway, 0);
    rpc_server_destroy(gateway->server);
    gateway_state_finish(&gateway->state);
    free(gateway);
}

size_t gateway_n_addresses(const struct gateway *gateway)
{
    return rpc_server_n_addresses(gateway->server);
}

const char *gateway_address(const struct gateway *gateway, size_t i)
{
    return rpc_server_address(gateway->server, i);
}

void gateway_set_model(struct gateway *gateway, const struct gateway_model *model,
                       struct engine *engine)
{
    gateway_state_set_model(&gateway->state, model, engine);
}

void gateway_set_serving(struct gateway *gateway, bool serving)
{
    gateway_state_set_serving(&gateway->state, serving);
}

void gateway_drain(struct gateway *gateway, void (*on_drained)(void *context), void *context)
{
    gateway_state_drain(&gateway->state);
    gateway_state_on_drained(&gateway->state, on_drained, context);
}

void gateway_shutdown(struct gateway *gateway, uint64_t grace_ns)
{
    if (gateway->shut_down || !gateway->server)
        return;
    gateway->shut_down = true;
    rpc_server_shutdown(gateway->server, grace_ns);
    gateway_state_wait_drained(&gateway->state); // every call is gone, so this is soon
}
