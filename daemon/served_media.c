/* daemon/served_media.c - from the configuration's words to the decoder's. */
#include "daemon/served_media.h"

#include <stdlib.h>

#include "daemon/media_plan.h"
#include "daemon/places.h"
#include "model/encoder.h"

// The pixels of a file beside the file, its result and the libraries: four bytes each, and those of
// a pass of the resize.
#define CHILD_BYTES_PER_PIXEL 8
#define CHILD_OTHER_BYTES ((size_t)512 << 20)

static enum media_audio_form audio_form(const struct model_config *model)
{
    if (model->unified.audio_embed_dim > 0)
        return MEDIA_AUDIO_RAW;
    return encoder_exists(model, ENCODER_AUDIO) ? MEDIA_AUDIO_MEL : MEDIA_AUDIO_NONE;
}

enum status served_media_start(const struct daemon_config *config, const struct model_config *model,
                               struct media_decoder **out, struct error *err)
{
    *out = NULL;
    if (!media_plan_serves(config, model))
        return STATUS_OK;
    char *program;
    enum status st = places_media(&program, err);
    if (st != STATUS_OK)
        return st;
    const struct media_decoder_config decoder = {
        .program = program,
        .n_children = config->media_processes,
        .max_file_bytes = config->media_max_file,
        .max_pixels = config->media_max_pixels,
        .max_seconds = config->media_max_seconds,
        .timeout_ns = config->media_timeout_ns,
        .max_child_bytes = config->media_max_file + CHILD_OTHER_BYTES +
                           (size_t)config->media_max_pixels * CHILD_BYTES_PER_PIXEL,
        .audio = audio_form(model),
    };
    st = media_decoder_create(&decoder, out, err);
    free(program);
    return st;
}
