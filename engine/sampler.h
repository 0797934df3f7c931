/* engine/sampler.h - from logits to a token: rank 0's part of a step after the forward pass.
 *
 * The order of the steps, their meaning and ranges: gemma4-text.md section 6. Randomness is
 * Philox4x32-10 keyed by the sequence's seed with its position as the counter, so a token depends
 * on nothing else in the batch. Logprobs are those of the model: taken before any penalty.
 * Keeps, per slot, the parameters, the masks and biases, and, where a penalty is on, which tokens
 * were seen. Thread: the step thread; sampler_sample may run for different slots on different
 * threads at once. Memory is taken when a slot's sequence starts, never per token. */
#ifndef GEMMAD_ENGINE_SAMPLER_H
#define GEMMAD_ENGINE_SAMPLER_H

#include <stdbool.h>

#include "base/status.h"
#include "engine/step.h"

struct sampler;

struct sampler *sampler_create(uint32_t vocab_size, uint32_t max_slots, uint32_t max_positions,
                               uint32_t n_threads);
void sampler_destroy(struct sampler *sampler);

/* A sequence takes the slot; stop_ids and biases are in the step's blob as step.h says. */
void sampler_start(struct sampler *sampler, const struct step_start *start,
                   const unsigned char *blob);

/* Tokens that stand at positions first_position.. of the slot's sequence, in order of position.
 * Positions seen before (a sampled token that is now fed) are skipped. */
void sampler_observe(struct sampler *sampler, uint32_t slot, uint32_t first_position,
                     const uint32_t *tokens, uint32_t n);

/* What a token may be (engine/step.h, checked); ids from n_ids on are not allowed. */
struct sampler_mask {
    enum step_mask_kind kind;
    uint32_t n_ids;
    const uint32_t *words; /* [n_words] */
    uint32_t n_words;
};

/* Samples the token that will stand at position, from logits [vocab_size]; mask: NULL, or what it
 * may be. Stop ids that min_tokens masks are allowed again when the mask leaves nothing else.
 * *out_logprobs [1 + n_logprobs] gets the token's entry and the best ones when n_logprobs >= 0;
 * *out_n how many. False: NaN or +inf among what is allowed, or nothing left to choose from.
 * thread < n_threads. */
bool sampler_sample(struct sampler *sampler, uint32_t thread, uint32_t slot, uint32_t position,
                    const float *logits, const struct sampler_mask *mask, uint32_t *out_token,
                    struct token_logprob *out_logprobs, uint32_t *out_n);

/* The logprob of token among logits [vocab_size], then the n_best highest (lower id on ties):
 * out [1 + n_best]. False: NaN or +inf. */
bool sampler_logprobs(const float *logits, uint32_t vocab_size, uint32_t token, uint32_t n_best,
                      struct token_logprob *out);

#endif
