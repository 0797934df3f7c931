/* model/encoder_tensors.h - the tensors of the vision and audio encoders: which there are under a
 * config, what they are called, how large they are and where in struct encoder_weights they go
 * (gemma4-model.md sections 4.2 to 4.4). One list, by which the checkpoint is checked and the
 * weights are laid out. Thread: constants. */
#ifndef GEMMAD_MODEL_ENCODER_TENSORS_H
#define GEMMAD_MODEL_ENCODER_TENSORS_H

#include "model/encoder_weights.h"
#include "model/tensors.h"

#define ENCODER_NAME_BYTES 112

enum encoder_section {
    SECTION_VISION,
    SECTION_VISION_LAYER,
    SECTION_AUDIO,
    SECTION_AUDIO_LAYER,
    SECTION_UNIFIED,
    N_ENCODER_SECTIONS
};

/* What a tensor becomes. */
enum encoder_form {
    FORM_MATRIX, /* struct packed_matrix: the first dimension by all others */
    FORM_HEADS,  /* the same, each head's quarters in the order 0, 2, 1, 3 */
    FORM_VECTOR, /* const float * */
    FORM_SCALAR, /* float */
    FORM_TABLE,  /* struct raw_matrix, mapped: the last dimension is a row */
};

struct encoder_tensor {
    char name[ENCODER_NAME_BYTES];       /* in a file; it may stand there without "model." */
    char other_name[ENCODER_NAME_BYTES]; /* another spelling, or "" */
    enum encoder_section section;
    uint32_t layer; /* of the layers of the section */
    enum encoder_form form;
    size_t offset; /* in the section's struct */
    struct tensor_shape shape;
};

/* All that the config asks for; *out is the caller's to free. */
size_t encoder_tensors_list(const struct model_config *config, struct encoder_tensor **out);

/* Whether tensors of this name belong to an encoder, and whether the model has that one. */
bool encoder_tensors_own(const struct model_config *config, const char *name, bool *out_served);

#endif
