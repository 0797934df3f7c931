/* daemon/notify.h - telling whoever started gemmad how far it is: the service manager (when built
 * with libsystemd and started by one), and the descriptor of --ready-fd. Thread: any. */
#ifndef GEMMAD_DAEMON_NOTIFY_H
#define GEMMAD_DAEMON_NOTIFY_H

#include <stddef.h>

#include "base/status.h"

/* One line that `systemctl status` shows. */
void notify_status(const char *format, ...) PRINTF_LIKE(1, 2);
/* Ready for requests. */
void notify_ready(void);
void notify_stopping(void);

/* Writes "address\n" for each to fd and closes it (unless it is standard output or error); -1:
 * does nothing. */
void notify_ready_fd(int fd, const char *const *addresses, size_t n);

#endif
