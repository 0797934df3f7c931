/* gateway/media_source.c - data URIs as RFC 2397 has them, of which the percent-encoded kind is
 * left out: nobody sends pictures so. */
#include "gateway/media_source.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/mem.h"

enum status media_sources_add(struct media_sources *sources, const struct media_source *source,
                              struct error *err)
{
    if (sources->n == MEDIA_MAX_SOURCES)
        return error_set(err, STATUS_INVALID_ARGUMENT,
                         "%s: a request has at most %d images, videos and clips", source->field,
                         MEDIA_MAX_SOURCES);
    mem_reserve(&sources->items, &sources->capacity, sources->n + 1, sizeof *sources->items);
    sources->items[sources->n++] = *source;
    return STATUS_OK;
}

void media_sources_finish(struct media_sources *sources)
{
    free(sources->items);
    *sources = (struct media_sources){0};
}

const char *media_kind_name(enum media_kind kind)
{
    static const char *const names[] = {
        [MEDIA_IMAGE] = "image", [MEDIA_VIDEO] = "video", [MEDIA_AUDIO] = "audio"};
    return names[kind];
}

bool media_kind_of_mime_type(const char *text, size_t n, enum media_kind *out)
{
    for (enum media_kind kind = MEDIA_IMAGE; kind <= MEDIA_AUDIO; kind++) {
        const char *name = media_kind_name(kind);
        size_t length = strlen(name);
        if (n > length && strncasecmp(text, name, length) == 0 && text[length] == '/') {
            *out = kind;
            return true;
        }
    }
    return false;
}

// RFC 6838, section 4.2, and the slash.
static bool is_mime_character(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           (c != '\0' && strchr("/!#$&-^_.+", c) != NULL);
}

// A picture may be moving: "image/gif" stands for a video where one is asked for.
static bool may_be(const struct media_source *source, enum media_kind kind)
{
    return kind == source->kind || (kind == MEDIA_IMAGE && source->kind == MEDIA_VIDEO) ||
           (kind == MEDIA_VIDEO && source->kind == MEDIA_AUDIO);
}

enum status media_source_check_mime_type(const struct media_source *source, const char *text,
                                         size_t n, struct error *err)
{
    bool well_formed = n > 0 && n <= MEDIA_MAX_MIME_BYTES;
    for (size_t i = 0; well_formed && i < n; i++)
        well_formed = is_mime_character(text[i]);
    if (!well_formed)
        return error_set(err, STATUS_INVALID_ARGUMENT, "%s: no mime type", source->field);
    static const char any[] = "application/octet-stream";
    enum media_kind kind;
    if (n == sizeof any - 1 && strncasecmp(text, any, n) == 0)
        return STATUS_OK;
    if (!media_kind_of_mime_type(text, n, &kind) || !may_be(source, kind))
        return error_set(err, STATUS_INVALID_ARGUMENT, "%s: %.*s is no type of %s", source->field,
                         (int)n, text, media_kind_name(source->kind));
    return STATUS_OK;
}

static bool begins(const char *text, size_t n, const char *with)
{
    size_t length = strlen(with);
    return n >= length && strncasecmp(text, with, length) == 0;
}

static enum status read_data(struct media_source *source, const char *text, size_t n,
                             struct error *err)
{
    static const char base64[] = ";base64";
    const size_t n_base64 = sizeof base64 - 1;
    const char *comma = memchr(text, ',', n);
    size_t n_head = comma ? (size_t)(comma - text) : 0;
    if (!comma || n_head < n_base64 || strncasecmp(comma - n_base64, base64, n_base64) != 0)
        return error_set(err, STATUS_INVALID_ARGUMENT,
                         "%s: a data URI must be data:TYPE;base64,DATA", source->field);
    const char *end_of_type = memchr(text, ';', n_head); // what follows are parameters
    size_t n_type = (size_t)(end_of_type - text);
    source->base64 = comma + 1;
    source->n = n - n_head - 1;
    return n_type ? media_source_check_mime_type(source, text, n_type, err) : STATUS_OK;
}

enum status media_source_set_url(struct media_source *source, const char *url, size_t n,
                                 struct error *err)
{
    if (begins(url, n, "data:"))
        return read_data(source, url + 5, n - 5, err);
    if (memchr(url, 0, n) || (!begins(url, n, "http://") && !begins(url, n, "https://")))
        return error_set(err, STATUS_INVALID_ARGUMENT,
                         "%s: must be a data URI (data:TYPE;base64,DATA), or an address of http or "
                         "https",
                         source->field);
    source->url = url;
    source->n = n;
    return STATUS_OK;
}

enum status media_check_budget(const char *field, int64_t max_tokens, struct error *err)
{
    static const int64_t budgets[] = {70, 140, 280, 560, 1120};
    for (size_t i = 0; i < sizeof budgets / sizeof budgets[0]; i++)
        if (max_tokens == budgets[i])
            return STATUS_OK;
    return error_set(err, STATUS_INVALID_ARGUMENT,
                     "%s=%" PRId64 ": must be 70, 140, 280, 560 or 1120", field, max_tokens);
}
