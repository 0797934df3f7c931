/* daemon/places.c - the build defines GEMMAD_BUILD_ROOT (programs below it are not installed), and
 * GEMMAD_SOURCE_MODEL and GEMMAD_INSTALLED_MODEL, the default model's folder in either case. */
#include "daemon/places.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/text_buffer.h"

static enum status own_path(char *out, size_t capacity, struct error *err)
{
    ssize_t n = readlink("/proc/self/exe", out, capacity - 1);
    if (n <= 0 || (size_t)n >= capacity - 1)
        return error_set(err, STATUS_INTERNAL, "/proc/self/exe: %s",
                         n < 0 ? strerror(errno) : "too long");
    out[n] = '\0';
    return STATUS_OK;
}

static enum status beside(const char *name, char **out, struct error *err)
{
    char own[4096];
    enum status st = own_path(own, sizeof own, err);
    if (st != STATUS_OK)
        return st;
    struct text_buffer path = {0};
    text_buffer_append(&path, own, (size_t)(strrchr(own, '/') - own) + 1);
    text_buffer_append_text(&path, name);
    *out = text_buffer_release(&path);
    return STATUS_OK;
}

enum status places_worker(char **out, struct error *err)
{
    return beside("gemmad-worker", out, err);
}

enum status places_media(char **out, struct error *err)
{
    return beside("gemmad-media", out, err);
}

enum status places_default_model(char **out, struct error *err)
{
    char own[4096];
    enum status st = own_path(own, sizeof own, err);
    if (st != STATUS_OK)
        return st;
    size_t n = strlen(GEMMAD_BUILD_ROOT);
    bool in_build = strncmp(own, GEMMAD_BUILD_ROOT, n) == 0 && own[n] == '/';
    *out = mem_strdup(in_build ? GEMMAD_SOURCE_MODEL : GEMMAD_INSTALLED_MODEL);
    return STATUS_OK;
}
