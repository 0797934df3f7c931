/* tests/model/test_kv_layout.c - groups and places of the golden models' caches, and the bytes of
 * the published ones (gemma4-model.md section 7.3). */
#include "model/kv_layout.h"

#include "tests/test.h"

static struct kv_layout layout_of(const char *golden, enum compute compute)
{
    static struct model_config config;
    char path[100];
    snprintf(path, sizeof path, "data/goldens/%s/checkpoint/config.json", golden);
    struct error err = {0};
    ASSERT_OK_ERR(model_config_load(test_path(path), &config, &err), err);
    struct kv_layout layout;
    ASSERT_OK_ERR(kv_layout_init(&config, 16, compute, &layout, &err), err);
    return layout;
}

TEST(layers_of_a_kind_lie_in_a_group_in_order)
{
    struct kv_layout layout = layout_of("dense", COMPUTE_BF16);
    const struct kv_params *params = &layout.params;
    ASSERT_EQ(params->n_groups, 2);
    ASSERT_EQ(params->page_tokens, 16);
    ASSERT_EQ(params->element_bytes, 2);
    ASSERT_EQ(params->groups[0].n_layers, 10);
    ASSERT_EQ(params->groups[0].window, 64);
    ASSERT_EQ(params->groups[0].n_kv_heads, 8);
    ASSERT_EQ(params->groups[0].head_dim, 16);
    ASSERT_EQ(params->groups[0].k_dim, 16);
    ASSERT(!params->groups[0].k_from_v);
    ASSERT_EQ(params->groups[1].n_layers, 2);
    ASSERT_EQ(params->groups[1].window, 0);
    ASSERT_EQ(params->groups[1].n_kv_heads, 4);
    ASSERT_EQ(params->groups[1].head_dim, 32);
    ASSERT_EQ(params->groups[1].k_dim, 8); // a quarter is rotated
    ASSERT(params->groups[1].k_from_v);
    for (uint32_t l = 0; l < 12; l++) {
        ASSERT_EQ(layout.group[l], l % 6 == 5);
        ASSERT_EQ(layout.index[l], l % 6 == 5 ? l / 6 : l - l / 6);
    }
}

TEST(keys_that_cannot_come_from_values_are_stored_whole)
{
    static struct model_config config;
    struct error err = {0};
    ASSERT_OK_ERR(
        model_config_load(test_path("data/goldens/dense/checkpoint/config.json"), &config, &err),
        err);
    static const uint32_t head_dims[] = {32, 36, 1024};
    for (int i = 0; i < 3; i++) {
        for (uint32_t l = 0; l < config.num_hidden_layers; l++)
            if (config.layers[l].k_eq_v)
                config.layers[l].head_dim = head_dims[i];
        struct kv_layout layout;
        ASSERT_OK_ERR(kv_layout_init(&config, 16, COMPUTE_F32, &layout, &err), err);
        ASSERT_EQ(layout.params.groups[1].k_from_v, i == 0);
        ASSERT_EQ(layout.params.groups[1].k_dim, i == 0 ? 8 : head_dims[i]);
    }
}

TEST(shared_layers_own_nothing_and_point_to_their_source)
{
    struct kv_layout layout = layout_of("ple", COMPUTE_F32);
    ASSERT_EQ(layout.params.element_bytes, 4);
    ASSERT_EQ(layout.params.groups[0].n_layers, 4);
    ASSERT_EQ(layout.params.groups[1].n_layers, 1);
    ASSERT(!layout.params.groups[1].k_from_v);
    ASSERT_EQ(layout.params.groups[1].k_dim, 32);
    for (uint32_t l = 5; l < 10; l++) {
        ASSERT_EQ(layout.group[l], l == 9);
        ASSERT_EQ(layout.index[l], l == 9 ? 0 : 3);
    }
}

TEST(heads_are_replicated_group_by_group)
{
    struct kv_layout layout = layout_of("dense", COMPUTE_F32);
    uint32_t heads[KV_MAX_GROUPS];
    struct error err = {0};
    for (uint32_t world = 1; world <= 8; world *= 2) {
        ASSERT_OK_ERR(kv_layout_rank_heads(&layout, world - 1, world, heads, &err), err);
        ASSERT_EQ(heads[0], 8 / world);
        ASSERT_EQ(heads[1], world <= 4 ? 4 / world : 1);
        ASSERT_EQ(heads[2], 0);
    }
    ASSERT_EQ(kv_layout_rank_heads(&layout, 0, 3, heads, &err), STATUS_INVALID_ARGUMENT);
}

// The published 31B: 50 sliding layers of 16 heads of 256, 10 full ones of 4 heads of 512.
static void make_31b(struct model_config *config)
{
    *config = (struct model_config){.num_hidden_layers = 60,
                                    .num_attention_heads = 32,
                                    .sliding_window = 1024,
                                    .rope = {{1e4, 1, 1}, {1e6, 0.25, 1}}};
    for (uint32_t l = 0; l < 60; l++) {
        bool full = l % 6 == 5;
        config->layers[l] = (struct layer_config){.kind = full ? LAYER_FULL : LAYER_SLIDING,
                                                  .head_dim = full ? 512 : 256,
                                                  .num_key_value_heads = full ? 4 : 16,
                                                  .k_eq_v = full,
                                                  .kv_source = l};
    }
}

TEST(a_token_of_31b_takes_the_bytes_of_its_values_and_rotated_keys)
{
    static struct model_config config;
    make_31b(&config);
    struct kv_layout layout;
    struct error err = {0};
    ASSERT_OK_ERR(kv_layout_init(&config, 128, COMPUTE_BF16, &layout, &err), err);
    ASSERT_EQ(kv_page_bytes(&layout.params, 0, 16), 128 * 819200);
    // 640 instead of 1024 values a token and head
    ASSERT_EQ(kv_page_bytes(&layout.params, 1, 4), 128 * 81920 / 1024 * 640);
}

TEST(more_kinds_of_layers_than_groups_are_refused)
{
    static struct model_config config;
    make_31b(&config);
    struct kv_layout layout;
    struct error err = {0};
    config.layers[0].head_dim = 64;
    config.layers[1].head_dim = 128;
    ASSERT_OK_ERR(kv_layout_init(&config, 128, COMPUTE_BF16, &layout, &err), err);
    config.layers[2].num_key_value_heads = 8;
    ASSERT_EQ(kv_layout_init(&config, 128, COMPUTE_BF16, &layout, &err), STATUS_UNIMPLEMENTED);
    ASSERT_CONTAINS(err.message, "more than 4 kinds of attention layers");
    ASSERT_EQ(kv_layout_init(&config, 24, COMPUTE_BF16, &layout, &err), STATUS_INVALID_ARGUMENT);
    ASSERT_EQ(kv_layout_init(&config, 4, COMPUTE_BF16, &layout, &err), STATUS_INVALID_ARGUMENT);
}
