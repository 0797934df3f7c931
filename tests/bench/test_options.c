/* tests/bench/test_options.c - the command line of bench_serve. */
#include "bench/serve/options.h"

#include "tests/test.h"

#define MAX_ARGUMENTS 16

static enum status parse(const char *const *words, struct serve_options *out,
                         struct load_config *out_load, struct error *err)
{
    char *arguments[MAX_ARGUMENTS];
    int n = 0;
    for (; words[n]; n++)
        arguments[n] = (char *)words[n];
    return serve_options_parse(n, arguments, out, out_load, err);
}

#define WORDS(...) ((const char *const[]){__VA_ARGS__, NULL})

static void expect_refusal(const char *const *words, const char *message)
{
    struct serve_options options;
    struct load_config load;
    struct error err = {0};
    ASSERT_EQ(parse(words, &options, &load, &err), STATUS_INVALID_ARGUMENT);
    ASSERT_CONTAINS(err.message, message);
}

TEST(no_flags_are_eight_clients_in_a_closed_loop)
{
    struct serve_options options;
    struct load_config load;
    struct error err = {0};
    ASSERT_OK_ERR(parse((const char *const[]){NULL}, &options, &load, &err), err);
    ASSERT_EQ(load.concurrency, 8);
    ASSERT(load.rate == 0 && load.pid == 0 && !load.has_temperature);
    ASSERT_EQ(load.n_requests, 64);
    ASSERT_EQ(load.lengths.kinds[0].prompt.low, 128);
    ASSERT(!options.json_path && !options.plot_path);
}

TEST(flags_reach_the_load)
{
    struct serve_options options;
    struct load_config load;
    struct error err = {0};
    ASSERT_OK_ERR(parse(WORDS("--rate", "2.5", "-n", "7", "--warmup=3", "-l", "5:6", "--seed", "9",
                              "--temperature", "0", "--pid", "12", "-j", "-"),
                        &options, &load, &err),
                  err);
    ASSERT_NEAR(load.rate, 2.5, 0);
    ASSERT_EQ(load.n_requests, 7);
    ASSERT_EQ(load.n_warmup, 3);
    ASSERT_EQ(load.lengths.kinds[0].answer.high, 6);
    ASSERT_EQ(load.seed, 9);
    ASSERT(load.has_temperature && load.temperature == 0);
    ASSERT_EQ(load.pid, 12);
    ASSERT_STR_EQ(options.json_path, "-");
}

TEST(what_makes_no_sense_is_refused_with_the_flags_name)
{
    expect_refusal(WORDS("--concurrency", "0"), "--concurrency: ");
    expect_refusal(WORDS("--rate", "0"), "--rate: ");
    expect_refusal(WORDS("--rate", "-1"), "--rate: ");
    expect_refusal(WORDS("--rate", "1", "-c", "2"), "not both");
    expect_refusal(WORDS("--lengths", "5"), "--lengths: \"5\"");
    expect_refusal(WORDS("--requests"), "--requests needs a value");
    expect_refusal(WORDS("--help=1"), "takes no value");
    expect_refusal(WORDS("--request", "5"), "unknown argument --request");
    expect_refusal(WORDS("address"), "unknown argument address");
}

TEST(help_names_every_figure_of_the_report)
{
    struct text_buffer help = {0};
    serve_options_describe(&help);
    static const char *const words[] = {"TTFT",      "TPOT",      "inter-token", "end to end",
                                        "whole run", "full load", "cores",       "--lengths MIX"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        ASSERT_CONTAINS(help.data, words[i]);
    text_buffer_finish(&help);
}
