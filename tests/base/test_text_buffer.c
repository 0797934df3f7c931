/* tests/base/test_text_buffer.c - bytes that grow, with a NUL behind them. */
#include "base/text_buffer.h"

#include "tests/test.h"

TEST(appended_bytes_stay_in_order_and_terminated)
{
    struct text_buffer buffer = {0};
    for (int i = 0; i < 1000; i++) {
        text_buffer_append_format(&buffer, "%03d", i);
        ASSERT_EQ(buffer.length, (size_t)(i + 1) * 3);
        ASSERT_EQ(buffer.data[buffer.length], '\0');
    }
    ASSERT_EQ(memcmp(buffer.data, "000001002", 9), 0);
    ASSERT_STR_EQ(buffer.data + 2997, "999");
    text_buffer_finish(&buffer);
    ASSERT(!buffer.data && buffer.length == 0 && buffer.capacity == 0);
}

TEST(a_nul_is_a_byte_like_others)
{
    struct text_buffer buffer = {0};
    text_buffer_append(&buffer, "a\0b", 3);
    text_buffer_append_text(&buffer, "c");
    ASSERT_EQ(buffer.length, 4);
    ASSERT_EQ(memcmp(buffer.data, "a\0bc", 5), 0);
    text_buffer_finish(&buffer);
}

TEST(clearing_keeps_the_memory)
{
    struct text_buffer buffer = {0};
    text_buffer_clear(&buffer);
    ASSERT(!buffer.data);
    text_buffer_append_text(&buffer, "some text");
    size_t capacity = buffer.capacity;
    text_buffer_clear(&buffer);
    ASSERT_EQ(buffer.length, 0);
    ASSERT_EQ(buffer.capacity, capacity);
    ASSERT_STR_EQ(buffer.data, "");
    text_buffer_finish(&buffer);
}

TEST(a_released_buffer_is_empty_and_its_text_never_null)
{
    struct text_buffer buffer = {0};
    char *nothing = text_buffer_release(&buffer);
    ASSERT_STR_EQ(nothing, "");
    free(nothing);
    text_buffer_append_text(&buffer, "x");
    char *text = text_buffer_release(&buffer);
    ASSERT_STR_EQ(text, "x");
    ASSERT(!buffer.data && buffer.length == 0);
    free(text);
}
