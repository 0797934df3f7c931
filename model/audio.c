/* model/audio.c - gemma4-model.md section 5.5. The units of a job: first all rows are subsampled,
 * CHUNK_ROWS at a time, then each half of a layer (feed-forward and attention; convolution and
 * feed-forward: as much work) goes over them, then the projections. Keys, values and the
 * convolution's input of a layer stay until the next layer writes over them, row by row: so the
 * rows before a chunk are always of its own layer.
 * The ranks share the rows of each chunk, and give each other the keys, values and convolution's
 * inputs of theirs, as rows look back; and, in the end, the soft tokens.
 * What does not depend on the audio (keys of distances, scales) is computed at creation.
 * Checked against the reference, layer by layer, by tests/model/test_audio.c. */
#include "model/audio.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "device/memory.h"
#include "kernels/conformer.h"
#include "model/encoder_linear.h"
#include "model/encoder_weights.h"
#include "tp/shard.h"

enum {
    CHUNK_ROWS = 128,     // of a unit, all ranks together
    SUBSAMPLED_ROWS = 32, // at a time: what is unfolded for them fits the caches
    N_BINS = 128,         // of mel
    HALF_BINS = N_BINS / 2,
    QUARTER_BINS = N_BINS / 4,
    CONV_VALUES = 9, // 3 x 3
    MAX_FRAMES = 3000,
};

// Of one mapping. Rows are of the job, chunk buffers of a unit. Of hidden a rank has its own alone.
struct buffers {
    float *hidden;  // [rows, hidden_size]
    float *k, *v;   // [rows, hidden_size] of the layer
    float *conv_in; // [rows, hidden_size] of the layer
    float *out;     // [rows, hidden_size of the text]
    uint32_t *ages; // [rows]: rows of the clip before it
    float *normed;  // chunk [rows, widest]; the first convolution's rows
    float *wide;    // chunk [rows, 4 * hidden_size] or the unfolded rows
    float *clamped; // the same
    float *narrow;  // chunk [rows, widest]
};

struct audio {
    struct encoder_config c;
    const struct audio_config *config;
    const struct audio_weights *weights;
    struct device_buffer memory;
    struct buffers b;
    float *conv0;        // [9, channels]
    float *depthwise;    // [layers, taps, hidden_size]
    float *relative;     // [layers, keys, hidden_size]
    float *query_scales; // [layers, head_dim]
    float *half_norms; // [layers, 2, hidden_size]: the feed-forwards' post norms by residual_weight
    struct encoder_part *parts;
    uint32_t *first_rows; // [n_parts + 1]
    uint32_t n_parts, n_chunks, next_unit;
};

static uint32_t halved(uint32_t n)
{
    return (n - 1) / 2 + 1;
}

static uint32_t larger(uint32_t a, uint32_t b)
{
    return a > b ? a : b;
}

static uint32_t smaller(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

static uint32_t head_dim(const struct audio_config *config)
{
    return config->hidden_size / config->num_attention_heads;
}

static uint32_t n_keys(const struct audio_config *config)
{
    return config->attention_context_left - 1;
}

static uint32_t max_rows(uint32_t max_frames, uint32_t max_parts)
{
    return max_frames / 4 + 1 + max_parts;
}

// Counts, or cuts memory.
static size_t carve(const struct model_config *model, uint32_t max_frames, uint32_t max_parts,
                    const struct device_buffer *memory, struct buffers *out)
{
    const struct audio_config *a = &model->audio;
    size_t at = 0, rows = max_rows(max_frames, max_parts), dim = a->hidden_size;
    // The first convolution makes 2 n + 1 rows for n of the second.
    size_t first_conv = (size_t)(2 * SUBSAMPLED_ROWS + 1) * HALF_BINS *
                        a->subsampling_conv_channels[0];
    size_t unfolded = (size_t)SUBSAMPLED_ROWS * QUARTER_BINS * CONV_VALUES *
                      a->subsampling_conv_channels[0];
    size_t second_conv = (size_t)SUBSAMPLED_ROWS * QUARTER_BINS * a->subsampling_conv_channels[1];
    size_t narrow = (size_t)CHUNK_ROWS * larger(a->hidden_size, a->output_proj_dims);
    size_t wide = (size_t)CHUNK_ROWS * 4 * dim;
    narrow = narrow > second_conv ? narrow : second_conv;
    out->hidden = device_buffer_carve(memory, &at, rows * dim, sizeof(float));
    out->k = device_buffer_carve(memory, &at, rows * dim, sizeof(float));
    out->v = device_buffer_carve(memory, &at, rows * dim, sizeof(float));
    out->conv_in = device_buffer_carve(memory, &at, rows * dim, sizeof(float));
    out->out = device_buffer_carve(memory, &at, rows * model->hidden_size, sizeof(float));
    out->ages = device_buffer_carve(memory, &at, rows, sizeof(uint32_t));
    out->normed = device_buffer_carve(memory, &at, first_conv > narrow ? first_conv : narrow,
                                      sizeof(float));
    out->wide = device_buffer_carve(memory, &at, unfolded > wide ? unfolded : wide, sizeof(float));
    out->clamped = device_buffer_carve(memory, &at, wide, sizeof(float));
    out->narrow = device_buffer_carve(memory, &at, narrow, sizeof(float));
    return at;
}

size_t audio_activation_bytes(const struct model_config *config, uint32_t max_frames,
                              uint32_t max_parts)
{
    static const struct device_buffer nothing = {0};
    struct buffers ignored;
    return carve(config, max_frames, max_parts, &nothing, &ignored);
}

uint32_t audio_n_tokens(const struct encoder_part *part)
{
    if (part->n_frames == 0 || part->n_frames > MAX_FRAMES)
        return 0;
    return halved(halved(part->n_frames));
}

static uint32_t count_stages(const struct audio_config *config)
{
    return 2 * config->num_hidden_layers + 2;
}

static uint32_t count_chunks(uint32_t n_rows)
{
    return (n_rows + CHUNK_ROWS - 1) / CHUNK_ROWS;
}

uint32_t audio_count_units(const struct audio_config *config, const struct encoder_part *parts,
                           uint32_t n_parts)
{
    uint32_t n_rows = 0;
    for (uint32_t i = 0; i < n_parts; i++)
        n_rows += audio_n_tokens(&parts[i]);
    return count_chunks(n_rows) * count_stages(config);
}

// [channels, taps] becomes [taps, channels].
static void transpose(float *out, const float *w, uint32_t n_channels, uint32_t n_taps)
{
    for (size_t m = 0; m < n_taps; m++)
        for (size_t c = 0; c < n_channels; c++)
            out[m * n_channels + c] = w[c * n_taps + m];
}

static float in_compute(const struct audio *audio, double value)
{
    float rounded = (float)value;
    return audio->c.compute == COMPUTE_BF16 ? bf16_round(rounded) : rounded;
}

// Keys of distances: a sinusoid for each, through each layer's projection.
static void make_relative_keys(struct audio *audio)
{
    const struct audio_config *config = audio->config;
    uint32_t dim = config->hidden_size, half = dim / 2, n = n_keys(config);
    float *positions = mem_zeroed((size_t)n * dim, sizeof *positions);
    double step = half > 1 ? log(10000.0) / (half - 1) : 0;
    for (uint32_t distance = 0; distance < n; distance++)
        for (uint32_t i = 0; i < half; i++) {
            float frequency = (float)exp(-(double)i * step);
            double angle = (double)((float)distance * frequency);
            positions[(size_t)distance * dim + i] = in_compute(audio, sin(angle));
            positions[(size_t)distance * dim + half + i] = in_compute(audio, cos(angle));
        }
    for (uint32_t l = 0; l < config->num_hidden_layers; l++)
        audio->c.ops->matmul(audio->relative + (size_t)l * n * dim, dim, positions, dim, n,
                             &audio->weights->layers[l].relative_k_proj, audio->c.stream);
    free(positions);
}

static void make_constants(struct audio *audio)
{
    const struct audio_config *config = audio->config;
    const struct audio_weights *w = audio->weights;
    uint32_t dim = config->hidden_size, d = head_dim(config), taps = config->conv_kernel_size;
    transpose(audio->conv0, w->conv0, config->subsampling_conv_channels[0], CONV_VALUES);
    for (uint32_t l = 0; l < config->num_hidden_layers; l++) {
        const struct audio_layer_weights *layer = &w->layers[l];
        transpose(audio->depthwise + (size_t)l * taps * dim, layer->depthwise_conv1d, dim, taps);
        float *scales = audio->query_scales + (size_t)l * d;
        for (uint32_t i = 0; i < d; i++) {
            double softplus = log1p(exp((double)layer->per_dim_scale[i]));
            scales[i] = (float)(softplus / (sqrt((double)d) * log(2.0)));
        }
        float *halves = audio->half_norms + (size_t)l * 2 * dim;
        for (uint32_t i = 0; i < dim; i++) {
            halves[i] = layer->feed_forward1.post_layer_norm[i] * config->residual_weight;
            halves[dim + i] = layer->feed_forward2.post_layer_norm[i] * config->residual_weight;
        }
    }
    make_relative_keys(audio);
}

static enum status check_config(const struct audio_config *config, struct error *err)
{
    bool fits = config->attention_context_left > 1 && n_keys(config) <= CONFORMER_MAX_KEYS &&
                head_dim(config) <= CONFORMER_MAX_HEAD_DIM && config->hidden_size % 2 == 0;
    if (!fits)
        return error_set(err, STATUS_UNIMPLEMENTED,
                         "audio_config: attention over %u positions with heads of %u",
                         config->attention_context_left, head_dim(config));
    return STATUS_OK;
}

enum status audio_create(const struct encoder_config *config, struct audio **out, struct error *err)
{
    const struct audio_config *a = &config->config->audio;
    enum status st = check_config(a, err);
    if (st != STATUS_OK)
        return st;
    struct audio *audio = mem_zeroed(1, sizeof *audio);
    audio->c = *config;
    audio->config = a;
    audio->weights = &config->weights->audio;
    size_t bytes = audio_activation_bytes(config->config, config->max_frames, config->max_parts);
    st = device_buffer_create(bytes, "audio activations", &audio->memory, err);
    if (st != STATUS_OK) {
        audio_destroy(audio);
        return st;
    }
    carve(config->config, config->max_frames, config->max_parts, &audio->memory, &audio->b);
    size_t layers = a->num_hidden_layers, dim = a->hidden_size;
    audio->conv0 = mem_zeroed((size_t)CONV_VALUES * a->subsampling_conv_channels[0], sizeof(float));
    audio->depthwise = mem_zeroed(layers * a->conv_kernel_size * dim, sizeof(float));
    audio->relative = mem_zeroed(layers * n_keys(a) * dim, sizeof(float));
    audio->query_scales = mem_zeroed(layers * head_dim(a), sizeof(float));
    audio->half_norms = mem_zeroed(layers * 2 * dim, sizeof(float));
    audio->parts = mem_zeroed(config->max_parts, sizeof *audio->parts);
    audio->first_rows = mem_zeroed((size_t)config->max_parts + 1, sizeof(uint32_t));
    make_constants(audio);
    *out = audio;
    return STATUS_OK;
}

void audio_destroy(struct audio *audio)
{
    if (!audio)
        return;
    device_buffer_destroy(&audio->memory);
    free(audio->conv0);
    free(audio->depthwise);
    free(audio->relative);
    free(audio->query_scales);
    free(audio->half_norms);
    free(audio->parts);
    free(audio->first_rows);
    free(audio);
}

void audio_begin(struct audio *audio, const struct encoder_part *parts, uint32_t n_parts)
{
    CHECK(n_parts <= audio->c.max_parts);
    uint32_t n_rows = 0;
    for (uint32_t i = 0; i < n_parts; i++) {
        uint32_t n = audio_n_tokens(&parts[i]);
        CHECK(n > 0 && n_rows + n <= max_rows(audio->c.max_frames, audio->c.max_parts));
        audio->parts[i] = parts[i];
        audio->first_rows[i] = n_rows;
        for (uint32_t r = 0; r < n; r++)
            audio->b.ages[n_rows + r] = r;
        n_rows += n;
    }
    audio->first_rows[n_parts] = n_rows;
    audio->n_parts = n_parts;
    audio->n_chunks = count_chunks(n_rows);
    audio->next_unit = 0;
}

// Rows of the job that a unit computes, and those among them that are this rank's, maybe none.
struct chunk {
    uint32_t begin, end;
    uint32_t first, n;
};

static struct chunk chunk_of(const struct audio *audio, uint32_t number)
{
    const struct tp_comm *comm = audio->c.comm;
    uint32_t n_rows = audio->first_rows[audio->n_parts], first, last;
    uint32_t begin = number * CHUNK_ROWS, end = smaller(begin + CHUNK_ROWS, n_rows);
    shard_range(end - begin, tp_rank(comm), tp_world_size(comm), &first, &last);
    return (struct chunk){.begin = begin, .end = end, .first = begin + first, .n = last - first};
}

// Every rank gets the others' rows of a chunk, in rows [rows of the job, dim].
static enum status share_rows(struct audio *audio, const struct chunk *chunk, float *rows,
                              uint32_t dim, struct error *err)
{
    size_t offsets[9] = {0}, row_bytes = dim * sizeof(float);
    uint32_t world_size = tp_world_size(audio->c.comm), first, last;
    for (uint32_t rank = 0; rank < world_size; rank++) {
        shard_range(chunk->end - chunk->begin, rank, world_size, &first, &last);
        offsets[rank + 1] = last * row_bytes;
    }
    return tp_all_gather(audio->c.comm, rows + (size_t)chunk->begin * dim, offsets, err);
}

// Rows [first, first + n) of one clip, at most SUBSAMPLED_ROWS: two convolutions, each with its
// norm and ReLU, and a projection.
static void subsample_clip(struct audio *audio, const struct encoder_part *part, uint32_t first,
                           uint32_t n, float *out)
{
    const struct audio_config *config = audio->config;
    const struct audio_weights *w = audio->weights;
    const struct ops *ops = audio->c.ops;
    struct device_stream *stream = audio->c.stream;
    const struct buffers *b = &audio->b;
    const uint32_t *channels = config->subsampling_conv_channels;
    float eps = config->rms_norm_eps;
    struct unfold_input half = {
        .x = b->normed,
        .first_row = first > 0 ? 2 * first - 1 : 0,
        .n_rows = halved(part->n_frames),
        .n_bins = HALF_BINS,
        .n_channels = channels[0],
    };
    uint32_t n_half = smaller(half.n_rows, 2 * (first + n)) - half.first_row;
    ops->mel_conv(b->normed, part->data, part->n_frames, N_BINS, audio->conv0, channels[0],
                  half.first_row, n_half, stream);
    ops->layer_norm(b->normed, b->normed, NULL, w->norm0, NULL, n_half * HALF_BINS, channels[0],
                    eps, stream);
    ops->clamp(b->normed, b->normed, 0, INFINITY, (size_t)n_half * HALF_BINS * channels[0], stream);
    ops->unfold_conv(b->wide, &half, first, n, stream);
    ops->matmul(b->narrow, channels[1], b->wide, CONV_VALUES * channels[0], n * QUARTER_BINS,
                &w->conv1, stream);
    ops->layer_norm(b->narrow, b->narrow, NULL, w->norm1, NULL, n * QUARTER_BINS, channels[1], eps,
                    stream);
    size_t values = (size_t)QUARTER_BINS * channels[1];
    ops->clamp(b->narrow, b->narrow, 0, INFINITY, n * values, stream);
    ops->matmul(out, config->hidden_size, b->narrow, (uint32_t)values, n, &w->input_proj_linear,
                stream);
}

static void subsample(struct audio *audio, const struct chunk *chunk)
{
    size_t dim = audio->config->hidden_size;
    uint32_t end = chunk->first + chunk->n, part = 0;
    for (uint32_t first = chunk->first, n; first < end; first += n) {
        while (first >= audio->first_rows[part + 1])
            part++;
        uint32_t begin = audio->first_rows[part];
        n = smaller(smaller(end, audio->first_rows[part + 1]) - first, SUBSAMPLED_ROWS);
        subsample_clip(audio, &audio->parts[part], first - begin, n, audio->b.hidden + first * dim);
    }
}

static void feed_forward(struct audio *audio, const struct audio_feed_forward_weights *w,
                         const float *half_norm, float *hidden, uint32_t n)
{
    const struct ops *ops = audio->c.ops;
    struct device_stream *stream = audio->c.stream;
    const struct buffers *b = &audio->b;
    uint32_t dim = audio->config->hidden_size;
    float eps = audio->config->rms_norm_eps;
    ops->rmsnorm(b->normed, dim, hidden, dim, w->pre_layer_norm, n, dim, eps, stream);
    encoder_linear_run(&w->ffw_layer_1, b->wide, b->normed, b->clamped, n, ops, stream);
    ops->silu(b->wide, b->wide, (size_t)n * w->ffw_layer_1.matrix.n, stream);
    encoder_linear_run(&w->ffw_layer_2, b->narrow, b->wide, b->clamped, n, ops, stream);
    ops->residual_norm(hidden, b->narrow, half_norm, n, dim, eps, 1, stream);
}

static void project_heads(struct audio *audio, const struct audio_layer_weights *w,
                          const struct chunk *chunk, const float *hidden)
{
    const struct ops *ops = audio->c.ops;
    struct device_stream *stream = audio->c.stream;
    const struct buffers *b = &audio->b;
    uint32_t dim = audio->config->hidden_size, n = chunk->n;
    size_t at = (size_t)chunk->first * dim;
    ops->rmsnorm(b->normed, dim, hidden, dim, w->norm_pre_attn, n, dim, audio->config->rms_norm_eps,
                 stream);
    encoder_linear_run(&w->q_proj, b->wide, b->normed, b->clamped, n, ops, stream);
    encoder_linear_run(&w->k_proj, b->k + at, b->normed, b->clamped, n, ops, stream);
    encoder_linear_run(&w->v_proj, b->v + at, b->normed, b->clamped, n, ops, stream);
}

static void attend(struct audio *audio, uint32_t l, const struct chunk *chunk, float *hidden)
{
    const struct audio_config *config = audio->config;
    const struct audio_layer_weights *w = &audio->weights->layers[l];
    const struct ops *ops = audio->c.ops;
    struct device_stream *stream = audio->c.stream;
    const struct buffers *b = &audio->b;
    uint32_t dim = config->hidden_size, n = chunk->n;
    size_t at = (size_t)chunk->first * dim;
    const struct relative_keys keys = {
        .n_heads = config->num_attention_heads,
        .head_dim = head_dim(config),
        .n_keys = n_keys(config),
        .relative = audio->relative + (size_t)l * n_keys(config) * dim,
        .q_scale = audio->query_scales + (size_t)l * head_dim(config),
        .k_scale = (float)(log1p(exp(1.0)) / log(2.0)),
        .cap = config->attention_logit_cap,
    };
    ops->relative_attention(b->narrow, b->wide, b->k + at, b->v + at, b->ages + chunk->first, &keys,
                            n, stream);
    encoder_linear_run(&w->post, b->normed, b->narrow, b->clamped, n, ops, stream);
    ops->residual_norm(hidden, b->normed, w->norm_post_attn, n, dim, config->rms_norm_eps, 1,
                       stream);
}

// feed_forward1 and attention.
static enum status first_half(struct audio *audio, uint32_t l, const struct chunk *chunk,
                              struct error *err)
{
    const struct audio_layer_weights *w = &audio->weights->layers[l];
    uint32_t dim = audio->config->hidden_size;
    float *hidden = audio->b.hidden + (size_t)chunk->first * dim;
    if (chunk->n > 0) {
        feed_forward(audio, &w->feed_forward1, audio->half_norms + (size_t)l * 2 * dim, hidden,
                     chunk->n);
        project_heads(audio, w, chunk, hidden);
    }
    enum status st = share_rows(audio, chunk, audio->b.k, dim, err);
    if (st == STATUS_OK)
        st = share_rows(audio, chunk, audio->b.v, dim, err);
    if (st == STATUS_OK && chunk->n > 0)
        attend(audio, l, chunk, hidden);
    return st;
}

static void begin_convolution(struct audio *audio, const struct audio_layer_weights *w,
                              const struct chunk *chunk, const float *hidden)
{
    const struct ops *ops = audio->c.ops;
    struct device_stream *stream = audio->c.stream;
    const struct buffers *b = &audio->b;
    uint32_t dim = audio->config->hidden_size, n = chunk->n;
    ops->rmsnorm(b->normed, dim, hidden, dim, w->pre_layer_norm, n, dim,
                 audio->config->rms_norm_eps, stream);
    encoder_linear_run(&w->linear_start, b->wide, b->normed, b->clamped, n, ops, stream);
    ops->gated_linear(b->conv_in + (size_t)chunk->first * dim, b->wide, n, dim, stream);
}

static void convolve(struct audio *audio, uint32_t l, const struct chunk *chunk, float *hidden)
{
    const struct audio_config *config = audio->config;
    const struct audio_layer_weights *w = &audio->weights->layers[l];
    const struct ops *ops = audio->c.ops;
    struct device_stream *stream = audio->c.stream;
    const struct buffers *b = &audio->b;
    uint32_t dim = config->hidden_size, n = chunk->n, taps = config->conv_kernel_size;
    ops->causal_conv(b->normed, b->conv_in + (size_t)chunk->first * dim, b->ages + chunk->first,
                     audio->depthwise + (size_t)l * taps * dim, taps, n, dim, stream);
    ops->rmsnorm(b->normed, dim, b->normed, dim, w->conv_norm, n, dim, config->rms_norm_eps,
                 stream);
    ops->silu(b->normed, b->normed, (size_t)n * dim, stream);
    encoder_linear_run(&w->linear_end, b->narrow, b->normed, b->clamped, n, ops, stream);
    ops->add_rows(hidden, b->narrow, dim, n, dim, stream);
}

// The convolution and feed_forward2.
static enum status second_half(struct audio *audio, uint32_t l, const struct chunk *chunk,
                               struct error *err)
{
    const struct audio_layer_weights *w = &audio->weights->layers[l];
    uint32_t dim = audio->config->hidden_size;
    float *hidden = audio->b.hidden + (size_t)chunk->first * dim;
    if (chunk->n > 0)
        begin_convolution(audio, w, chunk, hidden);
    enum status st = share_rows(audio, chunk, audio->b.conv_in, dim, err);
    if (st != STATUS_OK || chunk->n == 0)
        return st;
    convolve(audio, l, chunk, hidden);
    feed_forward(audio, &w->feed_forward2, audio->half_norms + ((size_t)l * 2 + 1) * dim, hidden,
                 chunk->n);
    audio->c.ops->rmsnorm(hidden, dim, hidden, dim, w->norm_out, chunk->n, dim,
                          audio->config->rms_norm_eps, audio->c.stream);
    return STATUS_OK;
}

static void observe(const struct audio *audio, const char *stage, uint32_t l, const float *rows,
                    uint32_t n_rows, uint32_t dim)
{
    if (audio->c.observe)
        audio->c.observe(audio->c.observe_context, stage, l, rows, n_rows, dim);
}

static void project(struct audio *audio, const struct chunk *chunk)
{
    const struct audio_config *config = audio->config;
    const struct audio_weights *w = audio->weights;
    const struct ops *ops = audio->c.ops;
    struct device_stream *stream = audio->c.stream;
    const struct buffers *b = &audio->b;
    uint32_t width = config->output_proj_dims, text = audio->c.config->hidden_size, n = chunk->n;
    const float *hidden = b->hidden + (size_t)chunk->first * config->hidden_size;
    ops->matmul(b->normed, width, hidden, config->hidden_size, n, &w->output_proj, stream);
    ops->add_rows(b->normed, w->output_proj_bias, 0, n, width, stream);
    observe(audio, "out", config->num_hidden_layers, b->normed, n, width);
    ops->rmsnorm(b->narrow, width, b->normed, width, NULL, n, width, config->rms_norm_eps, stream);
    ops->matmul(b->out + (size_t)chunk->first * text, text, b->narrow, width, n, &w->projection,
                stream);
}

static enum status run_stage(struct audio *audio, uint32_t stage, const struct chunk *chunk,
                             struct error *err)
{
    if (stage > 0 && stage <= 2 * audio->config->num_hidden_layers)
        return stage % 2 == 1 ? first_half(audio, (stage - 1) / 2, chunk, err)
                              : second_half(audio, (stage - 1) / 2, chunk, err);
    if (stage == 0 && chunk->n > 0)
        subsample(audio, chunk);
    if (stage == 0)
        return STATUS_OK;
    if (chunk->n > 0)
        project(audio, chunk);
    return share_rows(audio, chunk, audio->b.out, audio->c.config->hidden_size, err);
}

static enum status run_unit(struct audio *audio, uint32_t number, struct error *err)
{
    uint32_t stage = number / audio->n_chunks, n_rows = audio->first_rows[audio->n_parts];
    struct chunk chunk = chunk_of(audio, number % audio->n_chunks);
    enum status st = run_stage(audio, stage, &chunk, err);
    bool whole = st == STATUS_OK && chunk.end == n_rows && stage % 2 == 0;
    if (whole && stage < count_stages(audio->config) - 1)
        observe(audio, stage == 0 ? "subsampled" : "layer", stage > 0 ? stage / 2 - 1 : 0,
                audio->b.hidden, n_rows, audio->config->hidden_size);
    return st;
}

enum status audio_run(struct audio *audio, uint32_t n_units, struct error *err)
{
    CHECK(n_units <= audio->n_chunks * count_stages(audio->config) - audio->next_unit);
    enum status st = STATUS_OK;
    for (; n_units > 0 && st == STATUS_OK; n_units--)
        st = run_unit(audio, audio->next_unit++, err);
    return st;
}

const float *audio_output(const struct audio *audio)
{
    return audio->b.out;
}
