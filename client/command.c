/* client/command.c - the command line and the help, both from the commands' tables. Flags may stand
 * before and behind the command; those before it are of every command. */
#include "client/command.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "client/interrupt.h"
#include "client/request_options.h"

const struct command *const commands[] = {
    &generate_command,
    &chat_command,
    &status_command,
    &wait_command,
    &tokenize_command,
    &detokenize_command,
    &drain_command,
    &abort_command,
    &key_command,
    &parse_command,
    NULL,
};

static const struct command *find_command(const char *name)
{
    for (size_t i = 0; commands[i]; i++) {
        if (strcmp(commands[i]->name, name) == 0)
            return commands[i];
    }
    return NULL;
}

static const struct option *find_option(const struct command *command, const char *argument,
                                        const char **out_value)
{
    const struct option_group *const global[] = {&global_options, NULL};
    const struct option *option = option_find(global, argument, out_value);
    if (!option && command)
        option = option_find(command->groups, argument, out_value);
    return option;
}

static enum status take_flag(int n, char **arguments, int *at, const struct command *command,
                             struct settings *settings, struct error *err)
{
    const char *flag = arguments[*at];
    const char *value;
    const struct option *option = find_option(command, flag, &value);
    if (!option)
        return error_set(err, STATUS_INVALID_ARGUMENT, "unknown flag %.80s%s", flag,
                         command ? "" : " (flags of a command stand behind it)");
    return option_take(option, value, n, arguments, at, settings, err);
}

static enum status take_word(const char *word, struct invocation *out, struct error *err)
{
    if (!out->command) {
        out->command = find_command(word);
        if (!out->command)
            return error_set(err, STATUS_INVALID_ARGUMENT, "unknown command %.80s", word);
        return STATUS_OK;
    }
    if (!out->command->argument)
        return error_set(err, STATUS_INVALID_ARGUMENT, "\"%.80s\": %s takes no argument", word,
                         out->command->name);
    if (out->argument)
        return error_set(err, STATUS_INVALID_ARGUMENT,
                         "\"%.80s\": one argument only; quote it if it has blanks", word);
    out->argument = word;
    return STATUS_OK;
}

enum status command_line_parse(int n, char **arguments, struct settings *settings,
                               struct invocation *out, struct error *err)
{
    *out = (struct invocation){.settings = settings};
    bool only_words = false;
    enum status st = STATUS_OK;
    for (int i = 0; i < n && st == STATUS_OK; i++) {
        if (!only_words && strcmp(arguments[i], "--") == 0)
            only_words = true;
        else if (!only_words && arguments[i][0] == '-' && arguments[i][1])
            st = take_flag(n, arguments, &i, out->command, settings, err);
        else
            st = take_word(arguments[i], out, err);
    }
    if (st != STATUS_OK || settings->help || !out->command)
        return st;
    if (out->command->argument_needed && !out->argument)
        return error_set(err, STATUS_INVALID_ARGUMENT, "%s needs %s", out->command->name,
                         out->command->argument);
    return out->command->check ? out->command->check(out, err) : STATUS_OK;
}

static void describe_program(struct text_buffer *out)
{
    text_buffer_append_text(out,
                            "gemmactl - talks to a gemmad server\n\n"
                            "Usage: gemmactl [FLAGS] COMMAND [FLAGS] [ARGUMENT]\n\nCommands\n");
    for (size_t i = 0; commands[i]; i++)
        text_buffer_append_format(out, "    %-12s%s\n", commands[i]->name, commands[i]->summary);
    option_group_describe(&global_options, out);
    text_buffer_append_text(out, "\nExamples\n"
                                 "    gemmactl wait && gemmactl generate \"Why is the sky blue?\"\n"
                                 "    gemmactl --address unix:/run/gemmad/socket status\n"
                                 "    gemmactl generate --help\n"
                                 "\nExit codes\n"
                                 "    0  done\n"
                                 "    1  the request failed; stderr says why\n"
                                 "    2  wrong usage\n"
                                 "    3  no server answers at the address\n"
                                 "    130  ended by Ctrl-C\n");
}

void command_describe(const struct command *command, struct text_buffer *out)
{
    if (!command) {
        describe_program(out);
        return;
    }
    text_buffer_append_format(out, "gemmactl %s - %s\n\nUsage: gemmactl %s [FLAGS]%s%s\n\n",
                              command->name, command->summary, command->name,
                              command->argument ? " " : "",
                              command->argument ? command->argument : "");
    append_wrapped(out, 0, command->description);
    for (size_t i = 0; command->groups[i]; i++)
        option_group_describe(command->groups[i], out);
    option_group_describe(&global_options, out);
    text_buffer_append_format(out, "\nExamples\n%s", command->examples);
}

void complain(const char *format, ...)
{
    fflush(stdout);
    va_list arguments;
    va_start(arguments, format);
    fputs("gemmactl: ", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
}

enum exit_code call_failed(const struct error *err)
{
    if (interrupt_happened())
        return EXIT_INTERRUPTED;
    complain("%s: %s", status_name(err->status), err->message);
    return EXIT_REQUEST_FAILED;
}

enum exit_code wrong_usage(const struct command *command, const struct error *err)
{
    complain("%s\nsee gemmactl %s%s--help", err->message, command ? command->name : "",
             command ? " " : "");
    return EXIT_USAGE;
}
