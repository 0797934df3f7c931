/* device/stream.c - a team of threads that waits on generation numbers.
 *
 * Numbers go up: a start (of a task), a finish, a barrier. Whoever waits spins on one for a
 * short time, then parks on a futex: decode steps run thousands of ops a second and must not pay
 * for a wake-up each. It never yields: beside a busy process a yield can cost a slice (4 ms) at
 * any of a step's hundreds of waits, while a thread that parked is owed its time and has the core
 * back at once. So threads whose cores are shared end up running, and resting, together. A waiter
 * announces itself before it looks at the number for the last time, and a publisher looks for
 * announced waiters after it has changed the number (both sequentially consistent), so a wake-up is
 * never lost. The number of a start says how many threads take part. Who does not waits for a
 * recall, a number that goes up after a start with more threads than the one before. Checked by
 * tests/device/test_stream.c, also under ThreadSanitizer. */
#include "device/stream.h"

#include <errno.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "device/core_watch.h"
#include "device/memory.h"

#define MAX_THREADS 256
#define COUNT_MASK 511U // of a start's number: how many threads take part
#define DEFAULT_SCRATCH_BYTES ((size_t)4 << 20)
#define DEFAULT_SPIN_US 50
#define CROWDED_SPIN_US 2 // more threads than cores: whoever we wait for may need ours
#define POLLS_PER_LOOK 64 // at the clock

// Each on a cache line of its own, so that waiting on one does not slow down the others.
struct generation {
    _Alignas(64) _Atomic uint32_t number;
    _Atomic uint32_t n_parked;
};

struct team_thread {
    _Alignas(64) _Atomic uint64_t units; // first of those it has left, and one past them << 32
    struct device_stream *stream;
    uint32_t number;
    pthread_t handle;
};

struct device_stream {
    struct generation started; // steps of COUNT_MASK + 1, plus the number of threads
    struct generation recalled;
    struct generation finished;
    struct generation barrier;
    _Alignas(64) _Atomic uint32_t n_running; // threads but the caller that are in the task
    _Alignas(64) _Atomic uint32_t n_at_barrier;
    _Alignas(64) device_task_fn *task; // NULL: threads leave
    void *context;
    uint64_t spin_ns;
    uint32_t n_threads;
    uint32_t n_active; // that take part in this task or the next
    bool sheds;
    struct core_watch watch;
    uint32_t n_started; // threads whose handles are valid, the caller's place included
    size_t scratch_bytes;
    struct device_buffer scratch;
    struct team_thread threads[MAX_THREADS];
};

static void pause_briefly(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#endif
}

// Returns once the number differs from seen.
static void wait_for_change(struct generation *g, uint32_t seen, uint64_t spin_ns)
{
    uint64_t begin = 0;
    for (;;) {
        for (int i = 0; i < POLLS_PER_LOOK; i++) {
            if (atomic_load_explicit(&g->number, memory_order_acquire) != seen)
                return;
            pause_briefly();
        }
        uint64_t now = clock_now_ns();
        if (begin == 0)
            begin = now;
        if (now - begin >= spin_ns)
            break;
    }
    atomic_fetch_add(&g->n_parked, 1);
    while (atomic_load(&g->number) == seen)
        syscall(SYS_futex, &g->number, FUTEX_WAIT_PRIVATE, seen, NULL, NULL, 0);
    atomic_fetch_sub(&g->n_parked, 1);
}

static void publish(struct generation *g, uint32_t number)
{
    atomic_store(&g->number, number);
    if (atomic_load(&g->n_parked) > 0)
        syscall(SYS_futex, &g->number, FUTEX_WAKE_PRIVATE, MAX_THREADS, NULL, NULL, 0);
}

static void publish_next(struct generation *g)
{
    publish(g, atomic_load_explicit(&g->number, memory_order_relaxed) + 1);
}

// The number of the first start after `seen` in which the thread takes part. The next such start
// comes only after this one's finish; others may come and go unseen.
static uint32_t next_start(struct device_stream *stream, uint32_t thread, uint32_t seen)
{
    for (;;) {
        uint32_t recalled = atomic_load(&stream->recalled.number); // before what it tells of
        uint32_t start = atomic_load(&stream->started.number);
        if (start == seen)
            wait_for_change(&stream->started, seen, stream->spin_ns);
        else if (thread < (start & COUNT_MASK))
            return start;
        else
            wait_for_change(&stream->recalled, recalled, stream->spin_ns);
    }
}

static void start(struct device_stream *stream)
{
    uint32_t before = atomic_load_explicit(&stream->started.number, memory_order_relaxed);
    publish(&stream->started, (before | COUNT_MASK) + 1 + stream->n_active);
    if (stream->n_active > (before & COUNT_MASK))
        publish_next(&stream->recalled);
}

static void *thread_main(void *argument)
{
    struct team_thread *self = argument;
    struct device_stream *stream = self->stream;
    uint32_t seen = 0;
    if (stream->sheds)
        core_watch_add(&stream->watch, self->number);
    for (;;) {
        seen = next_start(stream, self->number, seen);
        if (!stream->task)
            return NULL;
        stream->task(stream->context, self->number, seen & COUNT_MASK);
        if (atomic_fetch_sub(&stream->n_running, 1) == 1)
            publish_next(&stream->finished);
    }
}

// The caller's; threads that it starts afterwards inherit them.
static enum status bind_to(const int *cpus, uint32_t n, struct error *err)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    for (uint32_t i = 0; i < n; i++) {
        if (cpus[i] < 0 || cpus[i] >= CPU_SETSIZE)
            return error_set(err, STATUS_INVALID_ARGUMENT, "cpu %d: not in 0..%d", cpus[i],
                             CPU_SETSIZE - 1);
        CPU_SET((unsigned)cpus[i], &set);
    }
    int error = pthread_setaffinity_np(pthread_self(), sizeof set, &set);
    if (error != 0)
        return error_set(err, STATUS_INVALID_ARGUMENT, "cannot run on %u cpus, the first is %d: %s",
                         n, cpus[0], strerror(error));
    return STATUS_OK;
}

static uint64_t default_spin_ns(uint32_t n_threads)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    int n_cpus = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;
    uint64_t us = n_threads > (uint32_t)n_cpus ? CROWDED_SPIN_US : DEFAULT_SPIN_US;
    return us * NS_PER_US;
}

// Thread 0 is the caller; the others are started here.
static enum status start_threads(struct device_stream *stream, struct error *err)
{
    stream->n_started = 1;
    if (stream->sheds)
        core_watch_add(&stream->watch, 0);
    for (uint32_t t = 1; t < stream->n_threads; t++) {
        struct team_thread *thread = &stream->threads[t];
        thread->stream = stream;
        thread->number = t;
        int error = pthread_create(&thread->handle, NULL, thread_main, thread);
        if (error != 0)
            return error_set(err, STATUS_RESOURCE_EXHAUSTED, "cannot start thread %u of %u: %s", t,
                             stream->n_threads, strerror(error));
        stream->n_started++;
    }
    return STATUS_OK;
}

enum status device_stream_create(const struct device_stream_config *config,
                                 struct device_stream **out, struct error *err)
{
    if (config->n_threads < 1 || config->n_threads > MAX_THREADS)
        return error_set(err, STATUS_INVALID_ARGUMENT, "n_threads=%u: not in 1..%d",
                         config->n_threads, MAX_THREADS);
    size_t scratch = config->scratch_bytes ? config->scratch_bytes : DEFAULT_SCRATCH_BYTES;
    if (scratch > SIZE_MAX / MAX_THREADS - 63)
        return error_set(err, STATUS_INVALID_ARGUMENT, "scratch_bytes=%zu: too large", scratch);
    struct device_stream *stream = aligned_alloc(64, sizeof *stream);
    CHECK(stream);
    memset(stream, 0, sizeof *stream);
    stream->n_threads = stream->n_active = config->n_threads;
    stream->sheds = config->sheds && config->n_threads > 1;
    if (stream->sheds)
        core_watch_init(&stream->watch, config->n_threads);
    stream->scratch_bytes = (scratch + 63) & ~(size_t)63;
    stream->spin_ns = config->spin_us ? config->spin_us * NS_PER_US
                                      : default_spin_ns(config->n_threads);
    enum status st = device_buffer_create(stream->scratch_bytes * stream->n_threads,
                                          "scratch of the stream", &stream->scratch, err);
    if (st == STATUS_OK && config->cpus)
        st = bind_to(config->cpus, config->n_threads, err);
    if (st == STATUS_OK)
        st = start_threads(stream, err);
    if (st != STATUS_OK) {
        device_stream_destroy(stream);
        return st;
    }
    *out = stream;
    return STATUS_OK;
}

void device_stream_destroy(struct device_stream *stream)
{
    if (!stream)
        return;
    stream->task = NULL;
    stream->n_active = stream->n_threads;
    start(stream);
    for (uint32_t t = 1; t < stream->n_started; t++)
        pthread_join(stream->threads[t].handle, NULL);
    device_buffer_destroy(&stream->scratch);
    core_watch_finish(&stream->watch);
    free(stream);
}

uint32_t device_stream_n_threads(const struct device_stream *stream)
{
    return stream->n_active;
}

size_t device_stream_scratch_bytes(const struct device_stream *stream)
{
    return stream->scratch_bytes;
}

static void run_together(struct device_stream *stream, device_task_fn *task, void *context)
{
    uint32_t finished = atomic_load_explicit(&stream->finished.number, memory_order_relaxed);
    stream->task = task;
    stream->context = context;
    atomic_store_explicit(&stream->n_running, stream->n_active - 1, memory_order_relaxed);
    start(stream);
    task(context, 0, stream->n_active);
    wait_for_change(&stream->finished, finished, stream->spin_ns);
}

void device_stream_run(struct device_stream *stream, device_task_fn *task, void *context)
{
    if (stream->n_active == 1)
        task(context, 0, 1);
    else
        run_together(stream, task, context);
    if (stream->sheds)
        stream->n_active = core_watch_n_useful(&stream->watch);
}

void device_stream_barrier(struct device_stream *stream)
{
    uint32_t seen = atomic_load(&stream->barrier.number);
    if (atomic_fetch_add(&stream->n_at_barrier, 1) + 1 < stream->n_active) {
        wait_for_change(&stream->barrier, seen, stream->spin_ns);
        return;
    }
    atomic_store(&stream->n_at_barrier, 0);
    publish_next(&stream->barrier);
}

void device_stream_share(struct device_stream *stream, uint32_t n_units, uint32_t n_threads)
{
    for (uint32_t t = 0; t < n_threads; t++) {
        uint64_t first = (uint64_t)n_units * t / n_threads;
        uint64_t end = (uint64_t)n_units * (t + 1) / n_threads;
        atomic_store_explicit(&stream->threads[t].units, end << 32 | first, memory_order_relaxed);
    }
}

// The owner takes from the beginning of what it has left, all others from the end.
static bool take_from(struct team_thread *from, bool own, uint32_t *out_unit)
{
    uint64_t left = atomic_load_explicit(&from->units, memory_order_relaxed);
    for (;;) {
        uint64_t first = left & UINT32_MAX, end = left >> 32;
        if (first == end)
            return false;
        uint64_t rest = own ? left + 1 : (end - 1) << 32 | first;
        if (atomic_compare_exchange_weak_explicit(&from->units, &left, rest, memory_order_relaxed,
                                                  memory_order_relaxed)) {
            *out_unit = (uint32_t)(own ? first : end - 1);
            return true;
        }
    }
}

bool device_stream_take(struct device_stream *stream, uint32_t thread, uint32_t n_threads,
                        uint32_t *out_unit)
{
    for (uint32_t i = 0; i < n_threads; i++) {
        uint32_t owner = thread + i < n_threads ? thread + i : thread + i - n_threads;
        if (take_from(&stream->threads[owner], i == 0, out_unit))
            return true;
    }
    return false;
}

void *device_stream_scratch(struct device_stream *stream, uint32_t thread, size_t bytes)
{
    CHECK(thread < stream->n_threads && bytes <= stream->scratch_bytes);
    return (unsigned char *)stream->scratch.data + thread * stream->scratch_bytes;
}
