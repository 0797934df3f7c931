/* base/child_process.h - what all child processes have in common: signals as a fresh process has
 * them, and a process group of its own, so that a Ctrl-C at a terminal is for the coordinator.
 * Thread: any. */
#ifndef GEMMAD_BASE_CHILD_PROCESS_H
#define GEMMAD_BASE_CHILD_PROCESS_H

#include <spawn.h>

/* The caller destroys them (posix_spawnattr_destroy). */
void child_process_attributes(posix_spawnattr_t *attributes);

#endif
