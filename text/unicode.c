/* text/unicode.c - binary searches in generated tables; ASCII is answered without one. */
#include "text/unicode.h"

#include "text/unicode_tables.h"

#define LENGTH(table) (sizeof(table) / sizeof *(table))

static bool in_ranges(const struct code_point_range *ranges, size_t n, uint32_t c)
{
    size_t low = 0;
    while (n > 0) {
        size_t half = n / 2;
        if (ranges[low + half].last < c) {
            low += half + 1;
            n -= half + 1;
        } else if (ranges[low + half].first > c) {
            n = half;
        } else {
            return true;
        }
    }
    return false;
}

struct case_mapping {
    const struct case_range *ranges;
    size_t n_ranges;
    const struct case_special *specials;
    size_t n_specials;
};

static size_t map_special(const struct case_mapping *mapping, uint32_t c, uint32_t *out)
{
    for (size_t i = 0; i < mapping->n_specials; i++) {
        const struct case_special *special = &mapping->specials[i];
        if (special->code_point != c)
            continue;
        size_t n = 0;
        while (n < UNICODE_MAX_MAPPED && special->mapped[n]) {
            out[n] = special->mapped[n];
            n++;
        }
        return n;
    }
    return 0;
}

static size_t map_case(const struct case_mapping *mapping, uint32_t c, uint32_t *out)
{
    size_t low = 0;
    size_t n = mapping->n_ranges;
    while (n > 0) {
        size_t half = n / 2;
        if (mapping->ranges[low + half].last < c) {
            low += half + 1;
            n -= half + 1;
        } else {
            n = half;
        }
    }
    // Ranges of every second code point may overlap the next range.
    for (size_t i = low; i < mapping->n_ranges && i < low + 2; i++) {
        const struct case_range *range = &mapping->ranges[i];
        if (range->first <= c && (c - range->first) % range->stride == 0) {
            out[0] = (uint32_t)((int32_t)c + range->delta);
            return 1;
        }
    }
    size_t n_special = map_special(mapping, c, out);
    if (n_special)
        return n_special;
    out[0] = c;
    return 1;
}

static const struct case_mapping upper = {upper_ranges, LENGTH(upper_ranges), upper_specials,
                                          LENGTH(upper_specials)};
static const struct case_mapping lower = {lower_ranges, LENGTH(lower_ranges), lower_specials,
                                          LENGTH(lower_specials)};
static const struct case_mapping title = {title_ranges, LENGTH(title_ranges), title_specials,
                                          LENGTH(title_specials)};

size_t unicode_upper(uint32_t c, uint32_t out[UNICODE_MAX_MAPPED])
{
    if (c >= 0x80)
        return map_case(&upper, c, out);
    out[0] = c >= 'a' && c <= 'z' ? c - 32 : c;
    return 1;
}

size_t unicode_lower(uint32_t c, uint32_t out[UNICODE_MAX_MAPPED])
{
    if (c >= 0x80)
        return map_case(&lower, c, out);
    out[0] = c >= 'A' && c <= 'Z' ? c + 32 : c;
    return 1;
}

size_t unicode_title(uint32_t c, uint32_t out[UNICODE_MAX_MAPPED])
{
    if (c >= 0x80)
        return map_case(&title, c, out);
    return unicode_upper(c, out);
}

bool unicode_is_space(uint32_t c)
{
    if (c < 0x80)
        return c == ' ' || (c >= '\t' && c <= '\r') || (c >= 0x1C && c <= 0x1F);
    return in_ranges(space_ranges, LENGTH(space_ranges), c);
}

bool unicode_is_printable(uint32_t c)
{
    if (c < 0x80)
        return c >= 0x20 && c < 0x7F;
    return !in_ranges(unprintable_ranges, LENGTH(unprintable_ranges), c);
}

bool unicode_is_cased(uint32_t c)
{
    return in_ranges(cased_ranges, LENGTH(cased_ranges), c);
}

bool unicode_is_case_ignorable(uint32_t c)
{
    return in_ranges(case_ignorable_ranges, LENGTH(case_ignorable_ranges), c);
}
