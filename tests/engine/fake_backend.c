/* tests/engine/fake_backend.c - a failure of the device ends the process with its text: it means
 * that the engine sent nonsense, and there is no test thread here to fail. */
#include "tests/engine/fake_backend.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/clock.h"
#include "base/mem.h"

void fake_backend_init(struct fake_backend *b, const struct step_limits *limits,
                       const struct kv_params *kv)
{
    *b = (struct fake_backend){.held = false};
    fake_device_init(&b->device, limits, kv);
    b->media = mem_zeroed(limits->media_bytes, 1);
    b->device.media = b->media;
    for (int i = 0; i < FAKE_BACKEND_STEPS; i++) {
        b->messages[i] = mem_zeroed(step_max_bytes(limits), 1);
        b->masks[i] = mem_zeroed(step_max_bytes(limits), 1);
    }
    b->result = mem_zeroed(step_result_max_bytes(limits), 1);
    pthread_mutex_init(&b->lock, NULL);
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&b->changed, &attributes);
    pthread_condattr_destroy(&attributes);
}

void fake_backend_finish(struct fake_backend *b)
{
    fake_device_finish(&b->device);
    free(b->media);
    for (int i = 0; i < FAKE_BACKEND_STEPS; i++) {
        free(b->messages[i]);
        free(b->masks[i]);
    }
    free(b->result);
    pthread_mutex_destroy(&b->lock);
    pthread_cond_destroy(&b->changed);
}

static void *begin_step(void *context)
{
    struct fake_backend *b = context;
    if (b->n_submitted - b->n_read == FAKE_BACKEND_STEPS)
        return NULL;
    return b->messages[b->n_submitted % FAKE_BACKEND_STEPS];
}

static void submit_step(void *context, size_t n_bytes)
{
    struct fake_backend *b = context;
    uint64_t at = b->n_submitted++ % FAKE_BACKEND_STEPS;
    b->lengths[at] = n_bytes;
    b->masks_lengths[at] = 0;
}

static void *begin_masks(void *context)
{
    struct fake_backend *b = context;
    return b->masks[(b->n_submitted - 1) % FAKE_BACKEND_STEPS];
}

static void submit_masks(void *context, size_t n_bytes)
{
    struct fake_backend *b = context;
    b->masks_lengths[(b->n_submitted - 1) % FAKE_BACKEND_STEPS] = n_bytes;
    b->n_masks++;
}

// Under the lock. Waits for a result that may be read, a wake, or the time limit.
static enum status wait_for_result(struct fake_backend *b, uint64_t timeout_ns)
{
    uint64_t until = UINT64_MAX;
    if (timeout_ns != UINT64_MAX)
        until = clock_now_ns() + timeout_ns;
    struct timespec at = {(time_t)(until / NS_PER_S), (long)(until % NS_PER_S)};
    int timed_out = 0;
    for (;;) {
        bool allowed = !b->held || b->n_results_allowed > 0;
        if (b->lost)
            return STATUS_UNAVAILABLE;
        if (b->n_submitted > b->n_read && allowed)
            return STATUS_OK;
        if (b->woken || timed_out != 0)
            return STATUS_DEADLINE_EXCEEDED;
        if (until == UINT64_MAX)
            timed_out = pthread_cond_wait(&b->changed, &b->lock);
        else
            timed_out = pthread_cond_timedwait(&b->changed, &b->lock, &at);
    }
}

static enum status read_result(void *context, uint64_t timeout_ns, const void **out, size_t *n)
{
    struct fake_backend *b = context;
    pthread_mutex_lock(&b->lock);
    enum status st = wait_for_result(b, timeout_ns);
    b->woken = false;
    if (st == STATUS_OK && b->held)
        b->n_results_allowed--;
    pthread_mutex_unlock(&b->lock);
    if (st != STATUS_OK)
        return st;
    uint64_t at = b->n_read % FAKE_BACKEND_STEPS;
    const void *masks = b->masks_lengths[at] > 0 ? b->masks[at] : NULL;
    *n = fake_device_run(&b->device, b->messages[at], b->lengths[at], masks, b->masks_lengths[at],
                         b->result);
    if (*n == 0) {
        fprintf(stderr, "fake device: %s\n", b->device.failure);
        abort();
    }
    *out = b->result;
    return STATUS_OK;
}

static void release_result(void *context)
{
    struct fake_backend *b = context;
    b->n_read++;
}

static void wake(void *context)
{
    struct fake_backend *b = context;
    pthread_mutex_lock(&b->lock);
    b->woken = true;
    pthread_cond_broadcast(&b->changed);
    pthread_mutex_unlock(&b->lock);
}

struct engine_backend fake_backend_for_engine(struct fake_backend *b)
{
    return (struct engine_backend){
        .context = b,
        .begin_step = begin_step,
        .submit_step = submit_step,
        .begin_masks = begin_masks,
        .submit_masks = submit_masks,
        .read_result = read_result,
        .release_result = release_result,
        .media = b->media,
        .wake = wake,
    };
}

void fake_backend_hold(struct fake_backend *b)
{
    pthread_mutex_lock(&b->lock);
    b->held = true;
    b->n_results_allowed = 0;
    pthread_mutex_unlock(&b->lock);
}

void fake_backend_allow(struct fake_backend *b, uint64_t n_results)
{
    pthread_mutex_lock(&b->lock);
    b->n_results_allowed += n_results;
    pthread_cond_broadcast(&b->changed);
    pthread_mutex_unlock(&b->lock);
}

void fake_backend_go_on(struct fake_backend *b)
{
    pthread_mutex_lock(&b->lock);
    b->held = false;
    pthread_cond_broadcast(&b->changed);
    pthread_mutex_unlock(&b->lock);
}

void fake_backend_lose(struct fake_backend *b)
{
    pthread_mutex_lock(&b->lock);
    b->lost = true;
    pthread_cond_broadcast(&b->changed);
    pthread_mutex_unlock(&b->lock);
}
