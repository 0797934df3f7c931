/* client/status.c - gemmactl status: what runs and how it goes. */
#include "client/command.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "client/message_json.h"
#include "client/request_options.h"
#include "proto/control.pb-c.h"

static const struct option status_table[] = {
    {"watch", 0, OPTION_SECONDS, OPTION_PLAIN(watch_ns), "SECONDS", 0, 0,
     "again and again, with this time between, until Ctrl-C"},
};
static const struct option_group status_options = OPTION_GROUP("How often", status_table);

static void row(const char *name, const char *format, ...) PRINTF_LIKE(2, 3);
static void row(const char *name, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    printf("%-13s", name);
    vprintf(format, arguments);
    putchar('\n');
    va_end(arguments);
}

static double per(uint64_t sum, uint64_t n)
{
    return n ? (double)sum / (double)n : 0;
}

static void print_text_row(const char *name, ProtobufCBinaryData text)
{
    row(name, "%.*s", (int)text.len, text.data ? (const char *)text.data : "");
}

static void print_server(const Gemmad__V1__GetServerInfoResponse *info, bool workers_up)
{
    print_text_row("state", info->state);
    print_text_row("model", info->model);
    print_text_row("version", info->version);
    uint64_t minutes = info->uptime_ms / 60000;
    row("up", "%" PRIu64 " d %" PRIu64 " h %" PRIu64 " min %.0f s", minutes / 1440,
        minutes / 60 % 24, minutes % 60, (double)(info->uptime_ms % 60000) / 1000);
    row("workers", "%" PRIu32 "%s", info->world_size, workers_up ? "" : ", which are NOT up");
    row("compute", "%.*s, kernels %.*s", (int)info->compute.len,
        info->compute.data ? (char *)info->compute.data : "", (int)info->kernels.len,
        info->kernels.data ? (char *)info->kernels.data : "");
    row("limits", "%" PRIu32 " tokens of context, %" PRIu32 " sequences, %" PRIu32 " tokens a step",
        info->max_context_tokens, info->max_seqs, info->max_step_tokens);
}

static void print_stats(const Gemmad__V1__GetStatsResponse *stats, uint32_t page_tokens)
{
    row("requests", "%" PRIu64 " so far; now %" PRIu32 " run, %" PRIu32 " wait", stats->requests,
        stats->running, stats->waiting);
    row("tokens", "%" PRIu64 " prompt, %" PRIu64 " generated", stats->prompt_tokens,
        stats->generated_tokens);
    row("steps", "%" PRIu64 ": forward %.2f ms, coordinator %.0f us on average", stats->steps,
        per(stats->forward_us, stats->steps) / 1000, per(stats->step_prepare_us, stats->steps));
    row("preemptions", "%" PRIu64, stats->preemptions);
    for (size_t i = 0; i < stats->n_pages; i++) {
        char name[32];
        snprintf(name, sizeof name, "KV group %zu", i);
        row(name, "%" PRIu32 " of %" PRIu32 " pages free, %" PRIu32 " tokens each",
            stats->pages[i]->free_pages, stats->pages[i]->total_pages, page_tokens);
    }
}

static void print_json(const ProtobufCMessage *info, const ProtobufCMessage *stats)
{
    struct text_buffer line = {0};
    text_buffer_append_text(&line, "{\"server\":");
    message_json(&line, info);
    text_buffer_append_text(&line, ",\"stats\":");
    message_json(&line, stats);
    text_buffer_append_text(&line, "}");
    puts(line.data);
    text_buffer_finish(&line);
}

static enum status ask(const struct invocation *invocation, ProtobufCMessage **out_info,
                       ProtobufCMessage **out_stats, struct error *err)
{
    Gemmad__V1__GetServerInfoRequest info = GEMMAD__V1__GET_SERVER_INFO_REQUEST__INIT;
    Gemmad__V1__GetStatsRequest stats = GEMMAD__V1__GET_STATS_REQUEST__INIT;
    struct client_method get_info = {&gemmad__v1__control__descriptor, "GetServerInfo"};
    struct client_method get_stats = {&gemmad__v1__control__descriptor, "GetStats"};
    uint64_t timeout_ns = invocation->settings->timeout_ns;
    enum status st = client_call(invocation->client, get_info, &info.base, timeout_ns, out_info,
                                 err);
    if (st == STATUS_OK)
        st = client_call(invocation->client, get_stats, &stats.base, timeout_ns, out_stats, err);
    return st;
}

static enum exit_code print_once(const struct invocation *invocation)
{
    ProtobufCMessage *info = NULL;
    ProtobufCMessage *stats = NULL;
    struct error err = {0};
    enum exit_code code = EXIT_OK;
    if (ask(invocation, &info, &stats, &err) != STATUS_OK) {
        code = call_failed(&err);
    } else if (invocation->settings->json) {
        print_json(info, stats);
    } else {
        const Gemmad__V1__GetServerInfoResponse *server = (Gemmad__V1__GetServerInfoResponse *)info;
        const Gemmad__V1__GetStatsResponse *counters = (Gemmad__V1__GetStatsResponse *)stats;
        print_server(server, counters->workers_up);
        print_stats(counters, server->page_tokens);
    }
    fflush(stdout);
    client_free_message(info);
    client_free_message(stats);
    return code;
}

static enum exit_code run(struct invocation *invocation)
{
    const struct settings *settings = invocation->settings;
    enum exit_code code = print_once(invocation);
    while (code == EXIT_OK && settings->watch_ns) {
        struct timespec span = {(time_t)(settings->watch_ns / NS_PER_S),
                                (long)(settings->watch_ns % NS_PER_S)};
        nanosleep(&span, NULL);
        if (!settings->json)
            fputs(isatty(STDOUT_FILENO) ? "\033[H\033[2J" : "\n", stdout);
        code = print_once(invocation);
    }
    return code;
}

static const struct option_group *const groups[] = {&status_options, &json_option, NULL};

const struct command status_command = {
    .name = "status",
    .summary = "what runs, and how it goes",
    .description =
        "Prints the server's state, model and limits, and its counters since it started.",
    .examples = "    gemmactl status --watch 2\n"
                "    gemmactl status --json | jq .stats.running\n",
    .groups = groups,
    .run = run,
};
