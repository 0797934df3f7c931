/* engine/stop_strings.c - Knuth, Morris and Pratt, once for each string: there are few of them and
 * mostly none matches a byte, so a machine for all at once would not pay. */
#include "engine/stop_strings.h"

#include <stdlib.h>

#include "base/mem.h"
#include "base/utf8.h"

static enum status check_strings(const struct stop_string *strings, size_t n, struct error *err)
{
    if (n > STOP_STRINGS_MAX)
        return error_set(err, STATUS_INVALID_ARGUMENT, "%zu stop strings: at most %d", n,
                         STOP_STRINGS_MAX);
    for (size_t i = 0; i < n; i++) {
        if (strings[i].n == 0 || strings[i].n > STOP_STRING_MAX_BYTES)
            return error_set(err, STATUS_INVALID_ARGUMENT, "stop string %zu has %zu bytes: 1 to %d",
                             i, strings[i].n, STOP_STRING_MAX_BYTES);
        if (!utf8_valid(strings[i].bytes, strings[i].n, NULL))
            return error_set(err, STATUS_INVALID_ARGUMENT, "stop string %zu is not UTF-8", i);
    }
    return STATUS_OK;
}

// How much of the pattern is matched after one more byte, when `matched` bytes were.
static uint32_t next_matched(const struct stop_pattern *p, uint32_t matched, char byte)
{
    while (matched > 0 && (matched == p->n || p->bytes[matched] != byte))
        matched = p->shorter[matched - 1];
    return p->bytes[matched] == byte ? matched + 1 : 0;
}

static void compile(struct stop_pattern *p, const struct stop_string *string)
{
    p->n = (uint32_t)string->n;
    p->bytes = mem_copy(string->bytes, string->n);
    p->shorter = mem_zeroed(string->n, sizeof *p->shorter);
    for (uint32_t i = 1; i < p->n; i++)
        p->shorter[i] = next_matched(p, p->shorter[i - 1], p->bytes[i]);
}

enum status stop_strings_init(struct stop_strings *out, const struct stop_string *strings, size_t n,
                              struct error *err)
{
    enum status st = check_strings(strings, n, err);
    if (st != STATUS_OK)
        return st;
    *out = (struct stop_strings){.n = (uint32_t)n};
    for (size_t i = 0; i < n; i++)
        compile(&out->patterns[i], &strings[i]);
    return STATUS_OK;
}

void stop_strings_finish(struct stop_strings *strings)
{
    for (uint32_t i = 0; i < strings->n; i++) {
        free(strings->patterns[i].bytes);
        free(strings->patterns[i].shorter);
    }
    strings->n = 0;
}

int32_t stop_strings_find(const struct stop_strings *strings, struct stop_position *position,
                          const char *bytes, size_t n, size_t *out_end)
{
    if (strings->n == 0)
        return -1;
    for (size_t b = 0; b < n; b++) {
        int32_t found = -1;
        for (uint32_t i = 0; i < strings->n; i++) {
            const struct stop_pattern *p = &strings->patterns[i];
            position->matched[i] = next_matched(p, position->matched[i], bytes[b]);
            if (position->matched[i] == p->n && (found < 0 || p->n > strings->patterns[found].n))
                found = (int32_t)i;
        }
        if (found >= 0) {
            *out_end = b + 1;
            return found;
        }
    }
    return -1;
}

size_t stop_strings_held_bytes(const struct stop_strings *strings,
                               const struct stop_position *position)
{
    uint32_t most = 0;
    for (uint32_t i = 0; i < strings->n; i++)
        most = position->matched[i] > most ? position->matched[i] : most;
    return most;
}
