/* tp/comm.h - collectives between the ranks of a machine over shared-memory signal buffers.
 *
 * All ranks call the same collectives in the same order. Sums are made in f32 in one fixed tree:
 * rank r's contribution is the subtree of its leaves (kernels/types.h), so world sizes 1, 2, 4 and
 * 8 give the same bits: (r0+r1), ((r0+r1)+(r2+r3)), and so on. Small messages: one-shot (each rank
 * reads all); large ones: two-shot (each sums its slice, then all gather).
 * A peer that does not come within the deadline, or that aborted, makes the call return
 * UNAVAILABLE ("rank 1 did not reach all_reduce #4711 within 30 s"); the communicator is then
 * unusable and all later calls return the same. Ranks that are in different calls, or give
 * different sizes, get INTERNAL, which says who is in what.
 * Thread: one caller per rank (thread 0 of the stream). */
#ifndef GEMMAD_TP_COMM_H
#define GEMMAD_TP_COMM_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

struct tp_comm;

struct tp_comm_config {
    uint32_t rank;
    uint32_t world_size; /* 1, 2, 4 or 8 */
    int shared_fd; /* memory file of tp_comm_shared_bytes() bytes, zeroed, one for each group; may
                      be closed after create; -1 if world_size is 1 */
    size_t max_message_bytes; /* 64 bytes .. 4 GiB; larger messages are cut into pieces */
    uint64_t timeout_ns;      /* deadline of every collective; 0: 60 s */
    uint32_t spin_us; /* before a wait sleeps; 0: the default (none when ranks exceed cores) */
};

/* 0 for a world of one, and for a config that tp_comm_create refuses. */
size_t tp_comm_shared_bytes(uint32_t world_size, size_t max_message_bytes);
NODISCARD enum status tp_comm_create(const struct tp_comm_config *config, struct tp_comm **out,
                                     struct error *err);
void tp_comm_destroy(struct tp_comm *comm);

uint32_t tp_rank(const struct tp_comm *comm);
uint32_t tp_world_size(const struct tp_comm *comm);

/* data[i] = tree sum over ranks, on every rank. World size 1: nothing to do. */
NODISCARD enum status tp_all_reduce(struct tp_comm *comm, float *data, size_t n, struct error *err);
/* A matrix whose columns are spread over the ranks, to the root: rank r brings columns
 * [columns[r], columns[r + 1]) of n_rows rows, in with in_stride; the root has them all in out with
 * out_stride. columns [world_size + 1] ascend and are the same on every rank. The root's own part
 * is copied unless in is already its place in out. out is the root's alone. */
NODISCARD enum status tp_gather_columns(struct tp_comm *comm, uint32_t root, const float *in,
                                        size_t in_stride, size_t n_rows, const uint32_t *columns,
                                        float *out, size_t out_stride, struct error *err);
/* The root's bytes on every rank. */
NODISCARD enum status tp_broadcast(struct tp_comm *comm, uint32_t root, void *data, size_t n,
                                   struct error *err);
/* Bytes that are spread over the ranks, to every rank: rank r brings [offsets[r], offsets[r + 1])
 * of data, in place. offsets [world_size + 1] ascend from 0 and are the same on every rank. */
NODISCARD enum status tp_all_gather(struct tp_comm *comm, void *data, const size_t *offsets,
                                    struct error *err);
NODISCARD enum status tp_barrier(struct tp_comm *comm, struct error *err);
/* How long each rank has waited for peers since the world began, in finished phases of collectives;
 * what is shorter than a first look or so (a microsecond) is not counted. out_ns [world_size]. The
 * peers' are their own words, a moment old. */
void tp_get_waits(const struct tp_comm *comm, uint64_t *out_ns);
/* From any thread or a signal handler's aftermath: peers' calls fail at once. */
void tp_abort(struct tp_comm *comm);

#endif
