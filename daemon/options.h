/* daemon/options.h - the table of options: one row is a YAML key, a flag, a line of the help and a
 * check, all at once. A row's name is the key ("max_seqs"); its flag is the same with dashes
 * ("--max-seqs"). Thread: read-only. */
#ifndef GEMMAD_DAEMON_OPTIONS_H
#define GEMMAD_DAEMON_OPTIONS_H

#include "base/text_buffer.h"
#include "daemon/config.h"

enum option_type {
    OPTION_TEXT,
    OPTION_PATH,      /* relative ones start from the file's folder; or one of choices, if any */
    OPTION_ADDRESSES, /* a list; the flag may be repeated */
    OPTION_COUNT,     /* uint32_t in [min, max] */
    OPTION_NUMBER,    /* int32_t in [min, max] */
    OPTION_POWER,     /* uint32_t in [min, max], a power of two */
    OPTION_BYTES,     /* uint64_t: 1073741824, 512MiB, 4GiB, 20GB; at most max */
    OPTION_DURATION,  /* uint64_t of nanoseconds in [min, max]: 500ms, 30, 30s, 5m, 1h */
    OPTION_FRACTION,  /* double in (0, 1] */
    OPTION_CHOICE,    /* uint32_t: index into choices */
};

struct option {
    const char *name;
    enum option_type type;
    size_t offset;       /* of its field in struct daemon_config */
    const char *section; /* heading in the help; NULL: the one before goes on */
    const char *metavar;
    const char *initial; /* the default, as one would write it; NULL: none */
    int64_t min, max;
    const char *const *choices; /* OPTION_CHOICE, OPTION_PATH: names, then NULL */
    const char *help;
};

extern const struct option options[];
extern const size_t n_options;

/* Exact name with '-' or '_' between words; NULL if there is none. */
const struct option *option_find(const char *name, size_t n);
/* The name most like word (of n bytes), or NULL when none is near. */
const char *option_nearest(const char *word, size_t n);

/* Checks text and stores it. Lists are appended to. base is the folder that relative paths start
 * from, or NULL. INVALID_ARGUMENT: what was expected, without saying where. */
NODISCARD enum status option_set(const struct option *option, struct daemon_config *config,
                                 const char *text, const char *base, struct error *err);
/* Empties a list before the first value of a new source. */
void option_clear(const struct option *option, struct daemon_config *config);

/* The options' part of the help. */
void options_describe(struct text_buffer *out);
/* Appends the flag of a row: "--max-seqs". */
void option_flag(const struct option *option, struct text_buffer *out);

#endif
