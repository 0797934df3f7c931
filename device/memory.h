/* device/memory.h - this rank's large memory: weights, pages, activations.
 *
 * Whole mappings, huge pages where the kernel gives them, zeroed, 64-byte (in fact page) aligned.
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
