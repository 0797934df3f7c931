/* daemon/worker_link.h - a worker's end of the control socket: its first words, its news, and the
 * thread that listens.
 *
 * The thread ends the process when the coordinator says so or is gone, whatever the other threads
 * are doing: this, with the kernel's own signal at the parent's death, is why there are no orphans.
 * Thread: sends from any thread; worker_link_wait_load from the main one, before watch. */
#ifndef GEMMAD_DAEMON_WORKER_LINK_H
#define GEMMAD_DAEMON_WORKER_LINK_H

#include <sys/types.h>

#include "daemon/control.h"

struct worker_link;

/* Ties this process to its parent: false when that is not (any more) the process parent. */
bool worker_link_guard(pid_t parent);

struct worker_link *worker_link_create(int control_fd, uint32_t rank);

/* Sends Hello and waits for the Load; its files are the caller's. UNAVAILABLE: the coordinator
 * refused or is gone. INVALID_ARGUMENT: it sent something else. */
NODISCARD enum status worker_link_wait_load(struct worker_link *link, struct worker_load *out,
                                            int *out_files, struct error *err);

/* Starts the listening thread, which lives as long as the process. on_report logs what the process
 * is doing. */
void worker_link_watch(struct worker_link *link, void (*on_report)(void));

/* Sends; a coordinator that is gone is the listening thread's business. */
void worker_link_progress(struct worker_link *link, uint64_t done_bytes, uint64_t total_bytes);
void worker_link_ready(struct worker_link *link, const struct worker_ready *ready);
void worker_link_fault(struct worker_link *link, const struct error *cause);

#endif
