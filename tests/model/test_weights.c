/* tests/model/test_weights.c - every weight of every rank is the checkpoint's, at the place where
 * the forward pass looks for it. Slices are worked out here from gemma4-model.md section 7.1, not
 * from the room's tables. */
#include "model/weights.h"

#include <math.h>

#include "kernels/matmul.h"
#include "model/checkpoint.h"
#include "model/safetensors.h"
#include "tests/model/folder.h"
#include "tests/test.h"

struct loaded {
    struct checkpoint *checkpoint;
    const struct model_config *config;
    struct safetensors *files;
    struct device_stream *stream;
    struct model_weights *weights;
    struct model_load_options options;
    size_t last_done, last_total;
    char prefix[64];
};

static void see_progress(void *context, size_t done, size_t total)
{
    struct loaded *l = context;
    ASSERT(done >= l->last_done && done <= total);
    l->last_done = done;
    l->last_total = total;
}

static void load_with(struct loaded *l, const char *path, const struct model_load_options *options)
{
    struct error err = {0};
    *l = (struct loaded){.options = *options};
    l->options.progress = see_progress;
    l->options.progress_context = l;
    ASSERT_OK_ERR(checkpoint_open(path, &l->checkpoint, &err), err);
    l->config = checkpoint_config(l->checkpoint);
    ASSERT_OK_ERR(safetensors_open(path, &l->files, &err), err);
    struct device_stream_config config = {.n_threads = 3};
    ASSERT_OK_ERR(device_stream_create(&config, &l->stream, &err), err);
    ASSERT_OK_ERR(
        model_weights_load(l->config, l->checkpoint, &l->options, l->stream, &l->weights, &err),
        err);
    ASSERT(l->last_total > 0);
    ASSERT_EQ(l->last_done, l->last_total);
}

static void load(struct loaded *l, const char *path, uint32_t rank, uint32_t world_size,
                 enum compute compute)
{
    load_with(
        l, path,
        &(struct model_load_options){.rank = rank, .world_size = world_size, .compute = compute});
}

static void unload(struct loaded *l)
{
    model_weights_destroy(l->weights);
    device_stream_destroy(l->stream);
    safetensors_destroy(l->files);
    checkpoint_destroy(l->checkpoint);
}

static const struct safetensors_tensor *tensor_of(const struct loaded *l, const char *name)
{
    char full[200];
    snprintf(full, sizeof full, "%s%s", l->config->text_prefix, name);
    const struct safetensors_tensor *tensor = safetensors_find(l->files, full);
    if (!tensor)
        tensor = safetensors_find(l->files, name);
    if (!tensor)
        test_fail(__FILE__, __LINE__, "no tensor \"%s\"", name);
    return tensor;
}

static const struct safetensors_tensor *layer_tensor(const struct loaded *l, uint32_t layer,
                                                     const char *name)
{
    char full[100];
    snprintf(full, sizeof full, "layers.%u.%s", layer, name);
    return tensor_of(l, full);
}

static float value_at(const struct loaded *l, const struct safetensors_tensor *tensor, size_t i)
{
    uint16_t bits;
    float value;
    if (strcmp(tensor->dtype, "F32") == 0) {
        memcpy(&value, tensor->data + 4 * i, sizeof value);
    } else {
        memcpy(&bits, tensor->data + 2 * i, sizeof bits);
        value = strcmp(tensor->dtype, "BF16") == 0 ? bf16_to_f32(bits) : f16_to_f32(bits);
    }
    return l->options.compute == COMPUTE_BF16 ? bf16_round(value) : value;
}

// More than the coarsest block that the row could have is off: half a step of int8; of int4 also
// what a scale that suits the others better cuts off. 0 where nothing is rounded further.
static float row_tolerance(const struct loaded *l, const struct packed_matrix *matrix,
                           const struct safetensors_tensor *tensor, size_t first)
{
    if (!dtype_is_quantized(matrix->dtype))
        return 0;
    float most = 0;
    for (uint32_t k = 0; k < matrix->k; k++)
        most = fmaxf(most, fabsf(value_at(l, tensor, first + k)));
    return most / (matrix->dtype == DTYPE_INT8 ? 250 : 5);
}

// Rows [at, at + n) of the matrix are rows [row, row + n) of the tensor, from a column on; base is
// the first element (of an expert).
static void expect_rows(const struct loaded *l, const struct packed_matrix *matrix, uint32_t at,
                        const struct safetensors_tensor *tensor, size_t base, size_t row_length,
                        uint32_t row, uint32_t n, uint32_t column)
{
    ASSERT(at + n <= matrix->n);
    for (uint32_t r = 0; r < n; r++) {
        size_t first = base + (row + r) * row_length + column;
        float tolerance = row_tolerance(l, matrix, tensor, first);
        for (uint32_t k = 0; k < matrix->k; k++) {
            float want = value_at(l, tensor, first + k);
            float got = packed_matrix_at(matrix, at + r, k);
            if (matrix->dtype == DTYPE_BF16)
                want = bf16_round(want);
            if (!(fabsf(got - want) <= tolerance))
                test_fail(__FILE__, __LINE__, "%s[%u, %u] is %g, want %g", tensor->name, row + r,
                          column + k, (double)got, (double)want);
        }
    }
}

static void expect_vector(const struct loaded *l, const float *got,
                          const struct safetensors_tensor *tensor)
{
    for (size_t i = 0; i < tensor->shape[0]; i++)
        if (got[i] != value_at(l, tensor, i))
            test_fail(__FILE__, __LINE__, "%s[%zu] is %g, want %g", tensor->name, i, (double)got[i],
                      (double)value_at(l, tensor, i));
}

static void expect_whole(const struct loaded *l, const struct packed_matrix *matrix,
                         const struct safetensors_tensor *tensor)
{
    ASSERT_EQ(matrix->n, tensor->shape[0]);
    ASSERT_EQ(matrix->k, tensor->shape[1]);
    ASSERT_EQ(matrix->n_leaves, 1);
    expect_rows(l, matrix, 0, tensor, 0, matrix->k, 0, matrix->n, 0);
}

static void expect_columns(const struct loaded *l, const struct packed_matrix *matrix,
                           const struct safetensors_tensor *tensor, uint32_t first, uint32_t n)
{
    uint32_t n_leaves = N_LEAVES / l->options.world_size;
    ASSERT_EQ(matrix->n, l->config->hidden_size);
    ASSERT_EQ(matrix->k, n);
    ASSERT_EQ(matrix->k_total, tensor->shape[1]);
    ASSERT_EQ(matrix->n_leaves, n_leaves);
    ASSERT_EQ(matrix->first_leaf, l->options.rank * n_leaves);
    expect_rows(l, matrix, 0, tensor, 0, tensor->shape[1], 0, matrix->n, first);
}

static void expect_attention(const struct loaded *l, uint32_t layer)
{
    const struct layer_config *c = &l->config->layers[layer];
    const struct layer_weights *w = &l->weights->layers[layer];
    uint32_t rank = l->options.rank, world = l->options.world_size, hidden = l->config->hidden_size;
    uint32_t q = l->config->num_attention_heads / world * c->head_dim;
    uint32_t heads = c->num_key_value_heads;
    uint32_t kv = (heads > world ? heads / world : 1) * c->head_dim;
    uint32_t kv_first = rank * heads / world * c->head_dim;
    ASSERT_EQ(w->q_rows, q);
    ASSERT_EQ(w->qkv.k, hidden);
    expect_rows(l, &w->qkv, 0, layer_tensor(l, layer, "self_attn.q_proj.weight"), 0, hidden,
                rank * q, q, 0);
    uint32_t parts = c->kv_shared ? 0 : c->k_eq_v ? 1 : 2;
    ASSERT_EQ(w->qkv.n, q + parts * kv);
    ASSERT_EQ(w->kv_rows, c->kv_shared ? 0 : kv);
    if (parts >= 1)
        expect_rows(l, &w->qkv, q, layer_tensor(l, layer, "self_attn.k_proj.weight"), 0, hidden,
                    kv_first, kv, 0);
    if (parts == 2)
        expect_rows(l, &w->qkv, q + kv, layer_tensor(l, layer, "self_attn.v_proj.weight"), 0,
                    hidden, kv_first, kv, 0);
    expect_columns(l, &w->o, layer_tensor(l, layer, "self_attn.o_proj.weight"), rank * q, q);
    expect_vector(l, w->q_norm, layer_tensor(l, layer, "self_attn.q_norm.weight"));
    expect_vector(l, w->k_norm, layer_tensor(l, c->kv_source, "self_attn.k_norm.weight"));
}

static void expect_mlp(const struct loaded *l, uint32_t layer)
{
    const struct layer_weights *w = &l->weights->layers[layer];
    uint32_t rank = l->options.rank, world = l->options.world_size, hidden = l->config->hidden_size;
    uint32_t size = l->config->layers[layer].intermediate_size;
    uint32_t first = rank * size / world, n = (rank + 1) * size / world - first;
    ASSERT_EQ(w->mlp_rows, n);
    ASSERT_EQ(w->gate_up.n, 2 * n);
    expect_rows(l, &w->gate_up, 0, layer_tensor(l, layer, "mlp.gate_proj.weight"), 0, hidden, first,
                n, 0);
    expect_rows(l, &w->gate_up, n, layer_tensor(l, layer, "mlp.up_proj.weight"), 0, hidden, first,
                n, 0);
    expect_columns(l, &w->down, layer_tensor(l, layer, "mlp.down_proj.weight"), first, n);
}

static void expect_experts(const struct loaded *l, uint32_t layer)
{
    const struct layer_weights *w = &l->weights->layers[layer];
    uint32_t n_experts = l->config->num_experts, width = l->config->moe_intermediate_size;
    uint32_t hidden = l->config->hidden_size, world = l->options.world_size;
    uint32_t first = l->options.rank * n_experts / world;
    ASSERT_EQ(l->weights->expert_begin, first);
    ASSERT_EQ(l->weights->n_experts, (l->options.rank + 1) * n_experts / world - first);
    const struct safetensors_tensor *gate_up = layer_tensor(l, layer, "experts.gate_up_proj");
    const struct safetensors_tensor *down = layer_tensor(l, layer, "experts.down_proj");
    for (uint32_t e = 0; e < l->weights->n_experts; e++) {
        size_t base = (size_t)(first + e) * 2 * width * hidden;
        ASSERT_EQ(w->expert_gate_up[e].n, 2 * width);
        ASSERT_EQ(w->expert_down[e].n_leaves, 1);
        ASSERT_EQ(w->expert_down[e].k, width);
        expect_rows(l, &w->expert_gate_up[e], 0, gate_up, base, hidden, 0, 2 * width, 0);
        expect_rows(l, &w->expert_down[e], 0, down, base / 2, width, 0, hidden, 0);
    }
    expect_whole(l, &w->router, layer_tensor(l, layer, "router.proj.weight"));
    expect_vector(l, w->router_scale, layer_tensor(l, layer, "router.scale"));
    expect_vector(l, w->per_expert_scale, layer_tensor(l, layer, "router.per_expert_scale"));
    expect_vector(l, w->pre_feedforward_layernorm_2,
                  layer_tensor(l, layer, "pre_feedforward_layernorm_2.weight"));
    expect_vector(l, w->post_feedforward_layernorm_1,
                  layer_tensor(l, layer, "post_feedforward_layernorm_1.weight"));
    expect_vector(l, w->post_feedforward_layernorm_2,
                  layer_tensor(l, layer, "post_feedforward_layernorm_2.weight"));
}

static void expect_layer(const struct loaded *l, uint32_t layer)
{
    const struct layer_weights *w = &l->weights->layers[layer];
    expect_attention(l, layer);
    expect_mlp(l, layer);
    expect_vector(l, w->input_layernorm, layer_tensor(l, layer, "input_layernorm.weight"));
    expect_vector(l, w->post_attention_layernorm,
                  layer_tensor(l, layer, "post_attention_layernorm.weight"));
    expect_vector(l, w->pre_feedforward_layernorm,
                  layer_tensor(l, layer, "pre_feedforward_layernorm.weight"));
    expect_vector(l, w->post_feedforward_layernorm,
                  layer_tensor(l, layer, "post_feedforward_layernorm.weight"));
    expect_vector(l, &w->layer_scalar, layer_tensor(l, layer, "layer_scalar"));
    if (l->config->num_experts > 0)
        expect_experts(l, layer);
    if (l->config->hidden_size_per_layer_input == 0)
        return;
    expect_whole(l, &w->per_layer_input_gate,
                 layer_tensor(l, layer, "per_layer_input_gate.weight"));
    expect_whole(l, &w->per_layer_projection,
                 layer_tensor(l, layer, "per_layer_projection.weight"));
    expect_vector(l, w->post_per_layer_input_norm,
                  layer_tensor(l, layer, "post_per_layer_input_norm.weight"));
}

static void expect_tables(const struct loaded *l)
{
    const struct model_weights *w = l->weights;
    uint32_t vocab = l->config->vocab_size, world = l->options.world_size;
    uint32_t first = l->options.rank * vocab / world;
    uint32_t n = (l->options.rank + 1) * vocab / world - first;
    uint32_t hidden = l->config->hidden_size;
    ASSERT_EQ(w->vocab_begin, first);
    ASSERT_EQ(w->embed_tokens.n, n);
    expect_rows(l, &w->embed_tokens, 0, tensor_of(l, "embed_tokens.weight"), 0, hidden, first, n,
                0);
    expect_vector(l, w->norm, tensor_of(l, "norm.weight"));
    if (l->config->tie_word_embeddings) {
        ASSERT(w->lm_head.data == w->embed_tokens.data);
    } else {
        ASSERT_EQ(w->lm_head.n, n);
        expect_rows(l, &w->lm_head, 0, tensor_of(l, "lm_head.weight"), 0, hidden, first, n, 0);
    }
    if (l->config->hidden_size_per_layer_input == 0)
        return;
    const struct safetensors_tensor *table = tensor_of(l, "embed_tokens_per_layer.weight");
    ASSERT_EQ(w->embed_tokens_per_layer.n_rows, table->shape[0]);
    ASSERT_EQ(w->embed_tokens_per_layer.row_length, table->shape[1]);
    ASSERT_EQ(memcmp(w->embed_tokens_per_layer.data, table->data, table->n_bytes), 0);
    expect_whole(l, &w->per_layer_model_projection,
                 tensor_of(l, "per_layer_model_projection.weight"));
    expect_vector(l, w->per_layer_projection_norm,
                  tensor_of(l, "per_layer_projection_norm.weight"));
}

static void expect_all(const struct loaded *l)
{
    expect_tables(l);
    for (uint32_t layer = 0; layer < l->config->num_hidden_layers; layer++)
        expect_layer(l, layer);
}

static void expect_rank(const char *path, uint32_t rank, uint32_t world_size, enum compute compute)
{
    struct loaded l;
    load(&l, path, rank, world_size, compute);
    expect_all(&l);
    unload(&l);
}

TEST(every_rank_holds_its_slice_of_the_dense_model)
{
    for (uint32_t world = 1; world <= 8; world *= 2)
        for (uint32_t rank = 0; rank < world; rank++)
            expect_rank(golden_path("dense"), rank, world, COMPUTE_F32);
}

TEST(every_rank_holds_whole_experts)
{
    for (uint32_t world = 1; world <= 8; world *= 2)
        for (uint32_t rank = 0; rank < world; rank++)
            expect_rank(golden_path("moe"), rank, world, COMPUTE_F32);
}

TEST(every_rank_holds_its_slice_of_the_model_with_per_layer_inputs)
{
    for (uint32_t world = 1; world <= 8; world *= 2)
        for (uint32_t rank = 0; rank < world; rank++)
            expect_rank(golden_path("ple"), rank, world, COMPUTE_BF16);
}

static void expect_dtype(const char *path, enum compute compute, enum dtype want)
{
    struct loaded l;
    load(&l, path, 1, 2, compute);
    ASSERT_EQ(l.weights->embed_tokens.dtype, want);
    ASSERT_EQ(l.weights->layers[0].qkv.dtype, want);
    ASSERT_EQ(l.weights->layers[0].down.dtype, want);
    unload(&l);
    expect_rank(path, 1, 2, compute);
}

TEST(weights_stay_as_stored_unless_bf16_is_computed_with)
{
    static const enum dtype dtypes[] = {DTYPE_F32, DTYPE_F16};
    for (size_t i = 0; i < 2; i++) {
        struct folder *folder = folder_of_golden("moe");
        folder_convert(folder, NULL, dtypes[i]);
        const char *path = folder_write(folder, 1);
        expect_dtype(path, COMPUTE_F32, dtypes[i]);
        expect_dtype(path, COMPUTE_BF16, DTYPE_BF16);
        folder_destroy(folder);
    }
}

static void expect_formats(const struct loaded *l, enum dtype large, enum dtype small,
                           enum dtype router)
{
    const struct layer_weights *w = &l->weights->layers[0];
    ASSERT_EQ(l->weights->embed_tokens.dtype, small);
    ASSERT_EQ(l->weights->lm_head.dtype, small);
    ASSERT_EQ(w->qkv.dtype, large);
    ASSERT_EQ(w->o.dtype, large);
    ASSERT_EQ(w->gate_up.dtype, large);
    ASSERT_EQ(w->down.dtype, large);
    if (l->config->num_experts > 0) {
        ASSERT_EQ(w->expert_gate_up[0].dtype, large);
        ASSERT_EQ(w->expert_down[0].dtype, large);
        ASSERT_EQ(w->router.dtype, router);
    }
    if (l->config->hidden_size_per_layer_input > 0) {
        ASSERT_EQ(l->weights->per_layer_model_projection.dtype, small);
        ASSERT_EQ(w->per_layer_input_gate.dtype, small);
        ASSERT_EQ(w->per_layer_projection.dtype, small);
    }
    expect_all(l);
}

TEST(a_format_takes_the_large_linears_down_to_it_and_leaves_the_router)
{
    static const struct {
        enum weights_format weights;
        enum dtype large, small;
    } cases[] = {{WEIGHTS_BF16, DTYPE_BF16, DTYPE_BF16},
                 {WEIGHTS_INT8, DTYPE_INT8, DTYPE_INT8},
                 {WEIGHTS_INT4, DTYPE_INT4, DTYPE_INT8}};
    struct folder *folder = folder_of_golden("moe");
    folder_convert(folder, NULL, DTYPE_F32);
    const char *const paths[] = {folder_write(folder, 1), golden_path("ple")};
    for (size_t i = 0; i < 12; i++) {
        struct loaded l;
        struct model_load_options options = {.rank = (uint32_t)i % 2,
                                             .world_size = 2,
                                             .compute = i / 2 % 2 ? COMPUTE_BF16 : COMPUTE_F32,
                                             .weights = cases[i / 4].weights};
        load_with(&l, paths[i % 2], &options);
        expect_formats(&l, cases[i / 4].large, cases[i / 4].small,
                       options.compute == COMPUTE_BF16 ? DTYPE_BF16 : DTYPE_F32);
        unload(&l);
    }
    folder_destroy(folder);
}

TEST(parts_of_unlike_types_meet_in_f32)
{
    struct folder *folder = folder_of_golden("dense");
    folder_convert(folder, "model.language_model.layers.0.self_attn.k_proj.weight", DTYPE_F16);
    const char *path = folder_write(folder, 1);
    struct loaded l;
    load(&l, path, 0, 1, COMPUTE_F32);
    ASSERT_EQ(l.weights->layers[0].qkv.dtype, DTYPE_F32);
    ASSERT_EQ(l.weights->layers[1].qkv.dtype, DTYPE_BF16);
    unload(&l);
    expect_rank(path, 0, 1, COMPUTE_F32);
    expect_rank(path, 1, 4, COMPUTE_BF16);
    folder_destroy(folder);
}

TEST(a_sharded_untied_checkpoint_loads_its_own_head)
{
    struct folder *folder = folder_of_golden("ple");
    folder_edit_config(folder, "\"tie_word_embeddings\": true,\n  \"video",
                       "\"tie_word_embeddings\": false,\n  \"video");
    folder_add(folder, "lm_head.weight", 2, (const size_t[]){1024, 96});
    const char *path = folder_write(folder, 5);
    expect_rank(path, 0, 1, COMPUTE_F32);
    expect_rank(path, 3, 4, COMPUTE_BF16);
    folder_destroy(folder);
}

// One wide layer: gate and up meet inside a piece and inside a panel.
TEST(matrices_of_many_pieces_are_packed_whole)
{
    struct folder *folder = folder_of_golden("dense");
    for (uint32_t l = 0; l < 12; l++) {
        char begin[100];
        snprintf(begin, sizeof begin, "model.language_model.layers.%u.", l);
        if (l != 5)
            folder_remove_all(folder, begin);
    }
    folder_rename_all(folder, "model.language_model.layers.5.", "model.language_model.layers.0.");
    folder_edit_config(folder, "\"layer_types\"", "\"none\"");
    folder_edit_config(folder, "\"num_hidden_layers\": 12", "\"num_hidden_layers\": 1");
    folder_edit_config(folder, "\"intermediate_size\": 256", "\"intermediate_size\": 36007");
    static const char *const names[] = {"gate_proj", "up_proj", "down_proj"};
    for (size_t i = 0; i < 3; i++) {
        char name[100];
        snprintf(name, sizeof name, "model.language_model.layers.0.mlp.%s.weight", names[i]);
        folder_remove(folder, name);
        folder_add(folder, name, 2,
                   i < 2 ? (const size_t[]){36007, 128} : (const size_t[]){128, 36007});
    }
    const char *path = folder_write(folder, 1);
    expect_rank(path, 0, 1, COMPUTE_F32);
    expect_rank(path, 1, 2, COMPUTE_F32);
    folder_destroy(folder);
}

TEST(a_world_that_does_not_divide_the_model_is_refused)
{
    struct checkpoint *checkpoint = NULL;
    struct error err = {0};
    ASSERT_OK_ERR(checkpoint_open(golden_path("dense"), &checkpoint, &err), err);
    struct device_stream *stream = NULL;
    struct device_stream_config config = {.n_threads = 1};
    ASSERT_OK_ERR(device_stream_create(&config, &stream, &err), err);
    struct model_weights *weights = NULL;
    static const struct {
        uint32_t rank, world_size;
        const char *message;
    } cases[] = {{0, 3, "a world size is 1, 2, 4 or 8"},
                 {2, 2, "a world size is 1, 2, 4 or 8"},
                 {0, 16, "a world size is 1, 2, 4 or 8"},
                 {0, 0, "a world size is 1, 2, 4 or 8"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct model_load_options options = {.rank = cases[i].rank,
                                             .world_size = cases[i].world_size};
        ASSERT_EQ(model_weights_load(checkpoint_config(checkpoint), checkpoint, &options, stream,
                                     &weights, &err),
                  STATUS_INVALID_ARGUMENT);
        ASSERT_CONTAINS(err.message, cases[i].message);
    }
    device_stream_destroy(stream);
    checkpoint_destroy(checkpoint);
}
