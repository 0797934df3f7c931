/* text/grammar/expression_utf8.c - ranges of code points as ranges of UTF-8 bytes: a range is cut
 * until first and last differ in whole trailing bytes only, then each byte is a set of its own. */
#include "text/grammar/expression_tables.h"

#include "base/utf8.h"

static uint32_t byte_range(struct expression_pool *pool, uint8_t first, uint8_t last)
{
    struct byte_set set = {{0}};
    for (unsigned byte = first; byte <= last; byte++)
        byte_set_add(&set, (uint8_t)byte);
    return expression_bytes(pool, &set);
}

// Both have the same number of bytes. Recursion: at most 6 deep, each level clears 6 bits.
static void push_range(struct expression_pool *pool, uint32_t first, uint32_t last)
{
    char low[UTF8_MAX_BYTES], high[UTF8_MAX_BYTES];
    size_t n = utf8_encode(first, low);
    for (size_t i = 1; i < n; i++) {
        uint32_t mask = (UINT32_C(1) << (6 * i)) - 1;
        if ((first & ~mask) == (last & ~mask))
            break;
        if (first & mask) {
            push_range(pool, first, first | mask);
            push_range(pool, (first | mask) + 1, last);
            return;
        }
        if ((last & mask) != mask) {
            push_range(pool, first, (last & ~mask) - 1);
            push_range(pool, last & ~mask, last);
            return;
        }
    }
    utf8_encode(last, high);
    uint32_t sequence = EXPRESSION_EMPTY;
    for (size_t i = n; i-- > 0;)
        sequence = expression_concat(pool, byte_range(pool, (uint8_t)low[i], (uint8_t)high[i]),
                                     sequence);
    expression_scratch_push(pool, sequence);
}

uint32_t expression_code_points(struct expression_pool *pool, const struct code_point_range *ranges,
                                size_t n)
{
    // Numbers of bytes change behind each of these; surrogates are no characters.
    static const struct code_point_range parts[] = {
        {0, 0x7F}, {0x80, 0x7FF}, {0x800, 0xD7FF}, {0xE000, 0xFFFF}, {0x10000, 0x10FFFF}};
    size_t from = pool->n_scratch;
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < sizeof parts / sizeof *parts; k++) {
            uint32_t first = ranges[i].first > parts[k].first ? ranges[i].first : parts[k].first;
            uint32_t last = ranges[i].last < parts[k].last ? ranges[i].last : parts[k].last;
            if (first <= last)
                push_range(pool, first, last);
        }
    return expression_any_of_scratch(pool, from);
}
