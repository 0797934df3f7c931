/* model/weights_plan.c - the rank's slice of every tensor by tp/shard.h's table, fused as the
 * forward pass wants them: q, k and v in one matrix; gate and up in one.
 *
 * A rank's columns of o and down are whole leaves: their bounds floor(l k / N_LEAVES) are those of
 * the heads, since ranks divide the heads, and those of shard_range. */
#include "model/weights_plan.h"

#include <stdlib.h>

#include "base/mem.h"
#include "kernels/matmul.h"
#include "tp/shard.h"

// How coarse a linear may become under the format that is asked for. The router decides for whole
// experts, and what goes through vocabulary and per-layer inputs goes through few weights.
enum coarseness { AS_STORED, DOWN_TO_INT8, DOWN_TO_INT4 };

static const enum coarseness coarsest[N_TENSOR_IDS] = {
    [TENSOR_EMBED_TOKENS] = DOWN_TO_INT8,
    [TENSOR_LM_HEAD] = DOWN_TO_INT8,
    [TENSOR_PER_LAYER_MODEL_PROJECTION] = DOWN_TO_INT8,
    [TENSOR_PER_LAYER_INPUT_GATE] = DOWN_TO_INT8,
    [TENSOR_PER_LAYER_PROJECTION] = DOWN_TO_INT8,
    [TENSOR_Q_PROJ] = DOWN_TO_INT4,
    [TENSOR_K_PROJ] = DOWN_TO_INT4,
    [TENSOR_V_PROJ] = DOWN_TO_INT4,
    [TENSOR_O_PROJ] = DOWN_TO_INT4,
    [TENSOR_GATE_PROJ] = DOWN_TO_INT4,
    [TENSOR_UP_PROJ] = DOWN_TO_INT4,
    [TENSOR_DOWN_PROJ] = DOWN_TO_INT4,
    [TENSOR_EXPERTS_GATE_UP_PROJ] = DOWN_TO_INT4,
    [TENSOR_EXPERTS_DOWN_PROJ] = DOWN_TO_INT4,
    [TENSOR_ROUTER_PROJ] = AS_STORED,
};

struct planner {
    struct weights_plan *plan;
    const struct model_config *config;
    const struct checkpoint *checkpoint;
    uint32_t rank, world_size;
};

struct slice {
    uint32_t row, n_rows, column, n_columns;
    bool row_parallel; // columns are divided, sums go on in the all-reduce
};

static struct slice slice_of(const struct planner *p, const struct stored_tensor *tensor,
                             uint32_t layer)
{
    const struct layer_config *l = &p->config->layers[layer];
    uint32_t begin, end, n_rows = tensor->shape.dims[0], n_columns = tensor->shape.dims[1];
    struct slice slice = {0, n_rows, 0, n_columns, false};
    enum shard_rule rule;
    struct error err = {0};
    CHECK(shard_rule_of(tensor->name, &rule, &err) == STATUS_OK); // both tables are ours
    switch (rule) {
    case SHARD_VOCAB:
    case SHARD_MLP_ROWS:
        shard_range(n_rows, p->rank, p->world_size, &begin, &end);
        slice.row = begin;
        slice.n_rows = end - begin;
        break;
    case SHARD_Q_HEADS:
        slice.n_rows = n_rows / p->world_size;
        slice.row = p->rank * slice.n_rows;
        break;
    case SHARD_KV_HEADS:
        CHECK(shard_kv_heads(l->num_key_value_heads, p->rank, p->world_size, &begin, &end, &err) ==
              STATUS_OK); // checked by check_division
        slice.row = begin * l->head_dim;
        slice.n_rows = end * l->head_dim;
        break;
    case SHARD_O_COLUMNS:
    case SHARD_MLP_COLUMNS:
        shard_range(n_columns, p->rank, p->world_size, &begin, &end);
        slice.column = begin;
        slice.n_columns = end - begin;
        slice.row_parallel = true;
        break;
    case SHARD_REPLICATED:
    case SHARD_EXPERTS: // divided by whole experts, in add_experts
    case SHARD_MAPPED:
        break;
    }
    return slice;
}

struct weights_plan *weights_plan_new(const struct weights_plan_config *config)
{
    struct weights_plan *plan = mem_zeroed(1, sizeof *plan);
    plan->config = *config;
    return plan;
}

struct pack_matrix *weights_plan_add_matrix(struct weights_plan *plan, struct packed_matrix *matrix)
{
    mem_reserve(&plan->matrices, &plan->matrices_capacity, plan->n_matrices + 1,
                sizeof *plan->matrices);
    struct pack_matrix *pack = &plan->matrices[plan->n_matrices++];
    *pack = (struct pack_matrix){.matrix = matrix};
    return pack;
}

static enum dtype packed_dtype(const struct weights_plan_config *config, enum tensor_id id,
                               enum dtype stored)
{
    if (config->weights == WEIGHTS_INT4 && coarsest[id] == DOWN_TO_INT4)
        return DTYPE_INT4;
    if (config->weights >= WEIGHTS_INT8 && coarsest[id] >= DOWN_TO_INT8)
        return DTYPE_INT8;
    bool to_bf16 = config->weights == WEIGHTS_BF16 && coarsest[id] != AS_STORED;
    return to_bf16 || config->compute == COMPUTE_BF16 ? DTYPE_BF16 : stored;
}

void weights_plan_add_rows(struct pack_matrix *pack, struct pack_source source, enum dtype dtype,
                           uint32_t n_columns)
{
    struct packed_matrix *matrix = pack->matrix;
    mem_reserve(&pack->sources, &pack->sources_capacity, pack->n_sources + 1,
                sizeof *pack->sources);
    // Parts of unlike types meet in the one that holds both.
    if (pack->n_sources == 0)
        matrix->dtype = dtype;
    else if (matrix->dtype != dtype)
        matrix->dtype = DTYPE_F32;
    matrix->n += source.n_rows;
    matrix->k = matrix->k_total = n_columns;
    matrix->n_leaves = 1;
    pack->sources[pack->n_sources++] = source;
}

static uint32_t add_tensor(struct planner *p, struct pack_matrix *pack, enum tensor_id id,
                           uint32_t layer)
{
    const struct stored_tensor *tensor = checkpoint_tensor(p->checkpoint, id, layer);
    struct slice slice = slice_of(p, tensor, layer);
    size_t stride = tensor->shape.dims[1];
    struct pack_source source = {
        .tensor = tensor,
        .data = tensor->data + (slice.row * stride + slice.column) * dtype_bytes(tensor->dtype),
        .dtype = tensor->dtype,
        .stride = stride,
        .n_rows = slice.n_rows,
    };
    enum dtype dtype = packed_dtype(&p->plan->config, id, tensor->dtype);
    weights_plan_add_rows(pack, source, dtype, slice.n_columns);
    if (slice.row_parallel) {
        pack->matrix->n_leaves = N_LEAVES / p->world_size;
        pack->matrix->first_leaf = p->rank * pack->matrix->n_leaves;
        pack->matrix->k_total = tensor->shape.dims[1];
    }
    return slice.n_rows;
}

static void add_matrix(struct planner *p, struct packed_matrix *matrix, enum tensor_id id,
                       uint32_t layer)
{
    add_tensor(p, weights_plan_add_matrix(p->plan, matrix), id, layer);
}

struct pack_vector *weights_plan_add_vector(struct weights_plan *plan,
                                            const struct stored_tensor *tensor)
{
    mem_reserve(&plan->vectors, &plan->vectors_capacity, plan->n_vectors + 1,
                sizeof *plan->vectors);
    struct pack_vector *pack = &plan->vectors[plan->n_vectors++];
    *pack = (struct pack_vector){.tensor = tensor, .n = 1};
    for (uint32_t i = 0; i < tensor->shape.n_dims; i++)
        pack->n *= tensor->shape.dims[i];
    return pack;
}

static struct pack_vector *begin_vector(struct planner *p, enum tensor_id id, uint32_t layer)
{
    return weights_plan_add_vector(p->plan, checkpoint_tensor(p->checkpoint, id, layer));
}

static void add_vector(struct planner *p, const float **out, enum tensor_id id, uint32_t layer)
{
    begin_vector(p, id, layer)->out = out;
}

static void add_attention(struct planner *p, uint32_t layer)
{
    const struct layer_config *l = &p->config->layers[layer];
    struct layer_weights *w = &p->plan->weights->layers[layer];
    struct pack_matrix *qkv = weights_plan_add_matrix(p->plan, &w->qkv);
    w->q_rows = add_tensor(p, qkv, TENSOR_Q_PROJ, layer);
    if (!l->kv_shared)
        w->kv_rows = add_tensor(p, qkv, TENSOR_K_PROJ, layer);
    if (!l->kv_shared && !l->k_eq_v)
        add_tensor(p, qkv, TENSOR_V_PROJ, layer);
    add_matrix(p, &w->o, TENSOR_O_PROJ, layer);
    add_vector(p, &w->q_norm, TENSOR_Q_NORM, layer);
    if (!l->kv_shared)
        add_vector(p, &w->k_norm, TENSOR_K_NORM, layer);
}

static void add_feed_forward(struct planner *p, uint32_t layer)
{
    struct layer_weights *w = &p->plan->weights->layers[layer];
    struct pack_matrix *gate_up = weights_plan_add_matrix(p->plan, &w->gate_up);
    w->mlp_rows = add_tensor(p, gate_up, TENSOR_GATE_PROJ, layer);
    add_tensor(p, gate_up, TENSOR_UP_PROJ, layer);
    add_matrix(p, &w->down, TENSOR_DOWN_PROJ, layer);
}

// One expert's matrix of a tensor [experts, rows, columns].
static void add_expert(struct planner *p, struct packed_matrix *matrix, enum tensor_id id,
                       uint32_t layer, uint32_t expert)
{
    const struct stored_tensor *tensor = checkpoint_tensor(p->checkpoint, id, layer);
    size_t n_rows = tensor->shape.dims[1], n_columns = tensor->shape.dims[2];
    struct pack_source source = {
        .tensor = tensor,
        .data = tensor->data + expert * n_rows * n_columns * dtype_bytes(tensor->dtype),
        .dtype = tensor->dtype,
        .stride = n_columns,
        .n_rows = (uint32_t)n_rows,
    };
    weights_plan_add_rows(weights_plan_add_matrix(p->plan, matrix), source,
                          packed_dtype(&p->plan->config, id, tensor->dtype), (uint32_t)n_columns);
}

static void add_experts(struct planner *p, uint32_t layer)
{
    struct model_weights *weights = p->plan->weights;
    struct layer_weights *w = &weights->layers[layer];
    add_matrix(p, &w->router, TENSOR_ROUTER_PROJ, layer);
    add_vector(p, &w->router_scale, TENSOR_ROUTER_SCALE, layer);
    add_vector(p, &w->per_expert_scale, TENSOR_PER_EXPERT_SCALE, layer);
    add_vector(p, &w->pre_feedforward_layernorm_2, TENSOR_PRE_FEEDFORWARD_LAYERNORM_2, layer);
    add_vector(p, &w->post_feedforward_layernorm_1, TENSOR_POST_FEEDFORWARD_LAYERNORM_1, layer);
    add_vector(p, &w->post_feedforward_layernorm_2, TENSOR_POST_FEEDFORWARD_LAYERNORM_2, layer);
    w->expert_gate_up = mem_zeroed(weights->n_experts, sizeof *w->expert_gate_up);
    w->expert_down = mem_zeroed(weights->n_experts, sizeof *w->expert_down);
    for (uint32_t i = 0; i < weights->n_experts; i++)
        add_expert(p, &w->expert_gate_up[i], TENSOR_EXPERTS_GATE_UP_PROJ, layer,
                   weights->expert_begin + i);
    for (uint32_t i = 0; i < weights->n_experts; i++)
        add_expert(p, &w->expert_down[i], TENSOR_EXPERTS_DOWN_PROJ, layer,
                   weights->expert_begin + i);
}

static void add_layer(struct planner *p, uint32_t layer)
{
    struct layer_weights *w = &p->plan->weights->layers[layer];
    add_vector(p, &w->input_layernorm, TENSOR_INPUT_LAYERNORM, layer);
    add_vector(p, &w->post_attention_layernorm, TENSOR_POST_ATTENTION_LAYERNORM, layer);
    add_vector(p, &w->pre_feedforward_layernorm, TENSOR_PRE_FEEDFORWARD_LAYERNORM, layer);
    add_vector(p, &w->post_feedforward_layernorm, TENSOR_POST_FEEDFORWARD_LAYERNORM, layer);
    begin_vector(p, TENSOR_LAYER_SCALAR, layer)->scalar = &w->layer_scalar;
    add_attention(p, layer);
    add_feed_forward(p, layer);
    if (p->config->num_experts > 0)
        add_experts(p, layer);
    if (p->config->hidden_size_per_layer_input > 0) {
        add_matrix(p, &w->per_layer_input_gate, TENSOR_PER_LAYER_INPUT_GATE, layer);
        add_matrix(p, &w->per_layer_projection, TENSOR_PER_LAYER_PROJECTION, layer);
        add_vector(p, &w->post_per_layer_input_norm, TENSOR_POST_PER_LAYER_INPUT_NORM, layer);
    }
}

static void add_tables(struct planner *p)
{
    struct model_weights *w = p->plan->weights;
    uint32_t end;
    shard_range(p->config->vocab_size, p->rank, p->world_size, &w->vocab_begin, &end);
    shard_range(p->config->num_experts, p->rank, p->world_size, &w->expert_begin, &end);
    w->n_experts = end - w->expert_begin;
    add_matrix(p, &w->embed_tokens, TENSOR_EMBED_TOKENS, 0);
    if (p->config->hidden_size_per_layer_input == 0)
        return;
    const struct stored_tensor *table = checkpoint_tensor(p->checkpoint,
                                                          TENSOR_EMBED_TOKENS_PER_LAYER, 0);
    w->embed_tokens_per_layer = (struct raw_matrix){.dtype = table->dtype,
                                                    .n_rows = table->shape.dims[0],
                                                    .row_length = table->shape.dims[1],
                                                    .data = table->data};
    p->plan->mapped_bytes = (size_t)table->shape.dims[0] * table->shape.dims[1] *
                            dtype_bytes(table->dtype);
    add_matrix(p, &w->per_layer_model_projection, TENSOR_PER_LAYER_MODEL_PROJECTION, 0);
    add_vector(p, &w->per_layer_projection_norm, TENSOR_PER_LAYER_PROJECTION_NORM, 0);
}

static enum status check_division(const struct planner *p, struct error *err)
{
    const struct model_config *config = p->config;
    uint32_t world = p->world_size, first, count;
    if (world == 0 || N_LEAVES % world != 0 || p->rank >= world)
        return error_set(err, STATUS_INVALID_ARGUMENT,
                         "rank %u of %u: a world size is 1, 2, 4 or 8", p->rank, world);
    if (config->num_attention_heads % world != 0)
        return error_set(err, STATUS_INVALID_ARGUMENT,
                         "num_attention_heads=%u cannot be divided over %u ranks",
                         config->num_attention_heads, world);
    if (config->vocab_size < world)
        return error_set(err, STATUS_INVALID_ARGUMENT,
                         "vocab_size=%u cannot be divided over %u ranks", config->vocab_size,
                         world);
    for (uint32_t l = 0; l < config->num_hidden_layers; l++) {
        const struct layer_config *layer = &config->layers[l];
        enum status st = shard_kv_heads(layer->num_key_value_heads, p->rank, world, &first, &count,
                                        err);
        if (st != STATUS_OK)
            return error_prefix(err, "layer %u", l);
        if (layer->intermediate_size < world)
            return error_set(err, STATUS_INVALID_ARGUMENT,
                             "layer %u: intermediate_size=%u cannot be divided over %u ranks", l,
                             layer->intermediate_size, world);
    }
    return STATUS_OK;
}

void weights_plan_count(struct weights_plan *plan)
{
    static const struct device_buffer nothing = {0};
    for (size_t i = 0; i < plan->n_matrices; i++) {
        struct pack_matrix *pack = &plan->matrices[i];
        device_buffer_carve(&nothing, &plan->bytes, packed_matrix_bytes(pack->matrix), 1);
        for (uint32_t s = 0; s < pack->n_sources; s++)
            plan->source_bytes += (size_t)pack->sources[s].n_rows * pack->matrix->k *
                                  dtype_bytes(pack->sources[s].dtype);
    }
    for (size_t i = 0; i < plan->n_vectors; i++)
        device_buffer_carve(&nothing, &plan->bytes, plan->vectors[i].n, sizeof(float));
}

enum status weights_plan_create(const struct checkpoint *checkpoint,
                                const struct weights_plan_config *plan_config,
                                struct weights_plan **out, struct error *err)
{
    const struct model_config *config = checkpoint_config(checkpoint);
    struct planner p = {NULL, config, checkpoint, plan_config->rank, plan_config->world_size};
    enum status st = check_division(&p, err);
    if (st != STATUS_OK)
        return st;
    p.plan = weights_plan_new(plan_config);
    p.plan->weights = mem_zeroed(1, sizeof *p.plan->weights);
    p.plan->weights->n_layers = config->num_hidden_layers;
    p.plan->weights->layers = mem_zeroed(config->num_hidden_layers,
                                         sizeof *p.plan->weights->layers);
    add_tables(&p);
    for (uint32_t l = 0; l < config->num_hidden_layers; l++)
        add_layer(&p, l);
    add_vector(&p, &p.plan->weights->norm, TENSOR_NORM, 0);
    if (!config->tie_word_embeddings)
        add_matrix(&p, &p.plan->weights->lm_head, TENSOR_LM_HEAD, 0);
    weights_plan_count(p.plan);
    *out = p.plan;
    return STATUS_OK;
}

void weights_plan_destroy(struct weights_plan *plan)
{
    if (!plan)
        return;
    model_weights_destroy(plan->weights);
    for (size_t i = 0; i < plan->n_matrices; i++)
        free(plan->matrices[i].sources);
    free(plan->matrices);
    free(plan->vectors);
    free(plan);
}

void weights_plan_place(struct weights_plan *plan, const struct device_buffer *memory)
{
    CHECK(memory->bytes >= plan->bytes);
    size_t at = 0;
    for (size_t i = 0; i < plan->n_matrices; i++) {
        struct packed_matrix *matrix = plan->matrices[i].matrix;
        matrix->data = device_buffer_carve(memory, &at, packed_matrix_bytes(matrix), 1);
    }
    for (size_t i = 0; i < plan->n_vectors; i++) {
        struct pack_vector *vector = &plan->vectors[i];
        vector->data = device_buffer_carve(memory, &at, vector->n, sizeof(float));
        if (vector->out)
            *vector->out = vector->data;
    }
}

void weights_plan_finish(const struct weights_plan *plan, const struct model_config *config)
{
    struct model_weights *weights = plan->weights;
    for (size_t i = 0; i < plan->n_vectors; i++)
        if (plan->vectors[i].scalar)
            *plan->vectors[i].scalar = plan->vectors[i].data[0];
    if (!weights)
        return;
    if (config->tie_word_embeddings)
        weights->lm_head = weights->embed_tokens;
    for (uint32_t l = 0; l < config->num_hidden_layers; l++)
        weights->layers[l].k_norm = weights->layers[config->layers[l].kv_source].k_norm;
}
