/* tests/tp/test_collectives_threads.c - the same traffic with threads as ranks over one mapping, so
 * that ThreadSanitizer sees every access and whether the phases order it. */
#include "tests/test.h"

#include <pthread.h>

#include "base/clock.h"
#include "tests/tp/traffic.h"
#include "tp/comm_shared.h"

static struct world world_of(uint32_t world_size, size_t max_message_bytes, struct traffic *traffic)
{
    return (struct world){.world_size = world_size,
                          .max_message_bytes = max_message_bytes,
                          .timeout_ns = 20 * NS_PER_S,
                          .context = traffic};
}

TEST(phases_order_every_access_to_the_message_buffers)
{
    for (uint32_t world_size = 2; world_size <= 8; world_size *= 2) {
        struct traffic traffic = {.seed = world_size, .n_calls = 1000, .max_floats = 1500};
        struct world world = world_of(world_size, 2048, &traffic);
        world_check_threads(&world, traffic_mixed);
        world_check_threads(&world, traffic_all_reduce);
    }
}

// As if the communicator had long been running: the low halves of all counts wrap soon.
static bool traffic_over_the_wrap(struct tp_comm *comm, const struct world *world)
{
    struct comm_rank *self = &comm->shared->ranks[tp_rank(comm)];
    comm->n_phases += UINT32_MAX - UINT64_C(101);
    atomic_store(&self->n_phases, comm->n_phases);
    atomic_store(&self->bell, UINT32_MAX - 100);
    return traffic_mixed(comm, world);
}

TEST(counts_that_pass_32_bits_lose_no_wake_up)
{
    struct traffic traffic = {.seed = 77, .n_calls = 1000, .max_floats = 70};
    struct world world = world_of(4, 256, &traffic);
    world.spin_us = 1;
    world_check_threads(&world, traffic_over_the_wrap);
}

static void *abort_main(void *comm)
{
    tp_abort(comm);
    return NULL;
}

// Rank 0 never comes; a second thread of rank 1 aborts.
static bool aborted_from_a_second_thread(struct tp_comm *comm, const struct world *world)
{
    (void)world;
    struct error err = {0};
    if (tp_rank(comm) == 0)
        return true;
    pthread_t second;
    if (tp_rank(comm) == 1)
        RANK_ASSERT(comm, pthread_create(&second, NULL, abort_main, comm) == 0);
    enum status st = tp_barrier(comm, &err);
    if (tp_rank(comm) == 1)
        pthread_join(second, NULL);
    RANK_ASSERT(comm, st == STATUS_UNAVAILABLE);
    RANK_ASSERT(comm, strstr(err.message, "rank 1 aborted"));
    return true;
}

TEST(an_abort_by_another_thread_ends_the_wait)
{
    struct world world = world_of(4, 256, NULL);
    world_check_threads(&world, aborted_from_a_second_thread);
}
