/* tp/topology.h - the machine's cores and NUMA nodes, and which of them a rank's threads get.
 *
 * Only what this process may use counts: its affinity mask and the cgroup's cpuset are honoured,
 * so create it before any thread is pinned. The environment variable HWLOC_SYNTHETIC replaces the
 * machine by a made-up one (hwloc's own switch; the tests use it).
 * Thread: immutable after create. */
#ifndef GEMMAD_TP_TOPOLOGY_H
#define GEMMAD_TP_TOPOLOGY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"
#include "base/text_buffer.h"

#define TOPOLOGY_MAX_THREADS 256 /* of one rank */

struct topology;

/* INTERNAL: hwloc cannot read the machine. UNAVAILABLE: no usable cpu. */
NODISCARD enum status topology_create(struct topology **out, struct error *err);
void topology_destroy(struct topology *topology);

uint32_t topology_n_cores(const struct topology *topology); /* physical cores */
uint32_t topology_n_cpus(const struct topology *topology);  /* hardware threads */
uint32_t topology_n_numa_nodes(const struct topology *topology);

struct topology_placement {
    uint32_t n_threads;
    uint32_t n_cpus;                /* entries of cpus: n_threads if pinned */
    int cpus[TOPOLOGY_MAX_THREADS]; /* OS numbers; what the rank's threads run on */
    int numa_node;                  /* OS number; -1: cores of several nodes */
    bool pinned; /* a cpu for each thread, no other rank's; else they run wherever they like */
    bool shared; /* other ranks have the same cpus: fewer cpus than ranks */
};

/* Gives each of n_ranks the same number of cores: neighbours, of one NUMA node wherever each rank
 * fits into one. threads_per_rank 0: a thread a core, at least one; a core's second hardware
 * thread is used only when there are fewer cores than threads or ranks. out [n_ranks].
 * INVALID_ARGUMENT: no ranks, or more than TOPOLOGY_MAX_THREADS threads a rank. */
NODISCARD enum status topology_place(const struct topology *topology, uint32_t n_ranks,
                                     uint32_t threads_per_rank, struct topology_placement *out,
                                     struct error *err);

/* Appends "rank 0: cpus 0-15, NUMA node 0, 16 threads". */
void topology_describe(const struct topology_placement *placement, uint32_t rank,
                       struct text_buffer *out);

#endif
