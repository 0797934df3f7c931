/* daemon/whole_file.c - by reading until the end rather than by asking for the size: a pipe
 * (--config <(...)) is a file too. */
#include "daemon/whole_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/text_buffer.h"

static enum status read_all(int fd, size_t max_bytes, struct text_buffer *text, const char *path,
                            struct error *err)
{
    char piece[16384];
    for (;;) {
        ssize_t n = read(fd, piece, sizeof piece);
        if (n == 0)
            return STATUS_OK;
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return error_set(err, STATUS_INVALID_ARGUMENT, "%s: %s", path, strerror(errno));
        if ((size_t)n > max_bytes - text->length)
            return error_set(err, STATUS_INVALID_ARGUMENT, "%s: larger than %zu bytes", path,
                             max_bytes);
        text_buffer_append(text, piece, (size_t)n);
    }
}

enum status whole_file_read(const char *path, size_t max_bytes, char **out, size_t *out_n,
                            struct error *err)
{
    *out = NULL;
    *out_n = 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return error_set(err, errno == ENOENT ? STATUS_NOT_FOUND : STATUS_INVALID_ARGUMENT,
                         "%s: %s", path, strerror(errno));
    struct text_buffer text = {0};
    enum status st = read_all(fd, max_bytes, &text, path, err);
    close(fd);
    if (st != STATUS_OK) {
        text_buffer_finish(&text);
        return st;
    }
    *out_n = text.length;
    *out = text_buffer_release(&text);
    return STATUS_OK;
}
