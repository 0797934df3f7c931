/* bench/serve/load.c - one thread drives all requests through one queue: it shares the machine with
 * the server that it measures, so it must cost little. Between two events it sends what is due. */
#include "bench/serve/load.h"

#include <math.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/mem.h"
#include "bench/serve/random.h"
#include "proto/inference.pb-c.h"

struct load {
    const struct load_config *config;
    struct client_queue *queue;
    struct load_result *result;
    uint32_t vocab_size, bos_token_id;
    uint32_t n_sent, n_over, n_total; // requests, with the warm-up
    uint64_t gaps;                    // random series of an open loop
    uint64_t due_ns;                  // of an open loop's next request
    struct load_mark now;             // running counts; ns and CPU are filled in when it is kept
};

// A request in flight.
struct flight {
    struct load *load;
    bool measured;
    uint32_t prompt_tokens, answer_tokens; // asked for
    uint32_t n_tokens, n_first;            // received; in the first event
    uint64_t due_ns, first_ns, last_ns;
};

static struct load_mark mark(const struct load *load)
{
    struct load_mark mark = load->now;
    mark.ns = clock_now_ns();
    mark.client_seconds = process_cpu_self_seconds();
    if (load->config->pid != 0 && process_cpu_read(load->config->pid, &mark.cpu, NULL) != STATUS_OK)
        mark.cpu = (struct process_cpu){NAN, NAN}; // the server is gone
    return mark;
}

static void count_second(struct load_result *result, uint64_t now_ns, size_t n)
{
    if (result->begin.ns == 0)
        return;
    size_t second = (size_t)((now_ns - result->begin.ns) / NS_PER_S);
    mem_reserve(&result->tokens_of_second, &result->seconds_capacity, second + 1,
                sizeof *result->tokens_of_second);
    while (result->n_seconds <= second)
        result->tokens_of_second[result->n_seconds++] = 0;
    result->tokens_of_second[second] += n;
}

static void take_tokens(struct flight *flight, uint64_t now_ns, uint32_t n)
{
    struct load *load = flight->load;
    struct load_result *result = load->result;
    load->now.answer_tokens += n;
    count_second(result, now_ns, n);
    if (flight->n_tokens == 0) {
        load->now.prompt_tokens += flight->prompt_tokens;
        flight->first_ns = now_ns;
        flight->n_first = n;
        if (flight->measured)
            samples_add(&result->ttft, now_ns - flight->due_ns, 1);
    } else if (flight->measured) {
        samples_add(&result->inter_token, (now_ns - flight->last_ns) / n, n);
    }
    flight->last_ns = now_ns;
    flight->n_tokens += n;
}

static bool on_message(void *context, ProtobufCMessage *message)
{
    const Gemmad__V1__GenerateResponse *response = (const Gemmad__V1__GenerateResponse *)message;
    if (response->event_case == GEMMAD__V1__GENERATE_RESPONSE__EVENT_DELTA &&
        response->delta->n_token_ids > 0)
        take_tokens(context, clock_now_ns(), (uint32_t)response->delta->n_token_ids);
    client_free_message(message);
    return true;
}

static void measure_end(const struct flight *flight, const struct error *error)
{
    struct load_result *result = flight->load->result;
    bool known = error->status < LOAD_N_STATUSES;
    result->n_by_status[known ? error->status : STATUS_UNKNOWN]++;
    if (error->status != STATUS_OK) {
        if (result->first_error.status == STATUS_OK)
            result->first_error = *error;
        return;
    }
    result->n_short += flight->n_tokens < flight->answer_tokens;
    result->prompt_tokens += flight->prompt_tokens;
    result->answer_tokens += flight->n_tokens;
    samples_add(&result->end_to_end, clock_now_ns() - flight->due_ns, 1);
    if (flight->n_tokens > flight->n_first)
        samples_add(&result->tpot,
                    (flight->last_ns - flight->first_ns) / (flight->n_tokens - flight->n_first), 1);
}

static void on_end(void *context, const struct error *error)
{
    struct flight *flight = context;
    struct load *load = flight->load;
    load->n_over++;
    load->now.n_ended += error->status == STATUS_OK;
    if (flight->measured)
        measure_end(flight, error);
    free(flight);
}

static void fill_prompt(const struct load *load, uint64_t *series, Gemmad__V1__TokenIds *prompt)
{
    uint32_t quarter = load->vocab_size / 4;
    prompt->ids[0] = load->bos_token_id;
    for (size_t i = 1; i < prompt->n_ids; i++)
        prompt->ids[i] = random_in(series, quarter, load->vocab_size - quarter - 1);
}

static void start_flight(struct flight *flight, uint64_t series)
{
    const struct load_config *config = flight->load->config;
    Gemmad__V1__GenerateRequest request = GEMMAD__V1__GENERATE_REQUEST__INIT;
    Gemmad__V1__TokenIds prompt = GEMMAD__V1__TOKEN_IDS__INIT;
    Gemmad__V1__Sampling sampling = GEMMAD__V1__SAMPLING__INIT;
    Gemmad__V1__Stopping stopping = GEMMAD__V1__STOPPING__INIT;
    Gemmad__V1__ResponseOptions response = GEMMAD__V1__RESPONSE_OPTIONS__INIT;
    request.prompt_case = GEMMAD__V1__GENERATE_REQUEST__PROMPT_TOKEN_IDS;
    request.token_ids = &prompt;
    request.sampling = &sampling;
    request.stopping = &stopping;
    request.response = &response;
    prompt.n_ids = flight->prompt_tokens;
    prompt.ids = mem_zeroed(prompt.n_ids, sizeof *prompt.ids);
    fill_prompt(flight->load, &series, &prompt);
    sampling.has_seed = true;
    sampling.seed = random_next(&series);
    sampling.has_temperature = config->has_temperature;
    sampling.temperature = config->temperature;
    stopping.has_max_tokens = stopping.has_ignore_eos = stopping.ignore_eos = true;
    stopping.max_tokens = flight->answer_tokens;
    response.has_token_ids = response.token_ids = true;
    struct client_method generate = {&gemmad__v1__inference__descriptor, "Generate"};
    client_start(flight->load->queue, generate, &request.base, config->timeout_ns,
                 (struct client_handlers){on_message, on_end, flight});
    free(prompt.ids);
}

// due_ns 0: it is due now.
static void send_next(struct load *load, uint64_t due_ns)
{
    const struct load_config *config = load->config;
    struct load_result *result = load->result;
    struct flight *flight = mem_zeroed(1, sizeof *flight);
    uint32_t number = load->n_sent++;
    uint64_t series = random_series(config->seed, number);
    lengths_draw(&config->lengths, &series, &flight->prompt_tokens, &flight->answer_tokens);
    flight->load = load;
    flight->measured = number >= config->n_warmup;
    if (number == config->n_warmup)
        result->begin = mark(load);
    flight->due_ns = due_ns ? due_ns : clock_now_ns();
    uint64_t late_ns = clock_now_ns() - flight->due_ns;
    if (flight->measured && late_ns > result->most_late_ns)
        result->most_late_ns = late_ns;
    start_flight(flight, series);
    if (load->n_sent == load->n_total)
        result->last_sent = mark(load);
    if (load->n_sent - load->n_over > result->most_at_once)
        result->most_at_once = load->n_sent - load->n_over;
}

// Sends what is due; returns how long nothing more will be, unless a request ends.
static uint64_t send_due(struct load *load)
{
    const struct load_config *config = load->config;
    while (load->n_sent < load->n_total) {
        uint64_t now_ns = clock_now_ns();
        if (config->rate == 0 && load->n_sent - load->n_over >= config->concurrency)
            break;
        if (config->rate > 0 && now_ns < load->due_ns)
            return load->due_ns - now_ns;
        send_next(load, config->rate > 0 ? load->due_ns : 0);
        if (config->rate > 0)
            load->due_ns += (uint64_t)(random_gap(&load->gaps) / config->rate * 1e9);
    }
    return UINT64_MAX;
}

static enum status learn_vocabulary(struct load *load, struct client *client, struct error *err)
{
    Gemmad__V1__GetModelInfoRequest request = GEMMAD__V1__GET_MODEL_INFO_REQUEST__INIT;
    struct client_method get_info = {&gemmad__v1__inference__descriptor, "GetModelInfo"};
    ProtobufCMessage *answer;
    enum status st = client_call(client, get_info, &request.base, load->config->timeout_ns, &answer,
                                 err);
    if (st != STATUS_OK)
        return st;
    const Gemmad__V1__GetModelInfoResponse *info = (Gemmad__V1__GetModelInfoResponse *)answer;
    load->vocab_size = info->vocab_size;
    load->bos_token_id = info->bos_token_id;
    client_free_message(answer);
    if (load->vocab_size == 0)
        return error_set(err, STATUS_INTERNAL, "the server says that its vocabulary is empty");
    return STATUS_OK;
}

enum status load_run(const struct load_config *config, struct client *client,
                     struct load_result *out, struct error *err)
{
    struct load load = {.config = config, .result = out};
    load.n_total = config->n_warmup + config->n_requests;
    load.gaps = random_series(config->seed, UINT64_MAX);
    struct process_cpu unused;
    enum status st = learn_vocabulary(&load, client, err);
    if (st == STATUS_OK && config->pid != 0)
        st = process_cpu_read(config->pid, &unused, err);
    if (st != STATUS_OK)
        return st;

    load.queue = client_queue_create(client);
    load.due_ns = clock_now_ns();
    while (load.n_over < load.n_total)
        (void)client_queue_wait(load.queue, send_due(&load));
    out->end = mark(&load);
    client_queue_destroy(load.queue);
    return STATUS_OK;
}

void load_result_finish(struct load_result *result)
{
    samples_finish(&result->ttft);
    samples_finish(&result->tpot);
    samples_finish(&result->inter_token);
    samples_finish(&result->end_to_end);
    free(result->tokens_of_second);
    *result = (struct load_result){0};
}
