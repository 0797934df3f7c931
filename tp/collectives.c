/* tp/collectives.c - the collectives as series of phases (tp/comm_shared.h).
 *
 * One-shot all-reduce: every rank reads every peer's message, one phase, world_size reads of n.
 * Two-shot: every rank sums its slice and shows it, two phases, about two reads of n. Both add in
 * the order of tree_sum, so which of them ran cannot be told from the result.
 * Messages longer than a buffer are cut into pieces, each with phases of its own. */
#include "tp/comm.h"

#include <string.h>

#include "tp/comm_shared.h"
#include "tp/tree_sum.h"

#define SLICE_UNIT ((size_t)16) /* floats of a cache line: slices of two ranks share none */

// Where two-shot begins to win: bench/collectives.c on 2 cores with a shared L3, where 2 ranks spin
// and 4 or 8 sleep at every phase. With 2 ranks it is a little ahead from 4 KiB on when nobody is
// late; below 64 KiB that is under 1 us, and a second phase is a second chance to wait.
// All ranks must choose alike: message and world decide, nothing else.
static size_t two_shot_min_bytes(uint32_t world_size)
{
    size_t kib = world_size == 2 ? 64 : world_size == 4 ? 256 : 128;
    return kib << 10;
}

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

enum status comm_all_reduce_one_shot(struct tp_comm *comm, float *data, size_t n, struct error *err)
{
    uint64_t phase = comm->n_phases;
    if (n)
        memcpy(comm_buffer(comm, comm->rank, phase), data, n * sizeof *data);
    enum status st = comm_phase(comm, err);
    if (st != STATUS_OK)
        return st;
    const float *parts[COMM_MAX_RANKS];
    for (uint32_t r = 0; r < comm->world_size; r++)
        parts[r] = (const float *)comm_buffer(comm, r, phase);
    tree_sum(data, parts, comm->world_size, n);
    return STATUS_OK;
}

static void slice_of(size_t n, uint32_t rank, uint32_t world_size, size_t *begin, size_t *end)
{
    size_t n_units = (n + SLICE_UNIT - 1) / SLICE_UNIT;
    *begin = smaller(n_units * rank / world_size * SLICE_UNIT, n);
    *end = smaller(n_units * (rank + 1) / world_size * SLICE_UNIT, n);
}

enum status comm_all_reduce_two_shot(struct tp_comm *comm, float *data, size_t n, struct error *err)
{
    uint64_t phase = comm->n_phases;
    if (n)
        memcpy(comm_buffer(comm, comm->rank, phase), data, n * sizeof *data);
    enum status st = comm_phase(comm, err);
    if (st != STATUS_OK)
        return st;
    size_t begin, end;
    slice_of(n, comm->rank, comm->world_size, &begin, &end);
    const float *parts[COMM_MAX_RANKS];
    for (uint32_t r = 0; r < comm->world_size; r++)
        parts[r] = (const float *)comm_buffer(comm, r, phase) + begin;
    tree_sum((float *)comm_buffer(comm, comm->rank, phase + 1) + begin, parts, comm->world_size,
             end - begin);
    st = comm_phase(comm, err);
    if (st != STATUS_OK)
        return st;
    for (uint32_t r = 0; r < comm->world_size; r++) {
        slice_of(n, r, comm->world_size, &begin, &end);
        if (end > begin)
            memcpy(data + begin, (const float *)comm_buffer(comm, r, phase + 1) + begin,
                   (end - begin) * sizeof *data);
    }
    return STATUS_OK;
}

enum status tp_all_reduce(struct tp_comm *comm, float *data, size_t n, struct error *err)
{
    size_t bytes;
    if (__builtin_mul_overflow(n, sizeof *data, &bytes))
        return error_set(err, STATUS_INVALID_ARGUMENT, "all_reduce of %zu floats", n);
    enum status st = comm_begin(comm, COLLECTIVE_ALL_REDUCE, 0, bytes, err);
    if (st != STATUS_OK || comm->world_size == 1)
        return st;
    size_t done = 0;
    do {
        size_t piece = smaller(n - done, comm->piece_bytes / sizeof *data);
        if (piece * sizeof *data < two_shot_min_bytes(comm->world_size))
            st = comm_all_reduce_one_shot(comm, data + done, piece, err);
        else
            st = comm_all_reduce_two_shot(comm, data + done, piece, err);
        done += piece;
    } while (st == STATUS_OK && done < n);
    return st;
}

static void copy_rows(float *out, size_t out_stride, const float *in, size_t in_stride,
                      size_t n_rows, size_t width)
{
    for (size_t row = 0; row < n_rows && width && out != in; row++)
        memcpy(out + row * out_stride, in + row * in_stride, width * sizeof *out);
}

struct gather {
    uint32_t root;
    const float *in;
    size_t in_stride;
    const uint32_t *columns;
    float *out;
    size_t out_stride;
};

// n_rows rows from `row` on, of each rank's columns those from number `first` on, at most `width`.
static enum status gather_piece(struct tp_comm *comm, const struct gather *g, size_t row,
                                size_t n_rows, size_t first, size_t width, struct error *err)
{
    uint64_t phase = comm->n_phases;
    size_t widths[COMM_MAX_RANKS];
    for (uint32_t r = 0; r < comm->world_size; r++) {
        size_t all = g->columns[r + 1] - g->columns[r];
        widths[r] = all > first ? smaller(all - first, width) : 0;
    }
    if (comm->rank != g->root)
        copy_rows((float *)comm_buffer(comm, comm->rank, phase), widths[comm->rank],
                  g->in + row * g->in_stride + first, g->in_stride, n_rows, widths[comm->rank]);
    enum status st = comm_phase(comm, err);
    for (uint32_t r = 0; st == STATUS_OK && comm->rank == g->root && r < comm->world_size; r++)
        if (r != g->root)
            copy_rows(g->out + row * g->out_stride + g->columns[r] + first, g->out_stride,
                      (const float *)comm_buffer(comm, r, phase), widths[r], n_rows, widths[r]);
    return st;
}

enum status tp_gather_columns(struct tp_comm *comm, uint32_t root, const float *in,
                              size_t in_stride, size_t n_rows, const uint32_t *columns, float *out,
                              size_t out_stride, struct error *err)
{
    size_t bytes, widest = 0;
    if (root >= comm->world_size ||
        __builtin_mul_overflow(n_rows, columns[comm->world_size] * sizeof *in, &bytes))
        return error_set(err, STATUS_INVALID_ARGUMENT, "gather of %zu rows to rank %u of %u",
                         n_rows, root, comm->world_size);
    enum status st = comm_begin(comm, COLLECTIVE_GATHER, root, bytes, err);
    if (st == STATUS_OK && comm->rank == root)
        copy_rows(out + columns[root], out_stride, in, in_stride, n_rows,
                  columns[root + 1] - columns[root]);
    if (comm->world_size == 1)
        return st;
    for (uint32_t r = 0; r < comm->world_size; r++)
        if (columns[r + 1] - columns[r] > widest)
            widest = columns[r + 1] - columns[r];
    // Whole rows as long as a buffer holds them, else parts of one.
    size_t floats = comm->piece_bytes / sizeof *in;
    size_t width = smaller(widest ? widest : 1, floats);
    size_t rows = floats / width;
    struct gather g = {root, in, in_stride, columns, out, out_stride};
    for (size_t row = 0; st == STATUS_OK && row < n_rows; row += rows)
        for (size_t first = 0; st == STATUS_OK && first < widest; first += width)
            st = gather_piece(comm, &g, row, smaller(rows, n_rows - row), first, width, err);
    return st;
}

enum status tp_broadcast(struct tp_comm *comm, uint32_t root, void *data, size_t n,
                         struct error *err)
{
    if (root >= comm->world_size)
        return error_set(err, STATUS_INVALID_ARGUMENT, "broadcast from rank %u: world_size is %u",
                         root, comm->world_size);
    enum status st = comm_begin(comm, COLLECTIVE_BROADCAST, root, n, err);
    if (st != STATUS_OK || comm->world_size == 1)
        return st;
    unsigned char *at = data;
    size_t done = 0;
    do {
        size_t piece = smaller(n - done, comm->piece_bytes);
        uint64_t phase = comm->n_phases;
        if (piece && root == comm->rank)
            memcpy(comm_buffer(comm, root, phase), at, piece);
        st = comm_phase(comm, err);
        if (st == STATUS_OK && piece && root != comm->rank)
            memcpy(at, comm_buffer(comm, root, phase), piece);
        done += piece;
        at += piece;
    } while (st == STATUS_OK && done < n);
    return st;
}

enum status tp_barrier(struct tp_comm *comm, struct error *err)
{
    enum status st = comm_begin(comm, COLLECTIVE_BARRIER, 0, 0, err);
    return st != STATUS_OK || comm->world_size == 1 ? st : comm_phase(comm, err);
}
