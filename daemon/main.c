/* daemon/main.c - gemmad: reads how it is to run, plans, and serves. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/log.h"
#include "daemon/access.h"
#include "daemon/build_id.h"
#include "daemon/config.h"
#include "daemon/coordinator.h"
#include "daemon/options.h"
#include "daemon/signals.h"

enum { EXIT_USAGE = 64 };

static const char help_head[] =
    "gemmad - serves a Gemma 4 checkpoint over gRPC\n"
    "\n"
    "    gemmad MODEL_DIR [--tp N] [--listen ADDRESS] ...\n"
    "    gemmad --config FILE [flags, which override the file]\n"
    "\n"
    "MODEL_DIR is a folder as Hugging Face has it. Without one, gemmad serves the default model "
    "that\n"
    "came with it. The file is YAML; its keys are the flags' names with '_' between the words\n"
    "(deploy/gemmad.yaml is an example with all of them).\n"
    "\n"
    "Examples\n"
    "    gemmad                                     the default model on 127.0.0.1:8431\n"
    "    gemmad /models/gemma-4-E2B-it --tp 2       two workers share the model\n"
    "    gemmad /models/gemma-4-31B-it --check      what memory it would take, and stop\n"
    "    gemmad --config /etc/gemmad/gemmad.yaml --listen unix:/run/gemmad/gemmad.sock\n"
    "    gemmactl generate \"Why is the sky blue?\"   ask it (see gemmactl --help)\n"
    "\n"
    "Actions\n"
    "    --check      check the configuration, print the memory plan, stop\n"
    "    --help       this text\n"
    "    --version    the version and the build\n"
    "    --config FILE\n"
    "                 read FILE first\n";

static const char help_tail[] =
    "\n"
    "Signals\n"
    "    SIGTERM, SIGINT, SIGHUP   no new requests; stop when the running ones are finished, at "
    "the\n"
    "                              latest after drain_timeout. A second one stops at once\n"
    "    SIGUSR1                   log the state of all workers and queues\n"
    "\n"
    "Exit codes\n"
    "    0 stopped by a signal, 1 could not start or had to give up, 64 wrong configuration\n";

static void print_help(void)
{
    struct text_buffer text = {0};
    text_buffer_append_text(&text, help_head);
    options_describe(&text);
    text_buffer_append_text(&text, help_tail);
    fputs(text.data, stdout);
    text_buffer_finish(&text);
}

static int refuse(int code, const struct error *err)
{
    fprintf(stderr, "gemmad: %s\n", err->message);
    return code;
}

static int check(const struct serving_plan *plan)
{
    struct text_buffer text = {0};
    serving_plan_write(plan, &text);
    fputs(text.data, stdout);
    text_buffer_finish(&text);
    return 0;
}

static int run(const struct daemon_config *config, enum config_action action)
{
    struct error err = {0};
    struct serving_plan *plan;
    int signals_fd = -1;
    if (signals_open(&signals_fd, &err) != STATUS_OK)
        return refuse(1, &err);
    bool own_fd = config->ready_fd > STDERR_FILENO;
    if (own_fd && fcntl(config->ready_fd, F_SETFD, FD_CLOEXEC) != 0) {
        error_set(&err, STATUS_INVALID_ARGUMENT, "ready_fd=%d is not open", config->ready_fd);
        return refuse(EXIT_USAGE, &err);
    }
    struct auth *auth;
    if (access_read(config, &auth, &err) != STATUS_OK)
        return refuse(EXIT_USAGE, &err);
    enum status st = serving_plan_create(config, &plan, &err);
    if (st != STATUS_OK) {
        auth_destroy(auth);
        return refuse(st == STATUS_INVALID_ARGUMENT ? EXIT_USAGE : 1, &err);
    }
    int code = 0;
    if (action == CONFIG_CHECK)
        code = check(plan);
    else if (coordinator_run(config, plan, auth, signals_fd, &err) != STATUS_OK)
        code = refuse(1, &err);
    serving_plan_destroy(plan);
    auth_destroy(auth);
    return code;
}

int main(int argc, char **argv)
{
    struct daemon_config config;
    struct error err = {0};
    enum config_action action;
    int code = 0;
    daemon_config_init(&config);
    if (daemon_config_read_args(&config, argc, argv, &action, &err) != STATUS_OK) {
        code = refuse(EXIT_USAGE, &err);
    } else if (action == CONFIG_HELP) {
        print_help();
    } else if (action == CONFIG_VERSION) {
        printf("gemmad %s\n", build_id);
    } else {
        log_set_level((enum log_level)config.log_level);
        code = run(&config, action);
    }
    daemon_config_finish(&config);
    return code;
}
