/* tests/model/test_checkpoint.c - no tensor is missing, unknown, of another shape or type;
 * what is known not to matter does not. */
#include "model/checkpoint.h"

#include "tests/model/folder.h"
#include "tests/test.h"

#define PREFIX "model.language_model."

static void expect_loads(struct folder *folder, const char *want_prefix)
{
    struct checkpoint *checkpoint = NULL;
    struct error err = {0};
    ASSERT_OK_ERR(checkpoint_open(folder_write(folder, 1), &checkpoint, &err), err);
    ASSERT_STR_EQ(checkpoint_config(checkpoint)->text_prefix, want_prefix);
    const struct stored_tensor *tensor = checkpoint_tensor(checkpoint, TENSOR_EMBED_TOKENS, 0);
    ASSERT_STR_EQ(tensor->name, "embed_tokens.weight");
    ASSERT_EQ(tensor->shape.dims[0], 1024);
    checkpoint_destroy(checkpoint);
    folder_destroy(folder);
}

static void expect_refused(struct folder *folder, enum status want, const char *message)
{
    struct checkpoint *checkpoint = NULL;
    struct error err = {0};
    enum status st = checkpoint_open(folder_write(folder, 2), &checkpoint, &err);
    if (st != want || !strstr(err.message, message))
        test_fail(__FILE__, __LINE__, "%s \"%s\", want %s \"%s\"", status_name(st), err.message,
                  status_name(want), message);
    folder_destroy(folder);
}

TEST(the_goldens_open_with_dead_and_foreign_tensors_in_them)
{
    static const char *const goldens[] = {"dense", "moe", "ple"};
    for (size_t i = 0; i < 3; i++)
        expect_loads(folder_of_golden(goldens[i]), PREFIX);
    struct checkpoint *checkpoint = NULL;
    struct error err = {0};
    ASSERT_OK_ERR(checkpoint_open(test_path("data/goldens/ple/checkpoint"), &checkpoint, &err),
                  err);
    ASSERT_EQ(checkpoint_generation_config(checkpoint)->top_k, 64);
    ASSERT_EQ(checkpoint_generation_config(checkpoint)->n_eos_token_ids, 3);
    checkpoint_destroy(checkpoint);
}

TEST(all_prefixes_of_the_text_part_are_known)
{
    struct folder *folder = folder_of_golden("dense");
    folder_rename_all(folder, PREFIX, "language_model.model.");
    folder_rename_all(folder, "model.vision_tower.", "vision_tower.");
    expect_loads(folder, "language_model.model.");
    folder = folder_of_golden("dense");
    folder_rename_all(folder, PREFIX, "model.");
    expect_loads(folder, "model.");
    folder = folder_of_golden("dense");
    folder_rename_all(folder, PREFIX, "text.");
    expect_refused(folder, STATUS_INVALID_ARGUMENT, "no tensor \"embed_tokens.weight\" behind");
}

TEST(the_older_spelling_of_experts_is_known)
{
    struct folder *folder = folder_of_golden("moe");
    for (uint32_t l = 0; l < 6; l++) {
        static const char *const names[][2] = {{"experts.gate_up_proj", "moe.gate_up_proj"},
                                               {"experts.down_proj", "moe.down_proj"},
                                               {"router.per_expert_scale", "moe.per_expert_scale"}};
        for (size_t i = 0; i < 3; i++) {
            char from[100], to[100];
            snprintf(from, sizeof from, PREFIX "layers.%u.%s", l, names[i][0]);
            snprintf(to, sizeof to, PREFIX "layers.%u.%s", l, names[i][1]);
            folder_rename(folder, from, to);
        }
    }
    expect_loads(folder, PREFIX);
}

TEST(a_redundant_head_and_rotary_buffers_are_ignored)
{
    static const char *const heads[] = {"lm_head.weight", PREFIX "lm_head.weight",
                                        "language_model.lm_head.weight"};
    for (size_t i = 0; i < 3; i++) {
        struct folder *folder = folder_of_golden("dense");
        folder_add(folder, heads[i], 2, (const size_t[]){1024, 128});
        folder_add(folder, PREFIX "rotary_emb.full_attention_inv_freq", 1, (const size_t[]){16});
        folder_add(folder, PREFIX "layers.0.self_attn.rotary_emb.inv_freq", 1, (const size_t[]){8});
        expect_loads(folder, PREFIX);
    }
}

TEST(dead_keys_and_values_may_be_missing)
{
    struct folder *folder = folder_of_golden("ple");
    folder_remove(folder, PREFIX "layers.7.self_attn.k_proj.weight");
    folder_remove(folder, PREFIX "layers.7.self_attn.v_proj.weight");
    folder_remove(folder, PREFIX "layers.7.self_attn.k_norm.weight");
    expect_loads(folder, PREFIX);
}

TEST(a_missing_tensor_is_named)
{
    struct folder *folder = folder_of_golden("ple");
    folder_remove(folder, PREFIX "layers.4.self_attn.k_proj.weight");
    expect_refused(folder, STATUS_INVALID_ARGUMENT,
                   "tensor \"" PREFIX "layers.4.self_attn.k_proj.weight\" is in no file");
    folder = folder_of_golden("dense");
    folder_edit_config(folder, "\"tie_word_embeddings\": true,\n  \"video",
                       "\"tie_word_embeddings\": false,\n  \"video");
    expect_refused(folder, STATUS_INVALID_ARGUMENT, "tensor \"lm_head.weight\" is in no file");
}

TEST(an_unknown_tensor_is_named)
{
    static const char *const names[] = {
        PREFIX "layers.0.self_attn.v_norm.weight",
        PREFIX "layers.12.input_layernorm.weight",  // there are 12 layers
        PREFIX "layers.5.self_attn.v_proj.weight",  // a layer with attention_k_eq_v
        PREFIX "layers.05.self_attn.q_proj.weight", // not how numbers are written
        PREFIX "layers.0.self_attn.k_proj.k_scale", // quantized
        PREFIX "layers.0.router.proj.weight",       // no experts here
        "mtp.layers.0.weight",
        "layers.0.input_layernorm.weight",
    };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        struct folder *folder = folder_of_golden("dense");
        folder_add(folder, names[i], 1, (const size_t[]){16});
        char message[200];
        snprintf(message, sizeof message, "safetensors: tensor \"%s\" is unknown", names[i]);
        expect_refused(folder, STATUS_INVALID_ARGUMENT, message);
    }
}

TEST(a_wrong_shape_or_type_is_named_with_both)
{
    struct folder *folder = folder_of_golden("dense");
    folder_remove(folder, PREFIX "layers.3.mlp.up_proj.weight");
    folder_add(folder, PREFIX "layers.3.mlp.up_proj.weight", 2, (const size_t[]){128, 256});
    expect_refused(folder, STATUS_INVALID_ARGUMENT,
                   "layers.3.mlp.up_proj.weight\" has the shape [128, 256], by config.json it is "
                   "[256, 128]");
    folder = folder_of_golden("dense");
    folder_remove(folder, PREFIX "norm.weight");
    folder_add(folder, PREFIX "norm.weight", 2, (const size_t[]){1, 128});
    expect_refused(folder, STATUS_INVALID_ARGUMENT, "shape [1, 128], by config.json it is [128]");
    folder = folder_of_golden("dense");
    folder_edit_config(folder, "\"intermediate_size\": 256", "\"intermediate_size\": 512");
    expect_refused(folder, STATUS_INVALID_ARGUMENT, "by config.json it is [512, 128]");
}

#define TOWER "model.vision_tower.encoder.layers.1."

TEST(a_tensor_that_an_encoder_misses_is_named)
{
    static const char *const names[] = {
        TOWER "self_attn.q_proj.linear.weight",
        TOWER "mlp.up_proj.output_max",
        "model.vision_tower.patch_embedder.position_embedding_table",
        "model.embed_vision.embedding_projection.weight",
        "model.audio_tower.layers.2.self_attn.per_dim_scale",
        "model.audio_tower.output_proj.bias",
    };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        struct folder *folder = folder_of_golden("ple");
        folder_remove(folder, names[i]);
        char message[200];
        snprintf(message, sizeof message, "tensor \"%s\" is in no file", names[i]);
        expect_refused(folder, STATUS_INVALID_ARGUMENT, message);
    }
}

TEST(a_tensor_that_no_encoder_would_use_is_named)
{
    static const char *const names[] = {
        TOWER "self_attn.q_proj.input_min", // dense has no clipped linears
        "model.vision_tower.encoder.layers.3.input_layernorm.weight",
        "model.vision_tower.other",
        "model.embed_vision.embedding_projection.bias",
    };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        struct folder *folder = folder_of_golden("dense");
        folder_add(folder, names[i], 1, (const size_t[]){1});
        char message[200];
        snprintf(message, sizeof message, "tensor \"%s\" is unknown", names[i]);
        expect_refused(folder, STATUS_INVALID_ARGUMENT, message);
    }
}

TEST(an_encoders_tensor_of_another_shape_is_named)
{
    struct folder *folder = folder_of_golden("dense");
    folder_remove(folder, TOWER "self_attn.q_norm.weight");
    folder_add(folder, TOWER "self_attn.q_norm.weight", 1, (const size_t[]){48});
    expect_refused(folder, STATUS_INVALID_ARGUMENT,
                   TOWER "self_attn.q_norm.weight\" has the shape [48], by config.json it is [24]");
    folder = folder_of_golden("ple"); // a list of one is as good as a scalar
    folder_remove(folder, TOWER "self_attn.q_proj.input_min");
    folder_add(folder, TOWER "self_attn.q_proj.input_min", 1, (const size_t[]){1});
    expect_loads(folder, PREFIX);
    folder = folder_of_golden("ple");
    folder_remove(folder, TOWER "self_attn.q_proj.input_min");
    folder_add(folder, TOWER "self_attn.q_proj.input_min", 1, (const size_t[]){2});
    expect_refused(folder, STATUS_INVALID_ARGUMENT, "has the shape [2], by config.json it is []");
}

TEST(towers_that_the_config_does_not_have_are_left_alone)
{
    struct folder *folder = folder_of_golden("dense");
    folder_edit_config(folder, "\"vision_config\": {", "\"vision_config\": null, \"x\": {");
    folder_remove(folder, TOWER "self_attn.q_norm.weight");
    expect_loads(folder, PREFIX);
}

TEST(a_folder_that_is_not_there_is_not_found)
{
    struct checkpoint *checkpoint = NULL;
    struct error err = {0};
    ASSERT_EQ(checkpoint_open(test_path("data/no-such-folder"), &checkpoint, &err),
              STATUS_NOT_FOUND);
    ASSERT_CONTAINS(err.message, "config.json");
}
