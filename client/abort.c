/* client/abort.c - gemmactl abort: ends someone's request by its id. */
#include "client/command.h"

#include <string.h>

static enum exit_code run(struct invocation *invocation)
{
    Gemmad__V1__AbortRequest request = GEMMAD__V1__ABORT_REQUEST__INIT;
    request.has_request_id = true;
    request.request_id.len = strlen(invocation->argument);
    request.request_id.data = (uint8_t *)invocation->argument;
    struct client_method abort_method = {&gemmad__v1__inference__descriptor, "Abort"};
    ProtobufCMessage *answer;
    struct error err = {0};
    if (client_call(invocation->client, abort_method, &request.base,
                    invocation->settings->timeout_ns, &answer, &err) != STATUS_OK)
        return call_failed(&err);
    bool found = ((const Gemmad__V1__AbortResponse *)answer)->found;
    client_free_message(answer);
    if (found)
        return EXIT_OK;
    complain("no request \"%s\" is running or waiting", invocation->argument);
    return EXIT_REQUEST_FAILED;
}

static const struct option_group *const groups[] = {NULL};

const struct command abort_command = {
    .name = "abort",
    .argument = "ID",
    .argument_needed = true,
    .summary = "ends a request by its id",
    .description = "Ends the request of that id: its client sees the reason ABORT.",
    .examples = "    gemmactl generate --request-id night-job -f long.txt >out.txt &\n"
                "    gemmactl abort night-job\n",
    .groups = groups,
    .run = run,
};
