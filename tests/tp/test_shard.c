/* tests/tp/test_shard.c - the shard table by every name of the model contract, ranges, and the
 * KV head table of gemma4-model.md section 7.2. */
#include "tp/shard.h"

#include "tests/test.h"

static enum shard_rule rule_of(const char *name)
{
    enum shard_rule rule;
    struct error err = {0};
    ASSERT_OK_ERR(shard_rule_of(name, &rule, &err), err);
    return rule;
}

TEST(every_text_tensor_of_the_family_has_its_rule)
{
    static const struct {
        const char *name;
        enum shard_rule rule;
    } cases[] = {
        {"embed_tokens.weight", SHARD_VOCAB},
        {"lm_head.weight", SHARD_VOCAB},
        {"norm.weight", SHARD_REPLICATED},
        {"layers.0.input_layernorm.weight", SHARD_REPLICATED},
        {"layers.59.post_attention_layernorm.weight", SHARD_REPLICATED},
        {"layers.10.pre_feedforward_layernorm.weight", SHARD_REPLICATED},
        {"layers.10.post_feedforward_layernorm.weight", SHARD_REPLICATED},
        {"layers.3.layer_scalar", SHARD_REPLICATED},
        {"layers.3.self_attn.q_proj.weight", SHARD_Q_HEADS},
        {"layers.3.self_attn.k_proj.weight", SHARD_KV_HEADS},
        {"layers.3.self_attn.v_proj.weight", SHARD_KV_HEADS},
        {"layers.3.self_attn.o_proj.weight", SHARD_O_COLUMNS},
        {"layers.3.self_attn.q_norm.weight", SHARD_REPLICATED},
        {"layers.3.self_attn.k_norm.weight", SHARD_REPLICATED},
        {"layers.34.mlp.gate_proj.weight", SHARD_MLP_ROWS},
        {"layers.34.mlp.up_proj.weight", SHARD_MLP_ROWS},
        {"layers.34.mlp.down_proj.weight", SHARD_MLP_COLUMNS},
        {"embed_tokens_per_layer.weight", SHARD_MAPPED},
        {"per_layer_model_projection.weight", SHARD_REPLICATED},
        {"per_layer_projection_norm.weight", SHARD_REPLICATED},
        {"layers.1.per_layer_input_gate.weight", SHARD_REPLICATED},
        {"layers.1.per_layer_projection.weight", SHARD_REPLICATED},
        {"layers.1.post_per_layer_input_norm.weight", SHARD_REPLICATED},
        {"layers.29.router.proj.weight", SHARD_REPLICATED},
        {"layers.29.router.scale", SHARD_REPLICATED},
        {"layers.29.router.per_expert_scale", SHARD_REPLICATED},
        {"layers.29.moe.per_expert_scale", SHARD_REPLICATED},
        {"layers.29.experts.gate_up_proj", SHARD_EXPERTS},
        {"layers.29.experts.down_proj", SHARD_EXPERTS},
        {"layers.29.moe.gate_up_proj", SHARD_EXPERTS},
        {"layers.29.moe.down_proj", SHARD_EXPERTS},
        {"layers.29.pre_feedforward_layernorm_2.weight", SHARD_REPLICATED},
        {"layers.29.post_feedforward_layernorm_1.weight", SHARD_REPLICATED},
        {"layers.29.post_feedforward_layernorm_2.weight", SHARD_REPLICATED},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        if (rule_of(cases[i].name) != cases[i].rule)
            test_fail(__FILE__, __LINE__, "%s has rule %d, want %d", cases[i].name,
                      (int)rule_of(cases[i].name), (int)cases[i].rule);
}

TEST(a_name_that_no_rule_knows_is_refused_and_named)
{
    static const char *const names[] = {
        "",
        "layers.",
        "layers.3",
        "layers..self_attn.q_proj.weight",
        "layers.x.self_attn.q_proj.weight",
        "layers.03.self_attn.q_proj.weight",
        "layers.-1.self_attn.q_proj.weight",
        "layers.N.self_attn.q_proj.weight",
        "layers.3.self_attn.q_proj.weight.",
        "layers.3.self_attn.q_proj.weight_scale",
        "layers.3.self_attn.q_proj",
        "layers.3.self_attn.v_norm.weight",
        "layers.3.experts.gate_up_proj.weight",
        "layers.3.router.scale.weight",
        "model.norm.weight",
        "embed_tokens",
        "embed_tokens_per_layer",
    };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        enum shard_rule rule = SHARD_O_COLUMNS;
        struct error err = {0};
        ASSERT_EQ(shard_rule_of(names[i], &rule, &err), STATUS_NOT_FOUND);
        ASSERT_EQ(rule, SHARD_O_COLUMNS);
        ASSERT_CONTAINS(err.message, names[i]);
    }
}

TEST(ranges_of_the_ranks_cover_everything_once_in_order)
{
    static const uint32_t sizes[] = {0, 1, 5, 7, 8, 128, 704, 2112, 262144, UINT32_MAX};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        for (uint32_t world_size = 1; world_size <= 8; world_size *= 2) {
            uint32_t next = 0;
            for (uint32_t rank = 0; rank < world_size; rank++) {
                uint32_t begin, end;
                shard_range(sizes[i], rank, world_size, &begin, &end);
                ASSERT_EQ(begin, next);
                ASSERT(end >= begin);
                ASSERT(end - begin <= (uint64_t)sizes[i] / world_size + 1);
                next = end;
            }
            ASSERT_EQ(next, sizes[i]);
        }
}

TEST(a_rank_holds_the_ranges_of_its_leaves_whatever_the_world_size)
{
    static const uint32_t sizes[] = {3, 100, 128, 2112};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        for (uint32_t world_size = 1; world_size <= 8; world_size *= 2)
            for (uint32_t rank = 0; rank < world_size; rank++) {
                uint32_t begin, end, first_leaf_begin, last_leaf_end, unused;
                shard_range(sizes[i], rank, world_size, &begin, &end);
                uint32_t n_leaves = 8 / world_size;
                shard_range(sizes[i], rank * n_leaves, 8, &first_leaf_begin, &unused);
                shard_range(sizes[i], (rank + 1) * n_leaves - 1, 8, &unused, &last_leaf_end);
                ASSERT_EQ(begin, first_leaf_begin);
                ASSERT_EQ(end, last_leaf_end);
            }
}

TEST(kv_heads_per_rank_are_those_of_the_contract)
{
    // gemma4-model.md 7.2: sliding and full heads, then per rank at world size 2, 4, 8.
    static const struct {
        const char *model;
        uint32_t n_sliding, n_full;
        uint32_t sliding[3], full[3];
    } cases[] = {
        {"E2B", 1, 1, {1, 1, 1}, {1, 1, 1}},  {"E4B", 2, 2, {1, 1, 1}, {1, 1, 1}},
        {"12B", 8, 1, {4, 2, 1}, {1, 1, 1}},  {"26B", 8, 2, {4, 2, 1}, {1, 1, 1}},
        {"31B", 16, 4, {8, 4, 2}, {2, 1, 1}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (uint32_t d = 0; d < 3; d++) {
            uint32_t world_size = 2U << d;
            for (uint32_t rank = 0; rank < world_size; rank++) {
                uint32_t first, count;
                ASSERT_OK(
                    shard_kv_heads(cases[i].n_sliding, rank, world_size, &first, &count, NULL));
                ASSERT_EQ(count, cases[i].sliding[d]);
                ASSERT_EQ(first, rank * cases[i].n_sliding / world_size);
                ASSERT_OK(shard_kv_heads(cases[i].n_full, rank, world_size, &first, &count, NULL));
                ASSERT_EQ(count, cases[i].full[d]);
                ASSERT_EQ(first, rank * cases[i].n_full / world_size);
                ASSERT(first + count <= cases[i].n_full);
            }
        }
}

TEST(a_replicated_head_lies_on_consecutive_ranks)
{
    static const uint32_t want[8] = {0, 0, 1, 1, 2, 2, 3, 3}; // 31B, full layers, world size 8
    for (uint32_t rank = 0; rank < 8; rank++) {
        uint32_t first, count;
        ASSERT_OK(shard_kv_heads(4, rank, 8, &first, &count, NULL));
        ASSERT_EQ(first, want[rank]);
        ASSERT_EQ(count, 1);
    }
}

TEST(kv_heads_that_do_not_divide_are_refused)
{
    uint32_t first = 77, count = 77;
    struct error err = {0};
    ASSERT_EQ(shard_kv_heads(3, 0, 2, &first, &count, &err), STATUS_INVALID_ARGUMENT);
    ASSERT_CONTAINS(err.message, "3 KV heads over 2 ranks");
    ASSERT_EQ(shard_kv_heads(0, 0, 2, &first, &count, &err), STATUS_INVALID_ARGUMENT);
    ASSERT_EQ(shard_kv_heads(4, 2, 2, &first, &count, &err), STATUS_INVALID_ARGUMENT);
    ASSERT_EQ(shard_kv_heads(4, 0, 0, &first, &count, &err), STATUS_INVALID_ARGUMENT);
    ASSERT_EQ(first, 77);
    ASSERT_EQ(count, 77);
}
