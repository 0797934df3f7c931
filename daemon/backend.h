/* daemon/backend.h - where the engine's steps go: the rings to a group of workers.
 *
 * One backend belongs to one group: when the group is lost, engine_backend_lost takes it from the
 * engine, and a new one is made for the next group. Thread: the engine thread, except for create,
 * destroy and wake. */
#ifndef GEMMAD_DAEMON_BACKEND_H
#define GEMMAD_DAEMON_BACKEND_H

#include "engine/engine.h"

/* Steps in flight: one runs, one waits. */
#define BACKEND_MAX_STEPS 2
/* Of both rings: more than the steps in flight, so that rank 0 always finds room for a result; and
 * three steps with their masks, since the oldest may not be released yet when its result is there.
 */
#define BACKEND_RING_SLOTS 6

struct backend;

/* Opens the coordinator's ends of the rings (files as in daemon/control.h; they stay the caller's).
 * INTERNAL: they cannot be mapped. */
NODISCARD enum status backend_create(const int *files, const struct step_limits *limits,
                                     uint32_t world_size, struct backend **out, struct error *err);
/* After engine_backend_lost or engine_destroy: nobody uses it any more. */
void backend_destroy(struct backend *backend);

/* What the engine takes; lives as long as backend. */
struct engine_backend backend_for_engine(struct backend *backend);

#endif
