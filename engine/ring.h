/* engine/ring.h - one writer, many readers, over a memory file that all of them map.
 *
 * Messages of at most slot_bytes, read in place, in order; the writer waits (or is told) while the
 * slowest reader still holds the slot it needs. Readers spin briefly, then wait on a futex; more
 * ranks than cores must not starve each other. A reader or writer that goes away is noticed by the
 * control socket, not here: ring_close wakes everyone up with UNAVAILABLE.
 * Indices read from shared memory are never trusted beyond their range. */
#ifndef GEMMAD_ENGINE_RING_H
#define GEMMAD_ENGINE_RING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

#define RING_MAX_READERS 8

struct ring;

size_t ring_shared_bytes(uint32_t n_slots, size_t slot_bytes);
/* Maps the file (of ring_shared_bytes, zeroed when new; fd is not kept). Every side gives the same
 * numbers. reader: 0..n_readers-1, or -1 for the writer. */
NODISCARD enum status ring_open(int fd, uint32_t n_slots, size_t slot_bytes, uint32_t n_readers,
                                int reader, struct ring **out, struct error *err);
void ring_destroy(struct ring *ring); /* unmaps */

/* Writer: the next slot's memory, or NULL when all slots are still held (never blocks). */
void *ring_begin_write(struct ring *ring);
void ring_publish(struct ring *ring, size_t n);

/* Reader: waits for the next message until timeout_ns (0: only looks). *out NULL on a timeout
 * (STATUS_DEADLINE_EXCEEDED, no error text). UNAVAILABLE: the ring was closed. Messages stay valid
 * until they are released, the one read first first. */
NODISCARD enum status ring_read(struct ring *ring, uint64_t timeout_ns, const void **out,
                                size_t *out_n);
void ring_release(struct ring *ring);
/* Ends the wait of this reader's ring_read (the one under way, else the next) as a timeout would.
 * From any thread of the reader's process. */
void ring_wake(struct ring *ring);

/* From any side and thread. A ring whose shared counts break their ranges counts as closed too. */
void ring_close(struct ring *ring);

#endif
