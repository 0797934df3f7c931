/* text/grammar/regex_json.c - code points as they stand inside a JSON string.
 *
 * Escapes are hex digits, so a set of code points becomes a tree of digits; equal branches have
 * equal expressions and are joined under one class of digits. That keeps "any character" as small
 * as it looks, and a class of hundreds of ranges is shared where it repeats. */
#include "base/status.h"
#include "text/grammar/regex.h"
#include "text/grammar/regex_class.h"

#define LAST_CODE_POINT 0x10FFFFU
#define FIRST_BEYOND 0x10000U /* the first that takes two escapes */
#define FIRST_HIGH 0xD800U
#define FIRST_LOW 0xDC00U
#define N_HIGHS 1024U
#define N_LOWS 1024U

static void add_byte(struct byte_set *set, uint8_t byte)
{
    set->bits[byte >> 6] |= UINT64_C(1) << (byte & 63);
}

static void add_hex_digit(struct byte_set *set, uint32_t digit)
{
    if (digit < 10) {
        add_byte(set, (uint8_t)('0' + digit));
    } else {
        add_byte(set, (uint8_t)('a' + digit - 10));
        add_byte(set, (uint8_t)('A' + digit - 10));
    }
}

static uint32_t any_hex_digit(struct expression_pool *pool)
{
    struct byte_set digits = {{0}};
    for (uint32_t d = 0; d < 16; d++)
        add_hex_digit(&digits, d);
    return expression_bytes(pool, &digits);
}

/* n digits, n at most 4, that end a number of the set which begins at base; recursion depth is n.
 */
static uint32_t hex_digits(struct expression_pool *pool, const struct code_point_set *set,
                           uint32_t base, uint32_t n)
{
    uint32_t span = UINT32_C(1) << (4 * n);
    enum code_point_overlap overlap = code_point_set_overlap(set, base, base + span - 1);
    if (overlap == CODE_POINT_NONE)
        return EXPRESSION_NOTHING;
    if (overlap == CODE_POINT_ALL)
        return expression_repeat(pool, any_hex_digit(pool), n, n);
    uint32_t rests[16], alternatives[16];
    size_t n_alternatives = 0;
    for (uint32_t d = 0; d < 16; d++)
        rests[d] = hex_digits(pool, set, base + d * (span / 16), n - 1);
    for (uint32_t d = 0; d < 16; d++) {
        struct byte_set digits = {{0}};
        uint32_t rest = rests[d];
        if (rest == EXPRESSION_NOTHING)
            continue;
        for (uint32_t e = d; e < 16; e++)
            if (rests[e] == rest) {
                add_hex_digit(&digits, e);
                rests[e] = EXPRESSION_NOTHING;
            }
        alternatives[n_alternatives++] = expression_concat(pool, expression_bytes(pool, &digits),
                                                           rest);
    }
    return expression_any_of(pool, alternatives, n_alternatives);
}

// "u" and four digits of a number of the set.
static uint32_t hex_escape(struct expression_pool *pool, const struct code_point_set *set)
{
    return expression_concat(pool, expression_text(pool, "u", 1), hex_digits(pool, set, 0, 4));
}

// What follows a high surrogate: a backslash and one of the low ones that go with it.
static uint32_t low_escape(struct expression_pool *pool, const struct code_point_set *set,
                           uint32_t first)
{
    struct code_point_set lows = {0};
    code_point_set_cut(set, first, first + N_LOWS - 1, FIRST_LOW, &lows);
    uint32_t out = hex_escape(pool, &lows);
    code_point_set_finish(&lows);
    return expression_concat(pool, expression_text(pool, "\\", 1), out);
}

// "u", a high surrogate, and a low one. High ones that go with the same low ones are one class.
static uint32_t pair_escape(struct expression_pool *pool, const struct code_point_set *set)
{
    uint32_t lows[N_HIGHS], alternatives[N_HIGHS], all = EXPRESSION_NOTHING;
    size_t n = 0;
    if (code_point_set_overlap(set, FIRST_BEYOND, LAST_CODE_POINT) == CODE_POINT_NONE)
        return EXPRESSION_NOTHING;
    for (uint32_t i = 0; i < N_HIGHS; i++) {
        uint32_t first = FIRST_BEYOND + i * N_LOWS;
        enum code_point_overlap overlap = code_point_set_overlap(set, first, first + N_LOWS - 1);
        if (overlap == CODE_POINT_ALL && all == EXPRESSION_NOTHING)
            all = low_escape(pool, set, first);
        lows[i] = overlap == CODE_POINT_NONE  ? EXPRESSION_NOTHING
                  : overlap == CODE_POINT_ALL ? all
                                              : low_escape(pool, set, first);
    }
    for (uint32_t i = 0; i < N_HIGHS; i++) {
        struct code_point_set highs = {0};
        uint32_t low = lows[i];
        if (low == EXPRESSION_NOTHING)
            continue;
        for (uint32_t j = i; j < N_HIGHS; j++) {
            uint32_t first = j;
            for (; j < N_HIGHS && lows[j] == low; j++)
                lows[j] = EXPRESSION_NOTHING;
            if (j > first)
                code_point_set_add_units(&highs, FIRST_HIGH + first, FIRST_HIGH + j - 1);
        }
        alternatives[n++] = expression_concat(pool, hex_escape(pool, &highs), low);
        code_point_set_finish(&highs);
    }
    return expression_any_of(pool, alternatives, n);
}

// What may stand behind a backslash.
static uint32_t escapes(struct expression_pool *pool, const struct code_point_set *set)
{
    static const char shorts[][2] = {{'"', '"'},  {'\\', '\\'}, {'/', '/'},  {'\b', 'b'},
                                     {'\f', 'f'}, {'\n', 'n'},  {'\r', 'r'}, {'\t', 't'}};
    struct byte_set letters = {{0}};
    for (size_t i = 0; i < sizeof shorts / sizeof *shorts; i++)
        if (code_point_set_has(set, (uint32_t)shorts[i][0]))
            add_byte(&letters, (uint8_t)shorts[i][1]);
    const uint32_t alternatives[] = {expression_bytes(pool, &letters), hex_escape(pool, set),
                                     pair_escape(pool, set)};
    return expression_any_of(pool, alternatives, 3);
}

uint32_t regex_json_code_points(struct expression_pool *pool, const struct code_point_range *ranges,
                                size_t n)
{
    struct code_point_set set = {0}, plain = {0};
    code_point_set_add_all(&set, ranges, n);
    code_point_set_sort(&set);
    code_point_set_cut(&set, 0x20, '"' - 1, 0x20, &plain);
    code_point_set_cut(&set, '"' + 1, '\\' - 1, '"' + 1, &plain);
    code_point_set_cut(&set, '\\' + 1, LAST_CODE_POINT, '\\' + 1, &plain);
    const uint32_t alternatives[] = {
        expression_code_points(pool, plain.ranges, plain.n),
        expression_concat(pool, expression_text(pool, "\\", 1), escapes(pool, &set))};
    code_point_set_finish(&set);
    code_point_set_finish(&plain);
    return expression_any_of(pool, alternatives, 2);
}
