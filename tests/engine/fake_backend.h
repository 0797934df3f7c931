/* tests/engine/fake_backend.h - an engine backend over the fake device, in the same process.
 *
 * A step runs when its result is read, on the engine thread. Tests may hold results back, and may
 * lose the workers. Thread: any; one lock. */
#ifndef GEMMAD_TESTS_ENGINE_FAKE_BACKEND_H
#define GEMMAD_TESTS_ENGINE_FAKE_BACKEND_H

#include <pthread.h>

#include "engine/engine.h"
#include "tests/engine/fake_device.h"

#define FAKE_BACKEND_STEPS 2

struct fake_backend {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct fake_device device;
    unsigned char *media;
    void *messages[FAKE_BACKEND_STEPS];
    size_t lengths[FAKE_BACKEND_STEPS];
    void *masks[FAKE_BACKEND_STEPS];
    size_t masks_lengths[FAKE_BACKEND_STEPS]; /* 0: not there yet */
    uint64_t n_submitted, n_read;
    uint64_t n_masks; /* messages */
    void *result;
    bool woken, held, lost;
    uint64_t n_results_allowed; /* while held */
};

void fake_backend_init(struct fake_backend *backend, const struct step_limits *limits,
                       const struct kv_params *kv);
void fake_backend_finish(struct fake_backend *backend);
struct engine_backend fake_backend_for_engine(struct fake_backend *backend);

/* Results come only as far as fake_backend_allow has let them. */
void fake_backend_hold(struct fake_backend *backend);
void fake_backend_allow(struct fake_backend *backend, uint64_t n_results);
void fake_backend_go_on(struct fake_backend *backend);
/* read_result gives UNAVAILABLE from now on. */
void fake_backend_lose(struct fake_backend *backend);

#endif
