/* tests/base/test_number.c */
#include "base/number.h"
#include "tests/test.h"

TEST(digits_are_read_up_to_what_is_none)
{
    uint64_t value;
    const char *end;
    ASSERT(number_read_digits("0042GiB", &value, &end));
    ASSERT_EQ(value, 42);
    ASSERT_STR_EQ(end, "GiB");
    ASSERT(number_read_digits("18446744073709551615", &value, &end));
    ASSERT(value == UINT64_MAX && *end == '\0');
}

TEST(signs_blanks_and_more_than_64_bits_are_no_number)
{
    uint64_t value;
    const char *end;
    static const char *const wrong[] = {"", "-1", "+1", " 1", "x", "18446744073709551616"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        ASSERT(!number_read_digits(wrong[i], &value, &end));
}
