/* model/config_json.c - see config_json.h. Numbers of counts and ids may be written only as
 * integers: 8.0 heads are a broken file. */
#include "model/config_json.h"

#include <float.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>

void config_fail(struct config_section *section, enum status status, const char *key,
                 const char *format, ...)
{
    if (*section->status != STATUS_OK)
        return;
    char what[256];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(what, sizeof what, format, arguments);
    va_end(arguments);
    *section->status = error_set(section->err, status, "%s%s: %s", section->path, key, what);
}

// The value to be read, or NULL: absent, or something failed before.
static const struct json_value *find(const struct config_section *section, const char *key)
{
    return *section->status == STATUS_OK ? json_get_present(section->object, key) : NULL;
}

bool config_has(const struct config_section *section, const char *key)
{
    return find(section, key) != NULL;
}

void config_uint(struct config_section *section, const char *key, uint32_t low, uint32_t high,
                 uint32_t *out)
{
    const struct json_value *value = find(section, key);
    int64_t number;
    if (!value)
        return;
    if (!json_int64(value, &number) || number < low || number > high)
        config_fail(section, STATUS_INVALID_ARGUMENT, key, "not an integer in %u..%u", low, high);
    else
        *out = (uint32_t)number;
}

void config_bool(struct config_section *section, const char *key, bool *out)
{
    const struct json_value *value = find(section, key);
    if (value && !json_bool(value, out))
        config_fail(section, STATUS_INVALID_ARGUMENT, key, "not true or false");
}

void config_double(struct config_section *section, const char *key, double low, double high,
                   double *out)
{
    const struct json_value *value = find(section, key);
    double number;
    if (!value)
        return;
    if (!json_double(value, &number) || !(number >= low && number <= high))
        config_fail(section, STATUS_INVALID_ARGUMENT, key, "not a number in %g..%g", low, high);
    else
        *out = number;
}

void config_float(struct config_section *section, const char *key, float low, float high,
                  float *out)
{
    double number = (double)*out;
    config_double(section, key, (double)low, (double)high, &number);
    *out = (float)number;
}

void config_token(struct config_section *section, const char *key, uint32_t *out)
{
    config_uint(section, key, 0, MODEL_TOKEN_NONE - 1, out);
}

static void add_token(uint32_t id, uint32_t *ids, uint32_t *n_ids)
{
    for (uint32_t i = 0; i < *n_ids; i++)
        if (ids[i] == id)
            return;
    ids[(*n_ids)++] = id;
}

void config_tokens(struct config_section *section, const char *key, uint32_t max, uint32_t *ids,
                   uint32_t *n_ids)
{
    const struct json_value *value = find(section, key);
    if (!value)
        return;
    bool list = value->type == JSON_ARRAY;
    uint32_t n = list ? value->n : 1;
    for (uint32_t i = 0; i < n; i++) {
        int64_t id;
        if (!json_int64(list ? &value->items[i] : value, &id) || id < 0 || id >= MODEL_TOKEN_NONE) {
            config_fail(section, STATUS_INVALID_ARGUMENT, key, "not a token id or a list of them");
            return;
        }
        if (*n_ids == max) {
            config_fail(section, STATUS_INVALID_ARGUMENT, key, "more than %u token ids", max);
            return;
        }
        add_token((uint32_t)id, ids, n_ids);
    }
}

const char *config_string(struct config_section *section, const char *key)
{
    const struct json_value *value = find(section, key);
    if (!value)
        return NULL;
    if (value->type == JSON_STRING)
        return value->text;
    config_fail(section, STATUS_INVALID_ARGUMENT, key, "not a string");
    return NULL;
}

void config_require(struct config_section *section, const char *key)
{
    if (!config_has(section, key))
        config_fail(section, STATUS_INVALID_ARGUMENT, key, "missing");
}
