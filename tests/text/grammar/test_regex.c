/* tests/text/grammar/test_regex.c - patterns against texts that they match and do not. */
#include "base/mem.h"
#include "base/text_buffer.h"
#include "tests/test.h"
#include "text/grammar/regex.h"

static bool follows(struct expression_pool *pool, uint32_t expression, const char *text, size_t n)
{
    for (size_t i = 0; i < n; i++)
        expression = expression_derive(pool, expression, (uint8_t)text[i]);
    ASSERT(!expression_pool_overflowed(pool));
    return expression_is_nullable(pool, expression);
}

struct matches {
    const char *pattern;
    const char *yes[8], *no[8];
};

static void check(const struct matches *cases, size_t n, const struct regex_options *options)
{
    for (size_t i = 0; i < n; i++) {
        struct expression_pool *pool = expression_pool_create(0);
        const char *pattern = cases[i].pattern;
        struct error err = {0};
        uint32_t expression;
        ASSERT_OK_ERR(regex_parse(pool, pattern, strlen(pattern), options, &expression, &err), err);
        for (size_t j = 0; j < 8; j++) {
            const char *yes = cases[i].yes[j], *no = cases[i].no[j];
            if (yes && !follows(pool, expression, yes, strlen(yes)))
                test_fail(__FILE__, __LINE__, "%s does not match %s", pattern, yes);
            if (no && follows(pool, expression, no, strlen(no)))
                test_fail(__FILE__, __LINE__, "%s matches %s", pattern, no);
        }
        expression_pool_destroy(pool);
    }
}

#define CHECK_ALL(cases, options) check(cases, sizeof cases / sizeof *cases, options)

TEST(a_pattern_matches_the_whole_text)
{
    static const struct matches cases[] = {
        {"", {""}, {"a"}},
        {"abc", {"abc"}, {"", "ab", "abcd", "xabc"}},
        {"^abc$", {"abc"}, {"xabc", "abcx"}},
        {"a|bc|", {"a", "bc", ""}, {"b", "abc"}},
        {"(a|b)*c+?d{2,3}", {"cdd", "abacddd"}, {"dd", "cd", "cdddd"}},
        {"a{2}b{1,}c{,2}", {"aab", "aabbbcc"}, {"ab", "aa", "aabccc"}},
        {"x{,}{a}{", {"x{,}{a}{"}, {"x"}},
        {"(?:a)(?P<n>b)(?<m>c)", {"abc"}, {"ac"}},
        {"a.c",
         {"abc",
          "a\xE2\x82\xAC"
          "c",
          "a\rc"},
         {"a\nc", "ac",
          "a\xE2\x82"
          "c"}},
        {"(?s)a.c", {"a\nc"}, {"ac"}},
        {"(?s:.).", {"\na"}, {"a\n"}},
        {"\\Aa\\z", {"a"}, {""}},
        {"a^b", {NULL}, {"ab", "a^b", ""}},
        {"(a|^)(b|$)", {"ab", "b", "a", ""}, {"ba", "aab"}},
    };
    CHECK_ALL(cases, NULL);
}

TEST(classes_and_escapes_are_sets_of_code_points)
{
    static const struct matches cases[] = {
        {"[abc-e]", {"a", "d", "e"}, {"f", "-", "ab", ""}},
        {"[^abc]", {"d", "\xC3\xA9", "\n"}, {"a", "", "\xC3"}},
        {"[]a]+", {"]a]"}, {"b"}},
        {"[^]a]", {"b"}, {"]", "a"}},
        {"[a-]+", {"a-a"}, {"b"}},
        {"[\\w-.]+", {"a-.9_"}, {"+"}},
        {"[a\\]\\-\\\\]+", {"a]-\\"}, {"b"}},
        {"\\d\\D\\w\\W\\s\\S", {"1xa! x"}, {"11a! x", "1xaa x"}},
        {"[[:alpha:][:digit:]]+", {"a1"}, {"_", "[", ":"}},
        {"[[:]+", {"[:["}, {"a"}},
        {"[\\b\\t]+", {"\b\t"}, {"b"}},
        {"\\x41\\u00e9\\u{1F600}\\U0001F600\\uD83D\\uDE00\\cJ\\0?",
         {"A\xC3\xA9\xF0\x9F\x98\x80\xF0\x9F\x98\x80\xF0\x9F\x98\x80\n"},
         {"A"}},
        {"[\\u{1F600}-\\u{1F64F}]", {"\xF0\x9F\x98\x80"}, {"\xF0\x9F\x9A\x80", "a"}},
        {"\\.\\*\\/\\-\\ \\\xC3\xA9", {".*/- \xC3\xA9"}, {"a*/- \xC3\xA9"}},
        {"(?i)stra\xC3\x9F"
         "e[a-c]\xD0\xB4",
         {"STRA\xC3\x9F"
          "EB\xD0\x94"},
         {"STRASSED"}},
        {"(?i:a)b|(?i)c|d", {"Ab", "C", "D"}, {"AB"}},
        {"((?i)a)b", {"Ab", "ab"}, {"aB"}},
        {"(?i)[^a]", {"b"}, {"a", "A"}},
        {"\\s", {"\xC2\xA0", "\xE3\x80\x80", "\v"}, {"\xE2\x80\x8B", "a"}},
        {"\\p{L}\\p{Nd}\\pL\\P{L}",
         {"\xC3\xA9"
          "1b-",
          "\xE4\xB8\xAD\xD9\xA1"
          "b1"},
         {"111-", "abb-"}},
        {"[\\p{Lu}\\P{LC}]", {"A", "1"}, {"a"}},
    };
    CHECK_ALL(cases, NULL);
}

TEST(a_search_matches_anywhere_unless_it_is_anchored)
{
    static const struct matches cases[] = {
        {"b", {"b", "abc", "b\nx"}, {"", "ac"}},
        {"^b", {"b", "bcd"}, {"ab"}},
        {"b$", {"b", "ab"}, {"bc", "b\n"}},
        {"^b$", {"b"}, {"ab", "bc", ""}},
        {"^a|b$", {"a", "ax", "xb"}, {"xa", "bx", ""}},
        {"^(a|b$)", {"a", "ax", "b"}, {"bx", "xb"}},
        {"(^a|b)+$", {"ab", "xb", "a", "bb"}, {"xa", "ba", "bx"}},
        {"(^|,)x(,|$)", {"x", "a,x", "x,a", "a,x,b"}, {"ax", "xa", "a,xb"}},
        {"", {"", "abc"}, {NULL}},
        {"^$", {""}, {"a"}},
        {"^a*$|^b*$", {"", "aa", "bb"}, {"ab"}},
    };
    CHECK_ALL(cases, (&(struct regex_options){.search = true}));
}

TEST(in_a_json_string_a_code_point_has_all_the_spellings_of_json)
{
    static const struct matches cases[] = {
        {"a", {"a", "\\u0061"}, {"\\u0062", "\\a", "A"}},
        {"\"\\\\/", {"\\\"\\\\/", "\\u0022\\u005c\\/", "\\\"\\u005C\\u002f"}, {"\"\\/", "\"\\\\/"}},
        {"\\x08\\f\\n\\r\\t",
         {"\\b\\f\\n\\r\\t", "\\u0008\\u000c\\u000A\\u000d\\u0009"},
         {"\b\f\n\r\t", "\\bfnrt"}},
        {"\\u00e9", {"\xC3\xA9", "\\u00e9", "\\u00E9"}, {"\xC3", "\\u00ea"}},
        {"\\u{1F600}",
         {"\xF0\x9F\x98\x80", "\\uD83D\\uDE00", "\\ud83d\\ude00"},
         {"\\uD83D", "\\uD83D\\uDE01", "\\uDE00\\uD83D"}},
        {"[^\"]",
         {"a", "\\n", "\\\\", "\\uDBFF\\uDFFF"},
         {"\\\"", "\"", "\\u0022", "\n", "\\ud83d"}},
        {"[\\u{FFFF}-\\u{10401}]",
         {"\\uffff", "\\ud800\\udc00", "\\uD801\\uDC01"},
         {"\\uD801\\uDC02", "\\ufffe", "\\uD802\\uDC00"}},
    };
    CHECK_ALL(cases, (&(struct regex_options){.json_string = true}));
}

TEST(what_is_not_regular_is_refused_by_name)
{
    static const struct {
        const char *pattern, *message;
    } cases[] = {
        {"ab(?=c)", "regex, character 3: look-around is not supported"},
        {"\xC3\xA9(?<!c)", "regex, character 2: look-around is not supported"},
        {"(a)\\1", "regex, character 4: back references are not supported"},
        {"(?P=a)", "regex, character 1: named back references are not supported"},
        {"\\k<a>", "regex, character 1: named back references are not supported"},
        {"\\bfoo", "regex, character 1: word boundaries are not supported"},
        {"a\\B", "regex, character 2: word boundaries are not supported"},
        {"(?>a)", "regex, character 1: atomic groups are not supported"},
        {"a++", "regex, character 3: possessive repeats are not supported"},
        {"(?m)^a", "regex, character 3: the flags m and x are not supported"},
        {"(?(1)a|b)", "regex, character 1: conditions are not supported"},
        {"[a&&b]", "regex, character 3: intersections of classes are not supported"},
        {"a\\p{Greek}",
         "regex, character 2: \\p takes general categories alone, such as \\p{Lu} or \\p{L}"},
        {"\\p{",
         "regex, character 1: \\p takes general categories alone, such as \\p{Lu} or \\p{L}"},
        {"\\p",
         "regex, character 1: \\p takes general categories alone, such as \\p{Lu} or \\p{L}"},
        {"\\q", "regex, character 1: an unknown escape"},
        {"\\012", "regex, character 1: octal escapes are not supported, \\xHH is"},
        {"a)", "regex, character 2: ) without ("},
        {"x(a|b", "regex, character 2: ( without )"},
        {"x(?i", "regex, character 2: ( without )"},
        {"x[ab", "regex, character 2: [ without ]"},
        {"[]", "regex, character 1: [ without ]"},
        {"[z-a]", "regex, character 2: a range from high to low"},
        {"[a-\\d]", "regex, character 2: a range that ends in a class"},
        {"[[:foo:]]", "regex, character 4: an unknown class [:...:]"},
        {"*a", "regex, character 1: nothing to repeat"},
        {"a|+", "regex, character 3: nothing to repeat"},
        {"a**", "regex, character 3: a repeat of a repeat"},
        {"^*", "regex, character 2: an anchor cannot be repeated"},
        {"a{3,2}", "regex, character 2: a repeat whose least is beyond its most"},
        {"a{70000}", "regex, character 2: more than 65535 repeats"},
        {"a{99999999999999999999}", "regex, character 2: more than 65535 repeats"},
        {"a\\", "regex, character 2: a backslash at the end"},
        {"\\x4", "regex, character 1: an escape that lacks hex digits"},
        {"\\u{110000}", "regex, character 1: beyond U+10FFFF"},
        {"\\u{FFFFFFFFFFFFFFFF}", "regex, character 1: an escape that lacks hex digits"},
        {"\\ud800x", "regex, character 1: a lone surrogate"},
        {"(?<>a)", "regex, character 1: a group without a name"},
        {"(?#a)", "regex, character 1: an unknown group (?"},
        {"\xFF", "regex: not UTF-8"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct expression_pool *pool = expression_pool_create(0);
        struct error err = {0};
        uint32_t expression;
        ASSERT_EQ(
            regex_parse(pool, cases[i].pattern, strlen(cases[i].pattern), NULL, &expression, &err),
            STATUS_INVALID_ARGUMENT);
        ASSERT_STR_EQ(err.message, cases[i].message);
        expression_pool_destroy(pool);
    }
}

static enum status parse_nested(uint32_t depth, struct error *err)
{
    struct expression_pool *pool = expression_pool_create(0);
    char *pattern = mem_zeroed(2 * (size_t)depth + 2, 1);
    uint32_t expression;
    memset(pattern, '(', depth);
    pattern[depth] = 'a';
    memset(pattern + depth + 1, ')', depth);
    enum status st = regex_parse(pool, pattern, strlen(pattern), NULL, &expression, err);
    free(pattern);
    expression_pool_destroy(pool);
    return st;
}

TEST(depth_and_length_are_limited)
{
    struct error err = {0};
    ASSERT_OK_ERR(parse_nested(REGEX_MAX_DEPTH - 1, &err), err);
    ASSERT_EQ(parse_nested(REGEX_MAX_DEPTH, &err), STATUS_INVALID_ARGUMENT);
    ASSERT_CONTAINS(err.message, "nested too deep");
    struct expression_pool *pool = expression_pool_create(0);
    char *pattern = mem_zeroed(REGEX_MAX_BYTES + 1, 1);
    uint32_t expression;
    memset(pattern, 'a', REGEX_MAX_BYTES + 1);
    ASSERT_EQ(regex_parse(pool, pattern, REGEX_MAX_BYTES + 1, NULL, &expression, &err),
              STATUS_INVALID_ARGUMENT);
    ASSERT_STR_EQ(err.message, "regex: 65537 bytes, at most 65536");
    expression_pool_destroy(pool);
    pool = expression_pool_create(0);
    ASSERT_OK_ERR(regex_parse(pool, pattern, REGEX_MAX_BYTES, NULL, &expression, &err), err);
    ASSERT(follows(pool, expression, pattern, REGEX_MAX_BYTES));
    ASSERT(!follows(pool, expression, pattern, REGEX_MAX_BYTES - 1));
    free(pattern);
    expression_pool_destroy(pool);
}

TEST(anchors_that_need_not_hold_are_limited_in_number)
{
    struct text_buffer pattern = {0};
    struct error err = {0};
    uint32_t expression;
    for (int i = 0; i < 5000; i++)
        text_buffer_append_text(&pattern, "(^|a)");
    struct expression_pool *pool = expression_pool_create(0);
    ASSERT_EQ(regex_parse(pool, pattern.data, pattern.length, NULL, &expression, &err),
              STATUS_INVALID_ARGUMENT);
    ASSERT_CONTAINS(err.message, "too many anchors");
    expression_pool_destroy(pool);
    text_buffer_finish(&pattern);
}

TEST(what_classes_cost_is_limited)
{
    static const struct regex_options options = {.json_string = true};
    struct text_buffer pattern = {0};
    struct error err = {0};
    uint32_t expression;
    for (int i = 0; i < 3000; i++)
        text_buffer_append_text(&pattern, "\\p{L}[^a].\\w");
    struct expression_pool *pool = expression_pool_create(0);
    ASSERT_OK_ERR(regex_parse(pool, pattern.data, pattern.length, &options, &expression, &err),
                  err);
    text_buffer_clear(&pattern);
    for (int i = 0; i < 3000; i++)
        text_buffer_append_format(&pattern, "[\\p{L}\\x{%x}]", 0x1000 + i);
    ASSERT_EQ(regex_parse(pool, pattern.data, pattern.length, &options, &expression, &err),
              STATUS_INVALID_ARGUMENT);
    ASSERT_CONTAINS(err.message, "too many and too large classes");
    expression_pool_destroy(pool);
    text_buffer_finish(&pattern);
}
