/* client/options.h - flags: one row of a table is a flag, its check, where its value goes, and its
 * lines in the help. Tables are joined to groups, groups to commands. gemmactl's rows are about
 * struct settings; another program's are about a struct of its own.
 * Thread: tables are constants. */
#ifndef GEMMAD_CLIENT_OPTIONS_H
#define GEMMAD_CLIENT_OPTIONS_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "base/text_buffer.h"
#include "client/settings.h"

enum option_type {
    OPTION_FLAG,      /* protobuf_c_boolean; takes no value, sets it to min */
    OPTION_TEXT,      /* const char * */
    OPTION_BYTES,     /* ProtobufCBinaryData */
    OPTION_TEXTS,     /* a list of ProtobufCBinaryData; may be repeated */
    OPTION_COUNT,     /* uint32_t in [min, max] */
    OPTION_NUMBER,    /* int32_t in [min, max] */
    OPTION_SEED,      /* uint64_t */
    OPTION_REAL,      /* float */
    OPTION_SECONDS,   /* uint64_t of nanoseconds: 30, 0.5 */
    OPTION_TOKEN_IDS, /* a list of uint32_t: 2,1059,10; may be repeated */
    OPTION_BIASES,    /* a list of Gemmad__V1__Sampling__LogitBiasEntry *: ID=V; may be repeated */
};

struct option {
    const char *name; /* without the dashes */
    char letter;      /* -f; 0: none */
    enum option_type type;
    size_t offset;   /* of its field in the settings */
    size_t presence; /* of the has_ field (protobuf_c_boolean) or a list's n_ (size_t); or NONE */
    const char *metavar;
    int64_t min, max;
    const char *help;
};

/* gemmactl's offset, presence: of a field of its own, of an optional one in a message, of a list.
 * NOLINTBEGIN(bugprone-macro-parentheses): they are names of members */
#define OPTION_NO_PRESENCE SIZE_MAX
#define OPTION_PLAIN(field) offsetof(struct settings, field), OPTION_NO_PRESENCE
#define OPTION_FIELD(message, field) \
    offsetof(struct settings, message.field), offsetof(struct settings, message.has_##field)
#define OPTION_LIST(message, field) \
    offsetof(struct settings, message.field), offsetof(struct settings, message.n_##field)
/* NOLINTEND(bugprone-macro-parentheses) */

struct option_group {
    const char *title;
    const struct option *options;
    size_t n;
};

#define OPTION_GROUP(title, table)                    \
    {                                                 \
        title, table, sizeof(table) / sizeof *(table) \
    }
#define OPTION_MAX_TOKEN_IDS (1 << 24)

/* Finds the flag of argument ("--name", "--name=value", "-f") in the groups (the last is NULL);
 * NULL if there is none. *out_value is what stands behind '=', or NULL. */
const struct option *option_find(const struct option_group *const *groups, const char *argument,
                                 const char **out_value);

/* Checks text and stores it; text is NULL for an OPTION_FLAG. INVALID_ARGUMENT: what was expected,
 * without saying of which flag. */
NODISCARD enum status option_set(const struct option *option, void *settings, const char *text,
                                 struct error *err);
/* Stores the option of the flag arguments[*at], whose value stands behind '=' (value, else NULL) or
 * is the next argument, which *at then is. INVALID_ARGUMENT: begins with the flag's name. */
NODISCARD enum status option_take(const struct option *option, const char *value, int n,
                                  char **arguments, int *at, void *settings, struct error *err);

/* The group's part of a help. */
void option_group_describe(const struct option_group *group, struct text_buffer *out);
/* Appends words of text, wrapped at 80 columns with `indent` blanks before each line. */
void append_wrapped(struct text_buffer *out, size_t indent, const char *text);

#endif
