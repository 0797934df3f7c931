/* tests/engine/fake_device.h - workers without a model: executes steps in order, with block tables
 * and pages of which every cell remembers whose it is.
 *
 * A sequence is known by its sampling seed. Its next token is a hash of the seed and of the tokens
 * that its last row can see in each KV group, read through the block tables from the cells; so a
 * page that was given away too early, lost or mixed up shows as a failure or as a wrong token. So
 * does a row of the encoder cache, whose soft tokens stand for the tokens of spliced rows, or a
 * block of images that is not whole (fake_media.h). */
#ifndef GEMMAD_TESTS_ENGINE_FAKE_DEVICE_H
#define GEMMAD_TESTS_ENGINE_FAKE_DEVICE_H

#include <stdbool.h>

#include "engine/step.h"
#include "kvcache/params.h"
#include "tests/engine/fake_media.h"

struct fake_cell {
    uint64_t seed;
    uint32_t position; /* + 1; 0: never written */
    uint32_t token;
};

struct fake_slot {
    bool started;
    struct sampling_params sampling;
    uint32_t last_token;
    uint32_t n_stop_ids;
    uint32_t stop_ids[8];
};

/* What the encoders are at. */
struct fake_job {
    uint32_t n_units_left, n_parts, n_tokens;
    struct step_encode_part parts[STEP_MAX_ENCODE_PARTS];
    uint64_t keys[STEP_MAX_ENCODE_PARTS];
};

struct fake_device {
    struct step_limits limits;
    struct kv_params kv;
    struct fake_cell *cells[KV_MAX_GROUPS]; /* [n_pages, page_tokens] */
    uint32_t *tables[KV_MAX_GROUPS];        /* [max_slots, table_pages] */
    uint64_t *writers[KV_MAX_GROUPS];       /* [n_pages]: seed + 1 that wrote in this step */
    uint32_t table_pages;
    struct fake_slot *slots;
    struct scheduler_encoders encoders;
    const unsigned char *media; /* [limits.media_bytes], set by the test */
    struct fake_job job;
    uint32_t *cache; /* [n_cache_rows], soft tokens; 0: never stored */
    bool *is_soft;   /* [max_rows], of the step, and by what: */
    uint32_t *soft;
    uint64_t n_encoded_parts, n_units;
    uint64_t n_steps;
    uint64_t n_prompt_logprobs; /* computed */
    uint64_t n_rows;
    uint64_t n_masks;
    uint64_t bad_seed; /* this sequence's logits are bad */
    bool has_bad_seed;
    char failure[256]; /* the first thing that went wrong, or "" */
};

void fake_device_init(struct fake_device *device, const struct step_limits *limits,
                      const struct kv_params *kv);
void fake_device_finish(struct fake_device *device);
/* Runs a step, with its masks if it has masked sequences (else NULL), and writes its result
 * (step_result_max_bytes); returns its length, 0 on a failure. */
size_t fake_device_run(struct fake_device *device, const void *message, size_t n, const void *masks,
                       size_t masks_n, void *result);

/* What the token may be. */
struct fake_mask {
    uint32_t kind; /* enum step_mask_kind */
    uint32_t n_ids;
    const uint32_t *words;
    uint32_t n_words;
};

/* The token that follows tokens[0..n), of those that mask allows (NULL: all). Stop ids are masked
 * while min_tokens is not reached. */
uint32_t fake_token(const struct kv_params *kv, uint32_t vocab_size,
                    const struct sampling_params *sampling, const uint32_t *stop_ids,
                    uint32_t n_stop_ids, const struct fake_mask *mask, const uint32_t *tokens,
                    uint32_t n);
/* What the device gives as the logprob of entry i of the token at a position. */
float fake_logprob(uint32_t position, uint32_t i);

#endif
