/* tests/daemon/test_config.c - what the configuration says, and what it says when it is wrong. */
#include "daemon/config.h"

#include "base/log.h"
#include "base/text_buffer.h"
#include "daemon/options.h"
#include "tests/test.h"

static void read_yaml(struct daemon_config *config, const char *text)
{
    struct error err = {0};
    ASSERT_OK_ERR(daemon_config_read_yaml(config, text, strlen(text), "gemmad.yaml", &err), err);
}

// The message that a wrong file gives; a static buffer.
static const char *yaml_error(const char *text)
{
    static struct error err;
    struct daemon_config config;
    daemon_config_init(&config);
    enum status st = daemon_config_read_yaml(&config, text, strlen(text), "gemmad.yaml", &err);
    daemon_config_finish(&config);
    ASSERT_EQ(st, STATUS_INVALID_ARGUMENT);
    ASSERT_EQ(err.status, STATUS_INVALID_ARGUMENT);
    return err.message;
}

#define MAX_ARGS 16

static enum status read_args(struct daemon_config *config, const char *const *args,
                             enum config_action *out_action, struct error *err)
{
    char *argv[MAX_ARGS + 2] = {(char *)"gemmad"};
    int argc = 1;
    for (; args[argc - 1]; argc++)
        argv[argc] = (char *)args[argc - 1];
    daemon_config_init(config);
    return daemon_config_read_args(config, argc, argv, out_action, err);
}

static const char *args_error(const char *const *args)
{
    static struct error err;
    struct daemon_config config;
    enum config_action action;
    enum status st = read_args(&config, args, &action, &err);
    daemon_config_finish(&config);
    ASSERT(st != STATUS_OK);
    return err.message;
}

#define ARGS(...) ((const char *const[]){__VA_ARGS__, NULL})

TEST(every_default_of_the_table_is_valid_and_an_empty_file_keeps_them)
{
    struct daemon_config config;
    daemon_config_init(&config);
    read_yaml(&config, "# nothing\n");
    ASSERT_EQ(config.tp, 1);
    ASSERT_EQ(config.listen.n, 1);
    ASSERT_EQ(config.ready_fd, -1);
    ASSERT_EQ(config.drain_timeout_ns, 30000000000);
    ASSERT_NEAR(config.memory_fraction, 0.9, 0);
    ASSERT(!config.model);
    ASSERT_OK(daemon_config_check(&config, NULL));
    daemon_config_finish(&config);
}

TEST(a_file_sets_what_it_names)
{
    struct daemon_config config;
    daemon_config_init(&config);
    read_yaml(&config, "model: /srv/m\ntp: 4\nlisten:\n  - 127.0.0.1:0\n  - 'unix:/run/g.sock'\n"
                       "compute: f32\nkv_memory: 3GiB\ndrain_timeout: 1500ms\nlog_level: warn\n"
                       "memory_fraction: 0.5\nspecial_tokens_in_content: parse\n");
    ASSERT_STR_EQ(config.model, "/srv/m");
    ASSERT_EQ(config.tp, 4);
    ASSERT_EQ(config.listen.n, 2);
    ASSERT_STR_EQ(config.listen.addresses[0], "127.0.0.1:0");
    ASSERT_STR_EQ(config.listen.addresses[1], "unix:/run/g.sock");
    ASSERT_EQ(config.compute, CONFIG_COMPUTE_F32);
    ASSERT_EQ(config.kv_memory, INT64_C(3) << 30);
    ASSERT_EQ(config.drain_timeout_ns, 1500000000);
    ASSERT_EQ(config.log_level, LOG_WARN);
    ASSERT_EQ(config.special_tokens_in_content, CONFIG_SPECIAL_TOKENS_PARSE);
    daemon_config_finish(&config);
}

TEST(relative_paths_start_from_the_folder_of_the_file)
{
    struct daemon_config config;
    struct error err = {0};
    daemon_config_init(&config);
    const char *text = "model: m\nchat_template: /t.jinja\n";
    ASSERT_OK_ERR(daemon_config_read_yaml(&config, text, strlen(text), "/etc/gemmad/g.yaml", &err),
                  err);
    ASSERT_STR_EQ(config.model, "/etc/gemmad/m");
    ASSERT_STR_EQ(config.chat_template, "/t.jinja");
    daemon_config_finish(&config);
}

static const char *cache_of(struct daemon_config *config, const char *text)
{
    struct error err = {0};
    ASSERT_OK_ERR(daemon_config_read_yaml(config, text, strlen(text), "/etc/g.yaml", &err), err);
    return config->weights_cache;
}

TEST(a_cache_of_weights_is_a_folder_or_one_of_two_words)
{
    struct daemon_config config;
    daemon_config_init(&config);
    ASSERT_STR_EQ(config.weights_cache, "auto");
    ASSERT_EQ(config.weights, CONFIG_WEIGHTS_AUTO);
    ASSERT_STR_EQ(cache_of(&config, "weights_cache: off\n"), "off");
    ASSERT_STR_EQ(cache_of(&config, "weights_cache: auto\n"), "auto");
    ASSERT_STR_EQ(cache_of(&config, "weights_cache: packed\n"), "/etc/packed");
    ASSERT_STR_EQ(cache_of(&config, "weights_cache: ./off\n"), "/etc/./off");
    ASSERT_STR_EQ(cache_of(&config, "weights: int4\nweights_cache: /var/c\n"), "/var/c");
    ASSERT_EQ(config.weights, CONFIG_WEIGHTS_INT4);
    daemon_config_finish(&config);
    ASSERT_STR_EQ(yaml_error("weights: bf61\n"),
                  "gemmad.yaml:1:10: weights: \"bf61\": expected auto or bf16 or int8 or int4; "
                  "did you mean \"bf16\"?");
}

TEST(an_error_in_a_file_says_line_column_and_what_was_meant)
{
    ASSERT_STR_EQ(yaml_error("tp: 2\nmax_seq: 3\n"),
                  "gemmad.yaml:2:1: unknown key \"max_seq\"; did you mean \"max_seqs\"?");
    ASSERT_STR_EQ(yaml_error("max-seqs: 3\n"),
                  "gemmad.yaml:1:1: unknown key \"max-seqs\"; did you mean \"max_seqs\"?");
    ASSERT_STR_EQ(yaml_error("flavour: 3\n"),
                  "gemmad.yaml:1:1: unknown key \"flavour\"; gemmad --help lists them all");
    ASSERT_STR_EQ(yaml_error("\n\ncompute:  bf61\n"),
                  "gemmad.yaml:3:11: compute: \"bf61\": expected auto or f32 or bf16; did you mean "
                  "\"bf16\"?");
    ASSERT_STR_EQ(yaml_error("tp: 3\n"),
                  "gemmad.yaml:1:5: tp: \"3\": expected a power of two from 1 to 8");
    ASSERT_STR_EQ(yaml_error("tp: 2\ntp: 2\n"), "gemmad.yaml:2:1: tp is there twice");
    ASSERT_STR_EQ(yaml_error("tp:\n"),
                  "gemmad.yaml:1:4: tp: no value; leave the line out for the default");
    ASSERT_STR_EQ(yaml_error("tp: [2]\n"), "gemmad.yaml:1:5: tp: expected one value");
    ASSERT_STR_EQ(yaml_error("listen: [127.0.0.1:1, 'nowhere']\n"),
                  "gemmad.yaml:1:23: listen: \"nowhere\": expected HOST:PORT, [IPV6]:PORT or "
                  "unix:PATH, with a port from 0 to 65535");
    ASSERT_STR_EQ(yaml_error("- tp\n"), "gemmad.yaml:1:1: expected lines \"key: value\"");
    ASSERT_STR_EQ(yaml_error("tp: 2\n---\ntp: 4\n"),
                  "gemmad.yaml:3:1: a second document in the file");
    ASSERT_CONTAINS(yaml_error("tp: \"2\n"), "gemmad.yaml:2:1: ");
    ASSERT_CONTAINS(yaml_error("a: *b\n"), "gemmad.yaml:1:4: ");
}

TEST(numbers_outside_their_range_are_refused)
{
    static const char *const wrong[] = {
        "max_seqs: 0",
        "max_seqs: 5000",
        "max_seqs: -1",
        "max_seqs: 1.5",
        "max_seqs: 0x10",
        "max_seqs: 99999999999999999999",
        "max_seqs: \" 1\"",
        "page_tokens: 24",
        "page_tokens: 8",
        "kv_memory: 5 parsec",
        "kv_memory: -1GiB",
        "kv_memory: 99999999999999TiB",
        "kv_memory: 2048TiB",
        "memory_fraction: 0",
        "memory_fraction: 1.01",
        "memory_fraction: nan",
        "memory_fraction: 1e-1",
        "drain_timeout: 25h",
        "step_timeout: 1ms",
        "drain_timeout: 3d",
        "ready_fd: -2",
        "listen: ''",
        "listen: ':80'",
        "listen: 'a:b:80'",
        "listen: '1.2.3.4:65536'",
        "listen: 'unix:'",
        "listen: 'host:'",
        "listen: '[::1]80'",
        "listen: 'a b:80'",
        "model: ''",
        "served_model_name: ''",
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        ASSERT_CONTAINS(yaml_error(wrong[i]), "expected");
}

TEST(addresses_of_each_kind_are_accepted)
{
    static const char *const right[] = {"127.0.0.1:0",   "localhost:80",          "[::1]:50051",
                                        "0.0.0.0:65535", "unix:/run/gemmad.sock", "unix:relative"};
    for (size_t i = 0; i < sizeof right / sizeof *right; i++) {
        struct daemon_config config;
        enum config_action action;
        struct error err = {0};
        ASSERT_OK_ERR(read_args(&config, ARGS("--listen", right[i]), &action, &err), err);
        ASSERT_STR_EQ(config.listen.addresses[0], right[i]);
        daemon_config_finish(&config);
    }
}

TEST(flags_override_the_file_wherever_the_file_is_named)
{
    char path[] = "/tmp/gemmad-config-XXXXXX";
    int fd = mkstemp(path);
    ASSERT(fd >= 0);
    FILE *file = fdopen(fd, "w");
    fputs("tp: 2\nmax_seqs: 8\nlisten: [127.0.0.1:1, 127.0.0.1:2]\n", file);
    fclose(file);
    struct daemon_config config;
    enum config_action action;
    struct error err = {0};
    enum status st = read_args(&config,
                               ARGS("--tp=4", "folder", "--listen", "[::1]:5", "--listen=unix:/s",
                                    "--config", path, "--check"),
                               &action, &err);
    remove(path);
    ASSERT_OK_ERR(st, err);
    ASSERT_EQ(action, CONFIG_CHECK);
    ASSERT_EQ(config.tp, 4);
    ASSERT_EQ(config.max_seqs, 8);
    ASSERT_STR_EQ(config.model, "folder");
    ASSERT_EQ(config.listen.n, 2);
    ASSERT_STR_EQ(config.listen.addresses[0], "[::1]:5");
    ASSERT_STR_EQ(config.listen.addresses[1], "unix:/s");
    daemon_config_finish(&config);
}

TEST(an_error_in_a_flag_names_the_flag)
{
    ASSERT_STR_EQ(args_error(ARGS("--max-step-token", "4")),
                  "unknown flag --max-step-token; did you mean --max-step-tokens?");
    ASSERT_STR_EQ(args_error(ARGS("--tp=three")),
                  "--tp: \"three\": expected a power of two from 1 to 8");
    ASSERT_STR_EQ(args_error(ARGS("--tp")), "--tp: a value is missing");
    ASSERT_STR_EQ(args_error(ARGS("a", "b")), "\"b\": there is one MODEL_DIR already");
    ASSERT_STR_EQ(args_error(ARGS("-t", "2")),
                  "unknown flag -t: flags begin with two dashes; see gemmad --help");
    ASSERT_STR_EQ(args_error(ARGS("--config", "/nonexistent/g.yaml")),
                  "/nonexistent/g.yaml: No such file or directory");
    ASSERT_STR_EQ(args_error(ARGS("--config=a", "--config=b")), "a: No such file or directory");
    ASSERT_CONTAINS(args_error(ARGS("--kv-pages=4", "--kv-memory=1GiB")), "give one");
    ASSERT_CONTAINS(args_error(ARGS("--max-seqs=64", "--max-step-tokens=32")), "max_seqs=64");
    ASSERT_CONTAINS(args_error(ARGS("--listen=a:1", "--listen=a:1")), "twice");
    ASSERT_CONTAINS(args_error(ARGS("--media-tokens=100")), "70, 140, 280, 560 or 1120");
}

TEST(help_and_version_work_beside_a_wrong_flag)
{
    struct daemon_config config;
    enum config_action action;
    ASSERT_OK(read_args(&config, ARGS("--nonsense", "--help"), &action, NULL));
    ASSERT_EQ(action, CONFIG_HELP);
    daemon_config_finish(&config);
    ASSERT_OK(read_args(&config, ARGS("--version"), &action, NULL));
    ASSERT_EQ(action, CONFIG_VERSION);
    daemon_config_finish(&config);
}

TEST(the_help_describes_every_option)
{
    struct text_buffer help = {0};
    options_describe(&help);
    for (size_t i = 0; i < n_options; i++) {
        struct text_buffer flag = {0};
        option_flag(&options[i], &flag);
        ASSERT_CONTAINS(help.data, flag.data);
        text_buffer_finish(&flag);
    }
    text_buffer_finish(&help);
}

TEST(the_example_of_deploy_is_a_valid_file_that_changes_no_default_but_the_model)
{
    struct daemon_config config;
    struct daemon_config defaults;
    struct error err = {0};
    daemon_config_init(&config);
    daemon_config_init(&defaults);
    ASSERT_OK_ERR(daemon_config_read_file(&config, test_path("../deploy/gemmad.yaml"), &err), err);
    ASSERT_OK_ERR(daemon_config_check(&config, &err), err);
    ASSERT_EQ(config.tp, defaults.tp);
    ASSERT_EQ(config.max_seqs, defaults.max_seqs);
    ASSERT_EQ(config.max_step_tokens, defaults.max_step_tokens);
    ASSERT_EQ(config.page_tokens, defaults.page_tokens);
    ASSERT_EQ(config.max_step_stretch, defaults.max_step_stretch);
    ASSERT_EQ(config.media, defaults.media);
    ASSERT_EQ(config.encoder_cache, defaults.encoder_cache);
    ASSERT_EQ(config.media_max_file, defaults.media_max_file);
    ASSERT_EQ(config.media_max_pixels, defaults.media_max_pixels);
    ASSERT_EQ(config.media_max_seconds, defaults.media_max_seconds);
    ASSERT_EQ(config.media_timeout_ns, defaults.media_timeout_ns);
    ASSERT_EQ(config.drain_timeout_ns, defaults.drain_timeout_ns);
    ASSERT_STR_EQ(config.listen.addresses[0], defaults.listen.addresses[0]);
    daemon_config_finish(&config);
    daemon_config_finish(&defaults);
}
