/* tp/comm.c - making and leaving a world: the shared file's layout and who is in it.
 *
 * The first rank to come writes the layout word, the others must agree with it; each rank joins
 * once, so a file left by an earlier group (counts not zero) or a rank started twice is refused
 * instead of giving wrong sums. Each rank clears its own buffers when it joins: on a machine with
 * several NUMA nodes the first writer decides where a page lives. */
#include "tp/comm.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "tp/comm_shared.h"

#define LAYOUT_VERSION UINT64_C(1)
#define PAGE_BYTES ((size_t)4096)
#define MIN_MESSAGE_BYTES ((size_t)64)
#define MAX_MESSAGE_BYTES ((size_t)1 << 32)
#define DEFAULT_TIMEOUT_NS (60 * NS_PER_S)
#define DEFAULT_SPIN_NS (50 * NS_PER_US)

_Static_assert(ATOMIC_LLONG_LOCK_FREE == 2, "counts in shared memory must not hide a lock");

static size_t round_up(size_t n, size_t unit)
{
    return (n + unit - 1) / unit * unit;
}

static bool world_size_valid(uint32_t world_size)
{
    return world_size == 1 || world_size == 2 || world_size == 4 || world_size == 8;
}

static size_t header_bytes(void)
{
    return round_up(sizeof(struct comm_shared), PAGE_BYTES);
}

static size_t stride_bytes(size_t max_message_bytes)
{
    return round_up(max_message_bytes, PAGE_BYTES);
}

size_t tp_comm_shared_bytes(uint32_t world_size, size_t max_message_bytes)
{
    if (!world_size_valid(world_size) || world_size == 1 || max_message_bytes < MIN_MESSAGE_BYTES ||
        max_message_bytes > MAX_MESSAGE_BYTES)
        return 0;
    return header_bytes() + (size_t)world_size * 2 * stride_bytes(max_message_bytes);
}

static enum status config_check(const struct tp_comm_config *config, struct error *err)
{
    if (!world_size_valid(config->world_size))
        return error_set(err, STATUS_INVALID_ARGUMENT, "world_size=%u: not 1, 2, 4 or 8",
                         config->world_size);
    if (config->rank >= config->world_size)
        return error_set(err, STATUS_INVALID_ARGUMENT, "rank=%u: world_size is %u", config->rank,
                         config->world_size);
    if (config->world_size > 1 && (config->max_message_bytes < MIN_MESSAGE_BYTES ||
                                   config->max_message_bytes > MAX_MESSAGE_BYTES))
        return error_set(err, STATUS_INVALID_ARGUMENT,
                         "max_message_bytes=%zu: not between %zu and %zu",
                         config->max_message_bytes, MIN_MESSAGE_BYTES, MAX_MESSAGE_BYTES);
    return STATUS_OK;
}

static uint64_t default_spin_ns(uint32_t world_size)
{
    long n_cpus = sysconf(_SC_NPROCESSORS_ONLN);
    return n_cpus >= (long)world_size ? DEFAULT_SPIN_NS : 0;
}

static struct tp_comm *comm_new(const struct tp_comm_config *config)
{
    struct tp_comm *comm = mem_zeroed(1, sizeof *comm);
    comm->rank = config->rank;
    comm->world_size = config->world_size;
    comm->piece_bytes = config->max_message_bytes / 64 * 64;
    comm->buffer_stride = stride_bytes(config->max_message_bytes);
    comm->timeout_ns = config->timeout_ns ? config->timeout_ns : DEFAULT_TIMEOUT_NS;
    comm->spin_ns = config->spin_us ? config->spin_us * NS_PER_US
                                    : default_spin_ns(config->world_size);
    return comm;
}

static enum status join_world(struct tp_comm *comm, struct error *err)
{
    struct comm_shared *shared = comm->shared;
    uint64_t layout = LAYOUT_VERSION << 56 | (uint64_t)comm->world_size << 48 | comm->piece_bytes;
    uint64_t found = 0;
    if (!atomic_compare_exchange_strong(&shared->layout, &found, layout) && found != layout)
        return error_set(err, STATUS_FAILED_PRECONDITION,
                         "rank %u: the shared file was laid out for another world "
                         "(layout %#llx, want %#llx)",
                         comm->rank, (unsigned long long)found, (unsigned long long)layout);
    struct comm_rank *self = &shared->ranks[comm->rank];
    if (atomic_exchange(&self->joined, 1) != 0 || atomic_load(&self->n_phases) != 0)
        return error_set(err, STATUS_FAILED_PRECONDITION,
                         "rank %u has joined this world before: every group needs a fresh file",
                         comm->rank);
    if (comm->world_size > 1)
        memset(comm_buffer(comm, comm->rank, 0), 0, 2 * comm->buffer_stride);
    return STATUS_OK;
}

enum status comm_create_in(const struct tp_comm_config *config, void *memory, struct tp_comm **out,
                           struct error *err)
{
    enum status st = config_check(config, err);
    if (st != STATUS_OK)
        return st;
    struct tp_comm *comm = comm_new(config);
    comm->shared = memory;
    comm->buffers = (unsigned char *)memory + header_bytes();
    st = join_world(comm, err);
    if (st != STATUS_OK) {
        tp_comm_destroy(comm);
        return st;
    }
    *out = comm;
    return STATUS_OK;
}

static enum status file_check(int fd, size_t bytes, struct error *err)
{
    struct stat file;
    if (fstat(fd, &file) != 0)
        return error_set(err, STATUS_INVALID_ARGUMENT, "shared_fd=%d: %s", fd, strerror(errno));
    if (file.st_size < 0 || (uint64_t)file.st_size < bytes)
        return error_set(err, STATUS_INVALID_ARGUMENT,
                         "shared_fd=%d has %lld bytes, the world needs %zu", fd,
                         (long long)file.st_size, bytes);
    return STATUS_OK;
}

enum status tp_comm_create(const struct tp_comm_config *config, struct tp_comm **out,
                           struct error *err)
{
    enum status st = config_check(config, err);
    if (st != STATUS_OK)
        return st;
    // A world of one has the same header, in memory of its own.
    bool alone = config->world_size == 1;
    size_t bytes = alone ? header_bytes()
                         : tp_comm_shared_bytes(config->world_size, config->max_message_bytes);
    if (!alone) {
        st = file_check(config->shared_fd, bytes, err);
        if (st != STATUS_OK)
            return st;
    }
    int flags = alone ? MAP_PRIVATE | MAP_ANONYMOUS : MAP_SHARED;
    void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, flags, alone ? -1 : config->shared_fd,
                        0);
    if (memory == MAP_FAILED)
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "cannot map %zu shared bytes: %s", bytes,
                         strerror(errno));
    struct tp_comm *comm = NULL;
    st = comm_create_in(config, memory, &comm, err);
    if (st != STATUS_OK) {
        munmap(memory, bytes);
        return st;
    }
    comm->mapped_bytes = bytes;
    *out = comm;
    return STATUS_OK;
}

void tp_comm_destroy(struct tp_comm *comm)
{
    if (comm && comm->mapped_bytes)
        munmap(comm->shared, comm->mapped_bytes);
    free(comm);
}

uint32_t tp_rank(const struct tp_comm *comm)
{
    return comm->rank;
}

uint32_t tp_world_size(const struct tp_comm *comm)
{
    return comm->world_size;
}

void tp_get_waits(const struct tp_comm *comm, uint64_t *out_ns)
{
    for (uint32_t r = 0; r < comm->world_size; r++)
        out_ns[r] = atomic_load_explicit(&comm->shared->ranks[r].waited_ns, memory_order_relaxed);
}

void tp_abort(struct tp_comm *comm)
{
    comm_raise_abort(comm, ABORT_ASKED, comm->rank);
}
