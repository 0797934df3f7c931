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

struct media_decoder; /* media/decoder.h */

/* The ids that stand for media in a prompt, by their names in config.json; or TOKEN_NONE. */
struct media_token_ids {
    uint32_t image_token_id, video_token_id, audio_token_id;
    uint32_t boi_token_id, eoi_token_id; /* around an image's soft tokens, and a frame's */
    uint32_t boa_token_id, eoa_token_id;
};

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
    struct media_decoder *media_decoder; /* NULL: no media, and media_token_ids are unused */
    struct media_token_ids media_token_ids;
    uint32_t image_max_tokens; /* of an image whose request does not say: struct media_wish */
    size_t media_max_bytes;    /* of one file; 0: no limit but a request's own */
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
