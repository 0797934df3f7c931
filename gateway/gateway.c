/* gateway/gateway.c - the services over two transports and one state. */
#include "gateway/gateway.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/mem.h"
#include "gateway/http_routes.h"
#include "gateway/http_server.h"
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
    struct http_route routes[HTTP_MAX_ROUTES];
    struct http_server *http; // NULL: none was asked for
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

static enum status create_http(struct gateway *gateway, const struct gateway_config *config,
                               struct error *err)
{
    if (!config->http_listen)
        return STATUS_OK;
    size_t n = http_openai_routes(&gateway->state, gateway->routes);
    n += http_info_routes(&gateway->state, gateway->routes + n);
    const struct http_server_config http = {
        .listen = config->http_listen,
        .routes = gateway->routes,
        .n_routes = n,
        .auth = config->auth,
        .free_thread_state = http_free_thread_state,
    };
    return http_server_create(&http, &gateway->http, err);
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
    // HTTP first: a gRPC server that is shut down within moments of its start may not end.
    enum status st = create_http(gateway, config, err);
    if (st == STATUS_OK)
        st = rpc_server_create(&server, &gateway->server, err);
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
    http_server_destroy(gateway->http);
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

const char *gateway_http_address(const struct gateway *gateway)
{
    return gateway->http ? http_server_address(gateway->http) : NULL;
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
    uint64_t end_ns = clock_now_ns() + grace_ns;
    if (gateway->http)
        http_server_shutdown(gateway->http, grace_ns);
    uint64_t now_ns = clock_now_ns();
    rpc_server_shutdown(gateway->server, end_ns > now_ns ? end_ns - now_ns : 0);
    gateway_state_wait_drained(&gateway->state); // every call is gone, so this is soon
}
