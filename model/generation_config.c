/* model/generation_config.c - see generation_config.h. Keys that we do not know are left alone:
 * generation_config.json is a drawer in which every tool keeps something. */
#include "model/generation_config.h"

#include "model/config_json.h"

static enum status read_document(const struct json_value *root, struct generation_config *out,
                                 struct error *err)
{
    enum status st = STATUS_OK;
    struct config_section section = {.path = "", .object = root, .status = &st, .err = err};
    struct generation_config config = {.top_p = 1, .repetition_penalty = 1, .temperature = 1};
    if (root->type != JSON_OBJECT)
        return error_set(err, STATUS_INVALID_ARGUMENT, "not a JSON object");
    bool do_sample = true;
    config_bool(&section, "do_sample", &do_sample);
    config.has_temperature = config_has(&section, "temperature") || !do_sample;
    config.has_top_k = config_has(&section, "top_k");
    config.has_top_p = config_has(&section, "top_p");
    config.has_repetition_penalty = config_has(&section, "repetition_penalty");
    config.has_max_new_tokens = config_has(&section, "max_new_tokens");
    config_float(&section, "temperature", 0, 100, &config.temperature);
    config_uint(&section, "top_k", 0, INT32_MAX, &config.top_k);
    config_float(&section, "top_p", 0, 1, &config.top_p);
    config_float(&section, "repetition_penalty", 0, 100, &config.repetition_penalty);
    config_uint(&section, "max_new_tokens", 1, INT32_MAX, &config.max_new_tokens);
    config_tokens(&section, "eos_token_id", MODEL_MAX_EOS, config.eos_token_ids,
                  &config.n_eos_token_ids);
    config_tokens(&section, "suppress_tokens", MODEL_MAX_SUPPRESSED, config.suppress_tokens,
                  &config.n_suppress_tokens);
    if (config.top_p <= 0)
        config_fail(&section, STATUS_INVALID_ARGUMENT, "top_p", "not above 0");
    if (config.repetition_penalty <= 0)
        config_fail(&section, STATUS_INVALID_ARGUMENT, "repetition_penalty", "not above 0");
    if (!do_sample)
        config.temperature = 0;
    if (st == STATUS_OK)
        *out = config;
    return st;
}

enum status generation_config_parse(const char *json, size_t n, const char *name,
                                    struct generation_config *out, struct error *err)
{
    struct json_document *document = NULL;
    enum status st = json_parse(json, n, NULL, &document, err);
    if (st == STATUS_OK)
        st = read_document(json_root(document), out, err);
    if (st != STATUS_OK)
        error_prefix(err, "%s", name);
    json_document_destroy(document);
    return st;
}

enum status generation_config_load(const char *path, struct generation_config *out,
                                   struct error *err)
{
    struct json_document *document = NULL;
    enum status st = json_parse_file(path, NULL, &document, err);
    if (st == STATUS_NOT_FOUND) {
        *out = (struct generation_config){.top_p = 1, .repetition_penalty = 1, .temperature = 1};
        return STATUS_OK;
    }
    if (st == STATUS_OK && (st = read_document(json_root(document), out, err)) != STATUS_OK)
        error_prefix(err, "%s", path);
    json_document_destroy(document);
    return st;
}

static uint32_t insert(uint32_t id, uint32_t *ids, uint32_t n)
{
    uint32_t at = n;
    while (at > 0 && ids[at - 1] > id)
        at--;
    if (at > 0 && ids[at - 1] == id)
        return n;
    for (uint32_t i = n; i > at; i--)
        ids[i] = ids[i - 1];
    ids[at] = id;
    return n + 1;
}

uint32_t model_stop_tokens(const struct model_config *config,
                           const struct generation_config *generation, uint32_t end_of_turn_id,
                           uint32_t *out)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < config->n_eos_token_ids; i++)
        n = insert(config->eos_token_ids[i], out, n);
    for (uint32_t i = 0; i < generation->n_eos_token_ids; i++)
        n = insert(generation->eos_token_ids[i], out, n);
    if (n <= 1 && end_of_turn_id != MODEL_TOKEN_NONE)
        n = insert(end_of_turn_id, out, n);
    return n;
}
