/* model/generation_config.h - what a checkpoint's generation_config.json says: the defaults of a
 * request's sampling, and more ids that end a turn (gemma4-model.md section 1.5).
 *
 * A folder without the file is fine: nothing is set then. Thread: read-only after load. */
#ifndef GEMMAD_MODEL_GENERATION_CONFIG_H
#define GEMMAD_MODEL_GENERATION_CONFIG_H

#include "model/config.h"

#define MODEL_MAX_SUPPRESSED 64
#define MODEL_MAX_STOP_TOKENS (2 * MODEL_MAX_EOS + 1)

struct generation_config {
    bool has_temperature; /* also by do_sample false, which means temperature 0 */
    bool has_top_k;
    bool has_top_p;
    bool has_repetition_penalty;
    bool has_max_new_tokens;
    float temperature;        /* 0..100 */
    float top_p;              /* (0, 1] */
    float repetition_penalty; /* > 0 */
    uint32_t top_k;           /* 0: off */
    uint32_t max_new_tokens;
    uint32_t n_eos_token_ids;
    uint32_t n_suppress_tokens;
    uint32_t eos_token_ids[MODEL_MAX_EOS];
    uint32_t suppress_tokens[MODEL_MAX_SUPPRESSED];
};

/* INVALID_ARGUMENT names the key. No such file: everything is unset, OK. */
NODISCARD enum status generation_config_load(const char *path, struct generation_config *out,
                                             struct error *err);
NODISCARD enum status generation_config_parse(const char *json, size_t n, const char *name,
                                              struct generation_config *out, struct error *err);

/* The ids that end a turn: all of config.json's and generation_config.json's; where they are but
 * one, also end_of_turn_id (the tokenizer's <turn|>, or MODEL_TOKEN_NONE), which rewritten
 * checkpoints lose. Returns how many; out [MODEL_MAX_STOP_TOKENS], ascending, each once. */
uint32_t model_stop_tokens(const struct model_config *config,
                           const struct generation_config *generation, uint32_t end_of_turn_id,
                           uint32_t *out);

#endif
