/* tests/tp/test_collectives.c - real processes over a memory file: every result to the bit, at all
 * world sizes, with and without as many cores as ranks. */
#include "tests/test.h"

#include "base/clock.h"
#include "tests/tp/traffic.h"

#define TIMEOUT_NS (20 * NS_PER_S)

static struct world world_of(uint32_t world_size, size_t max_message_bytes, struct traffic *traffic)
{
    return (struct world){.world_size = world_size,
                          .max_message_bytes = max_message_bytes,
                          .timeout_ns = TIMEOUT_NS,
                          .context = traffic};
}

TEST(all_reduce_adds_in_the_tree_for_every_size_by_both_algorithms)
{
    for (uint32_t world_size = 2; world_size <= 8; world_size *= 2) {
        struct traffic traffic = {.seed = world_size, .max_floats = 3 * 1024 + 5};
        struct world world = world_of(world_size, 4096, &traffic);
        world_check_processes(&world, traffic_all_reduce);
    }
}

TEST(message_buffers_that_are_no_round_number_cut_at_whole_floats)
{
    for (uint32_t world_size = 2; world_size <= 8; world_size *= 2) {
        struct traffic traffic = {.seed = 10 + world_size, .max_floats = 5000};
        struct world world = world_of(world_size, 64 * 7 + 13, &traffic);
        world_check_processes(&world, traffic_all_reduce);
    }
}

TEST(large_messages_take_the_two_shot_way_and_add_the_same)
{
    struct traffic traffic = {.seed = 3, .max_floats = 3 * 262144 + 5};
    struct world world = world_of(4, 1 << 20, &traffic);
    world_check_processes(&world, traffic_all_reduce);
}

TEST(thousands_of_mixed_collectives_back_to_back_stay_right)
{
    for (uint32_t world_size = 1; world_size <= 8; world_size *= 2) {
        struct traffic traffic = {.seed = 20 + world_size, .n_calls = 4000, .max_floats = 1500};
        struct world world = world_of(world_size, 2048, &traffic);
        world_check_processes(&world, traffic_mixed);
    }
}

TEST(ranks_that_sleep_at_once_miss_no_wake_up)
{
    for (uint32_t world_size = 2; world_size <= 8; world_size *= 2) {
        struct traffic traffic = {.seed = 30 + world_size, .n_calls = 3000, .max_floats = 70};
        struct world world = world_of(world_size, 256, &traffic);
        world.spin_us = 1;
        world_check_processes(&world, traffic_mixed);
    }
}

TEST(ranks_that_spin_longer_than_they_should_are_right_on_fewer_cores)
{
    struct traffic traffic = {.seed = 41, .n_calls = 50, .max_floats = 70};
    struct world world = world_of(8, 256, &traffic);
    world.spin_us = 1000;
    world_check_processes(&world, traffic_mixed);
}
