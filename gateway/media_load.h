/* gateway/media_load.h - the media of a request, decoded: its sources one after the other, so that
 * no more than one file's bytes are in memory beside what came in.
 *
 * Thread: one that may compute and wait. */
#ifndef GEMMAD_GATEWAY_MEDIA_LOAD_H
#define GEMMAD_GATEWAY_MEDIA_LOAD_H

#include "gateway/media_source.h"
#include "gateway/model.h"

struct media_list {
    struct media **items; /* [n], a reference each */
    size_t n;
};

/* INVALID_ARGUMENT: bytes that are no such thing, beyond a limit, or more soft tokens than fit a
 * prompt; UNIMPLEMENTED: the model or this server takes none of the kind; RESOURCE_EXHAUSTED: no
 * decoder came free, or too many decoded media wait already. Errors begin with the source's field.
 * On failure out needs no finish. */
NODISCARD enum status media_list_load(struct media_list *out, const struct media_sources *sources,
                                      const struct gateway_model *model, struct error *err);
void media_list_finish(struct media_list *list);

#endif
