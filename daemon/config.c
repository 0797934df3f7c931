/* daemon/config.c - defaults and the command line. A command line is read twice: once for
 * --config, whose file the flags override wherever they stand, then for everything else. */
#include "daemon/config.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "daemon/options.h"

void daemon_config_init(struct daemon_config *config)
{
    *config = (struct daemon_config){0};
    for (size_t i = 0; i < n_options; i++) {
        if (options[i].initial)
            CHECK(option_set(&options[i], config, options[i].initial, NULL, NULL) == STATUS_OK);
    }
}

void daemon_config_finish(struct daemon_config *config)
{
    for (size_t i = 0; i < n_options; i++) {
        void *field = (char *)config + options[i].offset;
        if (options[i].type == OPTION_TEXT || options[i].type == OPTION_PATH)
            free(*(char **)field);
        else if (options[i].type == OPTION_ADDRESSES)
            option_clear(&options[i], config);
    }
    *config = (struct daemon_config){0};
}

// A command line being read. value is what follows '=' or is the next argument.
struct args {
    int argc;
    char *const *argv;
    int next;
    const char *name; // without the dashes
    size_t name_length;
    const char *value; // NULL: no '='
};

// Splits the next argument; false for one that is no flag (then args->name is the whole of it).
static bool next_is_flag(struct args *args)
{
    const char *argument = args->argv[args->next++];
    args->name = argument;
    args->value = NULL;
    if (strncmp(argument, "--", 2) != 0 || !argument[2])
        return false;
    args->name = argument + 2;
    args->name_length = strcspn(args->name, "=");
    if (args->name[args->name_length] == '=')
        args->value = args->name + args->name_length + 1;
    return true;
}

static bool name_is(const struct args *args, const char *name)
{
    return strlen(name) == args->name_length && memcmp(args->name, name, args->name_length) == 0;
}

static enum status take_value(struct args *args, struct error *err)
{
    if (args->value)
        return STATUS_OK;
    if (args->next == args->argc)
        return error_set(err, STATUS_INVALID_ARGUMENT, "--%s: a value is missing", args->name);
    args->value = args->argv[args->next++];
    return STATUS_OK;
}

static enum status unknown_flag(const struct args *args, struct error *err)
{
    const char *nearest = option_nearest(args->name, args->name_length);
    if (!nearest)
        return error_set(err, STATUS_INVALID_ARGUMENT, "unknown flag --%.*s; see gemmad --help",
                         (int)args->name_length, args->name);
    struct text_buffer flag = {0};
    option_flag(option_find(nearest, strlen(nearest)), &flag);
    enum status st = error_set(err, STATUS_INVALID_ARGUMENT,
                               "unknown flag --%.*s; did you mean %s?", (int)args->name_length,
                               args->name, flag.data);
    text_buffer_finish(&flag);
    return st;
}

static bool read_action(const struct args *args, enum config_action *out)
{
    if (args->value)
        return false;
    if (name_is(args, "help"))
        *out = CONFIG_HELP;
    else if (name_is(args, "version"))
        *out = CONFIG_VERSION;
    else if (name_is(args, "check"))
        *out = CONFIG_CHECK;
    else
        return false;
    return true;
}

static enum status read_flag(struct daemon_config *config, struct args *args, bool *listen_seen,
                             struct error *err)
{
    if (name_is(args, "config"))
        return take_value(args, err); // was read before
    const struct option *option = option_find(args->name, args->name_length);
    if (!option)
        return unknown_flag(args, err);
    int name_length = (int)args->name_length;
    enum status st = take_value(args, err);
    if (st != STATUS_OK)
        return st;
    if (option->type == OPTION_ADDRESSES && !*listen_seen) {
        option_clear(option, config); // flags replace the file's list, then add to their own
        *listen_seen = true;
    }
    st = option_set(option, config, args->value, NULL, err);
    if (st != STATUS_OK)
        error_prefix(err, "--%.*s", name_length, args->name);
    return st;
}

static enum status read_model_dir(struct daemon_config *config, const char *argument, bool *seen,
                                  struct error *err)
{
    if (argument[0] == '-' && argument[1])
        return error_set(err, STATUS_INVALID_ARGUMENT,
                         "unknown flag %s: flags begin with two dashes; see gemmad --help",
                         argument);
    if (*seen)
        return error_set(err, STATUS_INVALID_ARGUMENT, "\"%s\": there is one MODEL_DIR already",
                         argument);
    *seen = true;
    enum status st = option_set(option_find("model", 5), config, argument, NULL, err);
    return st == STATUS_OK ? st : error_prefix(err, "MODEL_DIR");
}

static enum status read_config_flag(struct daemon_config *config, int argc, char *const *argv,
                                    struct error *err)
{
    struct args args = {.argc = argc, .argv = argv, .next = 1};
    bool seen = false;
    while (args.next < argc) {
        if (!next_is_flag(&args))
            continue;
        bool is_config = name_is(&args, "config");
        if (!is_config && !option_find(args.name, args.name_length))
            continue;
        if (take_value(&args, err) != STATUS_OK) // also passes over other flags' values
            return STATUS_INVALID_ARGUMENT;
        if (!is_config)
            continue;
        if (seen)
            return error_set(err, STATUS_INVALID_ARGUMENT, "--config: there is one already");
        seen = true;
        enum status st = daemon_config_read_file(config, args.value, err);
        if (st != STATUS_OK)
            return st;
    }
    return STATUS_OK;
}

enum status daemon_config_read_args(struct daemon_config *config, int argc, char *const *argv,
                                    enum config_action *out_action, struct error *err)
{
    *out_action = CONFIG_RUN;
    struct args args = {.argc = argc, .argv = argv, .next = 1};
    while (args.next < argc) { // help and version work whatever else is wrong
        enum config_action action;
        if (next_is_flag(&args) && read_action(&args, &action) && action != CONFIG_CHECK) {
            *out_action = action;
            return STATUS_OK;
        }
    }
    enum status st = read_config_flag(config, argc, argv, err);
    bool listen_seen = false;
    bool model_seen = false;
    args.next = 1;
    while (st == STATUS_OK && args.next < argc) {
        if (!next_is_flag(&args))
            st = read_model_dir(config, args.name, &model_seen, err);
        else if (!read_action(&args, out_action))
            st = read_flag(config, &args, &listen_seen, err);
    }
    return st == STATUS_OK ? daemon_config_check(config, err) : st;
}

bool config_has_http(const struct daemon_config *config)
{
    return strcmp(config->http_listen, "off") != 0;
}

static enum status check_media(const struct daemon_config *config, struct error *err)
{
    static const uint32_t budgets[] = {0, 70, 140, 280, 560, 1120};
    for (size_t i = 0; i < sizeof budgets / sizeof *budgets; i++)
        if (config->media_tokens == budgets[i])
            return STATUS_OK;
    return error_set(err, STATUS_INVALID_ARGUMENT,
                     "media_tokens=%u: must be 70, 140, 280, 560 or 1120, or 0 for what the "
                     "checkpoint says",
                     config->media_tokens);
}

enum status daemon_config_check(const struct daemon_config *config, struct error *err)
{
    if (config->kv_pages && config->kv_memory)
        return error_set(err, STATUS_INVALID_ARGUMENT,
                         "kv_pages and kv_memory both say how large the KV cache is: give one");
    if (config->max_step_tokens < config->max_seqs)
        return error_set(err, STATUS_INVALID_ARGUMENT,
                         "max_step_tokens=%u is below max_seqs=%u: a step could not decode all "
                         "running sequences",
                         config->max_step_tokens, config->max_seqs);
    if (config->max_chunk_tokens > config->max_step_tokens)
        return error_set(err, STATUS_INVALID_ARGUMENT,
                         "max_chunk_tokens=%u is above max_step_tokens=%u",
                         config->max_chunk_tokens, config->max_step_tokens);
    for (uint32_t i = 0; i < config->listen.n; i++) {
        const char *address = config->listen.addresses[i];
        size_t n = strlen(address);
        bool any_port = n > 2 && strcmp(address + n - 2, ":0") == 0;
        for (uint32_t j = 0; j < i && !any_port; j++) {
            if (strcmp(address, config->listen.addresses[j]) == 0)
                return error_set(err, STATUS_INVALID_ARGUMENT, "listen: \"%s\" is there twice",
                                 address);
        }
    }
    if (config->listen.n == 0)
        return error_set(err, STATUS_INVALID_ARGUMENT, "listen: no address");
    return check_media(config, err);
}
