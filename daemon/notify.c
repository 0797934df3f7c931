/* daemon/notify.c - a lost reader is no reason to stop serving: failures are logged and that is
 * all. GEMMAD_SYSTEMD is set by the build when libsystemd was found. */
#include "daemon/notify.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/text_buffer.h"

#if GEMMAD_SYSTEMD
#include <systemd/sd-daemon.h>

static void tell(const char *state)
{
    int result = sd_notify(0, state);
    if (result < 0)
        log_debug("notify", "error=\"%s\"", strerror(-result));
}
#else
static void tell(const char *state)
{
    (void)state;
}
#endif

void notify_status(const char *format, ...)
{
    char line[512] = "STATUS=";
    va_list args;
    va_start(args, format);
    vsnprintf(line + 7, sizeof line - 7, format, args);
    va_end(args);
    tell(line);
}

void notify_ready(void)
{
    tell("READY=1");
}

void notify_stopping(void)
{
    tell("STOPPING=1");
}

void notify_ready_fd(int fd, const char *const *addresses, size_t n)
{
    if (fd < 0)
        return;
    struct text_buffer lines = {0};
    for (size_t i = 0; i < n; i++)
        text_buffer_append_format(&lines, "%s\n", addresses[i]);
    size_t at = 0;
    while (at < lines.length) {
        ssize_t written = write(fd, lines.data + at, lines.length - at);
        if (written < 0 && errno == EINTR)
            continue;
        if (written < 0) {
            log_warn("ready_fd", "fd=%d error=\"%s\"", fd, strerror(errno));
            break;
        }
        at += (size_t)written;
    }
    text_buffer_finish(&lines);
    if (fd > STDERR_FILENO) // a standard one stays what it is
        close(fd);
}
