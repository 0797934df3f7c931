/* tp/all_gather.c - one phase for each message buffer's worth of the longest part: every rank shows
 * its next piece and copies those of its peers, so all of them copy at once. */
#include "tp/comm.h"

#include <string.h>

#include "tp/comm_shared.h"

// The piece that begins `done` bytes into a rank's part.
static size_t piece_of(const struct tp_comm *comm, const size_t *offsets, uint32_t rank,
                       size_t done)
{
    size_t bytes = offsets[rank + 1] - offsets[rank];
    size_t left = bytes > done ? bytes - done : 0;
    return left < comm->piece_bytes ? left : comm->piece_bytes;
}

static enum status gather_piece(struct tp_comm *comm, unsigned char *data, const size_t *offsets,
                                size_t done, struct error *err)
{
    uint64_t phase = comm->n_phases;
    size_t own = piece_of(comm, offsets, comm->rank, done);
    if (own)
        memcpy(comm_buffer(comm, comm->rank, phase), data + offsets[comm->rank] + done, own);
    enum status st = comm_phase(comm, err);
    for (uint32_t r = 0; st == STATUS_OK && r < comm->world_size; r++) {
        size_t n = piece_of(comm, offsets, r, done);
        if (r != comm->rank && n)
            memcpy(data + offsets[r] + done, comm_buffer(comm, r, phase), n);
    }
    return st;
}

enum status tp_all_gather(struct tp_comm *comm, void *data, const size_t *offsets,
                          struct error *err)
{
    size_t longest = 0;
    for (uint32_t r = 0; r < comm->world_size; r++) {
        if (offsets[r + 1] < offsets[r] || offsets[0] != 0)
            return error_set(err, STATUS_INVALID_ARGUMENT, "all_gather of offsets that descend");
        if (offsets[r + 1] - offsets[r] > longest)
            longest = offsets[r + 1] - offsets[r];
    }
    enum status st = comm_begin(comm, COLLECTIVE_ALL_GATHER, 0, offsets[comm->world_size], err);
    for (size_t done = 0; comm->world_size > 1 && st == STATUS_OK && done < longest;
         done += comm->piece_bytes)
        st = gather_piece(comm, data, offsets, done, err);
    return st;
}
