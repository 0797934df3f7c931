/* model/text.c - one step through the layers.
 *
 * Buffers are reused from layer to layer; what each holds is said where it is declared. After the
 * last layer that owns a cache, only the rows whose logits are wanted go on (E2B saves 20 of 35
 * layers on prompt tokens): later layers write no cache, so nobody can see the difference.
 * Partial sums of the two halves of an expert layer travel in one all-reduce as [n_rows, 2 hidden].
 * Checked by tests/model/test_text.c against the reference's hidden states, layer by layer. */
#include "model/text.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "device/memory.h"
#include "model/text_buffers.h"
#include "moe/experts.h"
#include "tp/shard.h"

enum { MAX_ROPES = KV_MAX_GROUPS + 2 };

// The angles of one (layer kind, head_dim).
struct rope {
    enum layer_kind kind;
    uint32_t head_dim;
    float *inv_freq;  // [head_dim / 2]
    float *cos, *sin; // [max_rows, head_dim / 2], of this step, in buffers.angles
};

struct text_model {
    struct text_model_config c;
    struct text_buffers buffers;
    struct moe_shape moe_shape;
    struct moe_scratch *moe;
    struct kv_view views[MODEL_MAX_LAYERS]; // of each layer's kv_source
    struct rope ropes[MAX_ROPES];
    uint32_t n_ropes;
    uint8_t layer_rope[MODEL_MAX_LAYERS];
    uint32_t vocab_shard; // logits of a rank, the last rank's may be fewer
    float embed_scale;
    float per_layer_scale;
    // The rows of the step that are still carried through the layers.
    struct attention_batch batch;
    bool has_blocks; // some of them see later ones
    uint32_t n_kept;
};

static void add_ropes(struct text_model *model)
{
    const struct model_config *config = model->c.config;
    float *angles = model->buffers.angles;
    for (uint32_t l = 0; l < config->num_hidden_layers; l++) {
        const struct layer_config *layer = &config->layers[l];
        uint32_t r = 0;
        while (r < model->n_ropes &&
               (model->ropes[r].kind != layer->kind || model->ropes[r].head_dim != layer->head_dim))
            r++;
        model->layer_rope[l] = (uint8_t)r;
        if (r < model->n_ropes)
            continue;
        CHECK(r < MAX_ROPES); // a kv_layout with more groups was refused before
        uint32_t half = layer->head_dim / 2;
        struct rope *rope = &model->ropes[model->n_ropes++];
        rope->kind = layer->kind;
        rope->head_dim = layer->head_dim;
        rope->inv_freq = mem_zeroed(half, sizeof(float));
        rope->cos = angles;
        rope->sin = angles + (size_t)model->c.max_rows * half;
        angles += (size_t)model->c.max_rows * layer->head_dim;
        uint32_t n_rotated;
        model_inv_freq(config, layer->kind, layer->head_dim, rope->inv_freq, &n_rotated);
    }
}

static enum status create_moe(struct text_model *model, struct error *err)
{
    const struct model_config *config = model->c.config;
    if (config->num_experts == 0)
        return STATUS_OK;
    model->moe_shape = (struct moe_shape){
        .hidden_size = config->hidden_size,
        .num_experts = config->num_experts,
        .top_k_experts = config->top_k_experts,
        .moe_intermediate_size = config->moe_intermediate_size,
        .expert_begin = model->c.weights->expert_begin,
        .n_experts = model->c.weights->n_experts,
        .rank = tp_rank(model->c.comm),
        .world_size = tp_world_size(model->c.comm),
        .rms_norm_eps = config->rms_norm_eps,
    };
    return moe_scratch_create(&model->moe_shape, model->c.max_rows, &model->moe, err);
}

enum status text_model_create(const struct text_model_config *config, struct text_model **out,
                              struct error *err)
{
    struct text_model *model = mem_zeroed(1, sizeof *model);
    model->c = *config;
    const struct model_config *mc = config->config;
    uint32_t world = tp_world_size(config->comm);
    model->vocab_shard = (mc->vocab_size + world - 1) / world;
    model->embed_scale = sqrtf((float)mc->hidden_size);
    model->per_layer_scale = sqrtf((float)mc->hidden_size_per_layer_input);
    if (config->compute == COMPUTE_BF16) { // the reference rounds the scales themselves
        model->embed_scale = bf16_round(model->embed_scale);
        model->per_layer_scale = bf16_round(model->per_layer_scale);
    }
    for (uint32_t l = 0; l < mc->num_hidden_layers; l++) {
        uint32_t source = mc->layers[l].kv_source;
        model->views[l] = kv_storage_view(config->storage, config->layout->group[source],
                                          config->layout->index[source]);
    }
    struct text_buffer_sizes sizes = text_buffer_sizes(mc, world, config->max_rows,
                                                       config->max_logits_rows, config->max_seqs);
    enum status st = text_buffers_create(&sizes, &model->buffers, err);
    if (st == STATUS_OK)
        st = create_moe(model, err);
    if (st != STATUS_OK) {
        text_model_destroy(model);
        return st;
    }
    add_ropes(model);
    *out = model;
    return STATUS_OK;
}

void text_model_destroy(struct text_model *model)
{
    if (!model)
        return;
    for (uint32_t r = 0; r < model->n_ropes; r++)
        free(model->ropes[r].inv_freq);
    moe_scratch_destroy(model->moe);
    text_buffers_destroy(&model->buffers);
    free(model);
}

// Where this step's keys and values go, and where its rows find them, in the pages of each group.
static void find_pages(struct text_model *model, const struct text_batch *batch)
{
    struct text_buffers *b = &model->buffers;
    const struct kv_params *kv = &model->c.layout->params;
    for (uint32_t g = 0; g < kv->n_groups; g++) {
        uint32_t *slots = b->slots + (size_t)g * model->c.max_rows;
        for (uint32_t s = 0; s < batch->n_seqs; s++) {
            const uint32_t *table = kv_storage_block_table(model->c.storage, g, batch->slots[s]);
            b->block_tables[(size_t)g * model->c.max_seqs + s] = table;
            for (uint32_t r = b->row_offsets[s]; r < b->row_offsets[s + 1]; r++)
                slots[r] = table[b->positions[r] / kv->page_tokens] * kv->page_tokens +
                           b->positions[r] % kv->page_tokens;
        }
    }
}

// The row behind the block that begins with splice *i, which then is the first one behind it: block
// splices without a gap between them, of the sequence whose rows end at `end`.
static uint32_t block_end(const struct text_batch *batch, uint32_t *i, uint32_t end)
{
    const struct text_splice *splices = batch->splices;
    uint32_t row = splices[*i].row;
    while (*i < batch->n_splices && splices[*i].is_block && splices[*i].row == row && row < end)
        row += splices[(*i)++].n_rows;
    return row;
}

// Which rows see beyond themselves (gemma4-model.md section 3.6).
static void find_blocks(struct text_model *model, const struct text_batch *batch)
{
    struct text_buffers *b = &model->buffers;
    model->has_blocks = false;
    if (!model->c.config->bidirectional_images || batch->n_splices == 0)
        return;
    memcpy(b->last_positions, b->positions, batch->n_rows * sizeof *b->last_positions);
    uint32_t seq = 0;
    for (uint32_t i = 0; i < batch->n_splices;) {
        uint32_t first = batch->splices[i].row;
        while (first >= batch->row_offsets[seq + 1])
            seq++;
        if (!batch->splices[i].is_block) {
            i++;
            continue;
        }
        uint32_t end = block_end(batch, &i, batch->row_offsets[seq + 1]);
        for (uint32_t r = first; r < end; r++)
            b->last_positions[r] = b->positions[end - 1];
        model->has_blocks = true;
    }
}

// Positions, and the ids under which a token's embeddings are looked up: soft-token placeholders
// take the pad row, as in the reference.
static void read_batch(struct text_model *model, const struct text_batch *batch)
{
    const struct model_config *config = model->c.config;
    struct text_buffers *b = &model->buffers;
    for (uint32_t s = 0; s < batch->n_seqs; s++) {
        uint32_t first = batch->row_offsets[s];
        for (uint32_t r = first; r < batch->row_offsets[s + 1]; r++) {
            b->positions[r] = batch->first_position[s] + (r - first);
            uint32_t id = batch->tokens[r];
            bool soft = id == config->image_token_id || id == config->audio_token_id ||
                        id == config->video_token_id;
            b->embed_ids[r] = soft ? config->pad_token_id : id;
        }
        b->row_offsets[s] = first;
        b->first_position[s] = batch->first_position[s];
    }
    b->row_offsets[batch->n_seqs] = batch->n_rows;
    find_blocks(model, batch);
    model->batch = (struct attention_batch){
        .n_seqs = batch->n_seqs,
        .n_rows = batch->n_rows,
        .row_offsets = b->row_offsets,
        .first_position = b->first_position,
    };
    find_pages(model, batch);
    for (uint32_t r = 0; r < model->n_ropes; r++) {
        struct rope *rope = &model->ropes[r];
        model->c.ops->rope_angles(rope->cos, rope->sin, b->positions, rope->inv_freq, batch->n_rows,
                                  rope->head_dim / 2, model->c.stream);
    }
}

static void splice_soft_tokens(struct text_model *model, const struct text_batch *batch)
{
    size_t hidden = model->c.config->hidden_size;
    for (uint32_t i = 0; i < batch->n_splices; i++) {
        const struct text_splice *splice = &batch->splices[i];
        memcpy(model->buffers.hidden + splice->row * hidden, splice->rows,
               splice->n_rows * hidden * sizeof(float));
    }
}

static enum status embed(struct text_model *model, const struct text_batch *batch,
                         struct error *err)
{
    const struct model_config *config = model->c.config;
    const struct model_weights *w = model->c.weights;
    const struct ops *ops = model->c.ops;
    struct text_buffers *b = &model->buffers;
    uint32_t n = model->batch.n_rows;
    uint32_t p = config->hidden_size_per_layer_input;
    if (p > 0)
        model_weights_rows_ahead(w, b->embed_ids, n);
    ops->embed_rows(b->hidden, &w->embed_tokens, b->embed_ids, n, w->vocab_begin,
                    model->embed_scale, model->c.stream);
    enum status st = tp_all_reduce(model->c.comm, b->hidden, (size_t)n * config->hidden_size, err);
    splice_soft_tokens(model, batch);
    if (st != STATUS_OK || p == 0)
        return st;
    uint32_t width = config->num_hidden_layers * p;
    ops->gather_rows(b->per_layer, &w->embed_tokens_per_layer, b->embed_ids, n,
                     model->per_layer_scale, model->c.stream);
    model_weights_rows_done(w);
    ops->matmul(b->context, width, b->hidden, config->hidden_size, n,
                &w->per_layer_model_projection, model->c.stream);
    ops->per_layer_inputs(b->per_layer, b->context, b->per_layer, w->per_layer_projection_norm, n,
                          config->num_hidden_layers, p, 1.0F / sqrtf((float)config->hidden_size),
                          config->rms_norm_eps, model->c.stream);
    return STATUS_OK;
}

static enum status attention_block(struct text_model *model, uint32_t l, struct error *err)
{
    const struct model_config *config = model->c.config;
    const struct layer_config *layer = &config->layers[l];
    const struct layer_weights *w = &model->c.weights->layers[l];
    const struct kv_view *view = &model->views[l];
    const struct rope *rope = &model->ropes[model->layer_rope[l]];
    const struct ops *ops = model->c.ops;
    struct device_stream *stream = model->c.stream;
    struct text_buffers *b = &model->buffers;
    uint32_t n = model->batch.n_rows;
    uint32_t hidden = config->hidden_size;
    uint32_t n_heads = w->q_rows / layer->head_dim;
    uint32_t group = model->c.layout->group[layer->kv_source];
    float eps = config->rms_norm_eps;
    ops->rmsnorm(b->normed, hidden, b->hidden, hidden, w->input_layernorm, n, hidden, eps, stream);
    ops->matmul(b->wide, w->qkv.n, b->normed, hidden, n, &w->qkv, stream);
    ops->query_finish(b->query, b->wide, w->qkv.n, n_heads, w->q_norm, w->k_norm, rope->cos,
                      rope->sin, n, eps, view, stream);
    if (!layer->kv_shared) {
        const float *k = b->wide + w->q_rows;
        const float *v = layer->k_eq_v ? k : k + w->kv_rows;
        ops->kv_write(view, b->slots + (size_t)group * model->c.max_rows, k, w->qkv.n, v, w->qkv.n,
                      w->k_norm, rope->cos, rope->sin, n, eps, stream);
    }
    model->batch.block_tables = b->block_tables + (size_t)group * model->c.max_seqs;
    bool sliding = layer->kind == LAYER_SLIDING;
    uint32_t window = sliding ? config->sliding_window : 0;
    model->batch.last_positions = sliding && model->has_blocks ? b->last_positions : NULL;
    ops->attention_paged(b->wide, b->query, n_heads, view, &model->batch, window, stream);
    ops->matmul_leaves(b->sums, hidden, b->wide, w->q_rows, n, &w->o, stream);
    enum status st = tp_all_reduce(model->c.comm, b->sums, (size_t)n * hidden, err);
    if (st == STATUS_OK)
        ops->residual_norm(b->hidden, b->sums, w->post_attention_layernorm, n, hidden, eps, 1.0F,
                           stream);
    return st;
}

static void experts(struct text_model *model, const struct layer_weights *w)
{
    struct moe_weights moe = {
        .router = &w->router,
        .router_scale = w->router_scale,
        .per_expert_scale = w->per_expert_scale,
        .norm = w->pre_feedforward_layernorm_2,
        .gate_up = w->expert_gate_up,
        .down = w->expert_down,
    };
    uint32_t hidden = model->c.config->hidden_size;
    moe_experts_forward(&model->moe_shape, &moe, model->c.ops, model->c.stream, model->moe,
                        model->buffers.hidden, model->batch.n_rows, model->buffers.sums + hidden,
                        2 * hidden);
}

static enum status feed_forward_block(struct text_model *model, uint32_t l, float scale,
                                      struct error *err)
{
    const struct model_config *config = model->c.config;
    const struct layer_weights *w = &model->c.weights->layers[l];
    const struct ops *ops = model->c.ops;
    struct device_stream *stream = model->c.stream;
    struct text_buffers *b = &model->buffers;
    uint32_t n = model->batch.n_rows;
    uint32_t hidden = config->hidden_size;
    uint32_t mlp = w->mlp_rows;
    bool moe = config->num_experts > 0;
    uint32_t stride = moe ? 2 * hidden : hidden;
    float eps = config->rms_norm_eps;
    ops->rmsnorm(b->normed, hidden, b->hidden, hidden, w->pre_feedforward_layernorm, n, hidden, eps,
                 stream);
    ops->matmul(b->wide, 2 * mlp, b->normed, hidden, n, &w->gate_up, stream);
    ops->gelu_mul(b->wide, 2 * mlp, b->wide, 2 * mlp, b->wide + mlp, 2 * mlp, n, mlp, stream);
    ops->matmul_leaves(b->sums, stride, b->wide, 2 * mlp, n, &w->down, stream);
    if (moe)
        experts(model, w);
    enum status st = tp_all_reduce(model->c.comm, b->sums, (size_t)n * stride, err);
    if (st != STATUS_OK)
        return st;
    if (moe)
        ops->residual_norm_moe(b->hidden, b->sums, b->sums + hidden, stride,
                               w->post_feedforward_layernorm_1, w->post_feedforward_layernorm_2,
                               w->post_feedforward_layernorm, n, hidden, eps, scale, stream);
    else
        ops->residual_norm(b->hidden, b->sums, w->post_feedforward_layernorm, n, hidden, eps, scale,
                           stream);
    return STATUS_OK;
}

static void per_layer_block(struct text_model *model, uint32_t l, float scale)
{
    const struct model_config *config = model->c.config;
    const struct layer_weights *w = &model->c.weights->layers[l];
    const struct ops *ops = model->c.ops;
    struct device_stream *stream = model->c.stream;
    struct text_buffers *b = &model->buffers;
    uint32_t n = model->batch.n_rows;
    uint32_t hidden = config->hidden_size;
    uint32_t p = config->hidden_size_per_layer_input;
    ops->matmul(b->wide, p, b->hidden, hidden, n, &w->per_layer_input_gate, stream);
    ops->gelu_mul(b->wide, p, b->wide, p, b->per_layer + (size_t)l * p,
                  config->num_hidden_layers * p, n, p, stream);
    ops->matmul(b->sums, hidden, b->wide, p, n, &w->per_layer_projection, stream);
    ops->residual_norm(b->hidden, b->sums, w->post_per_layer_input_norm, n, hidden,
                       config->rms_norm_eps, scale, stream);
}

static void keep_row(struct text_model *model, uint32_t to, uint32_t from)
{
    const struct model_config *config = model->c.config;
    struct text_buffers *b = &model->buffers;
    if (to == from)
        return;
    size_t hidden = config->hidden_size;
    size_t per_layer = (size_t)config->num_hidden_layers * config->hidden_size_per_layer_input;
    memcpy(b->hidden + to * hidden, b->hidden + from * hidden, hidden * sizeof(float));
    memcpy(b->per_layer + to * per_layer, b->per_layer + from * per_layer,
           per_layer * sizeof(float));
    b->positions[to] = b->positions[from];
    b->last_positions[to] = b->last_positions[from];
    for (uint32_t i = 0; i < model->n_ropes; i++) {
        struct rope *rope = &model->ropes[i];
        size_t half = rope->head_dim / 2;
        memcpy(rope->cos + to * half, rope->cos + from * half, half * sizeof(float));
        memcpy(rope->sin + to * half, rope->sin + from * half, half * sizeof(float));
    }
}

// Drops every row whose logits nobody wants; a sequence's kept rows are its last, so they still
// stand at consecutive positions. Sequences without any stay as empty ones.
static void keep_wanted_rows(struct text_model *model, const struct text_batch *batch)
{
    struct text_buffers *b = &model->buffers;
    uint32_t to = 0;
    for (uint32_t s = 0; s < batch->n_seqs; s++) {
        uint32_t end = batch->row_offsets[s + 1];
        uint32_t begin = end - batch->n_logits_rows[s];
        b->row_offsets[s] = to;
        b->first_position[s] = batch->first_position[s] + (begin - batch->row_offsets[s]);
        for (uint32_t from = begin; from < end; from++)
            keep_row(model, to++, from);
    }
    b->row_offsets[batch->n_seqs] = to;
    model->batch.n_rows = to;
}

enum status text_model_forward(struct text_model *model, const struct text_batch *batch,
                               uint32_t *out_n_rows, struct error *err)
{
    const struct model_config *config = model->c.config;
    read_batch(model, batch);
    enum status st = embed(model, batch, err);
    for (uint32_t l = 0; l < config->num_hidden_layers && st == STATUS_OK; l++) {
        if (l == config->first_kv_shared_layer)
            keep_wanted_rows(model, batch);
        if (model->batch.n_rows == 0)
            break; // on every rank alike
        bool per_layer = config->hidden_size_per_layer_input > 0;
        float scale = model->c.weights->layers[l].layer_scalar;
        st = attention_block(model, l, err);
        if (st == STATUS_OK)
            st = feed_forward_block(model, l, per_layer ? 1.0F : scale, err);
        if (st == STATUS_OK && per_layer)
            per_layer_block(model, l, scale);
        if (st == STATUS_OK && model->c.observe)
            model->c.observe(model->c.observe_context, l, model->buffers.hidden,
                             model->batch.n_rows);
    }
    if (st != STATUS_OK)
        return st;
    if (config->first_kv_shared_layer >= config->num_hidden_layers)
        keep_wanted_rows(model, batch);
    model->n_kept = model->batch.n_rows;
    model->c.ops->rmsnorm(model->buffers.hidden, config->hidden_size, model->buffers.hidden,
                          config->hidden_size, model->c.weights->norm, model->n_kept,
                          config->hidden_size, config->rms_norm_eps, model->c.stream);
    *out_n_rows = model->n_kept;
    return STATUS_OK;
}

enum status text_model_logits(struct text_model *model, uint32_t first, uint32_t n, float **out,
                              struct error *err)
{
    const struct model_config *config = model->c.config;
    struct text_buffers *b = &model->buffers;
    CHECK(n <= model->c.max_logits_rows && first + n <= model->n_kept);
    const float *rows = b->hidden + (size_t)first * config->hidden_size;
    bool root = tp_rank(model->c.comm) == 0;
    uint32_t columns[N_LEAVES + 1], world = tp_world_size(model->c.comm);
    for (uint32_t rank = 0; rank < world; rank++)
        shard_range(config->vocab_size, rank, world, &columns[rank], &columns[rank + 1]);
    // Rank 0 writes its own where they belong; the others' come there.
    size_t stride = root ? config->vocab_size : model->vocab_shard;
    model->c.ops->logits(b->logits, stride, rows, config->hidden_size, n,
                         &model->c.weights->lm_head, config->final_logit_softcapping,
                         model->c.stream);
    *out = root ? b->logits : NULL;
    return tp_gather_columns(model->c.comm, 0, b->logits, stride, n, columns, b->logits,
                             config->vocab_size, err);
}
