/* model/tensors.c - the table of tensors.h. Sizes stand in it as symbols, which one function turns
 * into numbers for a layer. */
#include "model/tensors.h"

#include <stdio.h>
#include <string.h>

enum presence { ALWAYS, UNTIED, OWNS_KEYS, OWNS_VALUES, PER_LAYER_INPUTS, EXPERTS };

enum size {
    NONE, // no further dimension
    ONE,
    VOCAB,
    HIDDEN,
    QUERIES, // all query heads together
    KEYS,    // all KV heads together
    HEAD,
    MLP,
    PER_LAYER_VOCAB,
    PER_LAYER,     // of one layer
    PER_LAYER_ALL, // of all layers side by side
    N_EXPERTS,
    EXPERT,
    EXPERT_GATE_UP,
};

static const struct {
    const char *name; // of the layer's, behind "layers.N."
    const char *older_name;
    enum presence presence;
    enum size sizes[TENSOR_MAX_DIMS];
} table[N_TENSOR_IDS] = {
    [TENSOR_EMBED_TOKENS] = {"embed_tokens.weight", NULL, ALWAYS, {VOCAB, HIDDEN}},
    [TENSOR_LM_HEAD] = {"lm_head.weight", NULL, UNTIED, {VOCAB, HIDDEN}},
    [TENSOR_NORM] = {"norm.weight", NULL, ALWAYS, {HIDDEN}},
    [TENSOR_EMBED_TOKENS_PER_LAYER] = {"embed_tokens_per_layer.weight",
                                       NULL,
                                       PER_LAYER_INPUTS,
                                       {PER_LAYER_VOCAB, PER_LAYER_ALL}},
    [TENSOR_PER_LAYER_MODEL_PROJECTION] = {"per_layer_model_projection.weight",
                                           NULL,
                                           PER_LAYER_INPUTS,
                                           {PER_LAYER_ALL, HIDDEN}},
    [TENSOR_PER_LAYER_PROJECTION_NORM] = {"per_layer_projection_norm.weight",
                                          NULL,
                                          PER_LAYER_INPUTS,
                                          {PER_LAYER}},
    [TENSOR_INPUT_LAYERNORM] = {"input_layernorm.weight", NULL, ALWAYS, {HIDDEN}},
    [TENSOR_POST_ATTENTION_LAYERNORM] = {"post_attention_layernorm.weight", NULL, ALWAYS, {HIDDEN}},
    [TENSOR_PRE_FEEDFORWARD_LAYERNORM] = {"pre_feedforward_layernorm.weight",
                                          NULL,
                                          ALWAYS,
                                          {HIDDEN}},
    [TENSOR_POST_FEEDFORWARD_LAYERNORM] = {"post_feedforward_layernorm.weight",
                                           NULL,
                                           ALWAYS,
                                           {HIDDEN}},
    [TENSOR_LAYER_SCALAR] = {"layer_scalar", NULL, ALWAYS, {ONE}},
    [TENSOR_Q_PROJ] = {"self_attn.q_proj.weight", NULL, ALWAYS, {QUERIES, HIDDEN}},
    [TENSOR_K_PROJ] = {"self_attn.k_proj.weight", NULL, OWNS_KEYS, {KEYS, HIDDEN}},
    [TENSOR_V_PROJ] = {"self_attn.v_proj.weight", NULL, OWNS_VALUES, {KEYS, HIDDEN}},
    [TENSOR_O_PROJ] = {"self_attn.o_proj.weight", NULL, ALWAYS, {HIDDEN, QUERIES}},
    [TENSOR_Q_NORM] = {"self_attn.q_norm.weight", NULL, ALWAYS, {HEAD}},
    [TENSOR_K_NORM] = {"self_attn.k_norm.weight", NULL, OWNS_KEYS, {HEAD}},
    [TENSOR_GATE_PROJ] = {"mlp.gate_proj.weight", NULL, ALWAYS, {MLP, HIDDEN}},
    [TENSOR_UP_PROJ] = {"mlp.up_proj.weight", NULL, ALWAYS, {MLP, HIDDEN}},
    [TENSOR_DOWN_PROJ] = {"mlp.down_proj.weight", NULL, ALWAYS, {HIDDEN, MLP}},
    [TENSOR_PER_LAYER_INPUT_GATE] = {"per_layer_input_gate.weight",
                                     NULL,
                                     PER_LAYER_INPUTS,
                                     {PER_LAYER, HIDDEN}},
    [TENSOR_PER_LAYER_PROJECTION] = {"per_layer_projection.weight",
                                     NULL,
                                     PER_LAYER_INPUTS,
                                     {HIDDEN, PER_LAYER}},
    [TENSOR_POST_PER_LAYER_INPUT_NORM] = {"post_per_layer_input_norm.weight",
                                          NULL,
                                          PER_LAYER_INPUTS,
                                          {HIDDEN}},
    [TENSOR_ROUTER_PROJ] = {"router.proj.weight", NULL, EXPERTS, {N_EXPERTS, HIDDEN}},
    [TENSOR_ROUTER_SCALE] = {"router.scale", NULL, EXPERTS, {HIDDEN}},
    [TENSOR_PER_EXPERT_SCALE] = {"router.per_expert_scale",
                                 "moe.per_expert_scale",
                                 EXPERTS,
                                 {N_EXPERTS}},
    [TENSOR_EXPERTS_GATE_UP_PROJ] = {"experts.gate_up_proj",
                                     "moe.gate_up_proj",
                                     EXPERTS,
                                     {N_EXPERTS, EXPERT_GATE_UP, HIDDEN}},
    [TENSOR_EXPERTS_DOWN_PROJ] = {"experts.down_proj",
                                  "moe.down_proj",
                                  EXPERTS,
                                  {N_EXPERTS, HIDDEN, EXPERT}},
    [TENSOR_PRE_FEEDFORWARD_LAYERNORM_2] = {"pre_feedforward_layernorm_2.weight",
                                            NULL,
                                            EXPERTS,
                                            {HIDDEN}},
    [TENSOR_POST_FEEDFORWARD_LAYERNORM_1] = {"post_feedforward_layernorm_1.weight",
                                             NULL,
                                             EXPERTS,
                                             {HIDDEN}},
    [TENSOR_POST_FEEDFORWARD_LAYERNORM_2] = {"post_feedforward_layernorm_2.weight",
                                             NULL,
                                             EXPERTS,
                                             {HIDDEN}},
};

bool model_tensor_exists(const struct model_config *config, enum tensor_id id, uint32_t layer)
{
    const struct layer_config *l = &config->layers[layer];
    switch (table[id].presence) {
    case ALWAYS:
        return true;
    case UNTIED:
        return !config->tie_word_embeddings;
    case OWNS_KEYS:
        return !l->kv_shared;
    case OWNS_VALUES:
        return !l->kv_shared && !l->k_eq_v;
    case PER_LAYER_INPUTS:
        return config->hidden_size_per_layer_input > 0;
    case EXPERTS:
        return config->num_experts > 0;
    }
    return false;
}

static uint32_t size_of(const struct model_config *config, enum size size, uint32_t layer)
{
    const struct layer_config *l = &config->layers[layer];
    switch (size) {
    case NONE:
    case ONE:
        return 1;
    case VOCAB:
        return config->vocab_size;
    case HIDDEN:
        return config->hidden_size;
    case QUERIES:
        return config->num_attention_heads * l->head_dim;
    case KEYS:
        return l->num_key_value_heads * l->head_dim;
    case HEAD:
        return l->head_dim;
    case MLP:
        return l->intermediate_size;
    case PER_LAYER_VOCAB:
        return config->vocab_size_per_layer_input;
    case PER_LAYER:
        return config->hidden_size_per_layer_input;
    case PER_LAYER_ALL:
        return config->num_hidden_layers * config->hidden_size_per_layer_input;
    case N_EXPERTS:
        return config->num_experts;
    case EXPERT:
        return config->moe_intermediate_size;
    case EXPERT_GATE_UP:
        return 2 * config->moe_intermediate_size;
    }
    return 0;
}

struct tensor_shape model_tensor_shape(const struct model_config *config, enum tensor_id id,
                                       uint32_t layer)
{
    struct tensor_shape shape = {0};
    while (shape.n_dims < TENSOR_MAX_DIMS && table[id].sizes[shape.n_dims] != NONE) {
        shape.dims[shape.n_dims] = size_of(config, table[id].sizes[shape.n_dims], layer);
        shape.n_dims++;
    }
    return shape;
}

bool model_tensor_name(enum tensor_id id, uint32_t layer, uint32_t spelling, char *out)
{
    const char *name = spelling == 0 ? table[id].name : table[id].older_name;
    if (spelling > 1 || !name)
        return false;
    if (id < TENSOR_FIRST_OF_LAYER)
        snprintf(out, TENSOR_NAME_BYTES, "%s", name);
    else
        snprintf(out, TENSOR_NAME_BYTES, "layers.%u.%s", layer, name);
    return true;
}
