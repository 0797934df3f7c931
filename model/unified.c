/* model/unified.c - a unit is some soft tokens from the first norm to the projection; ranks share
 * the tokens of a job, and get each other's at its end. Against the reference: tests/model/
 * test_unified.c. */
#include "model/unified.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "device/memory.h"
#include "model/encoder_weights.h"

enum {
    SIDE = 3, // of a soft token, in patches of 16 pixels
    PATCH_PIXELS = 16,
    PATCH_VALUES = 768,
    RUN_VALUES = 48, // of a patch's line
    TOKEN_VALUES = 9 * PATCH_VALUES,
    MAX_IMAGE_TOKENS = 1120,
    MAX_CLIP_FRAMES = 750, // as the audio towers
    UNIT_TOKENS = 32,
};

#define LAYER_NORM_EPS 1e-5F

struct buffers {
    float *values;  // [UNIT_TOKENS, TOKEN_VALUES]
    float *hidden;  // [UNIT_TOKENS, mm_embed_dim]
    float *normed;  // [UNIT_TOKENS, the wider of mm_embed_dim and a frame]
    uint32_t *rows; // [2, UNIT_TOKENS]
    float *out;     // [tokens, hidden_size]
};

struct unified {
    struct encoder_config c;
    const struct unified_weights *weights;
    struct device_buffer memory;
    struct buffers b;
    float values[2][256]; // of a byte, in images and in frames
    struct encoder_part *parts;
    uint32_t *first_tokens; // [n_parts + 1]
    uint32_t n_parts;
    uint32_t next_unit;
};

static size_t carve(const struct model_config *model, uint32_t max_patches, uint32_t max_frames,
                    const struct device_buffer *memory, struct buffers *out)
{
    const struct unified_config *u = &model->unified;
    size_t at = 0, n_images = max_patches / 9;
    size_t n = n_images > max_frames ? n_images : max_frames;
    size_t widest = u->mm_embed_dim > u->audio_embed_dim ? u->mm_embed_dim : u->audio_embed_dim;
    out->values = device_buffer_carve(memory, &at, (size_t)UNIT_TOKENS * TOKEN_VALUES,
                                      sizeof(float));
    out->hidden = device_buffer_carve(memory, &at, (size_t)UNIT_TOKENS * u->mm_embed_dim,
                                      sizeof(float));
    out->normed = device_buffer_carve(memory, &at, UNIT_TOKENS * widest, sizeof(float));
    out->rows = device_buffer_carve(memory, &at, (size_t)2 * UNIT_TOKENS, sizeof(uint32_t));
    out->out = device_buffer_carve(memory, &at, n * model->hidden_size, sizeof(float));
    return at;
}

size_t unified_activation_bytes(const struct model_config *config, uint32_t max_patches,
                                uint32_t max_frames)
{
    static const struct device_buffer nothing = {0};
    struct buffers ignored;
    return carve(config, max_patches, max_frames, &nothing, &ignored);
}

uint32_t unified_n_tokens(const struct unified_config *config, const struct encoder_part *part)
{
    if (part->kind == ENCODER_AUDIO)
        return config->audio_embed_dim > 0 && part->n_frames <= MAX_CLIP_FRAMES ? part->n_frames
                                                                                : 0;
    uint32_t width = part->grid_width / SIDE, height = part->grid_height / SIDE;
    if (part->grid_width % SIDE != 0 || part->grid_height % SIDE != 0 ||
        width > config->mm_posemb_size || height > config->mm_posemb_size)
        return 0;
    uint64_t n = (uint64_t)width * height;
    return n <= MAX_IMAGE_TOKENS ? (uint32_t)n : 0;
}

uint32_t unified_count_units(const struct unified_config *config, const struct encoder_part *parts,
                             uint32_t n_parts)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < n_parts; i++)
        n += unified_n_tokens(config, &parts[i]);
    return (n + UNIT_TOKENS - 1) / UNIT_TOKENS;
}

enum status unified_create(const struct encoder_config *config, struct unified **out,
                           struct error *err)
{
    struct unified *unified = mem_zeroed(1, sizeof *unified);
    unified->c = *config;
    unified->weights = &config->weights->unified;
    size_t bytes = unified_activation_bytes(config->config, config->max_patches,
                                            config->max_frames);
    enum status st = device_buffer_create(bytes, "encoder activations", &unified->memory, err);
    if (st != STATUS_OK) {
        unified_destroy(unified);
        return st;
    }
    carve(config->config, config->max_patches, config->max_frames, &unified->memory, &unified->b);
    unified->parts = mem_zeroed(config->max_parts, sizeof *unified->parts);
    unified->first_tokens = mem_zeroed((size_t)config->max_parts + 1, sizeof(uint32_t));
    for (int i = 0; i < 256; i++) {
        float x[2] = {(float)i * (1.0F / 255.0F), (float)i / 255.0F};
        for (int kind = 0; kind < 2; kind++)
            unified->values[kind][i] = config->compute == COMPUTE_BF16 ? bf16_round(x[kind])
                                                                       : x[kind];
    }
    *out = unified;
    return STATUS_OK;
}

void unified_destroy(struct unified *unified)
{
    if (!unified)
        return;
    device_buffer_destroy(&unified->memory);
    free(unified->parts);
    free(unified->first_tokens);
    free(unified);
}

void unified_begin(struct unified *unified, const struct encoder_part *parts, uint32_t n_parts)
{
    const struct encoder_config *c = &unified->c;
    uint32_t n = 0;
    CHECK(n_parts > 0 && n_parts <= c->max_parts);
    for (uint32_t i = 0; i < n_parts; i++) {
        uint32_t n_tokens = unified_n_tokens(&c->config->unified, &parts[i]);
        CHECK(n_tokens > 0 && parts[i].kind == parts[0].kind);
        unified->parts[i] = parts[i];
        unified->first_tokens[i] = n;
        n += n_tokens;
    }
    CHECK(n <= (parts[0].kind == ENCODER_VISION ? c->max_patches / 9 : c->max_frames));
    unified->first_tokens[n_parts] = n;
    unified->n_parts = n_parts;
    unified->next_unit = 0;
}

// The bytes of 3 x 3 patches, line by line of the whole.
static void merge_patches(const struct encoder_part *part, uint32_t token, const float *values,
                          float *out)
{
    uint32_t width = part->grid_width / SIDE;
    uint32_t x = token % width * SIDE, y = token / width * SIDE;
    for (uint32_t line = 0; line < SIDE * PATCH_PIXELS; line++)
        for (uint32_t column = 0; column < SIDE; column++) {
            size_t patch = (size_t)(y + line / PATCH_PIXELS) * part->grid_width + x + column;
            const unsigned char *bytes = (const unsigned char *)part->data + patch * PATCH_VALUES +
                                         (size_t)(line % PATCH_PIXELS) * RUN_VALUES;
            for (uint32_t i = 0; i < RUN_VALUES; i++)
                *out++ = values[bytes[i]];
        }
}

static void project_pixels(struct unified *unified, uint32_t n, float *out)
{
    const struct unified_weights *w = unified->weights;
    const struct buffers *b = &unified->b;
    const struct ops *ops = unified->c.ops;
    struct device_stream *stream = unified->c.stream;
    uint32_t dim = w->patch_dense.n, width = w->vision_projection.n;
    ops->layer_norm(b->values, b->values, NULL, w->patch_ln1.weight, w->patch_ln1.bias, n,
                    TOKEN_VALUES, LAYER_NORM_EPS, stream);
    ops->matmul(b->hidden, dim, b->values, TOKEN_VALUES, n, &w->patch_dense, stream);
    ops->layer_norm(b->hidden, b->hidden, w->patch_dense_bias, w->patch_ln2.weight,
                    w->patch_ln2.bias, n, dim, LAYER_NORM_EPS, stream);
    ops->add_table_rows(b->hidden, &w->pos_embedding, b->rows, b->rows + UNIT_TOKENS, n, stream);
    ops->layer_norm(b->hidden, b->hidden, NULL, w->pos_norm.weight, w->pos_norm.bias, n, dim,
                    LAYER_NORM_EPS, stream);
    ops->rmsnorm(b->normed, dim, b->hidden, dim, NULL, n, dim,
                 unified->c.config->unified.vision_rms_norm_eps, stream);
    ops->matmul(out, width, b->normed, dim, n, &w->vision_projection, stream);
}

static void project_samples(struct unified *unified, uint32_t n, float *out)
{
    const struct packed_matrix *projection = &unified->weights->audio_projection;
    const struct buffers *b = &unified->b;
    struct device_stream *stream = unified->c.stream;
    uint32_t dim = projection->k, width = projection->n;
    if (unified->c.compute == COMPUTE_BF16)
        for (size_t i = 0; i < (size_t)n * dim; i++)
            b->values[i] = bf16_round(b->values[i]);
    unified->c.ops->rmsnorm(b->normed, dim, b->values, dim, NULL, n, dim,
                            unified->c.config->unified.audio_rms_norm_eps, stream);
    unified->c.ops->matmul(out, width, b->normed, dim, n, projection, stream);
}

static void run_tokens(struct unified *unified, uint32_t begin, uint32_t end)
{
    const struct buffers *b = &unified->b;
    const uint32_t *first_tokens = unified->first_tokens;
    uint32_t p = 0, dim = unified->c.config->unified.audio_embed_dim;
    for (uint32_t token = begin; token < end; token++) {
        while (token >= first_tokens[p + 1])
            p++;
        const struct encoder_part *part = &unified->parts[p];
        uint32_t i = token - begin, in_part = token - first_tokens[p];
        if (part->kind == ENCODER_AUDIO) {
            memcpy(b->values + (size_t)i * dim, (const float *)part->data + (size_t)in_part * dim,
                   dim * sizeof(float));
            continue;
        }
        merge_patches(part, in_part, unified->values[part->is_frame],
                      b->values + (size_t)i * TOKEN_VALUES);
        b->rows[i] = 2 * (in_part % (part->grid_width / SIDE));
        b->rows[UNIT_TOKENS + i] = 2 * (in_part / (part->grid_width / SIDE)) + 1;
    }
    float *out = b->out + (size_t)begin * unified->c.config->hidden_size;
    if (unified->parts[0].kind == ENCODER_AUDIO)
        project_samples(unified, end - begin, out);
    else
        project_pixels(unified, end - begin, out);
}

static uint32_t share(uint32_t n, uint32_t i, uint32_t n_shares)
{
    return (uint32_t)((uint64_t)n * i / n_shares);
}

static enum status share_tokens(struct unified *unified, struct error *err)
{
    size_t offsets[9] = {0};
    uint32_t world_size = tp_world_size(unified->c.comm);
    uint32_t n = unified->first_tokens[unified->n_parts];
    for (uint32_t r = 0; r <= world_size; r++)
        offsets[r] = share(n, r, world_size) * unified->c.config->hidden_size * sizeof(float);
    return tp_all_gather(unified->c.comm, unified->b.out, offsets, err);
}

enum status unified_run(struct unified *unified, uint32_t n_units, struct error *err)
{
    uint32_t n_all = unified_count_units(&unified->c.config->unified, unified->parts,
                                         unified->n_parts);
    CHECK(n_units <= n_all - unified->next_unit);
    uint32_t n = unified->first_tokens[unified->n_parts];
    uint32_t rank = tp_rank(unified->c.comm), world_size = tp_world_size(unified->c.comm);
    uint32_t first = share(n, rank, world_size), own = share(n, rank + 1, world_size) - first;
    for (uint32_t end = unified->next_unit + n_units; unified->next_unit < end;
         unified->next_unit++) {
        uint32_t token = first + share(own, unified->next_unit, n_all);
        uint32_t last = first + share(own, unified->next_unit + 1, n_all);
        if (token < last)
            run_tokens(unified, token, last);
    }
    return unified->next_unit == n_all ? share_tokens(unified, err) : STATUS_OK;
}

const float *unified_output(const struct unified *unified)
{
    return unified->b.out;
}
