/* daemon/backend.c - counts the steps in flight: a step is in flight until its result was released,
 * so the result ring never fills. */
#include "daemon/backend.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/mem.h"
#include "daemon/control.h"
#include "engine/ring.h"

struct backend {
    struct ring *steps;
    struct ring *results;
    unsigned char *media; // [media_bytes], or NULL
    size_t media_bytes;
    uint32_t n_in_flight; // the engine thread's
};

static enum status map_media(struct backend *backend, int fd, size_t bytes, struct error *err)
{
    if (bytes == 0)
        return STATUS_OK;
    void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, 0);
    if (memory == MAP_FAILED)
        return error_set(err, STATUS_INTERNAL, "media file: mmap: %s", strerror(errno));
    backend->media = memory;
    backend->media_bytes = bytes;
    return STATUS_OK;
}

enum status backend_create(const int *files, const struct step_limits *limits, uint32_t world_size,
                           struct backend **out, struct error *err)
{
    struct backend *backend = mem_zeroed(1, sizeof *backend);
    enum status st = ring_open(files[CONTROL_STEPS], BACKEND_RING_SLOTS, step_max_bytes(limits),
                               world_size, -1, &backend->steps, err);
    if (st == STATUS_OK)
        st = ring_open(files[CONTROL_RESULTS], BACKEND_RING_SLOTS, step_result_max_bytes(limits), 1,
                       0, &backend->results, err);
    if (st == STATUS_OK)
        st = map_media(backend, files[CONTROL_MEDIA], limits->media_bytes, err);
    if (st != STATUS_OK) {
        backend_destroy(backend);
        return st;
    }
    *out = backend;
    return STATUS_OK;
}

void backend_destroy(struct backend *backend)
{
    if (!backend)
        return;
    ring_destroy(backend->steps);
    ring_destroy(backend->results);
    if (backend->media)
        munmap(backend->media, backend->media_bytes);
    free(backend);
}

static void *begin_step(void *context)
{
    struct backend *backend = context;
    if (backend->n_in_flight >= BACKEND_MAX_STEPS)
        return NULL;
    return ring_begin_write(backend->steps);
}

static void submit_step(void *context, size_t n_bytes)
{
    struct backend *backend = context;
    backend->n_in_flight++;
    ring_publish(backend->steps, n_bytes);
}

static void *begin_masks(void *context)
{
    struct backend *backend = context;
    return ring_begin_write(backend->steps);
}

static void submit_masks(void *context, size_t n_bytes)
{
    struct backend *backend = context;
    ring_publish(backend->steps, n_bytes);
}

static enum status read_result(void *context, uint64_t timeout_ns, const void **out, size_t *n)
{
    struct backend *backend = context;
    return ring_read(backend->results, timeout_ns, out, n);
}

static void release_result(void *context)
{
    struct backend *backend = context;
    CHECK(backend->n_in_flight > 0);
    backend->n_in_flight--;
    ring_release(backend->results);
}

static void wake(void *context)
{
    struct backend *backend = context;
    ring_wake(backend->results);
}

struct engine_backend backend_for_engine(struct backend *backend)
{
    return (struct engine_backend){
        .context = backend,
        .begin_step = begin_step,
        .submit_step = submit_step,
        .begin_masks = begin_masks,
        .submit_masks = submit_masks,
        .read_result = read_result,
        .release_result = release_result,
        .media = backend->media,
        .wake = wake,
    };
}
