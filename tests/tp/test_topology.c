/* tests/tp/test_topology.c - placements on made-up machines (hwloc's synthetic topologies), and on
 * this one with a smaller affinity mask. */
#include "tests/test.h"

#include <sched.h>
#include <stdlib.h>
#include <unistd.h>

#include "tp/topology.h"

static struct topology *machine(const char *description)
{
    struct topology *topology = NULL;
    struct error err = {0};
    ASSERT_EQ(setenv("HWLOC_SYNTHETIC", description, 1), 0);
    enum status st = topology_create(&topology, &err);
    unsetenv("HWLOC_SYNTHETIC");
    ASSERT_OK_ERR(st, err);
    return topology;
}

// All placements in the log's words, one a line.
static void expect(const char *description, uint32_t n_ranks, uint32_t n_threads, const char *want)
{
    struct topology *topology = machine(description);
    struct topology_placement placements[8];
    struct error err = {0};
    ASSERT_OK_ERR(topology_place(topology, n_ranks, n_threads, placements, &err), err);
    struct text_buffer text = {0};
    for (uint32_t r = 0; r < n_ranks; r++) {
        topology_describe(&placements[r], r, &text);
        text_buffer_append_text(&text, "\n");
        ASSERT_EQ(placements[r].pinned,
                  placements[r].n_cpus == placements[r].n_threads && !placements[r].shared);
    }
    ASSERT_STR_EQ(text.data, want);
    text_buffer_finish(&text);
    topology_destroy(topology);
}

#define TWO_NODES "NUMANode:2 Core:16 PU:1"
#define TWO_NODES_SMT "NUMANode:2 Core:4 PU:2"
#define ONE_NODE "NUMANode:1 Core:4 PU:1"

TEST(a_synthetic_machine_is_counted_as_described)
{
    struct topology *topology = machine(TWO_NODES_SMT);
    ASSERT_EQ(topology_n_numa_nodes(topology), 2);
    ASSERT_EQ(topology_n_cores(topology), 8);
    ASSERT_EQ(topology_n_cpus(topology), 16);
    topology_destroy(topology);
    topology_destroy(NULL);
}

TEST(two_ranks_get_a_numa_node_each)
{
    expect(TWO_NODES, 2, 0,
           "rank 0: cpus 0-15, NUMA node 0, 16 threads\n"
           "rank 1: cpus 16-31, NUMA node 1, 16 threads\n");
}

TEST(a_rank_alone_gets_all_cores)
{
    expect(TWO_NODES, 1, 0, "rank 0: cpus 0-31, several NUMA nodes, 32 threads\n");
    expect(ONE_NODE, 1, 0, "rank 0: cpus 0-3, NUMA node 0, 4 threads\n");
}

TEST(ranks_of_one_node_get_neighbouring_cores)
{
    expect(TWO_NODES, 8, 0,
           "rank 0: cpus 0-3, NUMA node 0, 4 threads\n"
           "rank 1: cpus 4-7, NUMA node 0, 4 threads\n"
           "rank 2: cpus 8-11, NUMA node 0, 4 threads\n"
           "rank 3: cpus 12-15, NUMA node 0, 4 threads\n"
           "rank 4: cpus 16-19, NUMA node 1, 4 threads\n"
           "rank 5: cpus 20-23, NUMA node 1, 4 threads\n"
           "rank 6: cpus 24-27, NUMA node 1, 4 threads\n"
           "rank 7: cpus 28-31, NUMA node 1, 4 threads\n");
}

TEST(few_threads_are_spread_over_the_nodes)
{
    expect(TWO_NODES, 2, 4,
           "rank 0: cpus 0-3, NUMA node 0, 4 threads\n"
           "rank 1: cpus 16-19, NUMA node 1, 4 threads\n");
}

TEST(siblings_of_a_core_are_used_only_for_more_threads_than_cores)
{
    expect(TWO_NODES_SMT, 2, 0,
           "rank 0: cpus 0,2,4,6, NUMA node 0, 4 threads\n"
           "rank 1: cpus 8,10,12,14, NUMA node 1, 4 threads\n");
    expect(TWO_NODES_SMT, 2, 6,
           "rank 0: cpus 0-4,6, NUMA node 0, 6 threads\n"
           "rank 1: cpus 8-12,14, NUMA node 1, 6 threads\n");
}

TEST(more_threads_than_cpus_are_not_pinned)
{
    expect(ONE_NODE, 2, 3,
           "rank 0: cpus 0-1, NUMA node 0, 3 threads, not pinned\n"
           "rank 1: cpus 2-3, NUMA node 0, 3 threads, not pinned\n");
}

TEST(every_rank_gets_the_same_number_of_cores)
{
    expect("NUMANode:1 Core:7 PU:1", 2, 0,
           "rank 0: cpus 0-2, NUMA node 0, 3 threads\n"
           "rank 1: cpus 3-5, NUMA node 0, 3 threads\n");
}

TEST(ranks_that_do_not_fit_into_nodes_whole_lie_across_them)
{
    expect("NUMANode:3 Core:4 PU:1", 4, 0,
           "rank 0: cpus 0-2, NUMA node 0, 3 threads\n"
           "rank 1: cpus 3-5, several NUMA nodes, 3 threads\n"
           "rank 2: cpus 6-8, several NUMA nodes, 3 threads\n"
           "rank 3: cpus 9-11, NUMA node 2, 3 threads\n");
    expect("NUMANode:4 Core:2 PU:1", 2, 0,
           "rank 0: cpus 0-3, several NUMA nodes, 4 threads\n"
           "rank 1: cpus 4-7, several NUMA nodes, 4 threads\n");
}

TEST(more_ranks_than_cores_get_a_hardware_thread_each)
{
    expect("NUMANode:1 Core:1 PU:2", 2, 0,
           "rank 0: cpu 0, NUMA node 0, 1 thread\n"
           "rank 1: cpu 1, NUMA node 0, 1 thread\n");
}

TEST(more_ranks_than_cpus_share_the_cores_of_a_node_unpinned)
{
    expect("NUMANode:1 Core:2 PU:1", 4, 0,
           "rank 0: cpus 0-1, NUMA node 0, 1 thread, shared with other ranks\n"
           "rank 1: cpus 0-1, NUMA node 0, 1 thread, shared with other ranks\n"
           "rank 2: cpus 0-1, NUMA node 0, 1 thread, shared with other ranks\n"
           "rank 3: cpus 0-1, NUMA node 0, 1 thread, shared with other ranks\n");
    expect("NUMANode:2 Core:1 PU:1", 4, 2,
           "rank 0: cpu 0, NUMA node 0, 2 threads, shared with other ranks\n"
           "rank 1: cpu 0, NUMA node 0, 2 threads, shared with other ranks\n"
           "rank 2: cpu 1, NUMA node 1, 2 threads, shared with other ranks\n"
           "rank 3: cpu 1, NUMA node 1, 2 threads, shared with other ranks\n");
}

TEST(a_machine_wider_than_a_thread_team_is_cut)
{
    struct topology *topology = machine("NUMANode:2 Core:200 PU:1");
    struct topology_placement placement;
    ASSERT_OK(topology_place(topology, 1, 0, &placement, NULL));
    ASSERT_EQ(placement.n_threads, TOPOLOGY_MAX_THREADS);
    ASSERT(placement.pinned);
    topology_destroy(topology);
}

TEST(impossible_wishes_are_refused)
{
    struct topology *topology = machine(ONE_NODE);
    struct topology_placement placement;
    ASSERT_EQ(topology_place(topology, 0, 0, &placement, NULL), STATUS_INVALID_ARGUMENT);
    ASSERT_EQ(topology_place(topology, 1, TOPOLOGY_MAX_THREADS + 1, &placement, NULL),
              STATUS_INVALID_ARGUMENT);
    topology_destroy(topology);
}

TEST(only_cpus_of_the_affinity_mask_are_used)
{
    cpu_set_t before, one;
    ASSERT_EQ(sched_getaffinity(0, sizeof before, &before), 0);
    int cpu = -1;
    for (int i = 0; i < CPU_SETSIZE; i++)
        if (CPU_ISSET(i, &before))
            cpu = i; // the last one, so that cpu 0 is not taken by chance
    CPU_ZERO(&one);
    CPU_SET(cpu, &one);
    ASSERT_EQ(sched_setaffinity(0, sizeof one, &one), 0);
    struct topology *topology = NULL;
    struct error err = {0};
    enum status st = topology_create(&topology, &err);
    ASSERT_EQ(sched_setaffinity(0, sizeof before, &before), 0);
    ASSERT_OK_ERR(st, err);
    ASSERT_EQ(topology_n_cpus(topology), 1);
    struct topology_placement placement;
    ASSERT_OK(topology_place(topology, 1, 0, &placement, NULL));
    ASSERT_EQ(placement.n_threads, 1);
    ASSERT_EQ(placement.cpus[0], cpu);
    topology_destroy(topology);
}

TEST(this_machine_is_placed_on_cpus_that_it_has)
{
    struct topology *topology = NULL;
    struct error err = {0};
    ASSERT_OK_ERR(topology_create(&topology, &err), err);
    cpu_set_t usable;
    ASSERT_EQ(sched_getaffinity(0, sizeof usable, &usable), 0);
    ASSERT(topology_n_cpus(topology) <= (uint32_t)CPU_COUNT(&usable));
    ASSERT(topology_n_cores(topology) <= topology_n_cpus(topology));
    for (uint32_t n_ranks = 1; n_ranks <= 8; n_ranks *= 2) {
        struct topology_placement placements[8];
        ASSERT_OK_ERR(topology_place(topology, n_ranks, 0, placements, &err), err);
        for (uint32_t r = 0; r < n_ranks; r++) {
            ASSERT(placements[r].n_cpus > 0);
            for (uint32_t i = 0; i < placements[r].n_cpus; i++)
                ASSERT(CPU_ISSET(placements[r].cpus[i], &usable));
        }
    }
    topology_destroy(topology);
}
