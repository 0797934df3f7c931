/* client/interrupt.h - what Ctrl-C (SIGINT) and SIGTERM do: they end the calls in flight, which
 * then return CANCELLED; when there are none, or at the second signal in a row, they end the
 * program with EXIT_INTERRUPTED.
 * Thread: begin before any other thread is started, end after all calls are over. */
#ifndef GEMMAD_CLIENT_INTERRUPT_H
#define GEMMAD_CLIENT_INTERRUPT_H

#include <stdbool.h>

#include "client/client.h"

/* Blocks the signals in this thread and in those that it starts from now on. */
void interrupt_block(void);
void interrupt_begin(struct client *client);
void interrupt_end(void);

/* Whether calls were ended since the last interrupt_forget. */
bool interrupt_happened(void);
void interrupt_forget(void);

#endif
