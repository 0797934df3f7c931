/* tp/topology.c - hwloc says what there is; the placement is arithmetic on a list of cores.
 *
 * hwloc numbers cores so that neighbours share caches and nodes, so a run of the list is a good
 * share. Ranks work in lockstep and the slowest sets the pace: every rank gets the same number of
 * cores, and a remainder is left to the coordinator instead of making one rank faster in vain. */
#include "tp/topology.h"

#include <hwloc.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

#define MAX_CORE_CPUS 8 /* hardware threads of a core */

struct core {
    int numa_node;
    uint32_t n_cpus;
    int cpus[MAX_CORE_CPUS];
};

struct node {
    int numa_node;
    uint32_t first_core;
    uint32_t n_cores;
    uint32_t n_ranks; /* placed on it, while placing */
};

struct core_list {
    uint32_t n_cores;
    uint32_t n_nodes;
    struct core *cores; /* [n_cores], those of a node together */
    struct node *nodes; /* [n_nodes] */
};

struct topology {
    struct core_list cores;
    struct core_list cpus; /* each hardware thread as if it were a core */
};

// What the calling process may use: hwloc knows the cgroup, the affinity mask is asked for.
static hwloc_bitmap_t usable_cpus(hwloc_topology_t machine)
{
    hwloc_bitmap_t usable = hwloc_bitmap_dup(hwloc_topology_get_allowed_cpuset(machine));
    hwloc_bitmap_t bound = hwloc_bitmap_alloc();
    if (hwloc_topology_is_thissystem(machine) && hwloc_get_cpubind(machine, bound, 0) == 0)
        hwloc_bitmap_and(usable, usable, bound);
    hwloc_bitmap_free(bound);
    return usable;
}

static int first_node(hwloc_const_nodeset_t nodes)
{
    int node = hwloc_bitmap_first(nodes);
    return node < 0 ? 0 : node;
}

static struct core core_of(hwloc_obj_t object, hwloc_const_bitmap_t usable)
{
    struct core core = {.numa_node = first_node(object->nodeset)};
    int cpu = -1;
    while ((cpu = hwloc_bitmap_next(object->cpuset, cpu)) >= 0 && core.n_cpus < MAX_CORE_CPUS)
        if (hwloc_bitmap_isset(usable, (unsigned)cpu))
            core.cpus[core.n_cpus++] = cpu;
    return core;
}

static void find_nodes(struct core_list *list)
{
    list->nodes = mem_zeroed(list->n_cores, sizeof *list->nodes);
    for (uint32_t c = 0; c < list->n_cores; c++) {
        int numa_node = list->cores[c].numa_node;
        if (c == 0 || list->cores[c - 1].numa_node != numa_node)
            list->nodes[list->n_nodes++] = (struct node){.numa_node = numa_node, .first_core = c};
        list->nodes[list->n_nodes - 1].n_cores++;
    }
}

static void find_cores(hwloc_topology_t machine, hwloc_obj_type_t type, struct core_list *list)
{
    int n = hwloc_get_nbobjs_by_type(machine, type);
    hwloc_bitmap_t usable = usable_cpus(machine);
    list->cores = mem_zeroed(n > 0 ? (size_t)n : 0, sizeof *list->cores);
    // A node's cores stay in hwloc's order; nodes with cores of others in between are joined.
    hwloc_obj_t node = NULL;
    while ((node = hwloc_get_next_obj_by_type(machine, HWLOC_OBJ_NUMANODE, node)))
        for (int i = 0; i < n; i++) {
            hwloc_obj_t object = hwloc_get_obj_by_type(machine, type, (unsigned)i);
            struct core core = core_of(object, usable);
            if (core.n_cpus > 0 && core.numa_node == (int)node->os_index)
                list->cores[list->n_cores++] = core;
        }
    hwloc_bitmap_free(usable);
    find_nodes(list);
}

enum status topology_create(struct topology **out, struct error *err)
{
    hwloc_topology_t machine;
    if (hwloc_topology_init(&machine) != 0)
        return error_set(err, STATUS_INTERNAL, "hwloc cannot start");
    if (hwloc_topology_load(machine) != 0) {
        hwloc_topology_destroy(machine);
        return error_set(err, STATUS_INTERNAL, "hwloc cannot read this machine's topology");
    }
    struct topology *topology = mem_zeroed(1, sizeof *topology);
    // Some virtual machines show no cores: each hardware thread is one then.
    bool has_cores = hwloc_get_nbobjs_by_type(machine, HWLOC_OBJ_CORE) > 0;
    find_cores(machine, has_cores ? HWLOC_OBJ_CORE : HWLOC_OBJ_PU, &topology->cores);
    find_cores(machine, HWLOC_OBJ_PU, &topology->cpus);
    hwloc_topology_destroy(machine);
    if (topology->cores.n_cores == 0) {
        topology_destroy(topology);
        return error_set(err, STATUS_UNAVAILABLE, "hwloc finds no cpu that this process may use");
    }
    *out = topology;
    return STATUS_OK;
}

void topology_destroy(struct topology *topology)
{
    if (!topology)
        return;
    free(topology->cores.cores);
    free(topology->cores.nodes);
    free(topology->cpus.cores);
    free(topology->cpus.nodes);
    free(topology);
}

uint32_t topology_n_cores(const struct topology *topology)
{
    return topology->cores.n_cores;
}

uint32_t topology_n_cpus(const struct topology *topology)
{
    return topology->cpus.n_cores;
}

uint32_t topology_n_numa_nodes(const struct topology *topology)
{
    return topology->cores.n_nodes;
}

// First one hardware thread of every core, then the second ones, until enough.
static uint32_t take_cpus(const struct core *cores, uint32_t n_cores, uint32_t n_wanted, int *out)
{
    uint32_t n = 0;
    for (uint32_t sibling = 0; sibling < MAX_CORE_CPUS; sibling++)
        for (uint32_t c = 0; c < n_cores && n < n_wanted; c++)
            if (sibling < cores[c].n_cpus)
                out[n++] = cores[c].cpus[sibling];
    return n;
}

static void place_on(const struct core_list *list, uint32_t first_core, uint32_t n_cores,
                     uint32_t n_threads, struct topology_placement *out)
{
    const struct core *cores = list->cores + first_core;
    *out = (struct topology_placement){.n_threads = n_threads, .numa_node = cores[0].numa_node};
    if (cores[n_cores - 1].numa_node != cores[0].numa_node)
        out->numa_node = -1;
    out->n_cpus = take_cpus(cores, n_cores, n_threads, out->cpus);
    out->pinned = out->n_cpus == n_threads;
}

// How many ranks of share cores each node gets, always the emptiest next; false if not all fit.
static bool ranks_fit_nodes(const struct core_list *list, uint32_t n_ranks, uint32_t share,
                            struct node *nodes)
{
    for (uint32_t r = 0; r < n_ranks; r++) {
        struct node *best = NULL;
        uint32_t best_free = 0;
        for (uint32_t i = 0; i < list->n_nodes; i++) {
            uint32_t n_free = nodes[i].n_cores - nodes[i].n_ranks * share;
            if (n_free >= share && n_free > best_free) {
                best = &nodes[i];
                best_free = n_free;
            }
        }
        if (!best)
            return false;
        best->n_ranks++;
    }
    return true;
}

static void place_exclusive(const struct core_list *list, uint32_t n_ranks, uint32_t share,
                            uint32_t n_threads, struct topology_placement *out)
{
    struct node *nodes = mem_zeroed(list->n_nodes, sizeof *nodes);
    memcpy(nodes, list->nodes, list->n_nodes * sizeof *nodes);
    uint32_t rank = 0;
    if (ranks_fit_nodes(list, n_ranks, share, nodes)) {
        for (uint32_t i = 0; i < list->n_nodes; i++)
            for (uint32_t k = 0; k < nodes[i].n_ranks; k++)
                place_on(list, nodes[i].first_core + k * share, share, n_threads, &out[rank++]);
    } else {
        for (; rank < n_ranks; rank++)
            place_on(list, rank * share, share, n_threads, &out[rank]);
    }
    free(nodes);
}

// More ranks than cores: each may run anywhere on its node.
static void place_shared(const struct core_list *list, uint32_t n_ranks, uint32_t n_threads,
                         struct topology_placement *out)
{
    for (uint32_t r = 0; r < n_ranks; r++) {
        const struct node *node = &list->nodes[(uint64_t)r * list->n_nodes / n_ranks];
        place_on(list, node->first_core, node->n_cores, n_threads, &out[r]);
        out[r].n_cpus = take_cpus(list->cores + node->first_core, node->n_cores,
                                  TOPOLOGY_MAX_THREADS, out[r].cpus);
        out[r].pinned = false;
        out[r].shared = true;
    }
}

enum status topology_place(const struct topology *topology, uint32_t n_ranks,
                           uint32_t threads_per_rank, struct topology_placement *out,
                           struct error *err)
{
    if (n_ranks == 0)
        return error_set(err, STATUS_INVALID_ARGUMENT, "no ranks to place");
    if (threads_per_rank > TOPOLOGY_MAX_THREADS)
        return error_set(err, STATUS_INVALID_ARGUMENT, "threads_per_rank=%u: at most %u",
                         threads_per_rank, TOPOLOGY_MAX_THREADS);
    const struct core_list *list = topology->cores.n_cores < n_ranks ? &topology->cpus
                                                                     : &topology->cores;
    uint32_t share = list->n_cores / n_ranks;
    if (share == 0) {
        place_shared(list, n_ranks, threads_per_rank ? threads_per_rank : 1, out);
        return STATUS_OK;
    }
    if (share > TOPOLOGY_MAX_THREADS)
        share = TOPOLOGY_MAX_THREADS;
    uint32_t n_threads = threads_per_rank ? threads_per_rank : share;
    place_exclusive(list, n_ranks, n_threads < share ? n_threads : share, n_threads, out);
    return STATUS_OK;
}

static int compare_cpus(const void *a, const void *b)
{
    const int *left = a, *right = b;
    return *left < *right ? -1 : *left > *right;
}

static void describe_cpus(const struct topology_placement *placement, struct text_buffer *out)
{
    int cpus[TOPOLOGY_MAX_THREADS];
    uint32_t n = placement->n_cpus;
    memcpy(cpus, placement->cpus, n * sizeof *cpus);
    qsort(cpus, n, sizeof *cpus, compare_cpus);
    for (uint32_t i = 0; i < n;) {
        uint32_t last = i;
        while (last + 1 < n && cpus[last + 1] == cpus[last] + 1)
            last++;
        text_buffer_append_format(out, i == 0 ? "%d" : ",%d", cpus[i]);
        if (last > i)
            text_buffer_append_format(out, "-%d", cpus[last]);
        i = last + 1;
    }
}

void topology_describe(const struct topology_placement *placement, uint32_t rank,
                       struct text_buffer *out)
{
    text_buffer_append_format(out, "rank %u: %s ", rank, placement->n_cpus == 1 ? "cpu" : "cpus");
    describe_cpus(placement, out);
    if (placement->numa_node >= 0)
        text_buffer_append_format(out, ", NUMA node %d", placement->numa_node);
    else
        text_buffer_append_text(out, ", several NUMA nodes");
    text_buffer_append_format(out, ", %u %s", placement->n_threads,
                              placement->n_threads == 1 ? "thread" : "threads");
    if (placement->shared)
        text_buffer_append_text(out, ", shared with other ranks");
    else if (!placement->pinned)
        text_buffer_append_text(out, ", not pinned");
}
