/* bench/forward_options.h - what bench_forward is asked for. Thread: plain values. */
#ifndef GEMMAD_BENCH_FORWARD_OPTIONS_H
#define GEMMAD_BENCH_FORWARD_OPTIONS_H

#include "model/weights.h"

enum { FORWARD_MAX_LIST = 16 };

struct forward_list {
    uint32_t n;
    uint32_t values[FORWARD_MAX_LIST];
};

struct forward_options {
    const char *model_dir;
    uint32_t world_size, threads; /* threads 0: this machine's cores, shared out */
    enum compute compute;
    enum weights_format weights;
    const char *weights_name;
    const char *cache;                     /* folder of packed weights; NULL: none */
    struct forward_list prompts;           /* prefill of one sequence of so many tokens */
    struct forward_list batches, contexts; /* decode: each batch behind each context */
    uint32_t n_new;                        /* decode steps of a measurement */
    uint32_t repeat;
    uint32_t chunk, page_tokens;
    bool json;
};

/* Exits when asked for help (0) or when arguments make no sense (2, with the reason). */
struct forward_options forward_options_parse(int argc, char **argv);

#endif
