/* daemon/config.h - how a gemmad was asked to run: defaults, then the YAML file, then the flags.
 *
 * One table of options (daemon/options.c) drives all of it: the keys of the file, the flags, the
 * help, the ranges, so that they cannot disagree. Every value is checked where it is written and a
 * complaint says where that was: "gemmad.yaml:3:5: ..." or "--tp: ...".
 * Thread: a plain value; the owner's. */
#ifndef GEMMAD_DAEMON_CONFIG_H
#define GEMMAD_DAEMON_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

#define CONFIG_MAX_LISTENERS 16
#define CONFIG_MAX_FILE_BYTES (1U << 20)

enum config_compute { CONFIG_COMPUTE_AUTO, CONFIG_COMPUTE_F32, CONFIG_COMPUTE_BF16 };
enum config_weights {
    CONFIG_WEIGHTS_AUTO,
    CONFIG_WEIGHTS_BF16,
    CONFIG_WEIGHTS_INT8,
    CONFIG_WEIGHTS_INT4
};
enum config_media { CONFIG_MEDIA_AUTO, CONFIG_MEDIA_OFF };
enum config_special_tokens { CONFIG_SPECIAL_TOKENS_LITERAL, CONFIG_SPECIAL_TOKENS_PARSE };

struct address_list {
    char *addresses[CONFIG_MAX_LISTENERS]; /* "HOST:PORT", "[IPV6]:PORT" or "unix:PATH" */
    uint32_t n;
};

/* Meanings, ranges and defaults: the table in daemon/options.c, which --help prints. Texts are
 * owned; NULL where the help says that there is no default. */
struct daemon_config {
    char *model; /* folder of the checkpoint; NULL: the default model */
    char *served_model_name;
    char *chat_template;                /* file */
    uint32_t special_tokens_in_content; /* enum config_special_tokens */
    struct address_list listen;
    char *http_listen;   /* "off": no HTTP */
    char *api_keys_file; /* NULL: everybody may call */
    uint32_t tp;         /* workers: 1, 2, 4 or 8 */
    uint32_t threads;    /* per worker; 0: the cores, shared out */
    uint32_t compute;    /* enum config_compute */
    uint32_t weights;    /* enum config_weights */
    char *weights_cache; /* "auto", "off" or a folder */
    uint32_t max_seqs;
    uint32_t max_step_tokens;
    uint32_t max_chunk_tokens; /* 0: max_step_tokens */
    uint32_t max_context;      /* tokens; 0: what the model and the pages allow */
    uint32_t max_queued;
    uint32_t max_step_stretch; /* 0: any */
    uint32_t media;            /* enum config_media */
    uint32_t media_tokens;     /* of an image; 0: the checkpoint's */
    uint64_t encoder_cache;    /* bytes of each worker */
    uint32_t media_processes;  /* 0: by the cores */
    uint64_t media_max_file;   /* bytes */
    uint32_t media_max_pixels;
    uint32_t media_max_seconds;
    uint64_t media_timeout_ns;
    uint32_t page_tokens;
    uint32_t kv_pages;  /* per group; 0: by kv_memory */
    uint64_t kv_memory; /* bytes, all ranks together; 0: by memory_fraction */
    double memory_fraction;
    uint64_t drain_timeout_ns;
    uint64_t load_timeout_ns;
    uint64_t step_timeout_ns;
    uint32_t max_restarts; /* of the workers within restart_window_ns */
    uint64_t restart_window_ns;
    uint32_t log_level; /* enum log_level */
    int32_t ready_fd;   /* -1: none */
};

/* The defaults of the table. */
void daemon_config_init(struct daemon_config *config);
void daemon_config_finish(struct daemon_config *config);

/* Sets what the YAML text says, over what config holds. name stands for the file in messages;
 * relative paths in it are taken from the folder of that name. INVALID_ARGUMENT:
 * "gemmad.yaml:3:1: unknown key "max_seq"; did you mean "max_seqs"?". On failure config may hold a
 * part of the file; the caller gives up. */
NODISCARD enum status daemon_config_read_yaml(struct daemon_config *config, const char *text,
                                              size_t n, const char *name, struct error *err);
NODISCARD enum status daemon_config_read_file(struct daemon_config *config, const char *path,
                                              struct error *err);

enum config_action { CONFIG_RUN, CONFIG_CHECK, CONFIG_HELP, CONFIG_VERSION };

/* Reads a command line: the file named by --config first, wherever it stands, then the flags, then
 * daemon_config_check. config is one that daemon_config_init made. */
NODISCARD enum status daemon_config_read_args(struct daemon_config *config, int argc,
                                              char *const *argv, enum config_action *out_action,
                                              struct error *err);

bool config_has_http(const struct daemon_config *config);

/* What no option can check alone: combinations. */
NODISCARD enum status daemon_config_check(const struct daemon_config *config, struct error *err);

#endif
