/* client/option_value.c - one value of one flag: text to what is sent. Checks that it is a number
 * of its field's type; which numbers make sense is for the server to say, which knows its model. */
#include "client/options.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/number.h"
#include "base/utf8.h"

static enum status expected(struct error *err, const char *text, const char *what)
{
    return error_set(err, STATUS_INVALID_ARGUMENT, "\"%.80s\": expected %s", text, what);
}

static bool read_real(const char *text, double *out)
{
    char *end;
    // strtod also takes blanks, hexadecimal and "nan": those are no numbers here
    if (!*text || strspn(text, "0123456789.+-eE") != strlen(text))
        return false;
    *out = strtod(text, &end);
    return !*end && isfinite(*out);
}

static enum status set_integer(const struct option *option, void *field, const char *text,
                               struct error *err)
{
    uint64_t magnitude = 0;
    const char *end = "";
    bool negative = text[0] == '-';
    bool valid = number_read_digits(text + negative, &magnitude, &end) && !*end &&
                 magnitude <= UINT32_MAX;
    int64_t value = negative ? -(int64_t)magnitude : (int64_t)magnitude;
    if (!valid || value < option->min || value > option->max) {
        char what[96];
        snprintf(what, sizeof what, "a whole number from %lld to %lld", (long long)option->min,
                 (long long)option->max);
        return expected(err, text, what);
    }
    if (option->type == OPTION_NUMBER)
        *(int32_t *)field = (int32_t)value;
    else
        *(uint32_t *)field = (uint32_t)value;
    return STATUS_OK;
}

static enum status set_seed(uint64_t *field, const char *text, struct error *err)
{
    const char *end;
    uint64_t value;
    if (!number_read_digits(text, &value, &end) || *end)
        return expected(err, text, "a whole number from 0 to 18446744073709551615");
    *field = value;
    return STATUS_OK;
}

static enum status set_real(float *field, const char *text, struct error *err)
{
    double value;
    if (!read_real(text, &value) || !isfinite((float)value))
        return expected(err, text, "a number");
    *field = (float)value;
    return STATUS_OK;
}

static enum status set_seconds(uint64_t *field, const char *text, struct error *err)
{
    double value;
    if (!read_real(text, &value) || value <= 0 || value > 1e9)
        return expected(err, text, "a number of seconds above 0");
    *field = (uint64_t)(value * (double)NS_PER_S);
    return STATUS_OK;
}

static enum status set_bytes(ProtobufCBinaryData *field, const char *text, struct error *err)
{
    if (!utf8_valid(text, strlen(text), NULL))
        return error_set(err, STATUS_INVALID_ARGUMENT, "not well-formed UTF-8");
    *field = (ProtobufCBinaryData){strlen(text), (uint8_t *)text};
    return STATUS_OK;
}

static enum status add_text(ProtobufCBinaryData **list, size_t *n, const char *text,
                            struct error *err)
{
    ProtobufCBinaryData bytes;
    enum status st = set_bytes(&bytes, text, err);
    if (st != STATUS_OK)
        return st;
    *list = mem_resized(*list, *n + 1, sizeof **list);
    (*list)[(*n)++] = bytes;
    return STATUS_OK;
}

static enum status add_token_ids(uint32_t **list, size_t *n, const char *text, struct error *err)
{
    const char *at = text;
    for (;;) {
        uint64_t id;
        const char *end;
        at += strspn(at, " \n");
        if (!number_read_digits(at, &id, &end) || id > UINT32_MAX || *n >= OPTION_MAX_TOKEN_IDS)
            return expected(err, text, "token ids such as 2,1059,10");
        size_t capacity = *n; // a power of two is full
        if ((capacity & (capacity - 1)) == 0)
            *list = mem_resized(*list, capacity ? 2 * capacity : 1, sizeof **list);
        (*list)[(*n)++] = (uint32_t)id;
        end += strspn(end, " \n");
        if (!*end)
            return STATUS_OK;
        at = end + (*end == ',');
    }
}

static enum status add_bias(Gemmad__V1__Sampling__LogitBiasEntry ***list, size_t *n,
                            const char *text, struct error *err)
{
    uint64_t id;
    const char *end;
    double value;
    if (!number_read_digits(text, &id, &end) || id > UINT32_MAX || *end != '=' ||
        !read_real(end + 1, &value) || !isfinite((float)value))
        return expected(err, text, "ID=V, a token id and a number, such as 1059=-5");
    Gemmad__V1__Sampling__LogitBiasEntry *entry = mem_zeroed(1, sizeof *entry);
    gemmad__v1__sampling__logit_bias_entry__init(entry);
    entry->has_key = entry->has_value = true;
    entry->key = (uint32_t)id;
    entry->value = (float)value;
    *list = mem_resized(*list, *n + 1, sizeof(void *));
    (*list)[(*n)++] = entry;
    return STATUS_OK;
}

static enum status add_item(const struct option *option, void *list, size_t *n, const char *text,
                            struct error *err)
{
    if (option->type == OPTION_TEXTS)
        return add_text(list, n, text, err);
    if (option->type == OPTION_TOKEN_IDS)
        return add_token_ids(list, n, text, err);
    return add_bias(list, n, text, err);
}

static enum status set_value(const struct option *option, void *field, const char *text,
                             struct error *err)
{
    switch (option->type) {
    case OPTION_FLAG:
        *(protobuf_c_boolean *)field = (protobuf_c_boolean)option->min;
        return STATUS_OK;
    case OPTION_TEXT:
        *(const char **)field = text;
        return STATUS_OK;
    case OPTION_BYTES:
        return set_bytes(field, text, err);
    case OPTION_COUNT:
    case OPTION_NUMBER:
        return set_integer(option, field, text, err);
    case OPTION_SEED:
        return set_seed(field, text, err);
    case OPTION_REAL:
        return set_real(field, text, err);
    case OPTION_SECONDS:
        return set_seconds(field, text, err);
    case OPTION_TEXTS: // lists are add_item's
    case OPTION_TOKEN_IDS:
    case OPTION_BIASES:
        break;
    }
    return error_set(err, STATUS_INTERNAL, "flag %s has no type", option->name);
}

enum status option_set(const struct option *option, void *settings, const char *text,
                       struct error *err)
{
    char *base = settings;
    void *field = base + option->offset;
    bool has_presence = option->presence != OPTION_NO_PRESENCE;
    if (option->type == OPTION_TEXTS || option->type == OPTION_TOKEN_IDS ||
        option->type == OPTION_BIASES) {
        CHECK(has_presence);
        return add_item(option, field, (size_t *)(base + option->presence), text, err);
    }
    enum status st = set_value(option, field, text, err);
    if (st == STATUS_OK && has_presence)
        *(protobuf_c_boolean *)(base + option->presence) = true;
    return st;
}

enum status option_take(const struct option *option, const char *value, int n, char **arguments,
                        int *at, void *settings, struct error *err)
{
    if (option->type == OPTION_FLAG && value)
        return error_set(err, STATUS_INVALID_ARGUMENT, "--%s takes no value", option->name);
    if (option->type != OPTION_FLAG && !value) {
        if (*at + 1 >= n)
            return error_set(err, STATUS_INVALID_ARGUMENT, "--%s needs a value: %s", option->name,
                             option->metavar);
        value = arguments[++*at];
    }
    enum status st = option_set(option, settings, value, err);
    if (st != STATUS_OK)
        error_prefix(err, "--%s", option->name);
    return st;
}
