/* engine/ring.c - the shared file is a header, a cursor line for each reader, then the slots.
 *
 * written counts messages and never wraps; message m stands in slot m % n_slots. A reader's own
 * cursor is private memory; what it publishes is only how many it has released. bell is the futex
 * word: it changes with every publish, close and wake, so a reader that looked before it changed
 * does not sleep. The writer makes the system call only when somebody has said that it sleeps.
 * A peer can write anything here: counts out of range mean a full ring to the writer and a closed
 * one to a reader, and lengths are checked, so a message never reaches outside its slot. */
#include "engine/ring.h"

#include <errno.h>
#include <linux/futex.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"

#define LINE_BYTES 64
// About what a decode step's messages are apart on a fast device; then the core is given away.
#define SPIN_NS (20 * NS_PER_US)

struct shared_reader {
    _Alignas(LINE_BYTES) _Atomic uint64_t n_released;
};

struct shared_ring {
    _Alignas(LINE_BYTES) _Atomic uint64_t n_written;
    _Alignas(LINE_BYTES) _Atomic uint32_t bell;
    _Atomic uint32_t n_sleeping;
    _Atomic uint32_t closed;
    struct shared_reader readers[RING_MAX_READERS];
};

struct ring {
    struct shared_ring *shared;
    unsigned char *slots;
    size_t shared_bytes;
    size_t slot_stride;
    size_t slot_bytes;
    uint32_t n_slots;
    uint32_t n_readers;
    int reader;          // or -1
    uint64_t cursor;     // writer: published; reader: read
    uint64_t n_released; // reader
    _Atomic bool woken;  // ring_wake since the last read
};

// The length goes before the message, on a line of its own so that messages are aligned.
static size_t stride_of(size_t slot_bytes)
{
    return LINE_BYTES + (slot_bytes + LINE_BYTES - 1) / LINE_BYTES * LINE_BYTES;
}

size_t ring_shared_bytes(uint32_t n_slots, size_t slot_bytes)
{
    size_t bytes;
    CHECK(slot_bytes < SIZE_MAX / 2);
    CHECK(!__builtin_mul_overflow(n_slots, stride_of(slot_bytes), &bytes));
    CHECK(!__builtin_add_overflow(bytes, sizeof(struct shared_ring), &bytes));
    return bytes;
}

enum status ring_open(int fd, uint32_t n_slots, size_t slot_bytes, uint32_t n_readers, int reader,
                      struct ring **out, struct error *err)
{
    if (n_slots == 0 || n_readers == 0 || n_readers > RING_MAX_READERS || reader < -1 ||
        reader >= (int)n_readers)
        return error_set(err, STATUS_INVALID_ARGUMENT, "ring: n_slots=%u n_readers=%u reader=%d",
                         n_slots, n_readers, reader);
    size_t bytes = ring_shared_bytes(n_slots, slot_bytes);
    struct stat file;
    if (fstat(fd, &file) != 0 || file.st_size < 0 || (size_t)file.st_size < bytes)
        return error_set(err, STATUS_INVALID_ARGUMENT, "ring: the file is smaller than %zu bytes",
                         bytes);
    void *shared = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (shared == MAP_FAILED)
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "ring: cannot map %zu bytes: %m", bytes);
    struct ring *ring = mem_zeroed(1, sizeof *ring);
    *ring = (struct ring){
        .shared = shared,
        .slots = (unsigned char *)shared + sizeof(struct shared_ring),
        .shared_bytes = bytes,
        .slot_stride = stride_of(slot_bytes),
        .slot_bytes = slot_bytes,
        .n_slots = n_slots,
        .n_readers = n_readers,
        .reader = reader,
    };
    *out = ring;
    return STATUS_OK;
}

void ring_destroy(struct ring *ring)
{
    if (!ring)
        return;
    munmap(ring->shared, ring->shared_bytes);
    free(ring);
}

static unsigned char *slot_of(const struct ring *ring, uint64_t message)
{
    return ring->slots + (size_t)(message % ring->n_slots) * ring->slot_stride;
}

static void ring_the_bell(struct shared_ring *shared)
{
    atomic_fetch_add(&shared->bell, 1);
    if (atomic_load(&shared->n_sleeping) > 0)
        syscall(SYS_futex, &shared->bell, FUTEX_WAKE, INT32_MAX, NULL, NULL, 0);
}

void *ring_begin_write(struct ring *ring)
{
    for (uint32_t r = 0; r < ring->n_readers; r++) {
        uint64_t released = atomic_load_explicit(&ring->shared->readers[r].n_released,
                                                 memory_order_acquire);
        // Unsigned: a count beyond the writer's own looks like a reader far behind.
        if (ring->cursor - released >= ring->n_slots)
            return NULL;
    }
    return slot_of(ring, ring->cursor) + LINE_BYTES;
}

void ring_publish(struct ring *ring, size_t n)
{
    CHECK(ring->reader < 0 && n <= ring->slot_bytes);
    *(size_t *)slot_of(ring, ring->cursor) = n;
    ring->cursor++;
    atomic_store(&ring->shared->n_written, ring->cursor);
    ring_the_bell(ring->shared);
}

// What a look at the ring says: OK with the message, DEADLINE_EXCEEDED for none yet, or
// UNAVAILABLE.
static enum status look(struct ring *ring, const void **out, size_t *out_n)
{
    uint64_t written = atomic_load_explicit(&ring->shared->n_written, memory_order_acquire);
    uint64_t ahead = written - ring->cursor;
    if (ahead > ring->n_slots)
        ring_close(ring);
    if (atomic_load_explicit(&ring->shared->closed, memory_order_acquire))
        return STATUS_UNAVAILABLE;
    if (ahead == 0)
        return STATUS_DEADLINE_EXCEEDED;
    const unsigned char *slot = slot_of(ring, ring->cursor);
    size_t n = *(volatile const size_t *)slot; // read once: the peer could change it between two
    if (n > ring->slot_bytes) {
        ring_close(ring);
        return STATUS_UNAVAILABLE;
    }
    *out = slot + LINE_BYTES;
    *out_n = n;
    ring->cursor++;
    return STATUS_OK;
}

static void sleep_until_the_bell(struct shared_ring *shared, uint32_t bell, uint64_t ns)
{
    struct timespec timeout = {(time_t)(ns / NS_PER_S), (long)(ns % NS_PER_S)};
    syscall(SYS_futex, &shared->bell, FUTEX_WAIT, bell, ns == UINT64_MAX ? NULL : &timeout, NULL,
            0);
}

static void pause_core(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#else
    atomic_signal_fence(memory_order_seq_cst);
#endif
}

enum status ring_read(struct ring *ring, uint64_t timeout_ns, const void **out, size_t *out_n)
{
    CHECK(ring->reader >= 0);
    *out = NULL;
    struct shared_ring *shared = ring->shared;
    uint64_t started = clock_now_ns();
    for (;;) {
        uint32_t bell = atomic_load(&shared->bell);
        enum status st = look(ring, out, out_n);
        if (st != STATUS_DEADLINE_EXCEEDED)
            return st;
        if (atomic_exchange(&ring->woken, false))
            return STATUS_DEADLINE_EXCEEDED;
        uint64_t waited = clock_now_ns() - started;
        if (waited >= timeout_ns)
            return STATUS_DEADLINE_EXCEEDED;
        if (waited < SPIN_NS) {
            for (int i = 0; i < 32; i++)
                pause_core();
            continue;
        }
        atomic_fetch_add(&shared->n_sleeping, 1);
        // Whoever changes the ring after this rings a bell that differs from ours.
        if (atomic_load(&shared->bell) == bell)
            sleep_until_the_bell(shared, bell,
                                 timeout_ns == UINT64_MAX ? UINT64_MAX : timeout_ns - waited);
        atomic_fetch_sub(&shared->n_sleeping, 1);
    }
}

void ring_release(struct ring *ring)
{
    CHECK(ring->reader >= 0 && ring->n_released < ring->cursor);
    ring->n_released++;
    atomic_store_explicit(&ring->shared->readers[ring->reader].n_released, ring->n_released,
                          memory_order_release);
}

void ring_wake(struct ring *ring)
{
    atomic_store(&ring->woken, true);
    ring_the_bell(ring->shared);
}

void ring_close(struct ring *ring)
{
    atomic_store(&ring->shared->closed, 1);
    ring_the_bell(ring->shared);
}
