/* tests/device/test_memory.c - device/memory.h. */
#include "device/memory.h"

#include <pthread.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <unistd.h>

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

// A file in memory: offset bytes of nothing, then n bytes that differ from their neighbours.
static int file_of(size_t offset, const unsigned char *bytes, size_t n)
{
    int fd = memfd_create("test", MFD_CLOEXEC);
    ASSERT(fd >= 0);
    ASSERT_EQ(ftruncate(fd, (off_t)(offset + n)), 0);
    ASSERT_EQ(pwrite(fd, bytes, n, (off_t)offset), n);
    return fd;
}

static unsigned char *some_bytes(size_t n)
{
    unsigned char *bytes = malloc(n);
    ASSERT(bytes != NULL);
    for (size_t i = 0; i < n; i++)
        bytes[i] = (unsigned char)(i * 7 + i / 251);
    return bytes;
}

TEST(a_mapped_buffer_is_the_files_bytes)
{
    static const size_t sizes[] = {1, 4096, 4097, ((size_t)5 << 20) + 3};
    for (int i = 0; i < 4; i++) {
        unsigned char *bytes = some_bytes(sizes[i]);
        int fd = file_of(DEVICE_HUGE_PAGE_BYTES, bytes, sizes[i]);
        struct device_buffer buffer = {0};
        struct error err = {0};
        ASSERT_OK_ERR(
            device_buffer_map(fd, DEVICE_HUGE_PAGE_BYTES, sizes[i], "test", &buffer, &err), err);
        close(fd);
        device_pages_read((unsigned char *)buffer.data + buffer.bytes / 2, buffer.bytes / 2);
        ASSERT_EQ(buffer.bytes, sizes[i]);
        ASSERT_EQ((uintptr_t)buffer.data % DEVICE_HUGE_PAGE_BYTES, 0);
        ASSERT_EQ(memcmp(buffer.data, bytes, sizes[i]), 0);
        device_buffer_destroy(&buffer);
        free(bytes);
    }
}

TEST(a_mapping_that_fails_says_what_it_was_for)
{
    struct device_buffer buffer = {0};
    struct error err = {0};
    ASSERT_EQ(device_buffer_map(-1, 0, 4096, "weights", &buffer, &err), STATUS_RESOURCE_EXHAUSTED);
    ASSERT_CONTAINS(err.message, "weights");
    ASSERT(!buffer.data);
}

struct reader {
    const struct device_buffer *buffer;
    const unsigned char *want;
    atomic_uint n_rounds, n_wrong;
    atomic_bool stop;
};

static void *read_on(void *context)
{
    struct reader *reader = context;
    while (!atomic_load(&reader->stop)) {
        if (memcmp(reader->buffer->data, reader->want, reader->buffer->bytes) != 0)
            atomic_fetch_add(&reader->n_wrong, 1);
        atomic_fetch_add(&reader->n_rounds, 1);
    }
    return NULL;
}

TEST(pieces_are_exchanged_while_others_read_them)
{
    enum { PIECE = 2 << 20, N_BYTES = 3 * PIECE + 4321 };
    unsigned char *bytes = some_bytes(N_BYTES);
    int fd = file_of(DEVICE_HUGE_PAGE_BYTES, bytes, N_BYTES);
    struct device_buffer buffer = {0};
    struct error err = {0};
    ASSERT_OK_ERR(device_buffer_create(N_BYTES, "test", &buffer, &err), err);
    memcpy(buffer.data, bytes, N_BYTES);
    struct reader reader = {.buffer = &buffer, .want = bytes};
    pthread_t thread;
    ASSERT_EQ(pthread_create(&thread, NULL, read_on, &reader), 0);
    for (size_t at = 0; at < N_BYTES; at += PIECE) {
        unsigned seen = atomic_load(&reader.n_rounds);
        size_t n = N_BYTES - at < PIECE ? N_BYTES - at : PIECE;
        ASSERT_OK_ERR(device_buffer_exchange(&buffer, at, n, fd, DEVICE_HUGE_PAGE_BYTES + at, &err),
                      err);
        while (atomic_load(&reader.n_rounds) == seen)
            ;
    }
    atomic_store(&reader.stop, true);
    pthread_join(thread, NULL);
    ASSERT_EQ(atomic_load(&reader.n_wrong), 0);
    // It is the file now: what is written there is seen.
    ASSERT_EQ(pwrite(fd, "x", 1, DEVICE_HUGE_PAGE_BYTES + N_BYTES - 1), 1);
    ASSERT_EQ(((unsigned char *)buffer.data)[N_BYTES - 1], 'x');
    close(fd);
    device_buffer_destroy(&buffer);
    free(bytes);
}

TEST(an_exchange_that_fails_leaves_the_memory_as_it_was)
{
    struct device_buffer buffer = {0};
    struct error err = {0};
    ASSERT_OK_ERR(device_buffer_create(4096, "test", &buffer, &err), err);
    memset(buffer.data, 7, 4096);
    ASSERT_EQ(device_buffer_exchange(&buffer, 0, 4096, -1, 0, &err), STATUS_RESOURCE_EXHAUSTED);
    ASSERT_EQ(((unsigned char *)buffer.data)[4095], 7);
    ((unsigned char *)buffer.data)[4095] = 8;
    device_buffer_destroy(&buffer);
}
