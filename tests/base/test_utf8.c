/* tests/base/test_utf8.c - every scalar value there and back; maximal ill-formed subparts. */
#include "base/utf8.h"

#include "tests/test.h"

TEST(every_scalar_value_survives_encoding_and_decoding)
{
    for (uint32_t c = 0; c <= 0x10FFFF; c++) {
        if (c >= 0xD800 && c <= 0xDFFF)
            continue;
        char bytes[UTF8_MAX_BYTES];
        size_t n = utf8_encode(c, bytes);
        uint32_t back;
        ASSERT_EQ(utf8_decode(bytes, n, &back), n);
        ASSERT_EQ(back, c);
        ASSERT(utf8_valid(bytes, n, NULL));
        ASSERT(n == 1 || !utf8_valid(bytes, n - 1, NULL));
    }
}

TEST(ill_formed_bytes_are_taken_by_maximal_subparts)
{
    static const struct {
        const char *bytes;
        size_t n, taken;
    } cases[] = {
        {"\x80", 1, 1},
        {"\xC0\x80", 2, 1},
        {"\xC2", 1, 1},
        {"\xC2\x41", 2, 1},
        {"\xE0\x80\x80", 3, 1},
        {"\xE0\xA0", 2, 2},
        {"\xE1\x80\x41", 3, 2},
        {"\xED\xA0\x80", 3, 1},
        {"\xF0\x80\x80\x80", 4, 1},
        {"\xF0\x90\x80", 3, 3},
        {"\xF4\x90\x80\x80", 4, 1},
        {"\xF1\x80\x80\x41", 4, 3},
        {"\xF5\x80", 2, 1},
        {"\xFF", 1, 1},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        uint32_t c;
        ASSERT_EQ(utf8_decode(cases[i].bytes, cases[i].n, &c), cases[i].taken);
        ASSERT_EQ(c, UTF8_REPLACEMENT);
        ASSERT(!utf8_valid(cases[i].bytes, cases[i].n, NULL));
    }
}

TEST(the_replacement_character_itself_is_valid)
{
    ASSERT(utf8_valid("a\xEF\xBF\xBD z", 6, NULL));
    ASSERT(utf8_valid("", 0, NULL));
}

TEST(the_first_ill_formed_byte_is_named)
{
    size_t at = 99;
    ASSERT(!utf8_valid("ab\xEF\xBF\xBD\xE2\x96", 7, &at));
    ASSERT_EQ(at, 5);
}
