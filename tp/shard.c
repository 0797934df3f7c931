/* tp/shard.c - the shard plan as one table. A pattern is a name in which N stands for a number.
 *
 * The table is closed: a name that no pattern knows is refused, because a tensor that is silently
 * left out gives fluent nonsense instead of an error. Both spellings of the expert tensors that
 * exist in published files ("experts." and the older "moe.") stand here. */
#include "tp/shard.h"

#include <stddef.h>

static const struct {
    const char *pattern;
    enum shard_rule rule;
} table[] = {
    {"embed_tokens.weight", SHARD_VOCAB},
    {"lm_head.weight", SHARD_VOCAB},
    {"norm.weight", SHARD_REPLICATED},
    {"layers.N.input_layernorm.weight", SHARD_REPLICATED},
    {"layers.N.post_attention_layernorm.weight", SHARD_REPLICATED},
    {"layers.N.pre_feedforward_layernorm.weight", SHARD_REPLICATED},
    {"layers.N.post_feedforward_layernorm.weight", SHARD_REPLICATED},
    {"layers.N.layer_scalar", SHARD_REPLICATED},
    {"layers.N.self_attn.q_proj.weight", SHARD_Q_HEADS},
    {"layers.N.self_attn.q_norm.weight", SHARD_REPLICATED},
    {"layers.N.self_attn.k_proj.weight", SHARD_KV_HEADS},
    {"layers.N.self_attn.v_proj.weight", SHARD_KV_HEADS},
    {"layers.N.self_attn.k_norm.weight", SHARD_REPLICATED},
    {"layers.N.self_attn.o_proj.weight", SHARD_O_COLUMNS},
    {"layers.N.mlp.gate_proj.weight", SHARD_MLP_ROWS},
    {"layers.N.mlp.up_proj.weight", SHARD_MLP_ROWS},
    {"layers.N.mlp.down_proj.weight", SHARD_MLP_COLUMNS},
    // Per-layer embeddings.
    {"embed_tokens_per_layer.weight", SHARD_MAPPED},
    {"per_layer_model_projection.weight", SHARD_REPLICATED},
    {"per_layer_projection_norm.weight", SHARD_REPLICATED},
    {"layers.N.per_layer_input_gate.weight", SHARD_REPLICATED},
    {"layers.N.per_layer_projection.weight", SHARD_REPLICATED},
    {"layers.N.post_per_layer_input_norm.weight", SHARD_REPLICATED},
    // Mixture of experts. The router is whole on every rank: all must choose the same experts.
    {"layers.N.router.proj.weight", SHARD_REPLICATED},
    {"layers.N.router.scale", SHARD_REPLICATED},
    {"layers.N.router.per_expert_scale", SHARD_REPLICATED},
    {"layers.N.moe.per_expert_scale", SHARD_REPLICATED},
    {"layers.N.experts.gate_up_proj", SHARD_EXPERTS},
    {"layers.N.experts.down_proj", SHARD_EXPERTS},
    {"layers.N.moe.gate_up_proj", SHARD_EXPERTS},
    {"layers.N.moe.down_proj", SHARD_EXPERTS},
    {"layers.N.pre_feedforward_layernorm_2.weight", SHARD_REPLICATED},
    {"layers.N.post_feedforward_layernorm_1.weight", SHARD_REPLICATED},
    {"layers.N.post_feedforward_layernorm_2.weight", SHARD_REPLICATED},
};

// A number is written as files write it: decimal, no sign, no leading zero.
static size_t number_length(const char *text)
{
    size_t n = 0;
    while (text[n] >= '0' && text[n] <= '9')
        n++;
    return n > 1 && text[0] == '0' ? 0 : n;
}

static bool name_matches(const char *pattern, const char *name)
{
    for (; *pattern; pattern++) {
        if (*pattern != 'N') {
            if (*pattern != *name)
                return false;
            name++;
            continue;
        }
        size_t n = number_length(name);
        if (n == 0)
            return false;
        name += n;
    }
    return *name == '\0';
}

enum status shard_rule_of(const char *name, enum shard_rule *out, struct error *err)
{
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        if (name_matches(table[i].pattern, name)) {
            *out = table[i].rule;
            return STATUS_OK;
        }
    }
    return error_set(err, STATUS_NOT_FOUND, "tensor \"%s\": no shard rule knows this name", name);
}

void shard_range(uint32_t n, uint32_t rank, uint32_t world_size, uint32_t *begin, uint32_t *end)
{
    CHECK(rank < world_size);
    *begin = (uint32_t)((uint64_t)n * rank / world_size);
    *end = (uint32_t)((uint64_t)n * (rank + 1) / world_size);
}

enum status shard_kv_heads(uint32_t n_kv_heads, uint32_t rank, uint32_t world_size, uint32_t *first,
                           uint32_t *count, struct error *err)
{
    if (world_size == 0 || rank >= world_size)
        return error_set(err, STATUS_INVALID_ARGUMENT, "rank=%u: world_size is %u", rank,
                         world_size);
    if (n_kv_heads == 0 || (n_kv_heads % world_size != 0 && world_size % n_kv_heads != 0))
        return error_set(err, STATUS_INVALID_ARGUMENT,
                         "%u KV heads over %u ranks: neither divides the other", n_kv_heads,
                         world_size);
    *first = (uint32_t)((uint64_t)rank * n_kv_heads / world_size);
    *count = n_kv_heads >= world_size ? n_kv_heads / world_size : 1;
    return STATUS_OK;
}
