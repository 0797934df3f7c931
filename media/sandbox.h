/* media/sandbox.h - what a process gives up before it looks at bytes from outside: all system calls
 * but a few, memory beyond a limit, and being looked into or woken to run something else.
 *
 * There is no way out: a call that is not allowed kills the process. What is loaded or read lazily
 * (time zone, code tables in files) must have been before. Processor time is not limited here: who
 * gives the process work kills it when it takes too long, and it dies with that parent. */
#ifndef GEMMAD_MEDIA_SANDBOX_H
#define GEMMAD_MEDIA_SANDBOX_H

#include <stddef.h>

#include "base/status.h"

struct sandbox_config {
    int socket_fd;         /* messages may be sent and received here alone */
    size_t max_more_bytes; /* of address space beyond what the process has now */
};

/* Of the calling process, which has one thread. FAILED_PRECONDITION: the kernel cannot. */
NODISCARD enum status sandbox_enter(const struct sandbox_config *config, struct error *err);

#endif
