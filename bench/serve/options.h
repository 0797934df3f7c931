/* bench/serve/options.h - bench_serve's flags. Thread: plain values, which point into the command
 * line. */
#ifndef GEMMAD_BENCH_SERVE_OPTIONS_H
#define GEMMAD_BENCH_SERVE_OPTIONS_H

#include <protobuf-c/protobuf-c.h>

#include "base/text_buffer.h"
#include "bench/serve/load.h"

struct serve_options {
    const char *address;
    uint32_t concurrency;
    float rate; /* 0: a closed loop of concurrency clients */
    const char *lengths;
    uint32_t n_requests, n_warmup;
    uint64_t seed;
    protobuf_c_boolean has_temperature;
    float temperature;
    uint64_t timeout_ns;               /* 0: none */
    uint32_t pid;                      /* 0: none */
    const char *json_path, *plot_path; /* NULL: none; json "-": stdout instead of the table */
    protobuf_c_boolean help;
};

/* Fills both from the arguments (without the program's name); with --help, *out_load is untouched.
 * INVALID_ARGUMENT: a usage error. */
NODISCARD enum status serve_options_parse(int n, char **arguments, struct serve_options *out,
                                          struct load_config *out_load, struct error *err);
void serve_options_describe(struct text_buffer *out);

#endif
