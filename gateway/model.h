/* gateway/model.h - what the front end knows of the model that is served: enough to make tokens of
 * a prompt, to fill in what a request leaves open, and to answer who is there.
 *
 * The daemon fills it when loading is done; everything it points to lives until the gateway is
 * destroyed. Thread: read-only. */
#ifndef GEMMAD_GATEWAY_MODEL_H
#define GEMMAD_GATEWAY_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "model/generation_config.h"
#include "text/grammar/grammar_cache.h"
#include "text/template.h"
#include "text/tokenizer.h"

struct gateway_model {
    const char *name;       /* as clients see it */
    const char *folder;     /* the checkpoint's */
    const char *model_type; /* config.json's */
    const struct tokenizer *tokenizer;
    const struct template *chat_template; /* NULL: the checkpoint has none */
    const char *chat_template_source;     /* what it was made of, or NULL */
    size_t n_chat_template_source;
    struct grammar_cache *grammars; /* of this tokenizer; NULL: no structured output */
    bool special_tokens_in_content; /* those that clients write in messages are parsed */
    uint32_t bos_id;          /* put before a text that does not begin with it; or TOKEN_NONE */
    const char *bos_text;     /* for the template; NULL: "<bos>" */
    const uint32_t *stop_ids; /* model_stop_tokens */
    size_t n_stop_ids;
    const uint32_t *soft_token_ids; /* placeholders that only media may put into a prompt */
    size_t n_soft_token_ids;
    struct generation_config generation;
    uint32_t vocab_size;
    uint32_t max_positions; /* prompt and answer together */
    uint32_t n_layers;
    uint32_t hidden_size;
    /* What Control.GetServerInfo says beside it. */
    uint32_t world_size;
    const char *compute; /* "f32", "bf16" */
    const char *kernels; /* the variant that rank 0 runs */
    uint32_t max_seqs;
    uint32_t max_step_tokens;
    uint32_t page_tokens;
};

#endif
