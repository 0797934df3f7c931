/* engine/soft_tokens.c - step_open has checked every range against the limits; what only the
 * encoders know is checked here: what their parts may be, and that a job is stored when it has
 * ended. Checked by tests/model/test_media.c. */
#include "engine/soft_tokens.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "device/memory.h"

struct soft_tokens {
    struct soft_tokens_config c;
    struct device_buffer cache;  // [n_cache_rows, hidden_size] f32
    struct encoder_part *parts;  // [max_encode_parts] of the job
    struct text_splice *splices; // [step_max_splices]
    uint32_t n_units_left;       // of the job
    uint32_t n_tokens;           // of the job
};

static float *cache_row(const struct soft_tokens *soft, uint32_t row)
{
    return (float *)soft->cache.data + (size_t)row * soft->c.config->hidden_size;
}

enum status soft_tokens_create(const struct soft_tokens_config *config, struct soft_tokens **out,
                               struct error *err)
{
    const struct step_limits *limits = &config->limits;
    struct soft_tokens *soft = mem_zeroed(1, sizeof *soft);
    soft->c = *config;
    soft->parts = mem_zeroed(limits->max_encode_parts, sizeof *soft->parts);
    soft->splices = mem_zeroed(step_max_splices(limits), sizeof *soft->splices);
    size_t bytes = soft_tokens_cache_bytes(config->config, limits->n_cache_rows);
    enum status st = device_buffer_create(bytes, "encoder cache", &soft->cache, err);
    if (st != STATUS_OK) {
        soft_tokens_destroy(soft);
        return st;
    }
    *out = soft;
    return STATUS_OK;
}

void soft_tokens_destroy(struct soft_tokens *soft)
{
    if (!soft)
        return;
    device_buffer_destroy(&soft->cache);
    free(soft->parts);
    free(soft->splices);
    free(soft);
}

static enum status begin_job(struct soft_tokens *soft, const struct step *step, struct error *err)
{
    const struct model_config *config = soft->c.config;
    uint32_t n = step->header->encode.n_parts;
    soft->n_tokens = 0;
    soft->n_units_left = 0;
    for (uint32_t i = 0; i < n; i++) {
        const struct step_encode_part *part = &step->encode_parts[i];
        soft->parts[i] = (struct encoder_part){
            .kind = (enum encoder_kind)part->kind,
            .is_frame = part->is_frame != 0,
            .grid_width = part->grid_width,
            .grid_height = part->grid_height,
            .n_frames = part->n_frames,
            .data = soft->c.media + part->data_offset,
        };
        uint32_t n_tokens = 0;
        if (encoder_exists(config, soft->parts[i].kind))
            n_tokens = encoder_n_tokens(config, &soft->parts[i]);
        if (n_tokens == 0)
            return error_set(err, STATUS_INTERNAL, "step %llu: part %u is none of this model's",
                             (unsigned long long)step->header->step_id, i);
        soft->n_tokens += n_tokens;
    }
    soft->n_units_left = encoder_count_units(config, soft->parts, n);
    encoder_begin(soft->c.encoder, soft->parts, n);
    return STATUS_OK;
}

static enum status store(struct soft_tokens *soft, const struct step *step, struct error *err)
{
    const float *rows = encoder_output(soft->c.encoder);
    size_t hidden = soft->c.config->hidden_size;
    for (uint32_t i = 0; i < step->header->encode.n_stores; i++) {
        const struct step_cache_rows *to = &step->stores[i];
        if (to->at > soft->n_tokens || to->n > soft->n_tokens - to->at)
            return error_set(err, STATUS_INTERNAL, "step %llu: stores tokens %u to %u of %u",
                             (unsigned long long)step->header->step_id, to->at, to->at + to->n,
                             soft->n_tokens);
        memcpy(cache_row(soft, to->cache_row), rows + to->at * hidden,
               to->n * hidden * sizeof(float));
    }
    return STATUS_OK;
}

enum status soft_tokens_encode(struct soft_tokens *soft, const struct step *step, struct error *err)
{
    const struct step_encode *encode = &step->header->encode;
    if (encode->n_units == 0)
        return STATUS_OK;
    enum status st = encode->n_parts > 0 ? begin_job(soft, step, err) : STATUS_OK;
    if (st != STATUS_OK)
        return st;
    bool ends = encode->n_units == soft->n_units_left;
    if (encode->n_units > soft->n_units_left || ends != (encode->n_stores > 0))
        return error_set(err, STATUS_INTERNAL, "step %llu: %u units of %u, and %u stores",
                         (unsigned long long)step->header->step_id, encode->n_units,
                         soft->n_units_left, encode->n_stores);
    st = encoder_run(soft->c.encoder, encode->n_units, err);
    soft->n_units_left -= encode->n_units;
    if (st == STATUS_OK && ends)
        st = store(soft, step, err);
    return st;
}

const struct text_splice *soft_tokens_splices(struct soft_tokens *soft, const struct step *step)
{
    for (uint32_t i = 0; i < step->header->n_splices; i++) {
        const struct step_cache_rows *splice = &step->splices[i];
        soft->splices[i] = (struct text_splice){
            .row = splice->at,
            .n_rows = splice->n,
            .rows = cache_row(soft, splice->cache_row),
            .is_block = splice->is_block != 0,
        };
    }
    return soft->splices;
}
