/* gateway/control_service.c - gemmad.v1.Control: answers in every state; what is not known yet
 * while the model is loading is absent. Requests have no fields, so their bytes are not read. */
#include "base/clock.h"
#include "gateway/services.h"
#include "proto/control.pb-c.h"

static void on_get_server_info(struct rpc_call *call, const uint8_t *bytes, size_t n)
{
    (void)bytes, (void)n;
    struct gateway_state *state = rpc_call_service(call);
    Gemmad__V1__GetServerInfoResponse r = GEMMAD__V1__GET_SERVER_INFO_RESPONSE__INIT;
    r.has_version = r.has_state = r.has_uptime_ms = true;
    r.version = service_text(state->version);
    r.state = service_text(gateway_state_name(state));
    r.uptime_ms = (clock_now_ns() - state->started_ns) / NS_PER_MS;
    struct error err;
    if (gateway_state_loaded(state, &err) == STATUS_OK) {
        const struct gateway_model *model = &state->model;
        r.has_model = r.has_world_size = r.has_compute = r.has_kernels = true;
        r.has_max_context_tokens = r.has_max_seqs = r.has_max_step_tokens = true;
        r.has_page_tokens = true;
        r.model = service_text(model->name);
        r.world_size = model->world_size;
        r.compute = service_text(model->compute);
        r.kernels = service_text(model->kernels);
        r.max_context_tokens = model->max_positions;
        r.max_seqs = model->max_seqs;
        r.max_step_tokens = model->max_step_tokens;
        r.page_tokens = model->page_tokens;
    }
    service_answer(call, &r.base);
}

static void on_get_stats(struct rpc_call *call, const uint8_t *bytes, size_t n)
{
    (void)bytes, (void)n;
    struct gateway_state *state = rpc_call_service(call);
    struct engine_stats stats = {0};
    struct error err;
    if (gateway_state_loaded(state, &err) == STATUS_OK)
        engine_get_stats(state->engine, &stats);
    Gemmad__V1__PageStats pages[KV_MAX_GROUPS];
    Gemmad__V1__PageStats *page_list[KV_MAX_GROUPS];
    for (uint32_t g = 0; g < stats.n_groups; g++) {
        gemmad__v1__page_stats__init(&pages[g]);
        pages[g].has_total_pages = pages[g].has_free_pages = true;
        pages[g].total_pages = stats.n_pages[g];
        pages[g].free_pages = stats.n_free_pages[g];
        page_list[g] = &pages[g];
    }
    Gemmad__V1__GetStatsResponse r = GEMMAD__V1__GET_STATS_RESPONSE__INIT;
    r.has_requests = r.has_prompt_tokens = r.has_generated_tokens = r.has_preemptions = true;
    r.has_steps = r.has_step_prepare_us = r.has_forward_us = true;
    r.has_waiting = r.has_running = r.has_draining = r.has_workers_up = true;
    r.requests = stats.n_requests_total;
    r.prompt_tokens = stats.n_prompt_tokens_total;
    r.generated_tokens = stats.n_generated_tokens_total;
    r.preemptions = stats.n_preemptions_total;
    r.steps = stats.n_steps_total;
    r.step_prepare_us = stats.step_prepare_ns_total / NS_PER_US;
    r.forward_us = stats.forward_ns_total / NS_PER_US;
    r.waiting = stats.n_waiting;
    r.running = stats.n_running;
    r.n_pages = stats.n_groups;
    r.pages = page_list;
    r.draining = gateway_state_draining(state);
    r.workers_up = stats.backend_up;
    service_answer(call, &r.base);
}

// The state of a Drain call is its watcher, until it is closed.
static void on_drain(struct rpc_call *call, const uint8_t *bytes, size_t n)
{
    (void)bytes, (void)n;
    struct gateway_state *state = rpc_call_service(call);
    rpc_call_set_state(call, gateway_state_watch(state, call));
    gateway_state_drain(state);
    if (state->on_drain_asked)
        state->on_drain_asked(state->drain_asked_context);
}

static void next_of_drain(struct rpc_call *call)
{
    if (!gateway_state_drained(rpc_call_service(call)))
        return;
    Gemmad__V1__DrainResponse response = GEMMAD__V1__DRAIN_RESPONSE__INIT;
    service_answer(call, &response.base);
}

static void on_drain_closed(struct rpc_call *call)
{
    struct gateway_watcher *watcher = rpc_call_state(call);
    rpc_call_set_state(call, NULL);
    if (watcher)
        gateway_state_unwatch(rpc_call_service(call), watcher);
}

size_t control_service_methods(struct gateway_state *state, struct rpc_method *out)
{
    const struct rpc_method methods[] = {
        {.path = "/gemmad.v1.Control/GetServerInfo", .on_request = on_get_server_info},
        {.path = "/gemmad.v1.Control/GetStats", .on_request = on_get_stats},
        {
            .path = "/gemmad.v1.Control/Drain",
            .on_request = on_drain,
            .next = next_of_drain,
            .on_closed = on_drain_closed,
        },
    };
    size_t n = sizeof methods / sizeof methods[0];
    for (size_t i = 0; i < n; i++) {
        out[i] = methods[i];
        out[i].service = state;
    }
    return n;
}
