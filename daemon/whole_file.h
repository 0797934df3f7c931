/* daemon/whole_file.h - small text files of the user's, read at once. Thread: any. */
#ifndef GEMMAD_DAEMON_WHOLE_FILE_H
#define GEMMAD_DAEMON_WHOLE_FILE_H

#include <stddef.h>

#include "base/status.h"

/* The caller frees *out (NUL-terminated). NOT_FOUND: no such file. INVALID_ARGUMENT: larger than
 * max_bytes, or it cannot be read; messages begin with the path. On failure outputs are NULL, 0. */
NODISCARD enum status whole_file_read(const char *path, size_t max_bytes, char **out, size_t *out_n,
                                      struct error *err);

#endif
