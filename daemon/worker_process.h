/* daemon/worker_process.h - one worker as a child process: how it is started, and how it ended.
 *
 * No orphan ever, by three means: the child asks the kernel to be killed when the thread that
 * started it ends (so that thread must live as long as the process: the main one), it checks that
 * its parent is still the one that started it, and it ends when its control socket does.
 * Each worker leads a process group of its own, so that a Ctrl-C at a terminal reaches the
 * coordinator alone. Thread: the main thread. */
#ifndef GEMMAD_DAEMON_WORKER_PROCESS_H
#define GEMMAD_DAEMON_WORKER_PROCESS_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/status.h"

/* What a worker's exit code says; the text is in worker_process_describe. */
enum worker_exit {
    WORKER_EXIT_STOPPED = 0,
    WORKER_EXIT_USAGE = 64,
    WORKER_EXIT_PROTOCOL = 65, /* the coordinator's messages make no sense to it */
    WORKER_EXIT_LOAD = 66,
    WORKER_EXIT_STEP = 67,   /* a step failed: a bad descriptor or a lost peer */
    WORKER_EXIT_ORPHAN = 68, /* the coordinator is gone */
};

/* The control socket's number in the worker. */
#define WORKER_CONTROL_FD 3

/* Starts `path --control-fd 3 --rank RANK --parent PID` with control_fd there; all other
 * descriptors but the standard ones are closed in it. NOT_FOUND, INTERNAL: it cannot be started. */
NODISCARD enum status worker_process_start(const char *path, uint32_t rank, int control_fd,
                                           pid_t *out, struct error *err);

/* Kills the process group and waits for the process; the result is a wait status. */
int worker_process_kill(pid_t pid);

/* "was killed by signal 9 (Killed)", "exited with code 66 (loading failed)". */
void worker_process_describe(int wait_status, char *out, size_t capacity);

#endif
