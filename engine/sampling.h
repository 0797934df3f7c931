/* engine/sampling.h - what a request asks of sampling; gemma4-text.md section 6 has the meaning,
 * the ranges and the order of the steps. Values here are complete: the request's, else the
 * checkpoint's generation_config, else neutral (engine_resolve_sampling). Plain values; they travel
 * in step descriptors as they are, so the struct has no pointers and no holes. */
#ifndef GEMMAD_ENGINE_SAMPLING_H
#define GEMMAD_ENGINE_SAMPLING_H

#include <stdbool.h>
#include <stdint.h>

#define SAMPLING_MAX_TOP_LOGPROBS 20

struct sampling_params {
    float temperature; /* 0: greedy, lowest id on ties */
    float top_p;
    float min_p;
    float repetition_penalty;
    float frequency_penalty;
    float presence_penalty;
    uint32_t top_k;      /* 0: off */
    int32_t n_logprobs;  /* -1: none; k: the sampled token's and the k best */
    uint64_t seed;       /* choice i of n uses seed + i */
    uint32_t min_tokens; /* stop ids are masked until so many were generated */
    uint32_t n_prompt_tokens;
    int32_t n_prompt_logprobs; /* -1: none */
    uint32_t reserved;
};

#endif
