/* tests/engine/test_ring.c - messages in order, to all readers, between threads and processes. */
#include "tests/test.h"

#include <pthread.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "engine/ring.h"

#define SLOT_BYTES 100
#define N_SLOTS 3

static int new_file(void)
{
    int fd = memfd_create("ring", MFD_CLOEXEC);
    ASSERT(fd >= 0);
    ASSERT_EQ(ftruncate(fd, (off_t)ring_shared_bytes(N_SLOTS, SLOT_BYTES)), 0);
    return fd;
}

static struct ring *open_ring(int fd, uint32_t n_readers, int reader)
{
    struct ring *ring = NULL;
    ASSERT_OK(ring_open(fd, N_SLOTS, SLOT_BYTES, n_readers, reader, &ring, NULL));
    return ring;
}

static void write_text(struct ring *ring, const char *text)
{
    char *slot = ring_begin_write(ring);
    ASSERT(slot != NULL);
    ASSERT_EQ((uintptr_t)slot % 8, 0);
    memcpy(slot, text, strlen(text) + 1);
    ring_publish(ring, strlen(text) + 1);
}

static const char *read_text(struct ring *ring)
{
    const void *message;
    size_t n;
    ASSERT_OK(ring_read(ring, 0, &message, &n));
    ASSERT_EQ(n, strlen(message) + 1);
    return message;
}

TEST(messages_arrive_in_order_and_the_slowest_reader_holds_the_writer)
{
    int fd = new_file();
    struct ring *writer = open_ring(fd, 2, -1);
    struct ring *fast = open_ring(fd, 2, 0);
    struct ring *slow = open_ring(fd, 2, 1);
    const void *message;
    size_t n;
    ASSERT_EQ(ring_read(fast, 0, &message, &n), STATUS_DEADLINE_EXCEEDED);
    ASSERT(message == NULL);
    write_text(writer, "one");
    write_text(writer, "two");
    write_text(writer, "three");
    ASSERT(ring_begin_write(writer) == NULL);
    const char *one = read_text(fast);
    const char *two = read_text(fast);
    ASSERT_STR_EQ(one, "one"); // not released yet
    ASSERT_STR_EQ(two, "two");
    ring_release(fast);
    ASSERT(ring_begin_write(writer) == NULL);
    ASSERT_STR_EQ(read_text(slow), "one");
    ring_release(slow);
    write_text(writer, "four");
    ASSERT(ring_begin_write(writer) == NULL);
    ASSERT_STR_EQ(read_text(slow), "two");
    ring_destroy(writer);
    ring_destroy(fast);
    ring_destroy(slow);
    close(fd);
}

TEST(a_file_that_is_too_small_and_readers_that_are_not_are_refused)
{
    int fd = new_file();
    struct ring *ring = NULL;
    struct error err = {0};
    ASSERT_EQ(ring_open(fd, N_SLOTS + 1, SLOT_BYTES, 1, 0, &ring, &err), STATUS_INVALID_ARGUMENT);
    ASSERT_CONTAINS(err.message, "smaller");
    ASSERT_EQ(ring_open(fd, N_SLOTS, SLOT_BYTES, 1, 1, &ring, &err), STATUS_INVALID_ARGUMENT);
    ASSERT_EQ(ring_open(fd, N_SLOTS, SLOT_BYTES, RING_MAX_READERS + 1, 0, &ring, &err),
              STATUS_INVALID_ARGUMENT);
    ASSERT(ring == NULL);
    close(fd);
}

TEST(a_read_that_times_out_has_waited)
{
    int fd = new_file();
    struct ring *reader = open_ring(fd, 1, 0);
    const void *message;
    size_t n;
    uint64_t started = clock_now_ns();
    ASSERT_EQ(ring_read(reader, 5 * NS_PER_MS, &message, &n), STATUS_DEADLINE_EXCEEDED);
    ASSERT(clock_now_ns() - started >= 5 * NS_PER_MS);
    ring_destroy(reader);
    close(fd);
}

static void *wake_reader(void *context)
{
    ring_wake(context);
    return NULL;
}

TEST(a_wake_ends_one_read_even_if_it_comes_first)
{
    int fd = new_file();
    struct ring *reader = open_ring(fd, 1, 0);
    const void *message;
    size_t n;
    ring_wake(reader);
    ASSERT_EQ(ring_read(reader, UINT64_MAX, &message, &n), STATUS_DEADLINE_EXCEEDED);
    for (int i = 0; i < 50; i++) {
        pthread_t thread;
        ASSERT_EQ(pthread_create(&thread, NULL, wake_reader, reader), 0);
        ASSERT_EQ(ring_read(reader, UINT64_MAX, &message, &n), STATUS_DEADLINE_EXCEEDED);
        pthread_join(thread, NULL);
    }
    ring_destroy(reader);
    close(fd);
}

TEST(a_closed_ring_gives_no_more_messages)
{
    int fd = new_file();
    struct ring *writer = open_ring(fd, 1, -1);
    struct ring *reader = open_ring(fd, 1, 0);
    write_text(writer, "late");
    ring_close(writer);
    const void *message;
    size_t n;
    ASSERT_EQ(ring_read(reader, UINT64_MAX, &message, &n), STATUS_UNAVAILABLE);
    ring_destroy(writer);
    ring_destroy(reader);
    close(fd);
}

TEST(a_peer_that_writes_nonsense_cannot_lead_a_reader_or_the_writer_outside)
{
    uint64_t random = 5;
    for (int i = 0; i < 3000; i++) {
        int fd = new_file();
        size_t bytes = ring_shared_bytes(N_SLOTS, SLOT_BYTES);
        unsigned char *shared = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        ASSERT(shared != MAP_FAILED);
        struct ring *writer = open_ring(fd, 1, -1);
        struct ring *reader = open_ring(fd, 1, 0);
        write_text(writer, "text");
        for (uint64_t k = test_random_in(&random, 1, 30); k > 0; k--)
            shared[test_random_in(&random, 0, bytes - 1)] = (unsigned char)test_random(&random);
        for (int k = 0; k < 6; k++) {
            const void *message = NULL;
            size_t n = 0;
            enum status st = ring_read(reader, 0, &message, &n);
            if (st == STATUS_OK) {
                ASSERT(n <= SLOT_BYTES);
                ASSERT((uintptr_t)message % 8 == 0);
                ring_release(reader);
            } else {
                ASSERT(message == NULL);
            }
            void *slot = ring_begin_write(writer);
            if (slot) {
                memset(slot, 'x', SLOT_BYTES);
                ring_publish(writer, SLOT_BYTES);
            }
        }
        ring_destroy(writer);
        ring_destroy(reader);
        munmap(shared, bytes);
        close(fd);
    }
}

#define N_MESSAGES 4000

// Reads numbered messages of changing length; the number of the first wrong one, or 0.
static uint64_t read_numbers(struct ring *ring)
{
    for (uint64_t i = 1; i <= N_MESSAGES; i++) {
        const void *message = NULL;
        size_t n = 0;
        enum status st = ring_read(ring, 60 * NS_PER_S, &message, &n);
        uint64_t number = 0;
        if (st == STATUS_OK)
            memcpy(&number, message, sizeof number);
        if (st != STATUS_OK || number != i || n != 8 + i % 90)
            return i;
        for (size_t k = 8; k < n; k++)
            if (((const unsigned char *)message)[k] != (unsigned char)(i + k))
                return i;
        ring_release(ring);
    }
    return 0;
}

static void write_numbers(struct ring *ring)
{
    for (uint64_t i = 1; i <= N_MESSAGES; i++) {
        unsigned char *slot;
        while (!(slot = ring_begin_write(ring)))
            sched_yield();
        memcpy(slot, &i, sizeof i);
        size_t n = 8 + i % 90;
        for (size_t k = 8; k < n; k++)
            slot[k] = (unsigned char)(i + k);
        ring_publish(ring, n);
    }
}

static void *read_thread(void *context)
{
    return (void *)(uintptr_t)read_numbers(context); // NOLINT
}

TEST(threads_read_what_was_written)
{
    int fd = new_file();
    struct ring *writer = open_ring(fd, 3, -1);
    struct ring *readers[3];
    pthread_t threads[3];
    for (int i = 0; i < 3; i++) {
        readers[i] = open_ring(fd, 3, i);
        ASSERT_EQ(pthread_create(&threads[i], NULL, read_thread, readers[i]), 0);
    }
    write_numbers(writer);
    for (int i = 0; i < 3; i++) {
        void *wrong;
        pthread_join(threads[i], &wrong);
        ASSERT_EQ((uintptr_t)wrong, 0);
        ring_destroy(readers[i]);
    }
    ring_destroy(writer);
    close(fd);
}

TEST(more_processes_than_cores_read_what_was_written)
{
    int fd = new_file();
    pid_t children[RING_MAX_READERS];
    for (int i = 0; i < RING_MAX_READERS; i++) {
        children[i] = fork();
        ASSERT(children[i] >= 0);
        if (children[i] == 0) {
            struct ring *reader = NULL;
            enum status st = ring_open(fd, N_SLOTS, SLOT_BYTES, RING_MAX_READERS, i, &reader, NULL);
            _exit(st == STATUS_OK && read_numbers(reader) == 0 ? 0 : 1);
        }
    }
    struct ring *writer = open_ring(fd, RING_MAX_READERS, -1);
    write_numbers(writer);
    for (int i = 0; i < RING_MAX_READERS; i++) {
        int status;
        ASSERT_EQ(waitpid(children[i], &status, 0), children[i]);
        ASSERT_EQ(status, 0);
    }
    ring_destroy(writer);
    close(fd);
}
