/* model/encoder.c - which encoder a model has for what: towers, or a unified model's projections.
 */
#include "model/encoder.h"

#include <stdlib.h>

#include "base/mem.h"
#include "model/audio.h"
#include "model/unified.h"
#include "model/vision.h"

enum form { NO_ENCODER, VISION_TOWER, AUDIO_TOWER, UNIFIED };

struct encoder {
    struct encoder_config c;
    struct vision *vision;
    struct audio *audio;
    struct unified *unified;
    enum form form; // of the job
};

static enum form form_of(const struct model_config *config, enum encoder_kind kind)
{
    if (kind == ENCODER_VISION && config->vision.num_hidden_layers > 0)
        return VISION_TOWER;
    if (kind == ENCODER_AUDIO && config->audio.num_hidden_layers > 0)
        return AUDIO_TOWER;
    uint32_t width = kind == ENCODER_VISION ? config->unified.mm_embed_dim
                                            : config->unified.audio_embed_dim;
    return width > 0 ? UNIFIED : NO_ENCODER;
}

bool encoder_exists(const struct model_config *config, enum encoder_kind kind)
{
    return form_of(config, kind) != NO_ENCODER;
}

uint32_t encoder_n_tokens(const struct model_config *config, const struct encoder_part *part)
{
    switch (form_of(config, part->kind)) {
    case VISION_TOWER:
        return vision_n_tokens(&config->vision, part);
    case AUDIO_TOWER:
        return audio_n_tokens(part);
    case UNIFIED:
        return unified_n_tokens(&config->unified, part);
    case NO_ENCODER:
        break;
    }
    return 0;
}

uint32_t encoder_count_units(const struct model_config *config, const struct encoder_part *parts,
                             uint32_t n_parts)
{
    switch (n_parts ? form_of(config, parts[0].kind) : NO_ENCODER) {
    case VISION_TOWER:
        return vision_count_units(&config->vision, parts, n_parts);
    case AUDIO_TOWER:
        return audio_count_units(&config->audio, parts, n_parts);
    case UNIFIED:
        return unified_count_units(&config->unified, parts, n_parts);
    case NO_ENCODER:
        break;
    }
    return 0;
}

// Whether one of the kinds has this form.
static bool has_form(const struct model_config *config, enum form form)
{
    return form_of(config, ENCODER_VISION) == form || form_of(config, ENCODER_AUDIO) == form;
}

size_t encoder_activation_bytes(const struct model_config *config, uint32_t max_patches,
                                uint32_t max_frames, uint32_t max_parts)
{
    size_t bytes = 0;
    if (has_form(config, VISION_TOWER))
        bytes += vision_activation_bytes(config, max_patches, max_parts);
    if (has_form(config, AUDIO_TOWER))
        bytes += audio_activation_bytes(config, max_frames, max_parts);
    if (has_form(config, UNIFIED))
        bytes += unified_activation_bytes(config, max_patches, max_frames);
    return bytes;
}

enum status encoder_create(const struct encoder_config *config, struct encoder **out,
                           struct error *err)
{
    struct encoder *encoder = mem_zeroed(1, sizeof *encoder);
    encoder->c = *config;
    enum status st = STATUS_OK;
    if (has_form(config->config, VISION_TOWER))
        st = vision_create(config, &encoder->vision, err);
    if (st == STATUS_OK && has_form(config->config, AUDIO_TOWER))
        st = audio_create(config, &encoder->audio, err);
    if (st == STATUS_OK && has_form(config->config, UNIFIED))
        st = unified_create(config, &encoder->unified, err);
    if (st != STATUS_OK) {
        encoder_destroy(encoder);
        return st;
    }
    *out = encoder;
    return STATUS_OK;
}

void encoder_destroy(struct encoder *encoder)
{
    if (!encoder)
        return;
    vision_destroy(encoder->vision);
    audio_destroy(encoder->audio);
    unified_destroy(encoder->unified);
    free(encoder);
}

void encoder_begin(struct encoder *encoder, const struct encoder_part *parts, uint32_t n_parts)
{
    CHECK(n_parts > 0);
    encoder->form = form_of(encoder->c.config, parts[0].kind);
    CHECK(encoder->form != NO_ENCODER);
    if (encoder->form == VISION_TOWER)
        vision_begin(encoder->vision, parts, n_parts);
    else if (encoder->form == AUDIO_TOWER)
        audio_begin(encoder->audio, parts, n_parts);
    else
        unified_begin(encoder->unified, parts, n_parts);
}

enum status encoder_run(struct encoder *encoder, uint32_t n_units, struct error *err)
{
    CHECK(encoder->form != NO_ENCODER);
    if (encoder->form == VISION_TOWER)
        return vision_run(encoder->vision, n_units, err);
    return encoder->form == AUDIO_TOWER ? audio_run(encoder->audio, n_units, err)
                                        : unified_run(encoder->unified, n_units, err);
}

const float *encoder_output(const struct encoder *encoder)
{
    CHECK(encoder->form != NO_ENCODER);
    if (encoder->form == VISION_TOWER)
        return vision_output(encoder->vision);
    return encoder->form == AUDIO_TOWER ? audio_output(encoder->audio)
                                        : unified_output(encoder->unified);
}
