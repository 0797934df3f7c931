/* media/media.c - the count and the memory stand behind the public struct. */
#include "media/media.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "base/mem.h"

struct counted_media {
    struct media media; /* first: callers hold its address */
    atomic_uint n_references;
    void *memory;
    size_t n_bytes;
};

static atomic_size_t n_live_bytes;

struct media *media_create(enum media_kind kind, void *memory, size_t n_bytes)
{
    struct counted_media *counted = mem_zeroed(1, sizeof *counted);
    counted->media.kind = kind;
    counted->memory = memory;
    counted->n_bytes = n_bytes;
    atomic_init(&counted->n_references, 1);
    atomic_fetch_add_explicit(&n_live_bytes, n_bytes, memory_order_relaxed);
    return &counted->media;
}

struct media *media_ref(struct media *media)
{
    struct counted_media *counted = (struct counted_media *)media;
    atomic_fetch_add_explicit(&counted->n_references, 1, memory_order_relaxed);
    return media;
}

void media_drop(struct media *media)
{
    struct counted_media *counted = (struct counted_media *)media;
    if (!counted || atomic_fetch_sub_explicit(&counted->n_references, 1, memory_order_acq_rel) > 1)
        return;
    munmap(counted->memory, counted->n_bytes);
    atomic_fetch_sub_explicit(&n_live_bytes, counted->n_bytes, memory_order_relaxed);
    free(counted);
}

size_t media_live_bytes(void)
{
    return atomic_load_explicit(&n_live_bytes, memory_order_relaxed);
}
