/* base/status.c - texts of statuses, and the end of a process whose code is wrong.
 * A backtrace is printed by glibc's backtrace_symbols_fd, which allocates nothing. */
#include "base/status.h"

#include <execinfo.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *const status_names[] = {
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
};

const char *status_name(enum status status)
{
    if ((unsigned)status >= sizeof status_names / sizeof *status_names)
        return "UNKNOWN";
    return status_names[status];
}

// Cuts a text that did not fit at a whole UTF-8 character and marks the cut.
static void mark_truncation(char *text, size_t capacity, int wanted)
{
    if (wanted < 0 || (size_t)wanted < capacity)
        return;
    size_t end = capacity - 4;
    while (end > 0 && ((unsigned char)text[end] & 0xC0) == 0x80)
        end--;
    memcpy(text + end, "...", 4);
}

enum status error_set(struct error *err, enum status status, const char *format, ...)
{
    if (!err)
        return status;
    va_list args;
    va_start(args, format);
    err->status = status;
    int wanted = vsnprintf(err->message, sizeof err->message, format, args);
    va_end(args);
    mark_truncation(err->message, sizeof err->message, wanted);
    return status;
}

enum status error_prefix(struct error *err, const char *format, ...)
{
    if (!err)
        return STATUS_UNKNOWN;
    char cause[sizeof err->message];
    memcpy(cause, err->message, sizeof cause);
    char context[sizeof err->message];
    va_list args;
    va_start(args, format);
    int wanted = vsnprintf(context, sizeof context, format, args);
    va_end(args);
    mark_truncation(context, sizeof context, wanted);
    return error_set(err, err->status, "%s: %s", context, cause);
}

_Noreturn void check_failed(const char *condition, const char *file, int line, const char *func)
{
    void *frames[32];
    fprintf(stderr, "CHECK failed: %s\n  at %s:%d in %s\n", condition, file, line, func);
    backtrace_symbols_fd(frames, backtrace(frames, 32), STDERR_FILENO);
    abort();
}
