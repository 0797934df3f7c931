/* model/tensors.h - the tensors of the text model: which there are under a config, what they are
 * called and how large they are (gemma4-model.md section 4.1). One table, from which the checkpoint
 * is checked and the weights are laid out. Thread: constants. */
#ifndef GEMMAD_MODEL_TENSORS_H
#define GEMMAD_MODEL_TENSORS_H

#include "model/config.h"

enum tensor_id {
    /* once */
    TENSOR_EMBED_TOKENS,
    TENSOR_LM_HEAD,
    TENSOR_NORM,
    TENSOR_EMBED_TOKENS_PER_LAYER,
    TENSOR_PER_LAYER_MODEL_PROJECTION,
    TENSOR_PER_LAYER_PROJECTION_NORM,
    /* in each layer */
    TENSOR_INPUT_LAYERNORM,
    TENSOR_POST_ATTENTION_LAYERNORM,
    TENSOR_PRE_FEEDFORWARD_LAYERNORM,
    TENSOR_POST_FEEDFORWARD_LAYERNORM,
    TENSOR_LAYER_SCALAR,
    TENSOR_Q_PROJ,
    TENSOR_K_PROJ,
    TENSOR_V_PROJ,
    TENSOR_O_PROJ,
    TENSOR_Q_NORM,
    TENSOR_K_NORM,
    TENSOR_GATE_PROJ,
    TENSOR_UP_PROJ,
    TENSOR_DOWN_PROJ,
    TENSOR_PER_LAYER_INPUT_GATE,
    TENSOR_PER_LAYER_PROJECTION,
    TENSOR_POST_PER_LAYER_INPUT_NORM,
    TENSOR_ROUTER_PROJ,
    TENSOR_ROUTER_SCALE,
    TENSOR_PER_EXPERT_SCALE,
    TENSOR_EXPERTS_GATE_UP_PROJ,
    TENSOR_EXPERTS_DOWN_PROJ,
    TENSOR_PRE_FEEDFORWARD_LAYERNORM_2,
    TENSOR_POST_FEEDFORWARD_LAYERNORM_1,
    TENSOR_POST_FEEDFORWARD_LAYERNORM_2,
    N_TENSOR_IDS
};

#define TENSOR_FIRST_OF_LAYER TENSOR_INPUT_LAYERNORM
#define TENSOR_NAME_BYTES 80
#define TENSOR_MAX_DIMS 4

struct tensor_shape {
    uint32_t n_dims;
    uint32_t dims[TENSOR_MAX_DIMS]; /* slowest first */
};

/* layer is 0 for tensors that there are once. */
bool model_tensor_exists(const struct model_config *config, enum tensor_id id, uint32_t layer);
struct tensor_shape model_tensor_shape(const struct model_config *config, enum tensor_id id,
                                       uint32_t layer);
/* The name behind the text prefix, into out [TENSOR_NAME_BYTES]. Spelling 0 is the usual one;
 * false: there is no such spelling. */
bool model_tensor_name(enum tensor_id id, uint32_t layer, uint32_t spelling, char *out);

#endif
