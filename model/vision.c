/* model/vision.c - gemma4-model.md section 5.3. A layer has two phases: what a row needs of itself
 * (norm, q, k, v), and, when the keys and values of all rows are there, attention and the rest. In
 * between the ranks give each other their pages of keys and values.
 *
 * q and k are packed so that the rotation by column and line is one half-split rotation
 * (model/encoder_weights.h): an angle for each quarter of the column, then of the line. With that
 * the text's ops serve: an image is a sequence whose rows all see its last one.
 * A row's result depends on its image alone, as all ops compute rows one by one and attention takes
 * keys in splits from the image's first row on: checked to the bit by tests/model/test_vision.c. */
#include "model/vision.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "device/memory.h"
#include "kernels/rope.h"
#include "model/encoder_linear.h"
#include "model/vision_job.h"

enum { PATCH_VALUES = 768, MAX_TOKENS = 1120, MAX_HALF_HEAD = 64 };

// Of one mapping. Chunk buffers hold the rows of a unit.
struct buffers {
    float *hidden; // [own rows, hidden_size]: the residual stream
    float *query;  // [own rows, heads * head_dim]
    float *cos;    // [own rows, head_dim / 2], and
    float *sin;
    uint32_t *slots;      // [own rows]: in the pages of keys and values
    unsigned char *pages; // [pages of the job][keys, values]
    float *pooled;        // [own tokens, hidden_size]
    float *out;           // [tokens, hidden_size of the text]
    float *wide;          // chunk: pixels; normed rows; gate
    float *clamped;
    float *narrow;            // chunk: v; attention's result; up
    float *sums;              // chunk: k; what is added to the residual stream
    uint32_t *places;         // chunk [3 * rows]
    uint32_t *last_positions; // [PAGE_ROWS]
    uint32_t *page_ids;       // [pages]: 0, 1, 2, ...
};

struct vision {
    struct encoder_config c;
    const struct vision_config *config;
    const struct vision_weights *weights;
    struct device_buffer memory;
    struct buffers b;
    struct kv_view view;
    float *head_norms; // [layers][q, k][head_dim], in the order of packed q and k
    float inv_freq[MAX_HALF_HEAD / 2];
    float values[2][256]; // of a byte, in images and in frames
    struct vision_job job;
    uint32_t next_unit;
};

static uint32_t larger(uint32_t a, uint32_t b)
{
    return a > b ? a : b;
}

static uint32_t heads_width(const struct vision_config *config)
{
    return config->num_attention_heads * config->head_dim;
}

// Of f32 keys and values, the wider ones.
static size_t page_bytes(const struct vision_config *config)
{
    return (size_t)2 * PAGE_ROWS * heads_width(config) * sizeof(float);
}

// Counts, or cuts memory.
static size_t carve(const struct model_config *model, uint32_t max_patches, uint32_t max_parts,
                    const struct device_buffer *memory, struct buffers *out)
{
    const struct vision_config *v = &model->vision;
    size_t at = 0, rows = max_patches, tokens = max_patches / TOKEN_ROWS;
    size_t n_pages = vision_max_pages(max_patches, max_parts);
    size_t chunk = PAGE_ROWS * PROJECT_PAGES, heads = heads_width(v);
    size_t narrow = larger(v->hidden_size, heads_width(v));
    // Units of several pages are no wider than the residual stream, q or pixels.
    size_t wide = narrow > PATCH_VALUES ? narrow * chunk : PATCH_VALUES * chunk;
    size_t feed_forward = (size_t)v->intermediate_size * PAGE_ROWS;
    if (feed_forward > wide)
        wide = feed_forward;
    out->hidden = device_buffer_carve(memory, &at, rows * v->hidden_size, sizeof(float));
    out->query = device_buffer_carve(memory, &at, rows * heads, sizeof(float));
    out->cos = device_buffer_carve(memory, &at, rows * v->head_dim / 2, sizeof(float));
    out->sin = device_buffer_carve(memory, &at, rows * v->head_dim / 2, sizeof(float));
    out->slots = device_buffer_carve(memory, &at, rows, sizeof(uint32_t));
    out->pages = device_buffer_carve(memory, &at, n_pages, page_bytes(v));
    out->pooled = device_buffer_carve(memory, &at, tokens * v->hidden_size, sizeof(float));
    out->out = device_buffer_carve(memory, &at, tokens * model->hidden_size, sizeof(float));
    out->wide = device_buffer_carve(memory, &at, wide, sizeof(float));
    out->clamped = device_buffer_carve(memory, &at, wide, sizeof(float));
    out->narrow = device_buffer_carve(memory, &at, wide, sizeof(float));
    out->sums = device_buffer_carve(memory, &at, narrow * chunk, sizeof(float));
    out->places = device_buffer_carve(memory, &at, 3 * chunk, sizeof(uint32_t));
    out->last_positions = device_buffer_carve(memory, &at, PAGE_ROWS, sizeof(uint32_t));
    out->page_ids = device_buffer_carve(memory, &at, n_pages, sizeof(uint32_t));
    return at;
}

size_t vision_activation_bytes(const struct model_config *config, uint32_t max_patches,
                               uint32_t max_parts)
{
    static const struct device_buffer nothing = {0};
    struct buffers ignored;
    return carve(config, max_patches, max_parts, &nothing, &ignored);
}

uint32_t vision_n_tokens(const struct vision_config *config, const struct encoder_part *part)
{
    uint32_t width = part->grid_width, height = part->grid_height;
    if (width == 0 || height == 0 || width % 3 != 0 || height % 3 != 0 ||
        width > config->position_embedding_size || height > config->position_embedding_size)
        return 0;
    uint64_t n = (uint64_t)(width / 3) * (height / 3);
    return n <= MAX_TOKENS ? (uint32_t)n : 0;
}

uint32_t vision_count_units(const struct vision_config *config, const struct encoder_part *parts,
                            uint32_t n_parts)
{
    uint32_t n_pages = 0;
    for (uint32_t i = 0; i < n_parts; i++)
        n_pages += (vision_n_tokens(config, &parts[i]) + PAGE_TOKENS - 1) / PAGE_TOKENS;
    return vision_job_units(n_pages, config->num_hidden_layers);
}

// 2 (x - 0.5) of all bytes, rounded as the compute type has it.
static void fill_values(struct vision *vision)
{
    for (int i = 0; i < 256; i++) {
        float x[2] = {(float)i * (1.0F / 255.0F), (float)i / 255.0F};
        for (int kind = 0; kind < 2; kind++) {
            float value = 2.0F * (x[kind] - 0.5F);
            vision->values[kind][i] = vision->c.compute == COMPUTE_BF16 ? bf16_round(value) : value;
        }
    }
}

// As in model_inv_freq, over half a head for each axis.
static void fill_inv_freq(struct vision *vision)
{
    uint32_t half = vision->config->head_dim / 2;
    for (uint32_t i = 0; i < half / 2; i++) {
        float exponent = (float)(2 * i) / (float)half;
        vision->inv_freq[i] = 1.0F / (float)pow((double)(float)vision->config->rope_theta,
                                                (double)exponent);
    }
}

static void fill_head_norms(struct vision *vision)
{
    static const uint32_t quarters[] = {0, 2, 1, 3};
    uint32_t dim = vision->config->head_dim, n_layers = vision->config->num_hidden_layers;
    vision->head_norms = mem_zeroed((size_t)2 * n_layers * dim, sizeof(float));
    float *to = vision->head_norms;
    for (uint32_t l = 0; l < n_layers; l++) {
        const struct vision_layer_weights *w = &vision->weights->layers[l];
        const float *const norms[] = {w->q_norm, w->k_norm};
        for (uint32_t i = 0; i < 2; i++)
            for (uint32_t q = 0; q < 4; q++, to += dim / 4)
                memcpy(to, norms[i] + quarters[q] * (dim / 4), dim / 4 * sizeof *to);
    }
}

static void make_view(struct vision *vision)
{
    enum dtype dtype = vision->c.compute == COMPUTE_BF16 ? DTYPE_BF16 : DTYPE_F32;
    size_t half = (size_t)PAGE_ROWS * heads_width(vision->config) * dtype_bytes(dtype);
    vision->view = (struct kv_view){
        .pages = vision->b.pages,
        .page_bytes = 2 * half,
        .v_offset = half,
        .dtype = dtype,
        .page_tokens = PAGE_ROWS,
        .n_kv_heads = vision->config->num_attention_heads,
        .k_dim = vision->config->head_dim,
        .v_dim = vision->config->head_dim,
    };
}

enum status vision_create(const struct encoder_config *config, struct vision **out,
                          struct error *err)
{
    uint32_t n_pages = vision_max_pages(config->max_patches, config->max_parts);
    struct vision *vision = mem_zeroed(1, sizeof *vision);
    vision->c = *config;
    vision->config = &config->config->vision;
    vision->weights = &config->weights->vision;
    size_t bytes = vision_activation_bytes(config->config, config->max_patches, config->max_parts);
    enum status st = device_buffer_create(bytes, "vision activations", &vision->memory, err);
    if (st != STATUS_OK) {
        vision_destroy(vision);
        return st;
    }
    carve(config->config, config->max_patches, config->max_parts, &vision->memory, &vision->b);
    for (uint32_t i = 0; i < n_pages; i++)
        vision->b.page_ids[i] = i;
    vision->job.parts = mem_zeroed(config->max_parts, sizeof *vision->job.parts);
    vision->job.first_pages = mem_zeroed(config->max_parts, sizeof(uint32_t));
    vision->job.pages = mem_zeroed((size_t)n_pages + 1, sizeof *vision->job.pages);
    fill_values(vision);
    fill_inv_freq(vision);
    fill_head_norms(vision);
    make_view(vision);
    *out = vision;
    return STATUS_OK;
}

void vision_destroy(struct vision *vision)
{
    if (!vision)
        return;
    device_buffer_destroy(&vision->memory);
    free(vision->job.parts);
    free(vision->job.first_pages);
    free(vision->job.pages);
    free(vision->head_norms);
    free(vision);
}

void vision_begin(struct vision *vision, const struct encoder_part *parts, uint32_t n_parts)
{
    uint32_t n_patches = 0;
    CHECK(n_parts <= vision->c.max_parts);
    for (uint32_t i = 0; i < n_parts; i++) {
        CHECK(vision_n_tokens(vision->config, &parts[i]) > 0);
        n_patches += parts[i].grid_width * parts[i].grid_height;
    }
    CHECK(n_patches <= vision->c.max_patches);
    vision_job_begin(&vision->job, parts, n_parts, tp_rank(vision->c.comm),
                     tp_world_size(vision->c.comm));
    vision->next_unit = 0;
}

static uint32_t first_row(const struct vision *vision, uint32_t page)
{
    return vision->job.pages[page].own_row;
}

// Pixels, tables' rows and positions of a page, from the chunk's row `at` on.
static void place_page(struct vision *vision, uint32_t number, size_t at, size_t chunk)
{
    const struct vision_page *page = &vision->job.pages[number];
    const struct encoder_part *part = &vision->job.parts[page->part];
    const float *values = vision->values[part->is_frame];
    uint32_t *positions = vision->b.places, *columns = positions + 2 * chunk;
    for (uint32_t i = 0; i < page->n_rows; i++, at++) {
        uint32_t x, y;
        vision_patch_of(part, page->first + i, &x, &y);
        const unsigned char *bytes = (const unsigned char *)part->data +
                                     ((size_t)y * part->grid_width + x) * PATCH_VALUES;
        float *pixels = vision->b.wide + at * PATCH_VALUES;
        for (uint32_t j = 0; j < PATCH_VALUES; j++)
            pixels[j] = values[bytes[j]];
        positions[2 * at] = columns[at] = x;
        positions[2 * at + 1] = y;
        vision->b.slots[page->own_row + i] = number * PAGE_ROWS + i;
    }
}

static void embed(struct vision *vision, const struct vision_unit *unit)
{
    const struct ops *ops = vision->c.ops;
    const struct vision_config *config = vision->config;
    struct device_stream *stream = vision->c.stream;
    const struct buffers *b = &vision->b;
    uint32_t first = first_row(vision, unit->begin), n = first_row(vision, unit->end) - first;
    uint32_t dim = config->hidden_size, half = config->head_dim / 2;
    for (uint32_t p = unit->begin; p < unit->end; p++)
        place_page(vision, p, first_row(vision, p) - first, n);
    float *hidden = b->hidden + (size_t)first * dim;
    const struct packed_matrix *input_proj = &vision->weights->input_proj;
    ops->matmul(hidden, dim, b->wide, PATCH_VALUES, n, input_proj, stream);
    // Column and line of a patch are two rows of angles, which lie side by side.
    ops->rope_angles(b->cos + (size_t)first * half, b->sin + (size_t)first * half, b->places,
                     vision->inv_freq, 2 * n, half / 2, stream);
    uint32_t *columns = b->places + (size_t)2 * n, *lines = b->places;
    for (uint32_t i = 0; i < n; i++)
        lines[i] = config->position_embedding_size + b->places[2 * i + 1];
    ops->add_table_rows(hidden, &vision->weights->position_embedding, columns, lines, n, stream);
}

static void project(struct vision *vision, const struct vision_unit *unit)
{
    const struct ops *ops = vision->c.ops;
    const struct vision_config *config = vision->config;
    struct device_stream *stream = vision->c.stream;
    const struct vision_layer_weights *w = &vision->weights->layers[unit->layer];
    const struct buffers *b = &vision->b;
    uint32_t first = first_row(vision, unit->begin), n = first_row(vision, unit->end) - first;
    uint32_t dim = config->hidden_size, heads = heads_width(config), half = config->head_dim / 2;
    const float *norms = vision->head_norms + (size_t)2 * unit->layer * config->head_dim;
    const float *cos = b->cos + (size_t)first * half, *sin = b->sin + (size_t)first * half;
    float *query = b->query + (size_t)first * heads, *key = b->sums, *value = b->narrow;
    float eps = config->rms_norm_eps;
    ops->rmsnorm(b->wide, dim, b->hidden + (size_t)first * dim, dim, w->input_layernorm, n, dim,
                 eps, stream);
    encoder_linear_run(&w->k, key, b->wide, b->clamped, n, ops, stream);
    encoder_linear_run(&w->v, value, b->wide, b->clamped, n, ops, stream);
    ops->kv_write(&vision->view, b->slots + first, key, heads, value, heads,
                  norms + config->head_dim, cos, sin, n, eps, stream);
    encoder_linear_run(&w->q, key, b->wide, b->clamped, n, ops, stream);
    ops->query_finish(query, key, heads, config->num_attention_heads, norms, NULL, cos, sin, n, eps,
                      &vision->view, stream);
}

// Every rank gets the pages of the others.
static enum status share_pages(struct vision *vision, struct error *err)
{
    size_t offsets[9] = {0};
    uint32_t world_size = tp_world_size(vision->c.comm);
    for (uint32_t r = 0; r <= world_size; r++)
        offsets[r] = vision_share(vision->job.n_pages, r, world_size) * vision->view.page_bytes;
    return tp_all_gather(vision->c.comm, vision->view.pages, offsets, err);
}

// Attention of one page's rows over its image.
static void attend_page(struct vision *vision, uint32_t number, float *out)
{
    const struct vision_page *page = &vision->job.pages[number];
    const struct encoder_part *part = &vision->job.parts[page->part];
    const struct buffers *b = &vision->b;
    const uint32_t offsets[] = {0, page->n_rows};
    const uint32_t *table = b->page_ids + vision->job.first_pages[page->part];
    for (uint32_t i = 0; i < page->n_rows; i++)
        b->last_positions[i] = part->grid_width * part->grid_height - 1;
    const struct attention_batch batch = {
        .n_seqs = 1,
        .n_rows = page->n_rows,
        .row_offsets = offsets,
        .first_position = &page->first,
        .block_tables = &table,
        .last_positions = b->last_positions,
    };
    const float *query = b->query + (size_t)page->own_row * heads_width(vision->config);
    vision->c.ops->attention_paged(out, query, vision->config->num_attention_heads, &vision->view,
                                   &batch, 0, vision->c.stream);
}

static void attend(struct vision *vision, const struct vision_unit *unit)
{
    const struct ops *ops = vision->c.ops;
    struct device_stream *stream = vision->c.stream;
    const struct vision_layer_weights *w = &vision->weights->layers[unit->layer];
    const struct buffers *b = &vision->b;
    uint32_t dim = vision->config->hidden_size, wide = vision->config->intermediate_size;
    float eps = vision->config->rms_norm_eps;
    for (uint32_t p = unit->begin; p < unit->end; p++) {
        uint32_t n = vision->job.pages[p].n_rows;
        float *hidden = b->hidden + (size_t)first_row(vision, p) * dim;
        attend_page(vision, p, b->narrow);
        encoder_linear_run(&w->o, b->sums, b->narrow, b->clamped, n, ops, stream);
        ops->residual_norm(hidden, b->sums, w->post_attention_layernorm, n, dim, eps, 1, stream);
        float *normed = b->sums;
        ops->rmsnorm(normed, dim, hidden, dim, w->pre_feedforward_layernorm, n, dim, eps, stream);
        encoder_linear_run(&w->gate, b->wide, normed, b->clamped, n, ops, stream);
        encoder_linear_run(&w->up, b->narrow, normed, b->clamped, n, ops, stream);
        ops->gelu_mul(b->wide, wide, b->wide, wide, b->narrow, wide, n, wide, stream);
        encoder_linear_run(&w->down, b->sums, b->wide, b->clamped, n, ops, stream);
        ops->residual_norm(hidden, b->sums, w->post_feedforward_layernorm, n, dim, eps, 1, stream);
    }
}

static void finish(struct vision *vision, const struct vision_unit *unit)
{
    const struct ops *ops = vision->c.ops;
    struct device_stream *stream = vision->c.stream;
    const struct vision_weights *w = &vision->weights[0];
    const struct buffers *b = &vision->b;
    uint32_t dim = vision->config->hidden_size, width = vision->c.config->hidden_size;
    uint32_t first = vision->job.pages[unit->begin].token;
    uint32_t n = vision->job.pages[unit->end].token - first;
    const float *hidden = b->hidden + (size_t)first_row(vision, unit->begin) * dim;
    float *pooled = b->pooled +
                    (size_t)(first - vision->job.pages[vision->job.own_begin].token) * dim;
    ops->pool_rows(pooled, hidden, TOKEN_ROWS, sqrtf((float)dim), w->std_bias, w->std_scale, n, dim,
                   stream);
    ops->rmsnorm(b->wide, dim, pooled, dim, NULL, n, dim, vision->config->rms_norm_eps, stream);
    ops->matmul(b->out + (size_t)first * width, width, b->wide, dim, n, &w->projection, stream);
}

static enum status share_tokens(struct vision *vision, struct error *err)
{
    size_t offsets[9] = {0};
    uint32_t world_size = tp_world_size(vision->c.comm);
    size_t row_bytes = vision->c.config->hidden_size * sizeof(float);
    for (uint32_t r = 0; r <= world_size; r++) {
        uint32_t page = vision_share(vision->job.n_pages, r, world_size);
        offsets[r] = vision->job.pages[page].token * row_bytes;
    }
    return tp_all_gather(vision->c.comm, vision->b.out, offsets, err);
}

static void observe(const struct vision *vision, const char *stage, uint32_t layer,
                    const float *rows, uint32_t n_rows)
{
    if (vision->c.observe)
        vision->c.observe(vision->c.observe_context, stage, layer, rows, n_rows,
                          vision->config->hidden_size);
}

static enum status run_unit(struct vision *vision, const struct vision_unit *unit,
                            struct error *err)
{
    static void (*const run[])(struct vision *, const struct vision_unit *) = {
        [PHASE_EMBED] = embed,
        [PHASE_PROJECT] = project,
        [PHASE_ATTEND] = attend,
        [PHASE_FINISH] = finish,
    };
    if (unit->begin < unit->end)
        run[unit->phase](vision, unit);
    if (!unit->is_last)
        return STATUS_OK;
    uint32_t n_rows = first_row(vision, vision->job.own_end);
    switch (unit->phase) {
    case PHASE_EMBED:
        observe(vision, "embed", 0, vision->b.hidden, n_rows);
        return STATUS_OK;
    case PHASE_PROJECT:
        return share_pages(vision, err);
    case PHASE_ATTEND:
        observe(vision, "out", unit->layer, vision->b.hidden, n_rows);
        return STATUS_OK;
    case PHASE_FINISH:
        observe(vision, "pooled", 0, vision->b.pooled, n_rows / TOKEN_ROWS);
        return share_tokens(vision, err);
    }
    return STATUS_OK;
}

enum status vision_run(struct vision *vision, uint32_t n_units, struct error *err)
{
    uint32_t n_layers = vision->config->num_hidden_layers;
    CHECK(n_units <= vision_job_units(vision->job.n_pages, n_layers) - vision->next_unit);
    enum status st = STATUS_OK;
    for (; n_units > 0 && st == STATUS_OK; n_units--) {
        struct vision_unit unit = vision_job_unit(&vision->job, n_layers, vision->next_unit++);
        st = run_unit(vision, &unit, err);
    }
    return st;
}

const float *vision_output(const struct vision *vision)
{
    return vision->b.out;
}
