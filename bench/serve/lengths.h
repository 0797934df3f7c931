/* bench/serve/lengths.h - how long prompts and answers are: a mix of kinds of requests.
 *
 *     512:128                 every prompt has 512 tokens, every answer 128
 *     64..1024:16..256        each length uniform in a range, both ends included
 *     512:128,64:16*3         kinds by weight: of four requests one is 512:128, three are 64:16
 *
 * Thread: a plain value. */
#ifndef GEMMAD_BENCH_SERVE_LENGTHS_H
#define GEMMAD_BENCH_SERVE_LENGTHS_H

#include <stdint.h>

#include "base/status.h"

#define LENGTHS_MAX_KINDS 16
#define LENGTHS_MAX_TOKENS (1 << 20)

struct lengths_range {
    uint32_t low, high;
};

struct lengths_kind {
    struct lengths_range prompt, answer;
    uint32_t weight;
};

struct lengths {
    struct lengths_kind kinds[LENGTHS_MAX_KINDS];
    uint32_t n_kinds, weight; /* weight: of all */
};

/* INVALID_ARGUMENT: not such a text; says which part of it. */
NODISCARD enum status lengths_parse(const char *text, struct lengths *out, struct error *err);
/* Draws the lengths of one request, in tokens. */
void lengths_draw(const struct lengths *lengths, uint64_t *series, uint32_t *out_prompt,
                  uint32_t *out_answer);

#endif
