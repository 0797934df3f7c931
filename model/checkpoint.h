/* model/checkpoint.h - a model folder, opened and checked: config.json, generation_config.json and
 * every tensor of the text model and the encoders, with the right shape and a dtype we compute
 * with.
 *
 * No tensor may be missing or unknown: a weight that nobody loads gives fluent nonsense instead of
 * an error. What an encoder owns that config.json does not have is left alone, as are tensors known
 * to be dead: keys and values of KV-shared layers, rotary buffers, the
 * lm_head of a tied checkpoint.
 * Owns the mappings. Opening reads headers only. Thread: read-only after open. */
#ifndef GEMMAD_MODEL_CHECKPOINT_H
#define GEMMAD_MODEL_CHECKPOINT_H

#include "kernels/types.h"
#include "model/encoder_tensors.h"
#include "model/generation_config.h"
#include "model/tensors.h"

struct checkpoint;

struct stored_tensor {
    const char *name;          /* of the text's: behind the text prefix */
    const unsigned char *data; /* mapped; not aligned */
    enum dtype dtype;
    struct tensor_shape shape;
};

/* Errors name file and key or tensor. UNIMPLEMENTED: a model that is not served. */
NODISCARD enum status checkpoint_open(const char *folder, struct checkpoint **out,
                                      struct error *err);
void checkpoint_destroy(struct checkpoint *checkpoint); /* NULL is fine */

const struct model_config *checkpoint_config(const struct checkpoint *checkpoint);
const struct generation_config *checkpoint_generation_config(const struct checkpoint *checkpoint);

/* Stands for what its files hold (safetensors_fingerprint). */
uint64_t checkpoint_fingerprint(const struct checkpoint *checkpoint);

/* A tensor that exists under the config (model_tensor_exists): never NULL. */
const struct stored_tensor *checkpoint_tensor(const struct checkpoint *checkpoint,
                                              enum tensor_id id, uint32_t layer);

/* The encoders' tensors, [*out_n], as encoder_tensors_list has them; and number i of them. */
const struct encoder_tensor *checkpoint_encoder_tensors(const struct checkpoint *checkpoint,
                                                        size_t *out_n);
const struct stored_tensor *checkpoint_encoder_tensor(const struct checkpoint *checkpoint,
                                                      size_t i);

#endif
