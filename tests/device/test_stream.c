/* tests/device/test_stream.c - device/stream.h, with more threads than cores as well. */
#include <stdatomic.h>
#include <unistd.h>

#include "base/clock.h"
#include "device/stream.h"
#include "tests/test.h"

enum { MAX_TEAM = 64 };

struct counts {
    struct device_stream *stream;
    uint32_t runs[MAX_TEAM]; // written by their threads alone
    uint32_t phase[MAX_TEAM];
    _Atomic uint32_t n_wrong;
};

static struct device_stream *new_stream(uint32_t n_threads, uint32_t spin_us)
{
    struct device_stream *stream = NULL;
    struct error err = {0};
    struct device_stream_config config = {.n_threads = n_threads, .spin_us = spin_us};
    ASSERT_OK_ERR(device_stream_create(&config, &stream, &err), err);
    return stream;
}

static void count_run(void *context, uint32_t thread, uint32_t n_threads)
{
    struct counts *counts = context;
    if (n_threads != device_stream_n_threads(counts->stream))
        atomic_fetch_add(&counts->n_wrong, 1);
    counts->runs[thread]++;
}

TEST(every_thread_runs_each_task_once_before_run_returns)
{
    static const uint32_t teams[] = {1, 2, 3, 16, 64};
    for (int i = 0; i < 5; i++) {
        struct counts counts = {.stream = new_stream(teams[i], 0)};
        for (uint32_t run = 1; run <= 300; run++) {
            device_stream_run(counts.stream, count_run, &counts);
            for (uint32_t t = 0; t < teams[i]; t++)
                ASSERT_EQ(counts.runs[t], run);
        }
        ASSERT_EQ(atomic_load(&counts.n_wrong), 0);
        device_stream_destroy(counts.stream);
    }
}

TEST(parked_threads_wake_up)
{
    struct counts counts = {.stream = new_stream(3, 1)};
    for (uint32_t run = 1; run <= 20; run++) {
        usleep(2000); // far longer than they spin; what is tested is that nobody sleeps on
        device_stream_run(counts.stream, count_run, &counts);
        ASSERT_EQ(counts.runs[2], run);
    }
    device_stream_destroy(counts.stream);
}

static void pass_barriers(void *context, uint32_t thread, uint32_t n_threads)
{
    struct counts *counts = context;
    for (uint32_t phase = 1; phase <= 50; phase++) {
        counts->phase[thread] = phase;
        device_stream_barrier(counts->stream);
        for (uint32_t t = 0; t < n_threads; t++)
            if (counts->phase[t] != phase)
                atomic_fetch_add(&counts->n_wrong, 1);
        device_stream_barrier(counts->stream);
    }
}

TEST(nobody_passes_a_barrier_before_everybody_is_there)
{
    static const uint32_t teams[] = {1, 2, 5, 16};
    for (int i = 0; i < 4; i++) {
        struct counts counts = {.stream = new_stream(teams[i], 0)};
        for (int run = 0; run < 5; run++)
            device_stream_run(counts.stream, pass_barriers, &counts);
        ASSERT_EQ(atomic_load(&counts.n_wrong), 0);
        device_stream_destroy(counts.stream);
    }
}

static void fill_scratch(void *context, uint32_t thread, uint32_t n_threads)
{
    (void)n_threads;
    struct counts *counts = context;
    unsigned char *scratch = device_stream_scratch(counts->stream, thread, 1000);
    if ((uintptr_t)scratch % 64 != 0)
        atomic_fetch_add(&counts->n_wrong, 1);
    memset(scratch, (int)thread + 1, 1000);
}

TEST(each_thread_has_scratch_of_its_own)
{
    struct device_stream *stream = NULL;
    struct error err = {0};
    struct device_stream_config config = {.n_threads = 4, .scratch_bytes = 1000};
    ASSERT_OK_ERR(device_stream_create(&config, &stream, &err), err);
    struct counts counts = {.stream = stream};
    device_stream_run(stream, fill_scratch, &counts);
    ASSERT_EQ(atomic_load(&counts.n_wrong), 0);
    for (uint32_t t = 0; t < 4; t++) {
        const unsigned char *scratch = device_stream_scratch(stream, t, 1000);
        ASSERT_EQ(scratch[0], t + 1);
        ASSERT_EQ(scratch[999], t + 1);
    }
    device_stream_destroy(stream);
}

TEST(threads_can_be_pinned_and_a_cpu_that_is_not_there_is_named)
{
    struct device_stream *stream = NULL;
    struct error err = {0};
    const int good[2] = {0, 0};
    struct device_stream_config config = {.n_threads = 2, .cpus = good};
    ASSERT_OK_ERR(device_stream_create(&config, &stream, &err), err);
    struct counts counts = {.stream = stream};
    for (int run = 0; run < 100; run++) // both on one core
        device_stream_run(stream, count_run, &counts);
    ASSERT_EQ(counts.runs[1], 100);
    device_stream_destroy(stream);
    const int bad[2] = {0, 999999};
    config.cpus = bad;
    ASSERT_EQ(device_stream_create(&config, &stream, &err), STATUS_INVALID_ARGUMENT);
    ASSERT_CONTAINS(err.message, "999999");
}

static void compute_a_while(void *context, uint32_t thread, uint32_t n_threads)
{
    struct counts *counts = context;
    counts->runs[thread]++;
    if (thread >= n_threads)
        atomic_fetch_add(&counts->n_wrong, 1);
    for (uint64_t begin = clock_now_ns(); clock_now_ns() - begin < NS_PER_MS;)
        ;
    device_stream_barrier(counts->stream);
}

TEST(a_team_with_fewer_cores_than_threads_gets_smaller_and_no_number_is_left_out)
{
    if (access("/proc/thread-self/schedstat", R_OK) != 0)
        return; // the kernel does not tell how long threads wait for cores
    enum { N_THREADS = 6 };
    const int cpus[N_THREADS] = {0}; // all on one core
    struct device_stream_config config = {.n_threads = N_THREADS, .cpus = cpus, .sheds = true};
    struct counts counts = {0};
    struct error err = {0};
    ASSERT_OK_ERR(device_stream_create(&config, &counts.stream, &err), err);
    uint32_t before[N_THREADS] = {0}, n_returns = 0, size = N_THREADS;
    while (n_returns < 2) {
        uint32_t n = device_stream_n_threads(counts.stream);
        n_returns += n == N_THREADS && size < N_THREADS;
        size = n;
        device_stream_run(counts.stream, compute_a_while, &counts);
        for (uint32_t t = 0; t < N_THREADS; t++) {
            ASSERT_EQ(counts.runs[t] - before[t], t < n);
            before[t] = counts.runs[t];
        }
    }
    ASSERT_EQ(atomic_load(&counts.n_wrong), 0);
    device_stream_destroy(counts.stream);
}

TEST(a_team_without_threads_is_refused)
{
    struct device_stream *stream = NULL;
    struct error err = {0};
    ASSERT_EQ(device_stream_create(&(struct device_stream_config){.n_threads = 0}, &stream, &err),
              STATUS_INVALID_ARGUMENT);
    ASSERT_EQ(device_stream_create(&(struct device_stream_config){.n_threads = 257}, &stream, &err),
              STATUS_INVALID_ARGUMENT);
    ASSERT(!stream);
}

struct taking {
    struct device_stream *stream;
    uint32_t idle; // a thread that takes nothing, as if its core were lost
    _Atomic uint32_t n_taken[1000];
};

static void take_units(void *context, uint32_t thread, uint32_t n_threads)
{
    struct taking *taking = context;
    uint32_t unit;
    while (thread != taking->idle && device_stream_take(taking->stream, thread, n_threads, &unit))
        atomic_fetch_add(&taking->n_taken[unit], 1);
}

TEST(each_unit_is_taken_once_though_a_thread_takes_none)
{
    static const uint32_t teams[] = {2, 3, 16}, counts[] = {0, 1, 2, 15, 16, 17, 1000};
    for (int i = 0; i < 3; i++) {
        static struct taking taking;
        taking.stream = new_stream(teams[i], 0);
        for (int c = 0; c < 7; c++)
            for (uint32_t idle = 0; idle <= teams[i]; idle++) {
                memset(taking.n_taken, 0, sizeof taking.n_taken);
                taking.idle = idle;
                device_stream_share(taking.stream, counts[c], teams[i]);
                device_stream_run(taking.stream, take_units, &taking);
                for (uint32_t u = 0; u < 1000; u++)
                    ASSERT_EQ(atomic_load(&taking.n_taken[u]), u < counts[c]);
            }
        device_stream_destroy(taking.stream);
    }
}

TEST(a_thread_begins_with_neighbouring_units_of_its_own)
{
    struct device_stream *stream = new_stream(3, 0);
    device_stream_share(stream, 30, 3);
    uint32_t unit;
    for (uint32_t i = 0; i < 10; i++) {
        ASSERT(device_stream_take(stream, 1, 3, &unit));
        ASSERT_EQ(unit, 10 + i);
    }
    ASSERT(device_stream_take(stream, 1, 3, &unit)); // its own are done: the next one's last
    ASSERT_EQ(unit, 29);
    ASSERT(device_stream_take(stream, 2, 3, &unit));
    ASSERT_EQ(unit, 20);
    device_stream_destroy(stream);
}

TEST(shares_cover_everything_once)
{
    for (size_t n = 0; n < 200; n += 7) {
        for (uint32_t n_threads = 1; n_threads <= 9; n_threads++) {
            size_t at = 0;
            for (uint32_t t = 0; t < n_threads; t++) {
                size_t begin, end;
                device_share(n, 16, t, n_threads, &begin, &end);
                ASSERT(begin <= end);
                if (begin < end)
                    ASSERT_EQ(begin, at);
                if (begin < end)
                    at = end;
            }
            ASSERT_EQ(at, n);
        }
    }
}
