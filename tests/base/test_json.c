/* tests/base/test_json.c - what json.h promises, and what it refuses with line and column. */
#include "base/json.h"

#include "tests/test.h"

static struct json_document *parse(const char *text)
{
    struct json_document *document = NULL;
    struct error err = {0};
    ASSERT_OK_ERR(json_parse(text, strlen(text), NULL, &document, &err), err);
    return document;
}

static void expect_same_text(const char *text, const char *want)
{
    struct json_document *document = parse(text);
    struct text_buffer out = {0};
    json_write(&out, json_root(document));
    ASSERT_STR_EQ(out.data, want);
    text_buffer_finish(&out);
    json_document_destroy(document);
}

TEST(a_document_is_written_as_it_was_read)
{
    static const char *const cases[] = {
        "null",
        "true",
        "\"\"",
        "[]",
        "{}",
        "[[],{},[[]]]",
        "{\"b\":1,\"a\":[true,false,null],\"c\":{\"d\":\"e\"}}",
        "[-0,0,1.50,1e400,12345678901234567890123,-1.0E-7]",
        "\"\xE2\x96\x81\xF0\x9F\x98\x80\"",
        "[\"\\u0000\\u001f\\n\\\"\\\\\"]",
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        expect_same_text(cases[i], cases[i]);
}

TEST(blanks_and_escapes_vanish)
{
    expect_same_text(" \t\r\n[ 1 ,\n 2 ] \n", "[1,2]");
    expect_same_text("\"\\u0041\\/\\u00e9\\ud83d\\ude00\\b\\f\"",
                     "\"A/\xC3\xA9\xF0\x9F\x98\x80\\b\\f\"");
    expect_same_text("{ \"a\" : 1 , \"\\u0061b\" : 2}", "{\"a\":1,\"ab\":2}");
}

TEST(a_repeated_key_is_refused_and_named_if_asked)
{
    static const char text[] = "{\"x\":{\"a\":1,\"b\":2,\n\"a\":3}}";
    struct json_limits limits = {.unique_keys = true};
    struct json_document *document = NULL;
    struct error err = {0};
    ASSERT_EQ(json_parse(text, sizeof text - 1, &limits, &document, &err), STATUS_INVALID_ARGUMENT);
    ASSERT_STR_EQ(err.message, "line 2: the key \"a\" stands twice");
    static const char other[] = "{\"x\":{\"a\":1},\"a\":{\"a\":3}}";
    ASSERT_OK_ERR(json_parse(other, sizeof other - 1, &limits, &document, &err), err);
    json_document_destroy(document);
}

TEST(a_repeated_key_keeps_its_first_place_and_last_value)
{
    expect_same_text("{\"a\":1,\"b\":2,\"a\":3}", "{\"a\":3,\"b\":2}");
    struct text_buffer many = {0};
    text_buffer_append_text(&many, "{");
    for (int i = 0; i < 40; i++)
        text_buffer_append_format(&many, "\"k%d\":%d,", i % 20, i);
    text_buffer_append_text(&many, "\"last\":0}");
    struct json_document *document = parse(many.data);
    ASSERT_EQ(json_root(document)->n, 21);
    ASSERT_STR_EQ(json_root(document)->members[7].key, "k7");
    ASSERT_STR_EQ(json_get(json_root(document), "k7")->text, "27");
    json_document_destroy(document);
    text_buffer_finish(&many);
}

TEST(a_large_object_that_repeats_itself_small_is_still_searched)
{
    struct text_buffer many = {0};
    text_buffer_append_text(&many, "{");
    for (int i = 0; i < 60; i++)
        text_buffer_append_format(&many, "\"k%d\":%d,", i % 3, i);
    text_buffer_append_text(&many, "\"last\":0}");
    struct json_document *document = parse(many.data);
    ASSERT_EQ(json_root(document)->n, 4);
    ASSERT_STR_EQ(json_get(json_root(document), "k2")->text, "59");
    ASSERT(!json_get(json_root(document), "k3"));
    json_document_destroy(document);
    text_buffer_finish(&many);
}

TEST(members_of_small_and_large_objects_are_found)
{
    static const int sizes[] = {1, 16, 17, 1000};
    for (int s = 0; s < 4; s++) {
        struct text_buffer text = {0};
        for (int i = 0; i < sizes[s]; i++)
            text_buffer_append_format(&text, "%s\"key number %d\":%d", i ? "," : "{", i, i);
        text_buffer_append_text(&text, "}");
        struct json_document *document = parse(text.data);
        for (int i = 0; i < sizes[s]; i++) {
            char key[32];
            snprintf(key, sizeof key, "key number %d", i);
            int64_t value = -1;
            ASSERT(json_int64(json_get(json_root(document), key), &value));
            ASSERT_EQ(value, i);
        }
        ASSERT(!json_get(json_root(document), "key number"));
        ASSERT(!json_get(json_root(document), ""));
        json_document_destroy(document);
        text_buffer_finish(&text);
    }
}

TEST(null_members_and_non_objects_have_nothing_present)
{
    struct json_document *document = parse("{\"a\":null,\"b\":[1]}");
    ASSERT(json_get(json_root(document), "a"));
    ASSERT(!json_get_present(json_root(document), "a"));
    ASSERT(json_get_present(json_root(document), "b"));
    ASSERT(!json_get(json_get(json_root(document), "b"), "a"));
    ASSERT(!json_get(NULL, "a"));
    json_document_destroy(document);
}

TEST(integers_convert_exactly_or_not_at_all)
{
    static const struct {
        const char *text;
        bool fits;
        int64_t value;
    } cases[] = {
        {"0", true, 0},
        {"-0", true, 0},
        {"9223372036854775807", true, INT64_MAX},
        {"-9223372036854775808", true, INT64_MIN},
        {"9223372036854775808", false, 0},
        {"-9223372036854775809", false, 0},
        {"99999999999999999999999", false, 0},
        {"1.0", false, 0},
        {"1e3", false, 0},
        {"\"1\"", false, 0},
        {"true", false, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct json_document *document = parse(cases[i].text);
        int64_t value = 0;
        ASSERT_EQ(json_int64(json_root(document), &value), cases[i].fits);
        ASSERT_EQ(value, cases[i].value);
        json_document_destroy(document);
    }
}

TEST(any_number_is_a_double_unless_it_overflows)
{
    struct json_document *document = parse("[0.1,-12,1e400,1e-400,\"1\",123456789012345678901]");
    const struct json_value *items = json_root(document)->items;
    double value = 0;
    ASSERT(json_double(&items[0], &value) && value == 0.1);
    ASSERT(json_double(&items[1], &value) && value == -12.0);
    ASSERT(!json_double(&items[2], &value));
    ASSERT(json_double(&items[3], &value) && value == 0.0);
    ASSERT(!json_double(&items[4], &value));
    ASSERT(json_double(&items[5], &value) && value == 123456789012345678901.0);
    ASSERT(json_is_integer(&items[5]) && !json_is_integer(&items[0]) &&
           !json_is_integer(&items[2]));
    json_document_destroy(document);
}

TEST(strings_may_hold_nul_and_know_their_length)
{
    struct json_document *document = parse("[\"a\\u0000b\",\"ab\"]");
    const struct json_value *items = json_root(document)->items;
    ASSERT_EQ(items[0].length, 3);
    ASSERT_EQ(memcmp(items[0].text, "a\0b", 4), 0);
    ASSERT(!json_string_is(&items[0], "a"));
    ASSERT(json_string_is(&items[1], "ab"));
    json_document_destroy(document);
}

TEST(what_is_no_json_is_refused_with_its_place)
{
    static const struct {
        const char *text, *message;
    } cases[] = {
        {"", "line 1, column 1: the text ends too early"},
        {"  \n ", "line 2, column 2: the text ends too early"},
        {"{\"a\" 1}", "line 1, column 6: expected ':' after a key"},
        {"{\"a\":1\n,}", "line 2, column 2: expected a key"},
        {"{\"a\":1 \"b\"", "line 1, column 8: expected ',' or '}'"},
        {"{1:2}", "line 1, column 2: expected a key"},
        {"[1,]", "line 1, column 4: expected a value"},
        {"[1 2]", "line 1, column 4: expected ',' or ']'"},
        {"[1}", "expected ',' or ']'"},
        {"[", "the text ends too early"},
        {"[1", "the text ends too early"},
        {"1 2", "expected nothing after the value"},
        {"]", "expected a value"},
        {"tru", "expected a value"},
        {"nulll", "expected nothing after the value"},
        {"NaN", "expected a value"},
        {"01", "expected nothing after the value"},
        {"-", "the text ends too early"},
        {"1.", "the text ends too early"},
        {"1.e3", "expected a digit"},
        {"1e+", "the text ends too early"},
        {"+1", "expected a value"},
        {".5", "expected a value"},
        {"\"a", "the text ends too early"},
        {"\"a\nb\"", "line 1, column 3: control character in a string"},
        {"\"\\x\"", "unknown escape in a string"},
        {"\"\\", "unknown escape in a string"},
        {"\"\\u12\"", "expected four hexadecimal digits"},
        {"\"\\ud800\"", "lone surrogate escape"},
        {"\"\\ud800\\n\"", "lone surrogate escape"},
        {"\"\\ud800\\ud800\"", "lone surrogate escape"},
        {"\"\\udc00\\ud800\"", "lone surrogate escape"},
        {"\"\xC0\x80\"", "ill-formed UTF-8"},
        {"\"\xED\xA0\x80\"", "ill-formed UTF-8"},
        {"\"\xE2\x96", "ill-formed UTF-8"},
        {"\"\xFF\"", "ill-formed UTF-8"},
        {"\xEF\xBB\xBF{}", "expected a value"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct json_document *document = NULL;
        struct error err = {0};
        ASSERT_EQ(json_parse(cases[i].text, strlen(cases[i].text), NULL, &document, &err),
                  STATUS_INVALID_ARGUMENT);
        ASSERT(!document);
        ASSERT_CONTAINS(err.message, cases[i].message);
    }
}

TEST(a_nul_byte_in_the_text_is_refused)
{
    struct json_document *document = NULL;
    ASSERT_EQ(json_parse("[1\0]", 4, NULL, &document, NULL), STATUS_INVALID_ARGUMENT);
    ASSERT_EQ(json_parse("1\0", 2, NULL, &document, NULL), STATUS_INVALID_ARGUMENT);
    ASSERT_EQ(json_parse("\"a\0\"", 4, NULL, &document, NULL), STATUS_INVALID_ARGUMENT);
}

TEST(limits_of_size_and_depth_hold)
{
    struct json_document *document = NULL;
    struct error err = {0};
    struct json_limits limits = {.max_bytes = 4, .max_depth = 2};
    ASSERT_OK(json_parse("[[]]", 4, &limits, &document, &err));
    json_document_destroy(document);
    ASSERT_EQ(json_parse("[[] ]", 5, &limits, &document, &err), STATUS_INVALID_ARGUMENT);
    ASSERT_CONTAINS(err.message, "the limit is 4");
    limits.max_bytes = 0;
    ASSERT_EQ(json_parse("[[[]]]", 6, &limits, &document, &err), STATUS_INVALID_ARGUMENT);
    ASSERT_CONTAINS(err.message, "line 1, column 3: nested too deeply");
    char deep[2000];
    memset(deep, '[', sizeof deep);
    limits.max_depth = UINT32_MAX;
    ASSERT_EQ(json_parse(deep, sizeof deep, &limits, &document, &err), STATUS_INVALID_ARGUMENT);
    ASSERT_CONTAINS(err.message, "column 1025: nested too deeply");
}

TEST(random_bytes_never_hurt_the_parser)
{
    static const char alphabet[] = "{}[]\",:\\u019aetrfnl.-+ \n\xE2\x96\x81";
    uint64_t seed = 7;
    for (int round = 0; round < 20000; round++) {
        char text[24];
        size_t n = test_random_in(&seed, 0, sizeof text);
        for (size_t i = 0; i < n; i++)
            text[i] = alphabet[test_random_in(&seed, 0, sizeof alphabet - 2)];
        struct json_document *document = NULL;
        if (json_parse(text, n, NULL, &document, NULL) == STATUS_OK) {
            struct text_buffer out = {0};
            json_write(&out, json_root(document));
            struct json_document *again = parse(out.data);
            json_document_destroy(again);
            text_buffer_finish(&out);
        }
        json_document_destroy(document);
    }
}

TEST(files_are_named_in_errors)
{
    struct json_document *document = NULL;
    struct error err = {0};
    ASSERT_EQ(json_parse_file(test_path("no such file"), NULL, &document, &err), STATUS_NOT_FOUND);
    ASSERT_CONTAINS(err.message, "no such file: ");
    ASSERT_EQ(json_parse_file(test_path(""), NULL, &document, &err), STATUS_INVALID_ARGUMENT);
    ASSERT_CONTAINS(err.message, "not a regular file");
    ASSERT_EQ(json_parse_file(test_path("test.c"), NULL, &document, &err), STATUS_INVALID_ARGUMENT);
    ASSERT_CONTAINS(err.message, "test.c: line 1, column 1: expected a value");
}
