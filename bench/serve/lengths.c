/* bench/serve/lengths.c - reads one kind after the other, left to right, without going back. */
#include "bench/serve/lengths.h"

#include <stdbool.h>
#include <string.h>

#include "base/number.h"
#include "bench/serve/random.h"

#define MAX_WEIGHT 1000000

// A whole number from 1 to most; moves *at behind it.
static bool read_count(const char **at, uint32_t most, uint32_t *out)
{
    uint64_t value;
    if (!number_read_digits(*at, &value, at) || value < 1 || value > most)
        return false;
    *out = (uint32_t)value;
    return true;
}

static bool read_text(const char **at, const char *text)
{
    size_t n = strlen(text);
    bool found = strncmp(*at, text, n) == 0;
    if (found)
        *at += n;
    return found;
}

// N or A..B
static bool read_range(const char **at, struct lengths_range *out)
{
    if (!read_count(at, LENGTHS_MAX_TOKENS, &out->low))
        return false;
    out->high = out->low;
    if (!read_text(at, ".."))
        return true;
    return read_count(at, LENGTHS_MAX_TOKENS, &out->high) && out->high >= out->low;
}

// PROMPT:ANSWER or PROMPT:ANSWER*WEIGHT
static bool read_kind(const char **at, struct lengths_kind *out)
{
    out->weight = 1;
    if (!read_range(at, &out->prompt) || !read_text(at, ":") || !read_range(at, &out->answer))
        return false;
    return !read_text(at, "*") || read_count(at, MAX_WEIGHT, &out->weight);
}

enum status lengths_parse(const char *text, struct lengths *out, struct error *err)
{
    struct lengths lengths = {0};
    const char *at = text;
    do {
        const char *kind = at;
        if (lengths.n_kinds == LENGTHS_MAX_KINDS)
            return error_set(err, STATUS_INVALID_ARGUMENT, "\"%.80s\": more than %d kinds", text,
                             LENGTHS_MAX_KINDS);
        struct lengths_kind *next = &lengths.kinds[lengths.n_kinds++];
        if (!read_kind(&at, next) || (*at && *at != ','))
            return error_set(
                err, STATUS_INVALID_ARGUMENT,
                "\"%.*s\": expected PROMPT:ANSWER or PROMPT:ANSWER*WEIGHT, each length "
                "N or A..B tokens, such as 512:128 or 64..1024:16*3",
                (int)strcspn(kind, ","), kind);
        lengths.weight += next->weight;
    } while (read_text(&at, ","));
    *out = lengths;
    return STATUS_OK;
}

void lengths_draw(const struct lengths *lengths, uint64_t *series, uint32_t *out_prompt,
                  uint32_t *out_answer)
{
    uint32_t at = random_in(series, 0, lengths->weight - 1);
    const struct lengths_kind *kind = lengths->kinds;
    while (at >= kind->weight)
        at -= (kind++)->weight;
    *out_prompt = random_in(series, kind->prompt.low, kind->prompt.high);
    *out_answer = random_in(series, kind->answer.low, kind->answer.high);
}
