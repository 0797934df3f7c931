#include "tests/gateway/fake_decoder.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

enum status media_decode(struct media_decoder *decoder, const struct media_wish *wish,
                         struct media **out, struct error *err)
{
    decoder->n_decoded++;
    decoder->last = *wish;
    char *text = mem_copy(wish->bytes, wish->n_bytes);
    char *at = text;
    uint32_t n_tokens = (uint32_t)strtoul(text, &at, 10);
    if (at == text || n_tokens == 0) {
        free(text);
        return error_set(err, STATUS_INVALID_ARGUMENT, "bad");
    }
    struct media *media = media_create(wish->kind, NULL, 0);
    for (char *end; media->n_parts < MEDIA_MAX_PARTS; at = end) {
        uint32_t seconds = (uint32_t)strtoul(at, &end, 10);
        if (end == at)
            break;
        media->parts[media->n_parts++] = (struct media_part){.n_tokens = n_tokens,
                                                             .timestamp_s = seconds};
    }
    if (media->n_parts == 0)
        media->parts[media->n_parts++].n_tokens = n_tokens;
    free(text);
    *out = media;
    return STATUS_OK;
}
