/* tests/tp/test_comm.c - what a communicator refuses, and that no failure of a peer hangs it. */
#include "tests/test.h"

#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/clock.h"
#include "tests/tp/world.h"
#include "tp/comm_shared.h"

#define LONG_NS (40 * NS_PER_S)
#define SLACK_NS (15 * NS_PER_S) /* a loaded machine; far less than LONG_NS */

static struct tp_comm_config config_with(uint32_t rank, uint32_t world_size, int fd)
{
    return (struct tp_comm_config){
        .rank = rank, .world_size = world_size, .shared_fd = fd, .max_message_bytes = 4096};
}

static int file_for(uint32_t world_size)
{
    int fd = memfd_create("world", MFD_CLOEXEC);
    ASSERT(fd >= 0);
    ASSERT_EQ(ftruncate(fd, (off_t)tp_comm_shared_bytes(world_size, 4096)), 0);
    return fd;
}

static void refuse(struct tp_comm_config config, enum status want, const char *message)
{
    struct tp_comm *comm = NULL;
    struct error err = {0};
    ASSERT_EQ(tp_comm_create(&config, &comm, &err), want);
    ASSERT(comm == NULL);
    ASSERT_CONTAINS(err.message, message);
}

TEST(configs_that_break_a_rule_are_refused)
{
    int fd = file_for(2);
    static const uint32_t sizes[] = {0, 3, 5, 6, 7, 9, 16, UINT32_MAX};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        refuse(config_with(0, sizes[i], fd), STATUS_INVALID_ARGUMENT, "not 1, 2, 4 or 8");
        ASSERT_EQ(tp_comm_shared_bytes(sizes[i], 4096), 0);
    }
    refuse(config_with(2, 2, fd), STATUS_INVALID_ARGUMENT, "rank=2");
    refuse(config_with(0, 2, -1), STATUS_INVALID_ARGUMENT, "shared_fd=-1");
    refuse(config_with(0, 8, fd), STATUS_INVALID_ARGUMENT, "the world needs");
    struct tp_comm_config config = config_with(0, 2, fd);
    config.max_message_bytes = 63;
    refuse(config, STATUS_INVALID_ARGUMENT, "max_message_bytes=63");
    config.max_message_bytes = SIZE_MAX;
    refuse(config, STATUS_INVALID_ARGUMENT, "max_message_bytes=");
    ASSERT_EQ(tp_comm_shared_bytes(2, SIZE_MAX), 0);
    close(fd);
}

TEST(a_file_of_another_group_or_of_another_shape_is_refused)
{
    int fd = file_for(8);
    struct tp_comm_config config = config_with(0, 2, fd);
    struct tp_comm *comm = NULL;
    struct error err = {0};
    ASSERT_OK_ERR(tp_comm_create(&config, &comm, &err), err);
    tp_comm_destroy(comm);
    refuse(config, STATUS_FAILED_PRECONDITION, "joined this world before");
    refuse(config_with(1, 4, fd), STATUS_FAILED_PRECONDITION, "another world");
    config = config_with(1, 2, fd);
    config.max_message_bytes = 2048;
    refuse(config, STATUS_FAILED_PRECONDITION, "another world");
    close(fd);
}

TEST(a_world_of_one_needs_no_file_and_changes_nothing)
{
    struct tp_comm_config config = {.world_size = 1, .shared_fd = -1};
    struct tp_comm *comm = NULL;
    struct error err = {0};
    ASSERT_EQ(tp_comm_shared_bytes(1, 4096), 0);
    ASSERT_OK_ERR(tp_comm_create(&config, &comm, &err), err);
    float data[3] = {1.5F, -0.0F, 3};
    float gathered[3] = {0};
    ASSERT_OK(tp_all_reduce(comm, data, 3, &err));
    ASSERT(data[0] == 1.5F && signbit(data[1]) && data[2] == 3);
    ASSERT_OK(tp_gather_columns(comm, 0, data, 3, 1, (uint32_t[]){0, 3}, gathered, 3, &err));
    ASSERT_EQ(memcmp(gathered, data, sizeof data), 0);
    ASSERT_OK(tp_broadcast(comm, 0, data, sizeof data, &err));
    ASSERT_EQ(tp_broadcast(comm, 1, data, sizeof data, &err), STATUS_INVALID_ARGUMENT);
    ASSERT_OK(tp_barrier(comm, &err));
    tp_abort(comm);
    ASSERT_EQ(tp_barrier(comm, &err), STATUS_UNAVAILABLE);
    tp_comm_destroy(comm);
    tp_comm_destroy(NULL);
}

TEST(sizes_that_overflow_are_refused)
{
    struct tp_comm_config config = {.world_size = 1, .shared_fd = -1};
    struct tp_comm *comm = NULL;
    ASSERT_OK(tp_comm_create(&config, &comm, NULL));
    float one = 1;
    ASSERT_EQ(tp_all_reduce(comm, &one, SIZE_MAX / 2, NULL), STATUS_INVALID_ARGUMENT);
    ASSERT_OK(tp_all_reduce(comm, &one, 1, NULL));
    tp_comm_destroy(comm);
}

// Later calls of any kind return what the first failure said.
static bool stays_failed(struct tp_comm *comm, const struct error *first)
{
    float data[4] = {0};
    struct error err = {0};
    RANK_ASSERT(comm, tp_all_reduce(comm, data, 4, &err) == first->status);
    RANK_ASSERT(comm, strcmp(err.message, first->message) == 0);
    RANK_ASSERT(comm, tp_barrier(comm, NULL) == first->status);
    return true;
}

#define KILLED_RANK 2
#define SHORT_NS (300 * NS_PER_MS)

static bool loses_a_peer(struct tp_comm *comm, const struct world *world)
{
    struct error err = {0};
    float data[100] = {0};
    for (int i = 0; i < 10; i++)
        RANK_OK(comm, tp_all_reduce(comm, data, 100, &err), err);
    if (tp_rank(comm) == KILLED_RANK)
        raise(SIGKILL);
    uint64_t began_ns = clock_now_ns();
    RANK_ASSERT(comm, tp_all_reduce(comm, data, 100, &err) == STATUS_UNAVAILABLE);
    RANK_ASSERT(comm, err.status == STATUS_UNAVAILABLE);
    RANK_ASSERT(comm, clock_now_ns() - began_ns < world->timeout_ns + SLACK_NS);
    if (!strstr(err.message, "rank 2 did not reach all_reduce #11 within 0.3 s") &&
        !strstr(err.message, "gave up waiting for rank 2"))
        RANK_FAIL(comm, "says \"%s\"", err.message);
    return stays_failed(comm, &err);
}

TEST(a_killed_peer_ends_all_others_within_the_deadline)
{
    for (uint32_t world_size = 4; world_size <= 8; world_size *= 2) {
        struct world world = {
            .world_size = world_size, .max_message_bytes = 4096, .timeout_ns = SHORT_NS};
        int results[WORLD_MAX_RANKS];
        world_run_processes(&world, loses_a_peer, results);
        for (uint32_t r = 0; r < world_size; r++)
            ASSERT_EQ(results[r], r == KILLED_RANK ? 128 + SIGKILL : 0);
    }
}

// Rank 1 aborts when it sees that all others sleep for it.
static bool is_aborted(struct tp_comm *comm, const struct world *world)
{
    (void)world;
    struct error err = {0};
    uint64_t began_ns = clock_now_ns();
    if (tp_rank(comm) == 1) {
        for (uint32_t r = 0; r < tp_world_size(comm); r++)
            while (r != 1 && atomic_load(&comm->shared->ranks[r].asleep_for) != 1 + 1)
                sched_yield();
        tp_abort(comm);
    }
    RANK_ASSERT(comm, tp_barrier(comm, &err) == STATUS_UNAVAILABLE);
    RANK_ASSERT(comm, clock_now_ns() - began_ns < SLACK_NS);
    RANK_ASSERT(comm, strstr(err.message, "rank 1 aborted"));
    return stays_failed(comm, &err);
}

TEST(an_abort_wakes_every_sleeping_peer_at_once)
{
    for (uint32_t world_size = 2; world_size <= 8; world_size *= 2) {
        struct world world = {
            .world_size = world_size, .max_message_bytes = 4096, .timeout_ns = LONG_NS};
        world_check_processes(&world, is_aborted);
    }
}

static bool is_out_of_step(struct tp_comm *comm, const struct world *world)
{
    int kind = *(const int *)world->context;
    float data[1024] = {0}, gathered[16] = {0};
    static const uint32_t columns[WORLD_MAX_RANKS + 1] = {0, 16, 16, 16, 16, 16, 16, 16, 16};
    struct error err = {0};
    bool odd = tp_rank(comm) == 1;
    RANK_OK(comm, tp_barrier(comm, &err), err);
    enum status st = STATUS_OK;
    switch (kind) {
    case 0:
        st = odd ? tp_gather_columns(comm, 0, data, 16, 1, columns, gathered, 16, &err)
                 : tp_all_reduce(comm, data, 1024, &err);
        break;
    case 1:
        st = tp_all_reduce(comm, data, odd ? 1000 : 1001, &err);
        break;
    case 2:
        st = tp_broadcast(comm, odd, data, 64, &err);
        break;
    default:
        st = odd ? tp_barrier(comm, &err) : tp_all_reduce(comm, data, 0, &err);
    }
    RANK_ASSERT(comm, st == STATUS_INTERNAL);
    if (tp_world_size(comm) > 2)
        return stays_failed(comm, &err);
    static const char *const want[] = {
        "rank 1 is in gather #2 of 64 bytes (root 0), rank 0 in all_reduce #2 of 4096 bytes",
        "rank 1 is in all_reduce #2 of 4000 bytes (root 0), rank 0 in all_reduce #2 of 4004 bytes",
        "rank 1 is in broadcast #2 of 64 bytes (root 1), rank 0 in broadcast #2 of 64 bytes",
        "rank 1 is in barrier #2 of 0 bytes (root 0), rank 0 in all_reduce #2 of 0 bytes",
    };
    if (tp_rank(comm) == 0 && !strstr(err.message, want[kind]) &&
        !strstr(err.message, "ranks 1 and 0 are in different collectives"))
        RANK_FAIL(comm, "says \"%s\", want \"%s\"", err.message, want[kind]);
    return stays_failed(comm, &err);
}

// Rank 1 comes late, so the others wait for it.
static bool come_late(struct tp_comm *comm, const struct world *world)
{
    struct error err = {0};
    uint64_t waits[WORLD_MAX_RANKS];
    const uint64_t *late_ns = world->context;
    RANK_OK(comm, tp_barrier(comm, &err), err);
    tp_get_waits(comm, waits);
    uint64_t before_ns = waits[tp_rank(comm)];
    uint64_t began_ns = clock_now_ns();
    while (tp_rank(comm) == 1 && clock_now_ns() - began_ns < *late_ns)
        sched_yield();
    RANK_OK(comm, tp_barrier(comm, &err), err);
    RANK_OK(comm, tp_barrier(comm, &err), err); // every rank has said what it waited
    tp_get_waits(comm, waits);
    if (tp_rank(comm) != 1)
        RANK_ASSERT(comm, waits[tp_rank(comm)] - before_ns > *late_ns / 2);
    for (uint32_t r = 0; r < world->world_size; r++)
        RANK_ASSERT(comm, r == 1 || waits[r] > *late_ns / 2);
    return true;
}

TEST(waits_for_a_late_rank_are_counted_by_the_others)
{
    uint64_t late_ns = 50 * NS_PER_MS;
    struct world world = {
        .world_size = 4, .max_message_bytes = 4096, .timeout_ns = LONG_NS, .context = &late_ns};
    world_check_processes(&world, come_late);
    world.spin_us = 1000000; // and by those that spin
    world_check_threads(&world, come_late);
}

TEST(ranks_in_different_collectives_are_told_so_instead_of_adding_garbage)
{
    for (uint32_t world_size = 2; world_size <= 8; world_size *= 2)
        for (int kind = 0; kind < 4; kind++) {
            struct world world = {.world_size = world_size,
                                  .max_message_bytes = 512,
                                  .timeout_ns = LONG_NS,
                                  .context = &kind};
            world_check_processes(&world, is_out_of_step);
        }
}

// A sibling gone wild writes all over the header; the others must end with a status.
static bool meets_garbage(struct tp_comm *comm, const struct world *world)
{
    uint64_t state = *(const uint64_t *)world->context;
    float data[16] = {0};
    struct error err = {0};
    if (tp_rank(comm) == 1) {
        RANK_OK(comm, tp_barrier(comm, &err), err);
        unsigned char *header = (unsigned char *)comm->shared;
        for (size_t i = 0; i < sizeof *comm->shared; i++)
            __atomic_store_n(&header[i], (unsigned char)test_random(&state), __ATOMIC_RELAXED);
        return true;
    }
    enum status st = tp_barrier(comm, &err); // some see the garbage here already
    for (int i = 0; i < 1000 && st == STATUS_OK; i++)
        st = tp_all_reduce(comm, data, 16, &err);
    RANK_ASSERT(comm, st == STATUS_INTERNAL || st == STATUS_UNAVAILABLE);
    return stays_failed(comm, &err);
}

TEST(garbage_in_the_shared_header_ends_with_a_status)
{
    for (uint64_t seed = 0; seed < 20; seed++) {
        struct world world = {.world_size = 4,
                              .max_message_bytes = 512,
                              .timeout_ns = 200 * NS_PER_MS,
                              .context = &seed};
        world_check_processes(&world, meets_garbage);
    }
}
