/* tests/device/test_memory.c - device/memory.h. */
#include "device/memory.h"
#include "tests/test.h"

TEST(a_buffer_is_zeroed_aligned_and_whole)
{
    static const size_t sizes[] = {0, 1, 4096, 4097, (size_t)5 << 20};
    for (int i = 0; i < 5; i++) {
        struct device_buffer buffer = {0};
        struct error err = {0};
        ASSERT_OK_ERR(device_buffer_create(sizes[i], "test", &buffer, &err), err);
        ASSERT_EQ(buffer.bytes, sizes[i]);
        ASSERT_EQ((uintptr_t)buffer.data % (sizes[i] >= (size_t)2 << 20 ? 2 << 20 : 64), 0);
        unsigned char *bytes = buffer.data;
        for (size_t b = 0; b < sizes[i]; b++) {
            ASSERT_EQ(bytes[b], 0);
            bytes[b] = 1;
        }
        device_buffer_destroy(&buffer);
        ASSERT(!buffer.data);
        device_buffer_destroy(&buffer);
    }
}

TEST(a_buffer_that_is_too_large_says_what_it_was_for)
{
    static const size_t sizes[] = {SIZE_MAX, SIZE_MAX - 4095, SIZE_MAX / 2};
    for (int i = 0; i < 3; i++) {
        struct device_buffer buffer = {0};
        struct error err = {0};
        ASSERT_EQ(device_buffer_create(sizes[i], "weights", &buffer, &err),
                  STATUS_RESOURCE_EXHAUSTED);
        ASSERT_CONTAINS(err.message, "weights");
        ASSERT(!buffer.data);
    }
}

TEST(available_memory_is_more_than_nothing_and_less_than_everything)
{
    ASSERT(device_available_bytes() > (size_t)1 << 20);
    ASSERT(device_available_bytes() < (size_t)1 << 50);
}
