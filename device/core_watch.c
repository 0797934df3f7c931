/* device/core_watch.c - what is lost is measured over all of a window, parked and idle times
 * included, so short disturbances (an interrupt, the coordinator's step) do not add up to anything.
 * Which thread lost its core does not matter: threads are not bound to one, and the kernel puts
 * those that are left on the cores that are free. */
#include "device/core_watch.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"

#define WINDOW_NS (20 * NS_PER_MS)
#define AWAY_NS (160 * NS_PER_MS)

void core_watch_init(struct core_watch *watch, uint32_t n_threads)
{
    *watch = (struct core_watch){.n_threads = n_threads, .n_useful = n_threads};
    watch->files = mem_zeroed(n_threads, sizeof *watch->files);
    watch->delays = mem_zeroed(n_threads, sizeof *watch->delays);
    for (uint32_t t = 0; t < n_threads; t++)
        atomic_init(&watch->files[t], -1);
}

void core_watch_finish(struct core_watch *watch)
{
    for (uint32_t t = 0; watch->files && t < watch->n_threads; t++)
        if (atomic_load(&watch->files[t]) >= 0)
            close(atomic_load(&watch->files[t]));
    free(watch->files);
    free(watch->delays);
}

void core_watch_add(struct core_watch *watch, uint32_t thread)
{
    atomic_store(&watch->files[thread], open("/proc/thread-self/schedstat", O_RDONLY | O_CLOEXEC));
}

// The second of its numbers: ns of waiting for a core. 0 where it cannot be read.
static uint64_t delay_of(const struct core_watch *watch, uint32_t thread)
{
    char text[96];
    int file = atomic_load(&watch->files[thread]);
    ssize_t n = file < 0 ? 0 : pread(file, text, sizeof text - 1, 0);
    text[n > 0 ? n : 0] = 0;
    char *rest;
    (void)strtoull(text, &rest, 10);
    return strtoull(rest, NULL, 10);
}

uint32_t core_watch_n_useful(struct core_watch *watch)
{
    uint64_t now = clock_now_ns(), window = now - watch->looked_ns, lost = 0;
    if (window < WINDOW_NS)
        return watch->n_useful;
    for (uint32_t t = 0; t < watch->n_threads; t++) {
        uint64_t delay = delay_of(watch, t);
        if (t < watch->n_useful)
            lost += delay - watch->delays[t];
        watch->delays[t] = delay;
    }
    bool first = watch->looked_ns == 0;
    watch->looked_ns = now;
    if (watch->n_useful < watch->n_threads && now >= watch->whole_ns) {
        watch->n_useful = watch->n_threads;
    } else if (!first && lost >= window / 4 && watch->n_useful > 1) {
        uint64_t n_lost = (lost + window / 2) / window;
        n_lost = n_lost > 0 ? n_lost : 1;
        if (watch->n_useful == watch->n_threads)
            watch->whole_ns = now + AWAY_NS;
        watch->n_useful = n_lost < watch->n_useful ? watch->n_useful - (uint32_t)n_lost : 1;
    }
    return watch->n_useful;
}
