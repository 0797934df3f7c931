/* daemon/signals.h - the coordinator's signals as a descriptor to poll, so that no code of ours
 * runs in a handler. Thread: signals_open before any other thread is started (they inherit what is
 * blocked); the rest on the main thread. */
#ifndef GEMMAD_DAEMON_SIGNALS_H
#define GEMMAD_DAEMON_SIGNALS_H

#include "base/status.h"

/* Blocks SIGTERM, SIGINT, SIGHUP and SIGUSR1 and ignores SIGPIPE. */
NODISCARD enum status signals_open(int *out_fd, struct error *err);

/* The next signal that came, or 0. */
int signals_next(int fd);

#endif
