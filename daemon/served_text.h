/* daemon/served_text.h - the text side of the model that is served: tokenizer, chat template, and
 * which ids mean what. Loaded by the coordinator while the workers load weights.
 *
 * The chat template is the first that there is of: the configuration's file, the checkpoint's
 * chat_template.jinja, tokenizer_config.json's chat_template, the built-in one.
 * Thread: read-only after load. */
#ifndef GEMMAD_DAEMON_SERVED_TEXT_H
#define GEMMAD_DAEMON_SERVED_TEXT_H

#include "daemon/serving_plan.h"
#include "text/grammar/grammar_cache.h"
#include "text/grammar/vocabulary.h"
#include "text/template.h"
#include "text/tokenizer.h"

#define SERVED_MAX_SOFT_TOKENS 3

struct served_text {
    struct tokenizer *tokenizer;
    struct grammar_cache *grammars;
    struct vocabulary *vocabulary; /* of the tokenizer and the model's head */
    struct template *template;
    char *template_source;
    size_t n_template_source;
    char *bos_token;
    uint32_t bos_id; /* or TOKEN_NONE */
    uint32_t stop_ids[MODEL_MAX_STOP_TOKENS];
    uint32_t n_stop_ids;
    uint32_t soft_token_ids[SERVED_MAX_SOFT_TOKENS];
    uint32_t n_soft_token_ids;
};

/* Errors name the file and the place in it. */
NODISCARD enum status served_text_load(const struct daemon_config *config,
                                       const struct serving_plan *plan, struct served_text **out,
                                       struct error *err);
void served_text_destroy(struct served_text *text); /* NULL is fine */

#endif
