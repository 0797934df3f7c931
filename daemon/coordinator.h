/* daemon/coordinator.h - the life of a gemmad: from a plan to the last worker's end.
 *
 *     loading ------> serving ------> draining ------> stopping
 *        |               | SIGTERM       | drained, drain_timeout, or a second signal
 *        +---------------+---------------+--> stopping: also when the workers are given up
 *
 * Listens from the start; health is NOT_SERVING until weights and texts are loaded, while the
 * workers are being started again, and while draining.
 * Thread: the main thread, which starts the workers and therefore has to outlive them. */
#ifndef GEMMAD_DAEMON_COORDINATOR_H
#define GEMMAD_DAEMON_COORDINATOR_H

#include "daemon/serving_plan.h"
#include "gateway/auth.h"

/* Serves until a signal ends it: OK, all processes gone. Else what ended it. auth: who may call
 * (daemon/access.h); signals_fd as signals_open made it. */
NODISCARD enum status coordinator_run(const struct daemon_config *config, struct serving_plan *plan,
                                      const struct auth *auth, int signals_fd, struct error *err);

#endif
