/* client/command.h - a command of gemmactl: its rows of flags, its help, and what it does.
 * Thread: the main thread runs one command. */
#ifndef GEMMAD_CLIENT_COMMAND_H
#define GEMMAD_CLIENT_COMMAND_H

#include <stdbool.h>

#include "base/text_buffer.h"
#include "client/client.h"
#include "client/options.h"

enum exit_code {
    EXIT_OK = 0,
    EXIT_REQUEST_FAILED = 1,
    EXIT_USAGE = 2,
    EXIT_CANNOT_CONNECT = 3,
    EXIT_INTERRUPTED = 130, /* 128 + SIGINT, as shells say it */
};

/* What a command works with. */
struct invocation {
    const struct command *command;
    struct settings *settings;
    struct client *client; /* connected, if the command wants it so */
    const char *argument;  /* what stands behind the command; NULL: nothing */
};

struct command {
    const char *name;
    const char *argument; /* "[PROMPT]"; NULL: takes none */
    bool argument_needed;
    bool connects_itself;
    const char *summary;
    const char *description;
    const char *examples;                     /* whole lines */
    const struct option_group *const *groups; /* the last is NULL */
    /* What the rows cannot say of the flags together; NULL: nothing. INVALID_ARGUMENT. */
    enum status (*check)(const struct invocation *invocation, struct error *err);
    enum exit_code (*run)(struct invocation *invocation);
};

extern const struct command generate_command, chat_command, status_command, tokenize_command,
    detokenize_command, wait_command, drain_command, abort_command, parse_command, key_command;

/* All of them, in the order of the help; the last is NULL. */
extern const struct command *const commands[];

/* Fills settings and *out from the arguments (without the program's name). *out's command is NULL
 * if none is named. INVALID_ARGUMENT: a usage error. */
NODISCARD enum status command_line_parse(int n, char **arguments, struct settings *settings,
                                         struct invocation *out, struct error *err);
/* The help of a command; of the program if it is NULL. */
void command_describe(const struct command *command, struct text_buffer *out);

/* Says on stderr why something failed. */
void complain(const char *format, ...) PRINTF_LIKE(1, 2);
/* Says why a call failed, unless the user ended it; gives the exit code. */
enum exit_code call_failed(const struct error *err);
/* Says that the command line is wrong, and where to read more. */
enum exit_code wrong_usage(const struct command *command, const struct error *err);

#endif
