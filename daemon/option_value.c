/* daemon/option_value.c - one value of one option: text to number, size, time, address. What is
 * stored has been checked; what is refused is quoted, with what was expected. */
#include "daemon/options.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

#include "base/mem.h"
#include "base/number.h"
#include "base/utf8.h"
#include "daemon/nearest.h"

struct unit {
    const char *suffix;
    uint64_t scale;
};

static const struct unit byte_units[] = {
    {"", 1},
    {"KiB", UINT64_C(1) << 10},
    {"MiB", UINT64_C(1) << 20},
    {"GiB", UINT64_C(1) << 30},
    {"TiB", UINT64_C(1) << 40},
    {"kB", 1000},
    {"MB", 1000000},
    {"GB", 1000000000},
    {"TB", UINT64_C(1000000000000)},
};

static const struct unit time_units[] = {
    {"", 1000000000},
    {"ms", 1000000},
    {"s", 1000000000},
    {"m", UINT64_C(60000000000)},
    {"h", UINT64_C(3600000000000)},
};

static enum status expected(struct error *err, const char *text, const char *what)
{
    return error_set(err, STATUS_INVALID_ARGUMENT, "\"%.80s\": expected %s", text, what);
}

static bool read_scaled(const char *text, const struct unit *units, size_t n_units, uint64_t *out)
{
    uint64_t value;
    const char *suffix;
    if (!number_read_digits(text, &value, &suffix))
        return false;
    suffix += *suffix == ' ';
    for (size_t i = 0; i < n_units; i++) {
        if (strcmp(suffix, units[i].suffix) == 0)
            return !__builtin_mul_overflow(value, units[i].scale, out);
    }
    return false;
}

static enum status set_integer(const struct option *option, void *field, const char *text,
                               struct error *err)
{
    uint64_t magnitude = 0;
    const char *end = "";
    bool negative = text[0] == '-';
    bool valid = number_read_digits(text + negative, &magnitude, &end) && !*end &&
                 magnitude <= INT32_MAX;
    int64_t value = negative ? -(int64_t)magnitude : (int64_t)magnitude;
    bool power = option->type == OPTION_POWER;
    if (!valid || value < option->min || value > option->max || (power && (value & (value - 1)))) {
        char what[96];
        snprintf(what, sizeof what, "%s from %lld to %lld",
                 power ? "a power of two" : "a whole number", (long long)option->min,
                 (long long)option->max);
        return expected(err, text, what);
    }
    if (option->type == OPTION_NUMBER)
        *(int32_t *)field = (int32_t)value;
    else
        *(uint32_t *)field = (uint32_t)value;
    return STATUS_OK;
}

static enum status set_bytes(const struct option *option, uint64_t *field, const char *text,
                             struct error *err)
{
    uint64_t value;
    if (!read_scaled(text, byte_units, sizeof byte_units / sizeof *byte_units, &value))
        return expected(err, text, "a size such as 1073741824, 512MiB, 8GiB or 20GB");
    if (value > (uint64_t)option->max)
        return expected(err, text, "at most 1024TiB");
    *field = value;
    return STATUS_OK;
}

static enum status set_duration(const struct option *option, uint64_t *field, const char *text,
                                struct error *err)
{
    uint64_t value;
    if (!read_scaled(text, time_units, sizeof time_units / sizeof *time_units, &value))
        return expected(err, text, "a time such as 500ms, 30s, 5m or 1h");
    if (value < (uint64_t)option->min || value > (uint64_t)option->max) {
        char what[96];
        snprintf(what, sizeof what, "a time from %gs to %gs", (double)option->min / 1e9,
                 (double)option->max / 1e9);
        return expected(err, text, what);
    }
    *field = value;
    return STATUS_OK;
}

static enum status set_fraction(double *field, const char *text, struct error *err)
{
    char *end;
    double value = strtod(text, &end);
    // strtod also takes blanks, hexadecimal and "nan": only digits and a point are numbers here
    if (end == text || *end || strspn(text, "0123456789.") != strlen(text) || !(value > 0) ||
        value > 1)
        return expected(err, text, "a number above 0, at most 1");
    *field = value;
    return STATUS_OK;
}

static enum status set_choice(const struct option *option, uint32_t *field, const char *text,
                              struct error *err)
{
    struct nearest nearest;
    nearest_begin(&nearest, text, strlen(text));
    for (uint32_t i = 0; option->choices[i]; i++) {
        if (strcmp(text, option->choices[i]) == 0) {
            *field = i;
            return STATUS_OK;
        }
        nearest_offer(&nearest, option->choices[i]);
    }
    struct text_buffer what = {0};
    for (uint32_t i = 0; option->choices[i]; i++)
        text_buffer_append_format(&what, "%s%s", i ? " or " : "", option->choices[i]);
    if (nearest_best(&nearest))
        text_buffer_append_format(&what, "; did you mean \"%s\"?", nearest_best(&nearest));
    enum status st = expected(err, text, what.data);
    text_buffer_finish(&what);
    return st;
}

static enum status set_text(const struct option *option, char **field, const char *text,
                            struct error *err)
{
    size_t n = strlen(text);
    if (n < (size_t)option->min || n > (size_t)option->max)
        return expected(err, text, "a name of 1 to 256 bytes");
    for (size_t i = 0; i < n; i++) {
        if ((unsigned char)text[i] < 0x20)
            return expected(err, "...", "a name without control characters");
    }
    free(*field);
    *field = mem_strdup(text);
    return STATUS_OK;
}

static bool is_word(const struct option *option, const char *text)
{
    for (uint32_t i = 0; option->choices && option->choices[i]; i++) {
        if (strcmp(text, option->choices[i]) == 0)
            return true;
    }
    return false;
}

static enum status set_path(const struct option *option, char **field, const char *text,
                            const char *base, struct error *err)
{
    if (!*text || strlen(text) > 4000)
        return expected(err, text, "a path");
    struct text_buffer path = {0};
    if (base && text[0] != '/' && !is_word(option, text))
        text_buffer_append_format(&path, "%s/", base);
    text_buffer_append_text(&path, text);
    free(*field);
    *field = text_buffer_release(&path);
    return STATUS_OK;
}

// "HOST:PORT" with a bare host, "[IPV6]:PORT" or "unix:PATH". Whether the name resolves and the
// port is free is found out by listening.
static bool address_valid(const char *text)
{
    if (strncmp(text, "unix:", 5) == 0) {
        size_t n = strlen(text + 5);
        return n > 0 && n < sizeof((struct sockaddr_un *)0)->sun_path;
    }
    const char *colon = strrchr(text, ':');
    if (!colon || colon == text || strlen(text) > 255)
        return false;
    size_t n_host = (size_t)(colon - text);
    bool bracketed = text[0] == '[' && colon[-1] == ']' && n_host > 2;
    if (!bracketed && (memchr(text, ':', n_host) || memchr(text, '[', n_host)))
        return false;
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                  "0123456789.-_[]:%";
    if (strspn(text, allowed) != strlen(text))
        return false;
    uint64_t port;
    const char *end;
    return number_read_digits(colon + 1, &port, &end) && !*end && port <= 65535;
}

static enum status add_address(struct address_list *list, const char *text, struct error *err)
{
    if (!address_valid(text))
        return expected(err, text,
                        "HOST:PORT, [IPV6]:PORT or unix:PATH, with a port from 0 to 65535");
    if (list->n == CONFIG_MAX_LISTENERS)
        return error_set(err, STATUS_INVALID_ARGUMENT, "more than %d addresses",
                         CONFIG_MAX_LISTENERS);
    list->addresses[list->n++] = mem_strdup(text);
    return STATUS_OK;
}

enum status option_set(const struct option *option, struct daemon_config *config, const char *text,
                       const char *base, struct error *err)
{
    void *field = (char *)config + option->offset;
    if (!utf8_valid(text, strlen(text), NULL))
        return error_set(err, STATUS_INVALID_ARGUMENT, "not well-formed UTF-8");
    switch (option->type) {
    case OPTION_TEXT:
        return set_text(option, field, text, err);
    case OPTION_PATH:
        return set_path(option, field, text, base, err);
    case OPTION_ADDRESSES:
        return add_address(field, text, err);
    case OPTION_COUNT:
    case OPTION_NUMBER:
    case OPTION_POWER:
        return set_integer(option, field, text, err);
    case OPTION_BYTES:
        return set_bytes(option, field, text, err);
    case OPTION_DURATION:
        return set_duration(option, field, text, err);
    case OPTION_FRACTION:
        return set_fraction(field, text, err);
    case OPTION_CHOICE:
        return set_choice(option, field, text, err);
    }
    return error_set(err, STATUS_INTERNAL, "option %s has no type", option->name);
}

void option_clear(const struct option *option, struct daemon_config *config)
{
    CHECK(option->type == OPTION_ADDRESSES);
    struct address_list *list = (void *)((char *)config + option->offset);
    for (uint32_t i = 0; i < list->n; i++)
        free(list->addresses[i]);
    list->n = 0;
}
