/* client/main.c - gemmactl: finds the command, connects, runs it. */
#include <stdio.h>

#include "base/clock.h"
#include "base/env.h"
#include "client/command.h"
#include "client/interrupt.h"

#define DEFAULT_ADDRESS "127.0.0.1:8431"
#define CONNECT_TIMEOUT_NS (5 * NS_PER_S)

static enum exit_code connect_and_run(struct invocation *invocation)
{
    const struct settings *settings = invocation->settings;
    struct error err = {0};
    if (!invocation->command->connects_itself) {
        uint64_t timeout_ns = CONNECT_TIMEOUT_NS;
        if (settings->timeout_ns && settings->timeout_ns < timeout_ns)
            timeout_ns = settings->timeout_ns;
        if (client_connect(invocation->client, timeout_ns, &err) != STATUS_OK) {
            complain("%s\nis gemmad running there? Start it with: gemmad MODEL_DIR --listen %s\n"
                     "or name its address with --address or GEMMAD_ADDRESS; gemmactl wait waits "
                     "for a server that is starting",
                     err.message, settings->address);
            return EXIT_CANNOT_CONNECT;
        }
    }
    return invocation->command->run(invocation);
}

static enum exit_code run(struct invocation *invocation)
{
    struct settings *settings = invocation->settings;
    const char *from_environment = env_get(ENV_ADDRESS);
    if (!settings->address)
        settings->address = from_environment ? from_environment : DEFAULT_ADDRESS;
    if (!settings->api_key)
        settings->api_key = env_get(ENV_API_KEY);
    interrupt_block();
    struct error err = {0};
    if (client_create(settings->address, settings->api_key, &invocation->client, &err) != STATUS_OK)
        return wrong_usage(invocation->command, &err);
    interrupt_begin(invocation->client);
    enum exit_code code = connect_and_run(invocation);
    interrupt_end();
    client_destroy(invocation->client);
    return code;
}

static void print_help(const struct command *command, FILE *stream)
{
    struct text_buffer help = {0};
    command_describe(command, &help);
    fputs(help.data, stream);
    text_buffer_finish(&help);
}

int main(int argc, char **argv)
{
    struct settings settings;
    settings_init(&settings);
    struct invocation invocation;
    struct error err = {0};
    enum exit_code code = EXIT_OK;
    if (command_line_parse(argc - 1, argv + 1, &settings, &invocation, &err) != STATUS_OK) {
        code = wrong_usage(invocation.command, &err);
    } else if (settings.help) {
        print_help(invocation.command, stdout);
    } else if (!invocation.command) {
        print_help(NULL, stderr);
        code = EXIT_USAGE;
    } else {
        code = run(&invocation);
    }
    settings_finish(&settings);
    if (fflush(stdout) != 0 || ferror(stdout)) {
        complain("the output cannot be written");
        code = EXIT_REQUEST_FAILED;
    }
    return (int)code;
}
