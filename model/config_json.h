/* model/config_json.h - typed, range-checked reads of the keys of a config file. Part of the room's
 * config readers; nothing else includes this.
 *
 * Every read takes the first section that has the key; JSON null is "absent" (gemma4-model.md
 * section 2). The first failure is kept and later reads do nothing, so that a reader is a flat
 * list. */
#ifndef GEMMAD_MODEL_CONFIG_JSON_H
#define GEMMAD_MODEL_CONFIG_JSON_H

#include "base/json.h"
#include "model/config.h"

struct config_section {
    const char *path; /* "config.json: text_config.", put before the key in messages */
    const struct json_value *object;
    enum status *status; /* the first failure, shared by a file's sections */
    struct error *err;
};

/* Records a failure that is about the key; the format goes on after it. */
void config_fail(struct config_section *section, enum status status, const char *key,
                 const char *format, ...) PRINTF_LIKE(4, 5);

/* True if the key is there and not null. */
bool config_has(const struct config_section *section, const char *key);

/* Each leaves *out as it is if the key is absent, so that *out begins as the default. */
void config_uint(struct config_section *section, const char *key, uint32_t low, uint32_t high,
                 uint32_t *out);
void config_bool(struct config_section *section, const char *key, bool *out);
/* Finite and in [low, high]. */
void config_double(struct config_section *section, const char *key, double low, double high,
                   double *out);
void config_float(struct config_section *section, const char *key, float low, float high,
                  float *out);
void config_token(struct config_section *section, const char *key, uint32_t *out);
/* One id or a list of them, added to what ids [max] already has, each once. */
void config_tokens(struct config_section *section, const char *key, uint32_t max, uint32_t *ids,
                   uint32_t *n_ids);
/* The string, or NULL if the key is absent. Not a string is a failure. */
const char *config_string(struct config_section *section, const char *key);
/* The key must be there. */
void config_require(struct config_section *section, const char *key);

#endif
