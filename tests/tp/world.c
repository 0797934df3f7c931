/* tests/tp/world.c - starting and collecting ranks. Children leave with _exit, so that nothing of
 * the harness runs twice; a rank that hangs ends by its own collective's deadline. */
#include "tests/test.h"

#include <pthread.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/tp/world.h"
#include "tp/comm_shared.h"

static struct tp_comm_config config_of(const struct world *world, uint32_t rank, int fd)
{
    return (struct tp_comm_config){.rank = rank,
                                   .world_size = world->world_size,
                                   .shared_fd = fd,
                                   .max_message_bytes = world->max_message_bytes,
                                   .timeout_ns = world->timeout_ns,
                                   .spin_us = world->spin_us};
}

static int run_rank(const struct world *world, uint32_t rank, int fd, rank_fn *run)
{
    struct tp_comm_config config = config_of(world, rank, fd);
    struct tp_comm *comm = NULL;
    struct error err = {0};
    if (tp_comm_create(&config, &comm, &err) != STATUS_OK) {
        fprintf(stderr, "rank %u: %s\n", rank, err.message);
        return 1;
    }
    bool right = run(comm, world);
    if (!right)
        tp_abort(comm); // the others need not wait for their deadline
    tp_comm_destroy(comm);
    return right ? 0 : 1;
}

static int new_file(const struct world *world)
{
    int fd = memfd_create("world", MFD_CLOEXEC);
    size_t bytes = tp_comm_shared_bytes(world->world_size, world->max_message_bytes);
    ASSERT(fd >= 0);
    ASSERT_EQ(ftruncate(fd, (off_t)bytes), 0);
    return fd;
}

void world_run_processes(const struct world *world, rank_fn *run, int *results)
{
    int fd = new_file(world);
    pid_t pids[WORLD_MAX_RANKS];
    fflush(stdout);
    for (uint32_t r = 0; r < world->world_size; r++) {
        pids[r] = fork();
        ASSERT(pids[r] >= 0);
        if (pids[r] == 0)
            _exit(run_rank(world, r, fd, run));
    }
    close(fd);
    for (uint32_t r = 0; r < world->world_size; r++) {
        int how = 0;
        ASSERT_EQ(waitpid(pids[r], &how, 0), pids[r]);
        if (WIFSIGNALED(how))
            results[r] = 128 + WTERMSIG(how);
        else
            results[r] = WEXITSTATUS(how) == 0 ? 0 : RANK_FAILED;
    }
}

struct rank_thread {
    const struct world *world;
    uint32_t rank;
    void *memory;
    rank_fn *run;
    bool right;
};

static void *thread_main(void *argument)
{
    struct rank_thread *thread = argument;
    struct tp_comm_config config = config_of(thread->world, thread->rank, -1);
    struct tp_comm *comm = NULL;
    struct error err = {0};
    if (comm_create_in(&config, thread->memory, &comm, &err) != STATUS_OK) {
        fprintf(stderr, "rank %u: %s\n", thread->rank, err.message);
        return NULL;
    }
    thread->right = thread->run(comm, thread->world);
    if (!thread->right)
        tp_abort(comm);
    tp_comm_destroy(comm);
    return NULL;
}

void world_run_threads(const struct world *world, rank_fn *run, int *results)
{
    size_t bytes = tp_comm_shared_bytes(world->world_size, world->max_message_bytes);
    void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    ASSERT(memory != MAP_FAILED);
    pthread_t threads[WORLD_MAX_RANKS];
    struct rank_thread ranks[WORLD_MAX_RANKS];
    for (uint32_t r = 0; r < world->world_size; r++) {
        ranks[r] = (struct rank_thread){.world = world, .rank = r, .memory = memory, .run = run};
        ASSERT_EQ(pthread_create(&threads[r], NULL, thread_main, &ranks[r]), 0);
    }
    for (uint32_t r = 0; r < world->world_size; r++) {
        pthread_join(threads[r], NULL);
        results[r] = ranks[r].right ? 0 : RANK_FAILED;
    }
    munmap(memory, bytes);
}

static void check_results(const struct world *world, const int *results)
{
    for (uint32_t r = 0; r < world->world_size; r++)
        if (results[r] != 0)
            test_fail(__FILE__, __LINE__, "rank %u of %u ended with %d", r, world->world_size,
                      results[r]);
}

void world_check_processes(const struct world *world, rank_fn *run)
{
    int results[WORLD_MAX_RANKS];
    world_run_processes(world, run, results);
    check_results(world, results);
}

void world_check_threads(const struct world *world, rank_fn *run)
{
    int results[WORLD_MAX_RANKS];
    world_run_threads(world, run, results);
    check_results(world, results);
}
