/* daemon/control.h - one end of a control socket: whole messages over SOCK_SEQPACKET, and the
 * memory files that come with a Load.
 *
 * The end of the connection is news, not an error of the socket: the peer died or left, and the
 * kernel says so however it died. Thread: one sender and one receiver at a time; send and receive
 * may be on different threads. */
#ifndef GEMMAD_DAEMON_CONTROL_H
#define GEMMAD_DAEMON_CONTROL_H

#include "daemon/worker_message.h"

/* Memory files of a Load, in this order. */
enum control_file {
    CONTROL_STEPS,       /* the step ring: the coordinator writes, every rank reads */
    CONTROL_RESULTS,     /* the result ring: rank 0 writes, the coordinator reads */
    CONTROL_COLLECTIVES, /* signal buffers of the ranks */
    CONTROL_MEDIA,       /* what encoders take: the coordinator writes, every rank reads */
    CONTROL_N_FILES,
};

/* A connected pair, both ends close-on-exec; out[0] (the coordinator's) does not block. */
NODISCARD enum status control_pair(int out[2], struct error *err);

/* A memory file of exactly that size, zeroed, that nobody can shrink or grow any more: reading a
 * mapping of it cannot fault. control_check_file is the receiver's side of that promise. */
NODISCARD enum status control_create_file(const char *name, size_t bytes, int *out,
                                          struct error *err);
NODISCARD enum status control_check_file(int fd, size_t bytes, struct error *err);

/* files [CONTROL_N_FILES] goes with WORKER_LOAD and only with it (else NULL); they stay the
 * caller's. UNAVAILABLE: the peer is gone, or does not read any more. */
NODISCARD enum status control_send(int fd, const struct worker_message *message, const int *files,
                                   struct error *err);

/* Takes the next message; out_files [CONTROL_N_FILES] is set (and owned by the caller) only for
 * WORKER_LOAD and may be NULL where none is expected. DEADLINE_EXCEEDED: none yet, on an end that
 * does not block. UNAVAILABLE: the peer is gone. INVALID_ARGUMENT: it does not keep the rules. */
NODISCARD enum status control_receive(int fd, struct worker_message *out, int *out_files,
                                      struct error *err);

#endif
