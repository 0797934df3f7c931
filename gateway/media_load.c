/* gateway/media_load.c - the sum of soft tokens is looked at after each file: what cannot fit a
 * prompt is not decoded to its end, which bounds a request's memory by the model's context. */
#include "gateway/media_load.h"

#include <stdlib.h>

#include "base/base64.h"
#include "base/mem.h"
#include "media/decoder.h"

/* Decoded media of all requests that wait to be encoded. Threads that decode at the same time may
 * go beyond it by a file each. */
#define MAX_LIVE_BYTES ((size_t)2 << 30)

static enum status check_kind(const struct media_source *source, const struct gateway_model *model,
                              struct error *err)
{
    const uint32_t ids[] = {
        [MEDIA_IMAGE] = model->media_token_ids.image_token_id,
        [MEDIA_VIDEO] = model->media_token_ids.video_token_id,
        [MEDIA_AUDIO] = model->media_token_ids.audio_token_id,
    };
    if (!model->media_decoder)
        return error_set(err, STATUS_UNIMPLEMENTED,
                         "%s: images, video and audio are not served here", source->field);
    if (ids[source->kind] == TOKEN_NONE)
        return error_set(err, STATUS_UNIMPLEMENTED, "%s: the model takes no %s", source->field,
                         media_kind_name(source->kind));
    if (media_live_bytes() > MAX_LIVE_BYTES)
        return error_set(err, STATUS_RESOURCE_EXHAUSTED,
                         "%s: too many images, videos and clips are waiting to be encoded",
                         source->field);
    return STATUS_OK;
}

static enum status decode(const struct media_source *source, const unsigned char *bytes, size_t n,
                          const struct gateway_model *model, struct media **out, struct error *err)
{
    if (n == 0)
        return error_set(err, STATUS_INVALID_ARGUMENT, "%s: empty", source->field);
    if (model->media_max_bytes > 0 && n > model->media_max_bytes)
        return error_set(err, STATUS_INVALID_ARGUMENT, "%s: %zu bytes, at most %zu", source->field,
                         n, model->media_max_bytes);
    struct media_wish wish = {
        .kind = source->kind,
        .bytes = bytes,
        .n_bytes = n,
        .max_tokens = source->max_tokens,
    };
    if (source->kind == MEDIA_IMAGE && wish.max_tokens == 0)
        wish.max_tokens = model->image_max_tokens;
    enum status st = media_decode(model->media_decoder, &wish, out, err);
    return st == STATUS_OK ? st : error_prefix(err, "%s", source->field);
}

static enum status load_base64(const struct media_source *source, const struct gateway_model *model,
                               struct media **out, struct error *err)
{
    unsigned char *bytes = mem_zeroed(base64_max_bytes(source->n), 1);
    size_t n;
    enum status st = base64_decode(source->base64, source->n, bytes, &n, err);
    if (st != STATUS_OK)
        error_prefix(err, "%s", source->field);
    else
        st = decode(source, bytes, n, model, out, err);
    free(bytes);
    return st;
}

static enum status load(const struct media_source *source, const struct gateway_model *model,
                        struct media **out, struct error *err)
{
    enum status st = check_kind(source, model, err);
    if (st != STATUS_OK)
        return st;
    if (source->base64)
        return load_base64(source, model, out, err);
    if (source->bytes)
        return decode(source, source->bytes, source->n, model, out, err);
    return error_set(err, STATUS_INVALID_ARGUMENT,
                     "%s: addresses are not fetched here; send the bytes in a data URI",
                     source->field);
}

static uint32_t count_tokens(const struct media *media)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < media->n_parts; i++)
        n += media->parts[i].n_tokens;
    return n;
}

enum status media_list_load(struct media_list *out, const struct media_sources *sources,
                            const struct gateway_model *model, struct error *err)
{
    *out = (struct media_list){.items = mem_zeroed(sources->n, sizeof(struct media *))};
    uint64_t n_tokens = 0;
    for (size_t i = 0; i < sources->n; i++) {
        enum status st = load(&sources->items[i], model, &out->items[i], err);
        if (st == STATUS_OK) {
            out->n = i + 1;
            n_tokens += count_tokens(out->items[i]);
            if (n_tokens >= model->max_positions)
                st = error_set(err, STATUS_INVALID_ARGUMENT,
                               "%s: with it there are %llu tokens of media, but %u is the most for "
                               "prompt and answer together",
                               sources->items[i].field, (unsigned long long)n_tokens,
                               model->max_positions);
        }
        if (st != STATUS_OK) {
            media_list_finish(out);
            return st;
        }
    }
    return STATUS_OK;
}

void media_list_finish(struct media_list *list)
{
    for (size_t i = 0; i < list->n; i++)
        media_drop(list->items[i]);
    free(list->items);
    *list = (struct media_list){0};
}
