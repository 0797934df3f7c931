/* text/grammar/regex_class.c - a sorted list of ranges: classes are small, and what they are asked
 * is in order. */
#include "text/grammar/regex_class.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "text/unicode.h"

#define FIRST_SURROGATE 0xD800U
#define LAST_SURROGATE 0xDFFFU
#define LAST_CODE_POINT 0x10FFFFU
#define FOLDED_BELOW 0x590U

void code_point_set_finish(struct code_point_set *set)
{
    free(set->ranges);
    *set = (struct code_point_set){0};
}

void code_point_set_add_units(struct code_point_set *set, uint32_t first, uint32_t last)
{
    if (first > last)
        return;
    mem_reserve(&set->ranges, &set->capacity, set->n + 1, sizeof *set->ranges);
    set->ranges[set->n++] = (struct code_point_range){first, last};
}

void code_point_set_add(struct code_point_set *set, uint32_t first, uint32_t last)
{
    if (last > LAST_CODE_POINT)
        last = LAST_CODE_POINT;
    if (first > LAST_SURROGATE || last < FIRST_SURROGATE) {
        code_point_set_add_units(set, first, last);
        return;
    }
    if (first < FIRST_SURROGATE)
        code_point_set_add_units(set, first, FIRST_SURROGATE - 1);
    if (last > LAST_SURROGATE)
        code_point_set_add_units(set, LAST_SURROGATE + 1, last);
}

void code_point_set_add_all(struct code_point_set *set, const struct code_point_range *ranges,
                            size_t n)
{
    for (size_t i = 0; i < n; i++)
        code_point_set_add(set, ranges[i].first, ranges[i].last);
}

static int compare_ranges(const void *a, const void *b)
{
    const struct code_point_range *x = a, *y = b;
    return (x->first > y->first) - (x->first < y->first);
}

void code_point_set_sort(struct code_point_set *set)
{
    if (set->n < 2)
        return;
    qsort(set->ranges, set->n, sizeof *set->ranges, compare_ranges);
    size_t n = 1;
    for (size_t i = 1; i < set->n; i++) {
        struct code_point_range *last = &set->ranges[n - 1], next = set->ranges[i];
        if (next.first > last->last + 1)
            set->ranges[n++] = next;
        else if (next.last > last->last)
            last->last = next.last;
    }
    set->n = n;
}

void code_point_set_negate(struct code_point_set *set)
{
    struct code_point_set rest = {0};
    uint32_t from = 0;
    for (size_t i = 0; i < set->n; i++) {
        if (set->ranges[i].first > from)
            code_point_set_add(&rest, from, set->ranges[i].first - 1);
        from = set->ranges[i].last + 1;
    }
    if (from <= LAST_CODE_POINT)
        code_point_set_add(&rest, from, LAST_CODE_POINT);
    code_point_set_finish(set);
    *set = rest;
}

size_t code_point_set_fold(struct code_point_set *set)
{
    size_t n = set->n, n_seen = 0;
    for (size_t i = 0; i < n && set->ranges[i].first < FOLDED_BELOW; i++) {
        struct code_point_range range = set->ranges[i];
        for (uint32_t c = range.first; c <= range.last && c < FOLDED_BELOW; c++, n_seen++) {
            uint32_t mapped[UNICODE_MAX_MAPPED];
            if (unicode_lower(c, mapped) == 1 && mapped[0] != c)
                code_point_set_add_units(set, mapped[0], mapped[0]);
            if (unicode_upper(c, mapped) == 1 && mapped[0] != c)
                code_point_set_add_units(set, mapped[0], mapped[0]);
        }
    }
    code_point_set_sort(set);
    return n_seen;
}

/* The first range that ends at or behind code_point; n: none. */
static size_t find(const struct code_point_set *set, uint32_t code_point)
{
    size_t low = 0, high = set->n;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (set->ranges[middle].last < code_point)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

bool code_point_set_has(const struct code_point_set *set, uint32_t code_point)
{
    return code_point_set_overlap(set, code_point, code_point) == CODE_POINT_ALL;
}

enum code_point_overlap code_point_set_overlap(const struct code_point_set *set, uint32_t first,
                                               uint32_t last)
{
    size_t i = find(set, first);
    if (i == set->n || set->ranges[i].first > last)
        return CODE_POINT_NONE;
    bool all = set->ranges[i].first <= first && set->ranges[i].last >= last;
    return all ? CODE_POINT_ALL : CODE_POINT_SOME;
}

void code_point_set_cut(const struct code_point_set *set, uint32_t first, uint32_t last,
                        uint32_t to, struct code_point_set *out)
{
    for (size_t i = find(set, first); i < set->n && set->ranges[i].first <= last; i++) {
        struct code_point_range range = set->ranges[i];
        uint32_t from = range.first > first ? range.first : first;
        uint32_t until = range.last < last ? range.last : last;
        code_point_set_add_units(out, to + (from - first), to + (until - first));
    }
}

static const struct code_point_range digits[] = {{'0', '9'}};
static const struct code_point_range words[] = {{'0', '9'}, {'A', 'Z'}, {'_', '_'}, {'a', 'z'}};
static const struct code_point_range spaces[] = {
    {0x09, 0x0D},     {0x20, 0x20},     {0xA0, 0xA0},     {0x1680, 0x1680}, {0x2000, 0x200A},
    {0x2028, 0x2029}, {0x202F, 0x202F}, {0x205F, 0x205F}, {0x3000, 0x3000}, {0xFEFF, 0xFEFF},
};

void code_point_set_add_escape(struct code_point_set *set, char letter)
{
    if (letter == 'd')
        code_point_set_add_all(set, digits, sizeof digits / sizeof *digits);
    else if (letter == 'w')
        code_point_set_add_all(set, words, sizeof words / sizeof *words);
    else
        code_point_set_add_all(set, spaces, sizeof spaces / sizeof *spaces);
}

bool code_point_set_add_posix(struct code_point_set *set, const char *name, size_t n)
{
    static const struct {
        const char *name;
        struct code_point_range ranges[4]; // ends at {0, 0}
    } classes[] = {
        {"alnum", {{'0', '9'}, {'A', 'Z'}, {'a', 'z'}}},
        {"alpha", {{'A', 'Z'}, {'a', 'z'}}},
        {"blank", {{'\t', '\t'}, {' ', ' '}}},
        {"digit", {{'0', '9'}}},
        {"graph", {{'!', '~'}}},
        {"lower", {{'a', 'z'}}},
        {"print", {{' ', '~'}}},
        {"punct", {{'!', '/'}, {':', '@'}, {'[', '`'}, {'{', '~'}}},
        {"space", {{'\t', '\r'}, {' ', ' '}}},
        {"upper", {{'A', 'Z'}}},
        {"word", {{'0', '9'}, {'A', 'Z'}, {'_', '_'}, {'a', 'z'}}},
        {"xdigit", {{'0', '9'}, {'A', 'F'}, {'a', 'f'}}},
    };
    for (size_t i = 0; i < sizeof classes / sizeof *classes; i++) {
        if (strlen(classes[i].name) != n || memcmp(classes[i].name, name, n) != 0)
            continue;
        for (size_t j = 0; j < 4 && classes[i].ranges[j].last; j++)
            code_point_set_add_all(set, &classes[i].ranges[j], 1);
        return true;
    }
    return false;
}
