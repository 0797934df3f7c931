/* client/drain.c - gemmactl drain: no new requests; returns when the running ones are finished. */
#include "client/command.h"

#include "proto/control.pb-c.h"

static enum exit_code run(struct invocation *invocation)
{
    Gemmad__V1__DrainRequest request = GEMMAD__V1__DRAIN_REQUEST__INIT;
    struct client_method drain = {&gemmad__v1__control__descriptor, "Drain"};
    ProtobufCMessage *answer;
    struct error err = {0};
    if (client_call(invocation->client, drain, &request.base, invocation->settings->timeout_ns,
                    &answer, &err) != STATUS_OK)
        return call_failed(&err);
    client_free_message(answer);
    return EXIT_OK;
}

static const struct option_group *const groups[] = {NULL};

const struct command drain_command = {
    .name = "drain",
    .summary = "lets the running requests finish and takes no new ones",
    .description = "Returns when no request is running any more. The server then still runs, but "
                   "takes no requests; stop it with SIGTERM.",
    .examples = "    gemmactl drain --timeout 60\n",
    .groups = groups,
    .run = run,
};
