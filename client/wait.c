/* client/wait.c - gemmactl wait: until the server serves. Connecting is tried again and again; once
 * connected, the health service's stream says when the state changes. */
#include "client/command.h"

#include <stdio.h>
#include <time.h>

#include "base/clock.h"
#include "client/interrupt.h"
#include "proto/health.pb-c.h"

#define RETRY_NS (200 * NS_PER_MS)

enum progress { NOTHING_SEEN, CANNOT_CONNECT, NOT_SERVING, SERVING };

struct wait {
    const struct settings *settings;
    enum progress progress;
};

// Says what is waited for, once for each change.
static void see(struct wait *wait, enum progress progress)
{
    if (wait->progress == progress)
        return;
    wait->progress = progress;
    if (progress == CANNOT_CONNECT)
        fprintf(stderr, "waiting for %s: nothing answers there yet\n", wait->settings->address);
    if (progress == NOT_SERVING)
        fprintf(stderr, "waiting for %s: it is loading or draining\n", wait->settings->address);
}

static bool on_health(void *context, ProtobufCMessage *message)
{
    struct wait *wait = context;
    bool serving = ((const Grpc__Health__V1__HealthCheckResponse *)message)->status ==
                   GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__SERVING;
    client_free_message(message);
    see(wait, serving ? SERVING : NOT_SERVING);
    return !serving;
}

static void pause_ns(uint64_t ns)
{
    struct timespec span = {(time_t)(ns / NS_PER_S), (long)(ns % NS_PER_S)};
    nanosleep(&span, NULL);
}

static enum exit_code give_up(const struct wait *wait)
{
    complain("%s does not serve after %g seconds", wait->settings->address,
             (double)wait->settings->timeout_ns / 1e9);
    return wait->progress == NOT_SERVING ? EXIT_REQUEST_FAILED : EXIT_CANNOT_CONNECT;
}

static enum exit_code run(struct invocation *invocation)
{
    const struct settings *settings = invocation->settings;
    struct wait wait = {.settings = settings};
    Grpc__Health__V1__HealthCheckRequest request = GRPC__HEALTH__V1__HEALTH_CHECK_REQUEST__INIT;
    struct client_method watch = {&grpc__health__v1__health__descriptor, "Watch"};
    uint64_t start_ns = clock_now_ns();
    for (;;) {
        uint64_t passed_ns = clock_now_ns() - start_ns;
        if (settings->timeout_ns && passed_ns >= settings->timeout_ns)
            return give_up(&wait);
        uint64_t left_ns = settings->timeout_ns ? settings->timeout_ns - passed_ns : 0;
        struct error err = {0};
        enum status st = client_connect(invocation->client, left_ns, &err);
        if (st == STATUS_OK)
            st = client_stream(invocation->client, watch, &request.base, left_ns, on_health, &wait,
                               &err);
        else
            see(&wait, CANNOT_CONNECT);
        if (wait.progress == SERVING)
            return EXIT_OK;
        // a server that stops ends the stream with CANCELLED or UNAVAILABLE
        bool again = st == STATUS_OK || st == STATUS_UNAVAILABLE || st == STATUS_CANCELLED ||
                     st == STATUS_DEADLINE_EXCEEDED;
        if (!again || interrupt_happened())
            return call_failed(&err);
        pause_ns(RETRY_NS);
    }
}

static const struct option_group *const groups[] = {NULL};

const struct command wait_command = {
    .name = "wait",
    .connects_itself = true,
    .summary = "returns when the server serves",
    .description = "Waits until the server is there, has loaded its model and serves "
                   "(grpc.health.v1). Without --timeout it waits as long as it takes. Exit code 1: "
                   "still loading at the end of the time; 3: nothing answers.",
    .examples = "    gemmad /models/gemma-4-E2B-it &\n"
                "    gemmactl wait --timeout 300 && gemmactl chat\n",
    .groups = groups,
    .run = run,
};
