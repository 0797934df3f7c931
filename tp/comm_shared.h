/* tp/comm_shared.h - inside of the communicator: what the ranks share, and phases.
 *
 * The file holds one comm_shared, then for every rank two message buffers of buffer_stride bytes.
 * A phase is one barrier: a rank fills its buffer of the phase's parity, says in which call it
 * is, raises its phase count, waits for its peers' counts, and reads their buffers. Two buffers are
 * enough: who begins phase p + 2 has seen every peer finish reading phase p (it came to p + 1).
 * Siblings write this memory, so nothing read from it is used as an index or a length unchecked.
 * Thread: as tp/comm.h. For tp/ and its tests and benchmark only. */
#ifndef GEMMAD_TP_COMM_SHARED_H
#define GEMMAD_TP_COMM_SHARED_H

#include <stdalign.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "tp/comm.h"

#define COMM_MAX_RANKS 8
#define COMM_LINE_BYTES 128 /* two cache lines: the prefetcher fetches neighbours in pairs */

enum collective {
    COLLECTIVE_NONE,
    COLLECTIVE_ALL_REDUCE,
    COLLECTIVE_GATHER,
    COLLECTIVE_BROADCAST,
    COLLECTIVE_ALL_GATHER,
    COLLECTIVE_BARRIER,
    N_COLLECTIVES,
};

/* The call a rank is in. Ranks whose calls differ in a phase have lost step. */
struct comm_call {
    enum collective collective;
    uint32_t root;
    uint64_t bytes;
    uint64_t number; /* of the collective, from 1 */
};

/* The same in shared memory; written before the phase count is raised. */
struct comm_shared_call {
    _Atomic uint32_t collective;
    _Atomic uint32_t root;
    _Atomic uint64_t bytes;
    _Atomic uint64_t number;
};

struct comm_rank {
    alignas(COMM_LINE_BYTES) _Atomic uint64_t n_phases; /* begun by this rank */
    struct comm_shared_call calls[2];                   /* by the phase's parity */
    alignas(COMM_LINE_BYTES) _Atomic uint32_t bell;     /* futex on which this rank sleeps */
    _Atomic uint32_t asleep_for; /* 1 + the peer whose phase count it awaits; 0: awake */
    _Atomic uint32_t joined;
    _Atomic uint64_t waited_ns; /* for peers, in all phases; for tp_get_waits */
};

enum abort_cause { ABORT_NONE, ABORT_ASKED, ABORT_PEER_LOST, ABORT_MISMATCH };

struct comm_shared {
    alignas(COMM_LINE_BYTES) _Atomic uint64_t layout; /* set by the first rank, equal on all */
    _Atomic uint32_t aborted; /* 0, or abort_cause | rank << 8 | peer << 16; the first one stays */
    struct comm_rank ranks[COMM_MAX_RANKS];
};

struct tp_comm {
    uint32_t rank;
    uint32_t world_size;
    size_t piece_bytes;   /* of one phase's message; a multiple of 64 */
    size_t buffer_stride; /* of one message buffer; whole pages */
    uint64_t timeout_ns;
    uint64_t spin_ns; /* spinning before a wait sleeps */
    struct comm_shared *shared;
    unsigned char *buffers; /* [world_size][2][buffer_stride] */
    size_t mapped_bytes;    /* 0: the mapping belongs to the caller */
    struct comm_call call;  /* the current one */
    uint64_t deadline_ns;   /* of the current call; 0: not yet needed */
    uint64_t n_phases;      /* begun */
    struct error failure;   /* once set, every later call returns it */
};

/* tp_comm_create over memory that the caller mapped (all ranks of one process, for
 * ThreadSanitizer). */
NODISCARD enum status comm_create_in(const struct tp_comm_config *config, void *memory,
                                     struct tp_comm **out, struct error *err);

/* comm_wait.c. A call begins; fails if the communicator has failed or a peer aborted. */
NODISCARD enum status comm_begin(struct tp_comm *comm, enum collective collective, uint32_t root,
                                 size_t bytes, struct error *err);
/* The phase that comm_phase will run next: a rank's message buffer. Own buffer: writable until
 * comm_phase; peers': readable after it until the next but one begins. */
unsigned char *comm_buffer(const struct tp_comm *comm, uint32_t rank, uint64_t phase);
/* Shows the own buffer to the peers and waits until all of them show theirs. */
NODISCARD enum status comm_phase(struct tp_comm *comm, struct error *err);
/* Sets the abort word (the first cause stays) and wakes every rank. */
void comm_raise_abort(struct tp_comm *comm, enum abort_cause cause, uint32_t peer);

/* collectives.c: one piece of at most piece_bytes, by either algorithm. */
NODISCARD enum status comm_all_reduce_one_shot(struct tp_comm *comm, float *data, size_t n,
                                               struct error *err);
NODISCARD enum status comm_all_reduce_two_shot(struct tp_comm *comm, float *data, size_t n,
                                               struct error *err);

#endif
