/* client/input.c - see input.h; read(2), so that a terminal's end of input needs no stdio state. */
#include "client/input.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static enum status read_all(int fd, const char *name, struct text_buffer *out, struct error *err)
{
    char part[65536];
    for (;;) {
        ssize_t n = read(fd, part, sizeof part);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return error_set(err, STATUS_NOT_FOUND, "%s: %s", name, strerror(errno));
        if (n == 0)
            return STATUS_OK;
        text_buffer_append(out, part, (size_t)n);
        if (out->length > INPUT_MAX_BYTES)
            return error_set(err, STATUS_RESOURCE_EXHAUSTED, "%s: more than %zu MiB", name,
                             INPUT_MAX_BYTES >> 20);
    }
}

enum status input_read_file(const char *path, struct text_buffer *out, struct error *err)
{
    if (strcmp(path, "-") == 0)
        return input_read(NULL, out, err);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return error_set(err, errno == EACCES ? STATUS_PERMISSION_DENIED : STATUS_NOT_FOUND,
                         "%s: %s", path, strerror(errno));
    enum status st = read_all(fd, path, out, err);
    close(fd);
    return st;
}

enum status input_read(const char *argument, struct text_buffer *out, struct error *err)
{
    if (argument && strcmp(argument, "-") != 0) {
        text_buffer_append_text(out, argument);
        return STATUS_OK;
    }
    if (isatty(STDIN_FILENO))
        fprintf(stderr, "(type the text; Ctrl-D on a line of its own ends it)\n");
    return read_all(STDIN_FILENO, "standard input", out, err);
}

static bool is_json_text(const char *text)
{
    return text[strspn(text, " \t\r\n")] == '{';
}

enum status input_read_prompt(const struct settings *settings, const char *argument,
                              struct text_buffer *out, struct error *err)
{
    const char *chat = settings->chat_json;
    if (chat && is_json_text(chat))
        return input_read(chat, out, err);
    if (chat || settings->file)
        return input_read_file(chat ? chat : settings->file, out, err);
    return input_read(argument, out, err);
}
