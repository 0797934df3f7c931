/* tests/text/grammar/test_expression.c - expressions match what they say, by derivatives alone. */
#include "tests/test.h"
#include "text/grammar/expression.h"

static bool matches(struct expression_pool *pool, uint32_t expression, const char *text, size_t n)
{
    for (size_t i = 0; i < n; i++)
        expression = expression_derive(pool, expression, (uint8_t)text[i]);
    return expression_is_nullable(pool, expression);
}

static bool matches_text(struct expression_pool *pool, uint32_t expression, const char *text)
{
    return matches(pool, expression, text, strlen(text));
}

static uint32_t range(struct expression_pool *pool, uint32_t first, uint32_t last)
{
    return expression_code_points(pool, &(struct code_point_range){first, last}, 1);
}

static uint32_t text(struct expression_pool *pool, const char *bytes)
{
    return expression_text(pool, bytes, strlen(bytes));
}

TEST(equal_expressions_have_equal_ids)
{
    struct expression_pool *pool = expression_pool_create(0);
    uint32_t a = text(pool, "a"), b = text(pool, "b"), c = text(pool, "c");
    uint32_t left = expression_concat(pool, expression_concat(pool, a, b), c);
    ASSERT_EQ(left, text(pool, "abc"));
    ASSERT_EQ(expression_any_of(pool, (uint32_t[]){a, b, c}, 3), range(pool, 'a', 'c'));
    uint32_t texts[] = {text(pool, "xa"), text(pool, "xb"), text(pool, "xc"), text(pool, "xa")};
    ASSERT_EQ(expression_any_of(pool, texts, 4),
              expression_concat(pool, text(pool, "x"), range(pool, 'a', 'c')));
    uint32_t few = expression_repeat(pool, a, 0, 5), more = expression_repeat(pool, a, 2, 9);
    ASSERT_EQ(expression_any_of(pool, (uint32_t[]){few, more}, 2),
              expression_repeat(pool, a, 0, 9));
    ASSERT_EQ(expression_concat(pool, few, few), expression_repeat(pool, a, 0, 10));
    ASSERT_EQ(expression_not(pool, expression_not(pool, a)), a);
    expression_pool_destroy(pool);
}

TEST(a_counted_repeat_matches_its_counts_alone)
{
    struct expression_pool *pool = expression_pool_create(0);
    uint32_t repeat = expression_repeat(pool, text(pool, "ab"), 2, 4);
    ASSERT(!matches_text(pool, repeat, "ab"));
    ASSERT(matches_text(pool, repeat, "abab"));
    ASSERT(matches_text(pool, repeat, "abababab"));
    ASSERT(!matches_text(pool, repeat, "ababababab"));
    ASSERT_EQ(expression_repeat(pool, text(pool, "x"), 3, 2), EXPRESSION_NOTHING);
    ASSERT_EQ(expression_repeat(pool, text(pool, "x"), 0, 0), EXPRESSION_EMPTY);
    ASSERT_EQ(expression_repeat(pool, EXPRESSION_NOTHING, 0, 7), EXPRESSION_EMPTY);
    expression_pool_destroy(pool);
}

TEST(a_code_point_is_matched_as_utf8_and_nothing_else_is)
{
    struct expression_pool *pool = expression_pool_create(0);
    uint32_t any = range(pool, 0, 0x10FFFF);
    static const char *const good[] = {"a",
                                       "\x7F",
                                       "\xC2\x80",
                                       "\xDF\xBF",
                                       "\xE0\xA0\x80",
                                       "\xED\x9F\xBF",
                                       "\xEE\x80\x80",
                                       "\xEF\xBF\xBF",
                                       "\xF0\x90\x80\x80",
                                       "\xF4\x8F\xBF\xBF"};
    static const char *const bad[] = {"",
                                      "\x80",
                                      "\xC0\x80",
                                      "\xC1\xBF",
                                      "\xE0\x9F\xBF",
                                      "\xED\xA0\x80",
                                      "\xF0\x8F\xBF\xBF",
                                      "\xF4\x90\x80\x80",
                                      "\xC2",
                                      "ab"};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        ASSERT(matches_text(pool, any, good[i]));
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        ASSERT(!matches_text(pool, any, bad[i]));
    uint32_t cyrillic = range(pool, 0x410, 0x44F);
    ASSERT(matches_text(pool, cyrillic, "\xD0\xB6"));
    ASSERT(!matches_text(pool, cyrillic, "\xD1\x91")); // U+0451
    expression_pool_destroy(pool);
}

TEST(a_text_is_in_an_intersection_if_in_both_and_in_a_complement_if_not_in)
{
    struct expression_pool *pool = expression_pool_create(0);
    uint32_t word = expression_repeat(pool, range(pool, 'a', 'z'), 1, EXPRESSION_UNLIMITED);
    uint32_t keys[] = {text(pool, "name"), text(pool, "names"), text(pool, "age")};
    uint32_t other = expression_both(pool, word,
                                     expression_not(pool, expression_any_of(pool, keys, 3)));
    ASSERT(!matches_text(pool, other, "name"));
    ASSERT(!matches_text(pool, other, "names"));
    ASSERT(matches_text(pool, other, "nam"));
    ASSERT(matches_text(pool, other, "namesake"));
    ASSERT(!matches_text(pool, other, "Name"));
    ASSERT(!expression_is_nothing(pool, other));
    expression_pool_destroy(pool);
}

TEST(an_intersection_that_matches_nothing_is_found)
{
    struct expression_pool *pool = expression_pool_create(0);
    uint32_t word = expression_repeat(pool, range(pool, 'a', 'z'), 3, 5);
    uint32_t digits = expression_repeat(pool, range(pool, '0', '9'), 0, 9);
    ASSERT(expression_is_nothing(pool, expression_both(pool, word, digits)));
    uint32_t even = expression_repeat(pool, text(pool, "aa"), 1, EXPRESSION_UNLIMITED);
    uint32_t odd = expression_concat(
        pool, text(pool, "a"), expression_repeat(pool, text(pool, "aa"), 0, EXPRESSION_UNLIMITED));
    uint32_t neither = expression_both(pool, even, odd);
    ASSERT(expression_is_nothing(pool, neither));
    ASSERT_EQ(expression_concat(pool, text(pool, "x"), neither), EXPRESSION_NOTHING);
    uint32_t some = expression_both(pool, even, expression_not(pool, text(pool, "aa")));
    ASSERT(!expression_is_nothing(pool, some));
    // Behind "b" nothing can follow: no state is left that only seems alive.
    ASSERT_EQ(expression_derive(pool, some, 'b'), EXPRESSION_NOTHING);
    expression_pool_destroy(pool);
}

TEST(a_multiple_of_matches_the_multiples_alone)
{
    struct expression_pool *pool = expression_pool_create(0);
    uint32_t sevens = expression_multiple_of(pool, 7);
    char digits[16];
    for (int i = 0; i < 500; i++) {
        snprintf(digits, sizeof digits, "%d", i);
        ASSERT_EQ(matches_text(pool, sevens, digits), i % 7 == 0);
    }
    ASSERT(!matches_text(pool, sevens, ""));
    ASSERT(!matches_text(pool, sevens, "7x"));
    expression_pool_destroy(pool);
}

TEST(a_pool_that_is_full_says_so_and_matches_nothing)
{
    struct expression_pool *pool = expression_pool_create(64);
    char bytes[200];
    memset(bytes, 'x', sizeof bytes);
    ASSERT_EQ(expression_text(pool, bytes, sizeof bytes), EXPRESSION_NOTHING);
    ASSERT(expression_pool_overflowed(pool));
    ASSERT_EQ(text(pool, "y"), EXPRESSION_NOTHING);
    expression_pool_destroy(pool);
    pool = expression_pool_create(0);
    uint32_t deep = text(pool, "a");
    for (int i = 0; i < 100000; i++)
        deep = expression_any_of(
            pool,
            (uint32_t[]){
                text(pool, "b"),
                expression_concat(pool, expression_repeat(pool, deep, 2, 3), text(pool, "c"))},
            2);
    ASSERT(expression_pool_overflowed(pool));
    ASSERT_EQ(expression_derive(pool, deep, 'a'), EXPRESSION_NOTHING);
    expression_pool_destroy(pool);
}

TEST(a_long_text_is_matched_without_recursion)
{
    struct expression_pool *pool = expression_pool_create(0);
    size_t n = 50000;
    char *bytes = malloc(n);
    ASSERT(bytes != NULL);
    for (size_t i = 0; i < n; i++)
        bytes[i] = (char)('a' + i % 26);
    uint32_t two[] = {expression_text(pool, bytes, n), expression_text(pool, bytes, n - 1)};
    uint32_t either = expression_any_of(pool, two, 2);
    ASSERT(matches(pool, either, bytes, n));
    ASSERT(matches(pool, either, bytes, n - 1));
    ASSERT(!matches(pool, either, bytes, n - 2));
    ASSERT(!expression_pool_overflowed(pool));
    free(bytes);
    expression_pool_destroy(pool);
}

// A random expression and, in parallel, the set of the texts over {a, b} of up to 5 bytes it
// matches.
#define MAX_BYTES 5
#define N_TEXTS 63 // 2^6 - 1

struct sample {
    uint32_t expression;
    uint64_t texts; // bit i: the text number i
};

static size_t number_of(const char *bytes, size_t n)
{
    size_t value = 0;
    for (size_t i = 0; i < n; i++)
        value = value * 2 + (bytes[i] == 'b');
    return ((size_t)1 << n) - 1 + value;
}

static size_t text_of(size_t number, char *out)
{
    size_t n = 0;
    while (number >= (((size_t)1 << (n + 1)) - 1))
        n++;
    size_t value = number - (((size_t)1 << n) - 1);
    for (size_t i = 0; i < n; i++)
        out[i] = value >> (n - 1 - i) & 1 ? 'b' : 'a';
    return n;
}

static uint64_t concat_texts(uint64_t x, uint64_t y)
{
    uint64_t result = 0;
    char bytes[2 * MAX_BYTES];
    for (size_t i = 0; i < N_TEXTS; i++) {
        if (!(x >> i & 1))
            continue;
        for (size_t k = 0; k < N_TEXTS; k++) {
            size_t n = text_of(i, bytes);
            n += text_of(k, bytes + n);
            if ((y >> k & 1) && n <= MAX_BYTES)
                result |= UINT64_C(1) << number_of(bytes, n);
        }
    }
    return result;
}

static struct sample random_sample(struct expression_pool *pool, uint64_t *seed, int depth)
{
    const uint64_t all = (UINT64_C(1) << N_TEXTS) - 1;
    uint64_t kind = depth == 0 ? 0 : test_random_in(seed, 0, 5);
    if (kind == 0) {
        static const char *const texts[] = {"a", "b", "ab", "ba", "", "aab"};
        const char *bytes = texts[test_random_in(seed, 0, 5)];
        return (struct sample){text(pool, bytes), UINT64_C(1) << number_of(bytes, strlen(bytes))};
    }
    struct sample x = random_sample(pool, seed, depth - 1);
    if (kind == 1)
        return (struct sample){expression_not(pool, x.expression), all & ~x.texts};
    if (kind == 2) {
        uint64_t min = test_random_in(seed, 0, 2), max = min + test_random_in(seed, 0, 6);
        struct sample y = {EXPRESSION_EMPTY, 0};
        uint64_t power = 1;
        for (uint64_t i = 0; i <= max; i++) {
            if (i >= min)
                y.texts |= power;
            power = concat_texts(power, x.texts);
        }
        y.expression = expression_repeat(pool, x.expression, (uint32_t)min, (uint32_t)max);
        return y;
    }
    struct sample y = random_sample(pool, seed, depth - 1);
    if (kind == 3)
        return (struct sample){expression_both(pool, x.expression, y.expression),
                               x.texts & y.texts};
    if (kind == 4)
        return (struct sample){expression_concat(pool, x.expression, y.expression),
                               concat_texts(x.texts, y.texts)};
    return (struct sample){expression_any_of(pool, (uint32_t[]){x.expression, y.expression}, 2),
                           x.texts | y.texts};
}

TEST(random_expressions_match_what_their_parts_say)
{
    uint64_t seed = 5;
    for (int round = 0; round < 3000; round++) {
        struct expression_pool *pool = expression_pool_create(0);
        struct sample sample = random_sample(pool, &seed, 4);
        char bytes[MAX_BYTES];
        for (size_t i = 0; i < N_TEXTS; i++) {
            size_t n = text_of(i, bytes);
            if (matches(pool, sample.expression, bytes, n) != (sample.texts >> i & 1))
                test_fail(__FILE__, __LINE__, "round %d: text '%.*s' is %s", round, (int)n, bytes,
                          sample.texts >> i & 1 ? "not matched" : "matched");
        }
        if (sample.texts)
            ASSERT(!expression_is_nothing(pool, sample.expression));
        expression_pool_destroy(pool);
    }
}
