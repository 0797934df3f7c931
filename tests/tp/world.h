/* tests/tp/world.h - runs one function as every rank of a world: as forked processes over a memory
 * file, or as threads over one mapping (what ThreadSanitizer can see). */
#ifndef GEMMAD_TESTS_TP_WORLD_H
#define GEMMAD_TESTS_TP_WORLD_H

#include <stdint.h>

#include "tp/comm.h"

#define WORLD_MAX_RANKS 8

struct world {
    uint32_t world_size;
    size_t max_message_bytes;
    uint64_t timeout_ns;
    uint32_t spin_us;
    void *context; /* for the ranks */
};

/* What one rank does. Returns true if all was right, else it has said why (RANK_FAIL). */
typedef bool rank_fn(struct tp_comm *comm, const struct world *world);

#define RANK_FAILED (-1) /* or, from processes, 128 + the signal that ended it */

/* results [world_size]: 0 if the rank returned true. */
void world_run_processes(const struct world *world, rank_fn *rank, int *results);
void world_run_threads(const struct world *world, rank_fn *rank, int *results);
/* Fails the test unless all ranks were right. */
void world_check_processes(const struct world *world, rank_fn *rank);
void world_check_threads(const struct world *world, rank_fn *rank);

/* In a rank, where ASSERT cannot be used (its longjmp leads into another process or stack). */
#define RANK_FAIL(comm, ...)                                                         \
    do {                                                                             \
        fprintf(stderr, "%s:%d: rank %u of %u: ", __FILE__, __LINE__, tp_rank(comm), \
                tp_world_size(comm));                                                \
        fprintf(stderr, __VA_ARGS__);                                                \
        fprintf(stderr, "\n");                                                       \
        return false;                                                                \
    } while (0)
#define RANK_OK(comm, expression, err)                                              \
    do {                                                                            \
        enum status rank_status_ = (expression);                                    \
        if (rank_status_ != STATUS_OK)                                              \
            RANK_FAIL(comm, "%s is %s: %s", #expression, status_name(rank_status_), \
                      (err).message);                                               \
    } while (0)
#define RANK_ASSERT(comm, condition)                     \
    do {                                                 \
        if (!(condition))                                \
            RANK_FAIL(comm, "not true: %s", #condition); \
    } while (0)

#endif
