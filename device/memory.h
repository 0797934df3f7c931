/* device/memory.h - this rank's large memory: weights, pages, activations.
 *
 * Whole mappings, huge pages where the kernel gives them, zeroed, 64-byte (in fact page) aligned;
 * or the pages of a file.
 * Thread: any; a buffer belongs to who created it. */
#ifndef GEMMAD_DEVICE_MEMORY_H
#define GEMMAD_DEVICE_MEMORY_H

#include <stddef.h>

#include "base/status.h"

struct device_buffer {
    void *data;
    size_t bytes;
};

/* RESOURCE_EXHAUSTED names what and how many bytes. */
NODISCARD enum status device_buffer_create(size_t bytes, const char *what,
                                           struct device_buffer *out, struct error *err);
void device_buffer_destroy(struct device_buffer *buffer); /* an empty one is fine */

/* Maps bytes of a file from offset on (whole huge pages), to read: all who map the same file share
 * the page cache's memory. A file that is truncated under it ends the process with SIGBUS. */
NODISCARD enum status device_buffer_map(int fd, size_t offset, size_t bytes, const char *what,
                                        struct device_buffer *out, struct error *err);

/* Puts bytes of a file, which have to be the same, in the place of those at begin (both offsets
 * whole huge pages) while others read them, and gives the memory back. From then on that part is
 * read-only. On failure nothing is changed. */
NODISCARD enum status device_buffer_exchange(const struct device_buffer *buffer, size_t begin,
                                             size_t bytes, int fd, size_t offset,
                                             struct error *err);

/* Reads a part of a mapped file in and makes it reachable without further faults. */
void device_pages_read(const void *data, size_t bytes);

#define DEVICE_HUGE_PAGE_BYTES ((size_t)2 << 20)

/* Cuts n elements of size bytes, 64-byte aligned, off a buffer at *offset and moves *offset on.
 * With an empty buffer it only counts (and returns NULL), so that planning and allocating share
 * code. */
static inline void *device_buffer_carve(const struct device_buffer *buffer, size_t *offset,
                                        size_t n, size_t size)
{
    void *piece = buffer->data ? (unsigned char *)buffer->data + *offset : NULL;
    *offset += (n * size + 63) & ~(size_t)63;
    return piece;
}

/* Bytes that this machine can still give (MemAvailable, and the cgroup's limit if lower). */
size_t device_available_bytes(void);

#endif
