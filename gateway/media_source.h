/* gateway/media_source.h - the media that a request brings, as they came: where the bytes of each
 * are, what it is to be, and where in the request it stands.
 *
 * Sources point into the request and live no longer. Thread: plain values. */
#ifndef GEMMAD_GATEWAY_MEDIA_SOURCE_H
#define GEMMAD_GATEWAY_MEDIA_SOURCE_H

#include <stdbool.h>

#include "base/status.h"
#include "media/media.h"

#define MEDIA_MAX_SOURCES 256 /* of a request */
#define MEDIA_MAX_MIME_BYTES 127

struct media_source {
    char field[96]; /* its place in the request, for messages */
    enum media_kind kind;
    /* One of these. */
    const unsigned char *bytes; /* [n] as they are */
    const char *base64;         /* [n] characters */
    const char *url;            /* [n] of http or https, NUL-terminated too */
    size_t n;
    uint32_t max_tokens; /* as struct media_wish; 0: the model's default */
};

struct media_sources {
    struct media_source *items;
    size_t n, capacity;
};

/* Copies the source. INVALID_ARGUMENT: more than MEDIA_MAX_SOURCES. */
NODISCARD enum status media_sources_add(struct media_sources *sources,
                                        const struct media_source *source, struct error *err);
void media_sources_finish(struct media_sources *sources);

/* "image", "video", "audio" */
const char *media_kind_name(enum media_kind kind);

/* The functions fill in source, of which field and kind are set; errors begin with the field. */

/* A mime type that a client says; beyond that the bytes decide. INVALID_ARGUMENT: none, or not of
 * the source's kind. */
NODISCARD enum status media_source_check_mime_type(const struct media_source *source,
                                                   const char *text, size_t n, struct error *err);
/* The kind by a mime type: "image/png" is an image. False: none of them. */
bool media_kind_of_mime_type(const char *text, size_t n, enum media_kind *out);
/* "data:image/png;base64,..." or an address of http or https, which is not looked at here.
 * INVALID_ARGUMENT: neither. */
NODISCARD enum status media_source_set_url(struct media_source *source, const char *url, size_t n,
                                           struct error *err);
/* INVALID_ARGUMENT: no budget that the models know. */
NODISCARD enum status media_check_budget(const char *field, int64_t max_tokens, struct error *err);

#endif
