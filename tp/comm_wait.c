/* tp/comm_wait.c - one phase: say that we are here, wait for the peers, and fail instead of
 * hanging.
 *
 * A wait spins with pauses, then sleeps on the rank's own bell; it never yields (device/stream.c
 * says why). Sleeping: read the bell, say for whom, look again, futex-wait while the bell is
 * unchanged. Waking: raise the count, look who sleeps for us, ring. Both sides use sequentially
 * consistent accesses, so one of them sees the other; an abort rings every bell, so that no
 * sleeper misses it. Counts have 64 bits and do not wrap; the bell may, it is only compared. */
#include "tp/comm_shared.h"

#include <linux/futex.h>
#include <limits.h>
#include <stdbool.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"

#define SPINS_PER_LOOK 64 /* between looks at the clock and the abort word */

static const char *const collective_names[N_COLLECTIVES] = {
    [COLLECTIVE_NONE] = "no collective",    [COLLECTIVE_ALL_REDUCE] = "all_reduce",
    [COLLECTIVE_GATHER] = "gather",         [COLLECTIVE_BROADCAST] = "broadcast",
    [COLLECTIVE_ALL_GATHER] = "all_gather", [COLLECTIVE_BARRIER] = "barrier",
};

static const char *collective_name(uint32_t collective)
{
    return collective < N_COLLECTIVES ? collective_names[collective] : "an unknown collective";
}

static void cpu_pause(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

static void bell_ring(struct comm_rank *rank)
{
    atomic_fetch_add(&rank->bell, 1);
    syscall(SYS_futex, &rank->bell, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
}

void comm_raise_abort(struct tp_comm *comm, enum abort_cause cause, uint32_t peer)
{
    struct comm_shared *shared = comm->shared;
    uint32_t word = (uint32_t)cause | comm->rank << 8 | peer << 16;
    uint32_t none = 0;
    atomic_compare_exchange_strong(&shared->aborted, &none, word);
    for (uint32_t r = 0; r < comm->world_size; r++)
        bell_ring(&shared->ranks[r]);
}

// The status was worded in comm->failure.
static enum status fail(struct tp_comm *comm, enum abort_cause cause, uint32_t peer,
                        struct error *err)
{
    comm_raise_abort(comm, cause, peer);
    if (err)
        *err = comm->failure;
    return comm->failure.status;
}

static enum status fail_lost(struct tp_comm *comm, uint32_t peer, struct error *err)
{
    error_set(&comm->failure, STATUS_UNAVAILABLE, "rank %u did not reach %s #%llu within %g s",
              peer, collective_name(comm->call.collective), (unsigned long long)comm->call.number,
              (double)comm->timeout_ns / (double)NS_PER_S);
    return fail(comm, ABORT_PEER_LOST, peer, err);
}

static enum status fail_aborted(struct tp_comm *comm, uint32_t word, struct error *err)
{
    unsigned by = word >> 8 & 0xFF, peer = word >> 16 & 0xFF;
    const char *name = collective_name(comm->call.collective);
    unsigned long long number = comm->call.number;
    switch (word & 0xFF) {
    case ABORT_PEER_LOST:
        error_set(&comm->failure, STATUS_UNAVAILABLE,
                  "rank %u gave up waiting for rank %u (rank %u is in %s #%llu)", by, peer,
                  comm->rank, name, number);
        break;
    case ABORT_MISMATCH:
        error_set(&comm->failure, STATUS_INTERNAL,
                  "ranks %u and %u are in different collectives (rank %u is in %s #%llu)", by, peer,
                  comm->rank, name, number);
        break;
    default:
        error_set(&comm->failure, STATUS_UNAVAILABLE, "rank %u aborted (rank %u is in %s #%llu)",
                  by, comm->rank, name, number);
    }
    if (err)
        *err = comm->failure;
    return comm->failure.status;
}

enum status comm_begin(struct tp_comm *comm, enum collective collective, uint32_t root,
                       size_t bytes, struct error *err)
{
    if (comm->failure.status != STATUS_OK) {
        if (err)
            *err = comm->failure;
        return comm->failure.status;
    }
    comm->call.collective = collective;
    comm->call.root = root;
    comm->call.bytes = bytes;
    comm->call.number++;
    comm->deadline_ns = 0;
    uint32_t aborted = atomic_load(&comm->shared->aborted);
    return aborted ? fail_aborted(comm, aborted, err) : STATUS_OK;
}

unsigned char *comm_buffer(const struct tp_comm *comm, uint32_t rank, uint64_t phase)
{
    return comm->buffers + ((size_t)rank * 2 + (phase & 1)) * comm->buffer_stride;
}

static void phase_show(struct tp_comm *comm)
{
    struct comm_rank *ranks = comm->shared->ranks, *self = &ranks[comm->rank];
    struct comm_shared_call *call = &self->calls[comm->n_phases & 1];
    atomic_store_explicit(&call->collective, comm->call.collective, memory_order_relaxed);
    atomic_store_explicit(&call->root, comm->call.root, memory_order_relaxed);
    atomic_store_explicit(&call->bytes, comm->call.bytes, memory_order_relaxed);
    atomic_store_explicit(&call->number, comm->call.number, memory_order_relaxed);
    atomic_store(&self->n_phases, ++comm->n_phases);
    for (uint32_t r = 0; r < comm->world_size; r++)
        if (atomic_load(&ranks[r].asleep_for) == comm->rank + 1)
            bell_ring(&ranks[r]);
}

static bool peer_is_here(const struct tp_comm *comm, uint32_t peer)
{
    return atomic_load(&comm->shared->ranks[peer].n_phases) >= comm->n_phases;
}

// Until the peer is here, an abort, or the deadline; may wake early.
static void sleep_for_peer(struct tp_comm *comm, uint32_t peer, uint64_t left_ns)
{
    struct comm_rank *self = &comm->shared->ranks[comm->rank];
    uint32_t bell = atomic_load(&self->bell);
    atomic_store(&self->asleep_for, peer + 1);
    if (!peer_is_here(comm, peer) && !atomic_load(&comm->shared->aborted)) {
        struct timespec left = {.tv_sec = (time_t)(left_ns / NS_PER_S),
                                .tv_nsec = (long)(left_ns % NS_PER_S)};
        syscall(SYS_futex, &self->bell, FUTEX_WAIT, bell, &left, NULL, 0);
    }
    atomic_store(&self->asleep_for, 0);
}

static bool spin_for_peer(const struct tp_comm *comm, uint32_t peer)
{
    for (uint32_t i = 0; i < SPINS_PER_LOOK; i++) {
        if (peer_is_here(comm, peer))
            return true;
        cpu_pause();
    }
    return false;
}

static enum status wait_for_peer(struct tp_comm *comm, uint32_t peer, struct error *err)
{
    uint64_t began_ns = 0;
    while (!spin_for_peer(comm, peer)) {
        uint32_t aborted = atomic_load(&comm->shared->aborted);
        if (aborted)
            return fail_aborted(comm, aborted, err);
        uint64_t now_ns = clock_now_ns();
        if (!began_ns)
            began_ns = now_ns;
        if (!comm->deadline_ns)
            comm->deadline_ns = now_ns + comm->timeout_ns;
        if (now_ns >= comm->deadline_ns)
            return fail_lost(comm, peer, err);
        uint64_t waited_ns = now_ns - began_ns;
        if (waited_ns >= comm->spin_ns)
            sleep_for_peer(comm, peer, comm->deadline_ns - now_ns);
    }
    if (began_ns) // the clock is read only by those who wait
        atomic_fetch_add_explicit(&comm->shared->ranks[comm->rank].waited_ns,
                                  clock_now_ns() - began_ns, memory_order_relaxed);
    return STATUS_OK;
}

static enum status check_step(struct tp_comm *comm, uint32_t peer, struct error *err)
{
    const struct comm_call *mine = &comm->call;
    const struct comm_shared_call *call =
        &comm->shared->ranks[peer].calls[(comm->n_phases - 1) & 1];
    uint32_t collective = atomic_load_explicit(&call->collective, memory_order_relaxed);
    uint32_t root = atomic_load_explicit(&call->root, memory_order_relaxed);
    uint64_t bytes = atomic_load_explicit(&call->bytes, memory_order_relaxed);
    uint64_t number = atomic_load_explicit(&call->number, memory_order_relaxed);
    if (collective == (uint32_t)mine->collective && root == mine->root && bytes == mine->bytes &&
        number == mine->number)
        return STATUS_OK;
    error_set(&comm->failure, STATUS_INTERNAL,
              "rank %u is in %s #%llu of %llu bytes (root %u), rank %u in %s #%llu of %llu bytes "
              "(root %u)",
              peer, collective_name(collective), (unsigned long long)number,
              (unsigned long long)bytes, root, comm->rank, collective_name(mine->collective),
              (unsigned long long)mine->number, (unsigned long long)mine->bytes, mine->root);
    return fail(comm, ABORT_MISMATCH, peer, err);
}

enum status comm_phase(struct tp_comm *comm, struct error *err)
{
    phase_show(comm);
    // From the next rank on, so that not all ranks sleep for the same one.
    for (uint32_t i = 1; i < comm->world_size; i++) {
        uint32_t peer = (comm->rank + i) % comm->world_size;
        enum status st = wait_for_peer(comm, peer, err);
        if (st == STATUS_OK)
            st = check_step(comm, peer, err);
        if (st != STATUS_OK)
            return st;
    }
    return STATUS_OK;
}
