/* client/bench.c - gemmactl bench: how fast a server answers many requests at once. Each of the
 * concurrent clients is a thread that sends one request after the other until all are sent.
 *
 * Prompts are random token ids from the middle of the vocabulary, each its own, so that no prefix
 * cache answers; end tokens are ignored, so that each answer has --max-tokens. Times are the
 * client's: from sending to an event's arrival. An event of k tokens counts as k gaps of a k-th. */
#include "client/command.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/mem.h"
#include "client/interrupt.h"
#include "client/request_options.h"
#include "client/samples.h"

static const struct option bench_table[] = {
    {"concurrency", 'c', OPTION_COUNT, OPTION_PLAIN(concurrency), "N", 1, 1024,
     "requests that run at once. Default: 8"},
    {"requests", 0, OPTION_COUNT, OPTION_PLAIN(n_requests), "N", 1, 1000000,
     "requests in all. Default: 32"},
    {"prompt-tokens", 0, OPTION_COUNT, OPTION_PLAIN(prompt_tokens), "N", 1, 1 << 20,
     "tokens of each prompt. Default: 128"},
    {"max-tokens", 0, OPTION_COUNT, OPTION_FIELD(stopping, max_tokens), "N", 1, 1 << 20,
     "tokens of each answer. Default: 64"},
};
static const struct option_group bench_options = OPTION_GROUP("The load", bench_table);

// What all clients share.
struct bench {
    const struct invocation *invocation;
    uint32_t vocab_size, bos_token_id;
    atomic_uint n_begun;
};

// One of the concurrent clients, with what it measured.
struct bench_client {
    struct bench *bench;
    pthread_t thread;
    struct samples first_token, between_tokens, end_to_end;
    uint64_t n_prompt_tokens, n_tokens;
    uint32_t n_done, n_failed;
    struct error first_error;
    // of the request that runs
    uint64_t sent_ns, last_ns;
    bool got_token;
};

static bool on_event(void *context, ProtobufCMessage *message)
{
    struct bench_client *client = context;
    const Gemmad__V1__GenerateResponse *response = (const Gemmad__V1__GenerateResponse *)message;
    if (response->event_case == GEMMAD__V1__GENERATE_RESPONSE__EVENT_DELTA &&
        response->delta->n_token_ids > 0) {
        uint64_t now_ns = clock_now_ns();
        size_t n = response->delta->n_token_ids;
        if (!client->got_token)
            samples_add(&client->first_token, now_ns - client->sent_ns, 1);
        else
            samples_add(&client->between_tokens, (now_ns - client->last_ns) / n, n);
        client->got_token = true;
        client->last_ns = now_ns;
        client->n_tokens += n;
    }
    client_free_message(message);
    return true;
}

// splitmix64: the same prompts in every run, other ones in every request.
static uint64_t next_random(uint64_t *state)
{
    uint64_t z = (*state += UINT64_C(0x9e3779b97f4a7c15));
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

static void fill_prompt(const struct bench *bench, uint32_t request, Gemmad__V1__TokenIds *prompt)
{
    uint64_t state = request;
    uint32_t quarter = bench->vocab_size / 4;
    prompt->ids[0] = bench->bos_token_id;
    for (size_t i = 1; i < prompt->n_ids; i++)
        prompt->ids[i] = quarter +
                         (uint32_t)(next_random(&state) % (bench->vocab_size - 2 * quarter));
}

static void run_request(struct bench_client *client, const Gemmad__V1__GenerateRequest *request)
{
    const struct invocation *invocation = client->bench->invocation;
    struct client_method generate = {&gemmad__v1__inference__descriptor, "Generate"};
    struct error err = {0};
    client->got_token = false;
    client->sent_ns = clock_now_ns();
    if (client_stream(invocation->client, generate, &request->base,
                      invocation->settings->timeout_ns, on_event, client, &err) != STATUS_OK) {
        if (client->n_failed++ == 0)
            client->first_error = err;
        return;
    }
    samples_add(&client->end_to_end, clock_now_ns() - client->sent_ns, 1);
    client->n_prompt_tokens += request->token_ids->n_ids;
    client->n_done++;
}

static void *run_client(void *context)
{
    struct bench_client *client = context;
    struct bench *bench = client->bench;
    const struct settings *settings = bench->invocation->settings;
    Gemmad__V1__TokenIds prompt = GEMMAD__V1__TOKEN_IDS__INIT;
    prompt.n_ids = settings->prompt_tokens;
    prompt.ids = mem_zeroed(prompt.n_ids, sizeof *prompt.ids);
    Gemmad__V1__GenerateRequest request = settings->request;
    request.prompt_case = GEMMAD__V1__GENERATE_REQUEST__PROMPT_TOKEN_IDS;
    request.token_ids = &prompt;
    for (;;) {
        uint32_t number = atomic_fetch_add(&bench->n_begun, 1);
        if (number >= settings->n_requests || interrupt_happened())
            break;
        fill_prompt(bench, number, &prompt);
        run_request(client, &request);
    }
    free(prompt.ids);
    return NULL;
}

// Adds up what the clients measured, and frees theirs.
static void join_clients(struct bench_client *clients, uint32_t n, struct bench_client *sum)
{
    for (uint32_t i = 0; i < n; i++) {
        pthread_join(clients[i].thread, NULL);
        samples_move(&sum->first_token, &clients[i].first_token);
        samples_move(&sum->between_tokens, &clients[i].between_tokens);
        samples_move(&sum->end_to_end, &clients[i].end_to_end);
        sum->n_prompt_tokens += clients[i].n_prompt_tokens;
        sum->n_tokens += clients[i].n_tokens;
        sum->n_done += clients[i].n_done;
        if (clients[i].n_failed > 0 && sum->n_failed == 0)
            sum->first_error = clients[i].first_error;
        sum->n_failed += clients[i].n_failed;
    }
}

static void print_json(struct bench_client *sum, const struct settings *settings, double seconds)
{
    printf("{\"concurrency\":%" PRIu32 ",\"requests\":%" PRIu32 ",\"failed\":%" PRIu32
           ",\"seconds\":%.6f,\"prompt_tokens\":%" PRIu64 ",\"completion_tokens\":%" PRIu64
           ",\"completion_tokens_per_second\":%.3f,\"requests_per_second\":%.3f",
           settings->concurrency, sum->n_done, sum->n_failed, seconds, sum->n_prompt_tokens,
           sum->n_tokens, (double)sum->n_tokens / seconds, sum->n_done / seconds);
    samples_print_json(&sum->first_token, "time_to_first_token_ms");
    samples_print_json(&sum->between_tokens, "inter_token_ms");
    samples_print_json(&sum->end_to_end, "end_to_end_ms");
    puts("}");
}

static void print_table(struct bench_client *sum, const struct settings *settings, double seconds)
{
    printf("requests     %" PRIu32 " done, %" PRIu32 " failed; %" PRIu32 " at once\n", sum->n_done,
           sum->n_failed, settings->concurrency);
    printf("time         %.2f s: %.2f requests/s\n", seconds, sum->n_done / seconds);
    printf("prompts      %" PRIu64 " tokens: %.1f tokens/s\n", sum->n_prompt_tokens,
           (double)sum->n_prompt_tokens / seconds);
    printf("answers      %" PRIu64 " tokens: %.1f tokens/s\n\n", sum->n_tokens,
           (double)sum->n_tokens / seconds);
    printf("%-22s%12s%12s%12s\n", "milliseconds", "p50", "p90", "p99");
    samples_print_row(&sum->first_token, "time to first token");
    samples_print_row(&sum->between_tokens, "between tokens");
    samples_print_row(&sum->end_to_end, "end to end");
}

static enum status learn_vocabulary(struct bench *bench, struct error *err)
{
    Gemmad__V1__GetModelInfoRequest request = GEMMAD__V1__GET_MODEL_INFO_REQUEST__INIT;
    struct client_method get_info = {&gemmad__v1__inference__descriptor, "GetModelInfo"};
    ProtobufCMessage *answer;
    enum status st = client_call(bench->invocation->client, get_info, &request.base,
                                 bench->invocation->settings->timeout_ns, &answer, err);
    if (st != STATUS_OK)
        return st;
    const Gemmad__V1__GetModelInfoResponse *info = (Gemmad__V1__GetModelInfoResponse *)answer;
    bench->vocab_size = info->vocab_size;
    bench->bos_token_id = info->bos_token_id;
    client_free_message(answer);
    if (bench->vocab_size == 0)
        return error_set(err, STATUS_INTERNAL, "the server says that its vocabulary is empty");
    return STATUS_OK;
}

static void set_defaults(struct settings *settings)
{
    settings->stopping.has_ignore_eos = settings->stopping.ignore_eos = true;
    settings->response.has_token_ids = settings->response.token_ids = true;
    if (!settings->stopping.has_max_tokens) {
        settings->stopping.has_max_tokens = true;
        settings->stopping.max_tokens = 64;
    }
}

static enum exit_code run(struct invocation *invocation)
{
    struct settings *settings = invocation->settings;
    struct bench bench = {.invocation = invocation};
    struct error err = {0};
    if (learn_vocabulary(&bench, &err) != STATUS_OK)
        return call_failed(&err);
    set_defaults(settings);
    uint32_t n = settings->concurrency < settings->n_requests ? settings->concurrency
                                                              : settings->n_requests;
    struct bench_client *clients = mem_zeroed(n, sizeof *clients);
    uint64_t start_ns = clock_now_ns();
    for (uint32_t i = 0; i < n; i++) {
        clients[i].bench = &bench;
        CHECK(pthread_create(&clients[i].thread, NULL, run_client, &clients[i]) == 0);
    }
    struct bench_client sum = {0};
    join_clients(clients, n, &sum);
    free(clients);
    double seconds = (double)(clock_now_ns() - start_ns) / 1e9;

    if (!interrupt_happened())
        (settings->json ? print_json : print_table)(&sum, settings, seconds);
    enum exit_code code = sum.n_failed > 0 ? call_failed(&sum.first_error) : EXIT_OK;
    samples_finish(&sum.first_token);
    samples_finish(&sum.between_tokens);
    samples_finish(&sum.end_to_end);
    return code;
}

static const struct option_group *const groups[] = {
    &bench_options,
    &sampling_options,
    &json_option,
    NULL,
};

const struct command bench_command = {
    .name = "bench",
    .summary = "measures how fast the server answers",
    .description = "Sends many requests, some at once, and prints how long the first token took, "
                   "the time between tokens, the time of whole answers, and tokens a second. "
                   "Prompts are random tokens; every answer has --max-tokens.",
    .examples = "    gemmactl bench --concurrency 32 --requests 256\n"
                "    gemmactl bench -c 1 --prompt-tokens 4096 --max-tokens 16 --json\n",
    .groups = groups,
    .run = run,
};
