/* bench/serve/options.c - rows of client/options.h, whose fields are in struct serve_options. */
#include "bench/serve/options.h"

#include <string.h>

#include "base/clock.h"
#include "base/env.h"
#include "client/options.h"

// Where a row's value goes; of one that may be absent, where it is said that it is there.
#define FIELD(field) offsetof(struct serve_options, field), OPTION_NO_PRESENCE
#define OPTIONAL_FIELD(field) \
    offsetof(struct serve_options, field), offsetof(struct serve_options, has_##field)

static const struct option when_table[] = {
    {"concurrency", 'c', OPTION_COUNT, FIELD(concurrency), "N", 1, 1 << 16,
     "a closed loop: N clients, each sends its next request when its last one has ended. Shows "
     "what "
     "the server can do at most. Default: 8"},
    {"rate", 'r', OPTION_REAL, FIELD(rate), "R", 0, 0,
     "an open loop instead: R requests a second on average at random (Poisson) times, however many "
     "already run, as from users who do not know of each other. Shows how long they wait; above "
     "what the server can do, the waiting grows without end"},
    {"requests", 'n', OPTION_COUNT, FIELD(n_requests), "N", 1, 10000000,
     "requests to measure. Default: 64"},
    {"warmup", 0, OPTION_COUNT, FIELD(n_warmup), "N", 0, 10000000,
     "requests to send before those, which are not measured. Give at least --concurrency, so that "
     "the first burst is not measured. Default: 8"},
    {"timeout", 0, OPTION_SECONDS, FIELD(timeout_ns), "SECONDS", 0, 0,
     "ends a request that takes longer, with DEADLINE_EXCEEDED. Default: none"},
};

static const struct option what_table[] = {
    {"lengths", 'l', OPTION_TEXT, FIELD(lengths), "MIX", 0, 0,
     "tokens of prompts and answers, PROMPT:ANSWER. 512:128 is always so long; 64..1024:16..256 is "
     "uniform in these ranges; 512:128,64:16*3 is a mix in which the second kind is three times as "
     "frequent. Default: 128:64"},
    {"seed", 's', OPTION_SEED, FIELD(seed), "N", 0, 0,
     "another seed, other requests and times; request k of a seed is the same in every run. "
     "Default: 0"},
    {"temperature", 't', OPTION_REAL, OPTIONAL_FIELD(temperature), "T", 0, 0,
     "0 is greedy. Default: the server's"},
};

static const struct option whom_table[] = {
    {"address", 'a', OPTION_TEXT, FIELD(address), "ADDRESS", 0, 0,
     "where the server listens: HOST:PORT, [IPV6]:PORT or unix:PATH. Default: GEMMAD_ADDRESS from "
     "the environment, else 127.0.0.1:8431"},
    {"pid", 'p', OPTION_COUNT, FIELD(pid), "PID", 1, INT32_MAX,
     "gemmad's process on this machine: measures the CPU time of it (the coordinator) and of its "
     "children (the workers)"},
};

static const struct option output_table[] = {
    {"json", 'j', OPTION_TEXT, FIELD(json_path), "FILE", 0, 0,
     "writes all figures as JSON; -: to standard output, instead of the table"},
    {"plot", 0, OPTION_TEXT, FIELD(plot_path), "FILE", 0, 0,
     "draws the distributions and the throughput over time as SVG"},
    {"help", 'h', OPTION_FLAG, FIELD(help), NULL, 1, 1, "this text"},
};

static const struct option_group when = OPTION_GROUP("When requests come", when_table);
static const struct option_group what = OPTION_GROUP("What they ask for", what_table);
static const struct option_group whom = OPTION_GROUP("Who is measured", whom_table);
static const struct option_group output = OPTION_GROUP("Output", output_table);
static const struct option_group *const groups[] = {&when, &what, &whom, &output, NULL};

static enum status check(const struct serve_options *options, bool rate_given, struct error *err)
{
    if (rate_given && !(options->rate > 0))
        return error_set(err, STATUS_INVALID_ARGUMENT, "--rate: expected a number above 0");
    return STATUS_OK;
}

static enum status take_flags(int n, char **arguments, struct serve_options *options,
                              struct error *err)
{
    bool concurrency_given = false;
    bool rate_given = false;
    for (int i = 0; i < n; i++) {
        const char *value;
        const struct option *option = option_find(groups, arguments[i], &value);
        if (!option)
            return error_set(err, STATUS_INVALID_ARGUMENT, "unknown argument %.80s", arguments[i]);
        enum status st = option_take(option, value, n, arguments, &i, options, err);
        if (st != STATUS_OK)
            return st;
        concurrency_given |= strcmp(option->name, "concurrency") == 0;
        rate_given |= strcmp(option->name, "rate") == 0;
    }
    if (concurrency_given && rate_given)
        return error_set(err, STATUS_INVALID_ARGUMENT,
                         "--concurrency is a closed loop, --rate an open one: not both");
    return check(options, rate_given, err);
}

enum status serve_options_parse(int n, char **arguments, struct serve_options *out,
                                struct load_config *out_load, struct error *err)
{
    const char *from_environment = env_get(ENV_ADDRESS);
    struct serve_options options = {
        .address = from_environment ? from_environment : "127.0.0.1:8431",
        .concurrency = 8,
        .lengths = "128:64",
        .n_requests = 64,
        .n_warmup = 8,
    };
    struct lengths lengths = {0};
    enum status st = take_flags(n, arguments, &options, err);
    if (st == STATUS_OK && lengths_parse(options.lengths, &lengths, err) != STATUS_OK)
        st = error_prefix(err, "--lengths");
    if (st != STATUS_OK)
        return st;
    *out = options;
    *out_load = (struct load_config){
        .lengths = lengths,
        .rate = options.rate,
        .concurrency = options.concurrency,
        .n_warmup = options.n_warmup,
        .n_requests = options.n_requests,
        .seed = options.seed,
        .timeout_ns = options.timeout_ns,
        .pid = options.pid,
        .has_temperature = options.has_temperature,
        .temperature = options.temperature,
    };
    return STATUS_OK;
}

void serve_options_describe(struct text_buffer *out)
{
    text_buffer_append_text(out, "bench_serve - how a running gemmad does under load\n\n"
                                 "Usage: bench_serve [FLAGS]\n\n");
    append_wrapped(out, 0,
                   "Sends many requests of random tokens, whose answers have exactly the length "
                   "that was asked for, and says how long they took and how much was done:");
    text_buffer_append_text(
        out,
        "\n"
        "    TTFT         time to first token, from when a request was due\n"
        "    TPOT         time per output token: the mean of an answer's tokens after the first\n"
        "    inter-token  each gap between two tokens: shows the pauses that TPOT averages away\n"
        "    end to end   from when a request was due until all was there\n"
        "    whole run    throughput from the first measured request until the last has ended;\n"
        "                 towards the end fewer and fewer run\n"
        "    full load    throughput until the last request was sent: what goes on for ever\n"
        "    cores        CPU seconds a second: 1 is one busy core\n");
    for (size_t i = 0; groups[i]; i++)
        option_group_describe(groups[i], out);
    text_buffer_append_text(
        out, "\nExamples\n"
             "    bench_serve --concurrency 32 --warmup 32 --requests 128 --lengths 512:128\n"
             "    bench_serve --rate 0.5 --lengths 64..1024:16..256 --plot waiting.svg\n"
             "    bench_serve --pid \"$(pidof gemmad)\" --json - | jq .full_load\n"
             "\nExit codes\n"
             "    0  all requests went well\n"
             "    1  some failed; the counts by status say how\n"
             "    2  wrong usage\n"
             "    3  no server answers at the address\n");
}
