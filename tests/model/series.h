/* tests/model/series.h - one sequence alone through a rank_group: prefill in chunks, then decode,
 * as the scheduler would, with everything that came back. */
#ifndef GEMMAD_TESTS_MODEL_SERIES_H
#define GEMMAD_TESTS_MODEL_SERIES_H

#include "tests/model/rank_group.h"

enum { SERIES_MAX_NEW = 64, SERIES_MAX_PROMPT = 640 };

/* A group with room for sequences of max_positions in slot 0. */
struct rank_group *series_group(const char *folder, uint32_t world_size, enum compute compute,
                                enum weights_format weights, uint32_t max_positions,
                                uint32_t page_tokens,
                                void (*observe)(void *, uint32_t, const float *, uint32_t),
                                void *observe_context);

/* The same with encoders. */
struct rank_group *series_media_group(const char *folder, uint32_t world_size, enum compute compute,
                                      uint32_t max_positions, uint32_t page_tokens);

struct series_options {
    uint32_t n_new;
    uint32_t chunk;      /* rows of a prefill step, at most 128; a block is not cut */
    uint32_t n_logprobs; /* best ones with each new token; 0: none at all */
    bool prompt_logprobs;
    float temperature; /* 0: greedy */
    uint64_t seed;
    const struct series_part *parts; /* [n_parts] media of the prompt, in a media group */
    uint32_t n_parts;
    uint32_t max_units; /* of encoding in a step; 0: a job at once */
};

enum { SERIES_MAX_PARTS = 8 };

/* One image, frame or clip, whose placeholders begin at prompt token first. */
struct series_part {
    struct step_encode_part part; /* data_offset is filled in */
    const void *data;             /* [part.data_bytes] */
    uint32_t first, n_tokens;
};

struct series_result {
    uint32_t tokens[SERIES_MAX_NEW];
    struct token_logprob logprobs[SERIES_MAX_NEW][1 + SAMPLING_MAX_TOP_LOGPROBS];
    uint32_t n_prompt_logprobs;
    float prompt_logprobs[SERIES_MAX_PROMPT]; /* of tokens 1.. */
    uint32_t prompt_best[SERIES_MAX_PROMPT];  /* the likeliest token at those places */
};

void series_run(struct rank_group *group, const uint32_t *prompt, uint32_t n_prompt,
                const struct series_options *options, struct series_result *out);

/* Logits after the prompt's last token [vocab_size], until the next call. World size 1. */
const float *series_last_logits(struct rank_group *group, const uint32_t *prompt,
                                uint32_t n_prompt);

#endif
