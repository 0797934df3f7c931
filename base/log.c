/* base/log.c - lines are built on the stack and written to standard error in one call, so that
 * processes that share it never mix within a line. A longer line is cut, with "...". */
#include "base/log.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static atomic_int current_level = LOG_INFO;
static atomic_int current_rank = -1;

static const char *const level_names[] = {"debug", "info", "warn", "error"};

void log_set_level(enum log_level level)
{
    atomic_store(&current_level, level);
}

enum status log_level_parse(const char *name, enum log_level *out, struct error *err)
{
    for (int i = 0; i < 4; i++) {
        if (strcmp(name, level_names[i]) == 0) {
            *out = (enum log_level)i;
            return STATUS_OK;
        }
    }
    return error_set(err, STATUS_INVALID_ARGUMENT,
                     "log level \"%s\": expected debug, info, warn or error", name);
}

void log_set_rank(int rank)
{
    atomic_store(&current_rank, rank);
}

bool log_enabled(enum log_level level)
{
    return (int)level >= atomic_load_explicit(&current_level, memory_order_relaxed);
}

// The folder that holds the file: "../engine/scheduler.c" and "engine/scheduler.c" give "engine".
static int room_of(const char *file, const char **out)
{
    const char *slash = strrchr(file, '/');
    if (!slash) {
        *out = "-";
        return 1;
    }
    const char *start = slash;
    while (start > file && start[-1] != '/')
        start--;
    *out = start;
    return (int)(slash - start);
}

void log_line(enum log_level level, const char *file, const char *verb, const char *format, ...)
{
    char line[2048];
    const size_t limit = sizeof line - 32; // room for rank, "..." and the newline
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    struct tm utc;
    gmtime_r(&now.tv_sec, &utc);
    size_t n = strftime(line, limit, "%Y-%m-%dT%H:%M:%S", &utc);
    const char *room;
    int room_length = room_of(file, &room);
    n += (size_t)snprintf(line + n, limit - n, ".%03ldZ %s %.*s %s ", now.tv_nsec / 1000000,
                          level_names[level], room_length, room, verb);
    va_list args;
    va_start(args, format);
    int wanted = vsnprintf(line + n, limit - n, format, args);
    va_end(args);
    if (wanted > 0 && (size_t)wanted < limit - n)
        n += (size_t)wanted;
    else if (wanted > 0)
        n = limit - 1, n += (size_t)snprintf(line + n, 4, "...");
    for (char *c = line; c < line + n; c++) // one event is one line, whatever a string holds
        if (*c == '\n' || *c == '\r')
            *c = ' ';
    int rank = atomic_load_explicit(&current_rank, memory_order_relaxed);
    if (rank >= 0)
        n += (size_t)snprintf(line + n, 16, " rank=%d", rank);
    line[n++] = '\n';
    ssize_t written = write(STDERR_FILENO, line, n);
    (void)written; // nowhere left to say so
}
