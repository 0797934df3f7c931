/* bench/collectives.c - latency of an all-reduce between processes, by size and algorithm.
 *
 *     collectives [WORLD_SIZE...]        default: 2 4
 *
 * Ranks are forked and placed as gemmad places them, pinned where they have cores of their own. A
 * row is a message size in bytes and, for one-shot and two-shot, the best and the median of the
 * batches' mean latency on rank 0 in microseconds, then the median's GB/s of message.
 * tp/collectives.c takes its threshold from here. */
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "tp/comm_shared.h"
#include "tp/topology.h"

#define MIN_BYTES ((size_t)4 << 10)
#define MAX_BYTES ((size_t)4 << 20)
#define N_BATCHES 15
#define BATCH_BYTES ((size_t)16 << 20)
#define MAX_BATCH_CALLS ((size_t)500)

typedef enum status all_reduce_fn(struct tp_comm *comm, float *data, size_t n, struct error *err);

struct latency {
    double best_us, median_us;
};

_Noreturn static void die(const char *what)
{
    fprintf(stderr, "collectives: %s\n", what);
    exit(1);
}

static void must(enum status st, const struct error *err)
{
    if (st != STATUS_OK)
        die(err->message);
}

static int compare_doubles(const void *a, const void *b)
{
    const double *left = a, *right = b;
    return *left < *right ? -1 : *left > *right;
}

static struct latency measure(struct tp_comm *comm, all_reduce_fn *all_reduce, float *data,
                              size_t bytes)
{
    struct error err = {0};
    double us[N_BATCHES];
    size_t n_calls = BATCH_BYTES / bytes;
    if (n_calls > MAX_BATCH_CALLS)
        n_calls = MAX_BATCH_CALLS;
    for (int b = 0; b < N_BATCHES; b++) {
        must(tp_barrier(comm, &err), &err);
        uint64_t began_ns = clock_now_ns();
        for (size_t i = 0; i < n_calls; i++) {
            must(comm_begin(comm, COLLECTIVE_ALL_REDUCE, 0, bytes, &err), &err);
            must(all_reduce(comm, data, bytes / sizeof *data, &err), &err);
        }
        us[b] = (double)(clock_now_ns() - began_ns) / 1e3 / (double)n_calls;
    }
    qsort(us, N_BATCHES, sizeof *us, compare_doubles);
    return (struct latency){.best_us = us[0], .median_us = us[N_BATCHES / 2]};
}

static void pin(const struct topology_placement *placement)
{
    if (!placement->pinned)
        return;
    cpu_set_t cpus;
    CPU_ZERO(&cpus);
    CPU_SET(placement->cpus[0], &cpus);
    if (sched_setaffinity(0, sizeof cpus, &cpus) != 0)
        die("cannot pin a rank");
}

static void run_rank(uint32_t rank, uint32_t world_size, int fd,
                     const struct topology_placement *placement)
{
    struct tp_comm_config config = {
        .rank = rank, .world_size = world_size, .shared_fd = fd, .max_message_bytes = MAX_BYTES};
    struct tp_comm *comm = NULL;
    struct error err = {0};
    pin(placement);
    must(tp_comm_create(&config, &comm, &err), &err);
    float *data = mem_zeroed(MAX_BYTES, 1);
    for (size_t bytes = MIN_BYTES; bytes <= MAX_BYTES; bytes *= 2) {
        struct latency one = measure(comm, comm_all_reduce_one_shot, data, bytes);
        struct latency two = measure(comm, comm_all_reduce_two_shot, data, bytes);
        if (rank == 0)
            printf("%5u %8zu %10.1f %8.1f %6.2f %10.1f %8.1f %6.2f\n", world_size, bytes,
                   one.best_us, one.median_us, (double)bytes / one.median_us / 1e3, two.best_us,
                   two.median_us, (double)bytes / two.median_us / 1e3);
    }
    fflush(stdout);
    free(data);
    tp_comm_destroy(comm);
}

static void run_world(const struct topology *topology, uint32_t world_size)
{
    struct topology_placement placements[COMM_MAX_RANKS];
    struct error err = {0};
    size_t bytes = tp_comm_shared_bytes(world_size, MAX_BYTES);
    if (bytes == 0)
        die("a world has 2, 4 or 8 ranks");
    must(topology_place(topology, world_size, 1, placements, &err), &err);
    int fd = memfd_create("collectives", MFD_CLOEXEC);
    if (fd < 0 || ftruncate(fd, (off_t)bytes) != 0)
        die("no memory file");
    fflush(stdout);
    for (uint32_t r = 0; r < world_size; r++) {
        pid_t pid = fork();
        if (pid < 0)
            die("cannot fork");
        if (pid == 0) {
            run_rank(r, world_size, fd, &placements[r]);
            _exit(0);
        }
    }
    close(fd);
    int how;
    while (wait(&how) > 0)
        if (how != 0)
            die("a rank failed");
}

int main(int argc, char **argv)
{
    struct topology *topology = NULL;
    struct error err = {0};
    must(topology_create(&topology, &err), &err);
    printf("%5s %8s %10s %8s %6s %10s %8s %6s\n", "world", "bytes", "one-shot", "median", "GB/s",
           "two-shot", "median", "GB/s");
    if (argc < 2) {
        run_world(topology, 2);
        run_world(topology, 4);
    }
    for (int i = 1; i < argc; i++)
        run_world(topology, (uint32_t)strtoul(argv[i], NULL, 10));
    topology_destroy(topology);
    return 0;
}
