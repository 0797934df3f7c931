/* base/log.h - one event a line: time, level, room, verb, key=value with units.
 *
 *     log_warn("preempt", "request=%s pages=%u", id, n);
 *     2026-11-24T10:16:19.204Z warn engine preempt request=c0ffee pages=12 rank=0
 *
 * The room is the folder of the calling file. Rooms below engine log at debug only. Never prompt
 * or generated text. Thread: any; a line is one write(2). */
#ifndef GEMMAD_BASE_LOG_H
#define GEMMAD_BASE_LOG_H

#include <stdbool.h>

#include "base/status.h"

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };

/* Lines below level are dropped. The start value is LOG_INFO. */
void log_set_level(enum log_level level);
NODISCARD enum status log_level_parse(const char *name, enum log_level *out, struct error *err);
/* Puts rank=N behind every line of this process; -1 (the start value) means none. */
void log_set_rank(int rank);

bool log_enabled(enum log_level level);
void log_line(enum log_level level, const char *file, const char *verb, const char *format, ...)
    PRINTF_LIKE(4, 5);

#define log_at(level, verb, ...) \
    (log_enabled(level) ? log_line(level, __FILE__, verb, __VA_ARGS__) : (void)0)
#define log_debug(verb, ...) log_at(LOG_DEBUG, verb, __VA_ARGS__)
#define log_info(verb, ...) log_at(LOG_INFO, verb, __VA_ARGS__)
#define log_warn(verb, ...) log_at(LOG_WARN, verb, __VA_ARGS__)
#define log_error(verb, ...) log_at(LOG_ERROR, verb, __VA_ARGS__)

#endif
