/* daemon/worker_files.h - how large the memory files of a group are. Both sides compute it from the
 * same Load, so a file of another size is a peer that does not mean the same. */
#ifndef GEMMAD_DAEMON_WORKER_FILES_H
#define GEMMAD_DAEMON_WORKER_FILES_H

#include "daemon/control.h"

/* out [CONTROL_N_FILES]. INVALID_ARGUMENT: the limits make no sense. */
NODISCARD enum status worker_files_bytes(const struct worker_load *load, size_t *out,
                                         struct error *err);

#endif
