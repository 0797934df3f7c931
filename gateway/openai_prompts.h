/* gateway/openai_prompts.h - the prompts of a completion: a text, token ids, or an array of either.
 *
 * Thread: any. */
#ifndef GEMMAD_GATEWAY_OPENAI_PROMPTS_H
#define GEMMAD_GATEWAY_OPENAI_PROMPTS_H

#include "base/json.h"
#include "proto/inference.pb-c.h"

#define OPENAI_MAX_PROMPTS 1024

struct openai_prompts {
    const struct json_value *texts; /* [n], or NULL: they are ids */
    Gemmad__V1__TokenIds *ids;      /* [n] */
    uint32_t *all_ids;
    size_t n;
};

/* INVALID_ARGUMENT: none, too many, or of another type. */
NODISCARD enum status openai_prompts_read(struct openai_prompts *out,
                                          const struct json_value *prompt, struct error *err);
void openai_prompts_finish(struct openai_prompts *prompts);

/* Puts the i-th into a message, which points into prompts then. */
void openai_prompts_set(struct openai_prompts *prompts, size_t i,
                        Gemmad__V1__GenerateRequest *message);

#endif
