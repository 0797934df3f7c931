/* model/encoder.h - the vision and audio encoders of one rank: patches or mel features in, soft
 * tokens out, as they take the place of token embeddings (gemma4-model.md sections 5.3, 5.5).
 *
 * A job encodes some parts together, all for vision or all for audio. It is cut into units of about
 * equal work, so that a large image can be spread over steps between decode rows: a unit is some
 * rows of one phase of one layer. Every rank runs the same units in the same order; rows are spread
 * over ranks, and the collectives inside keep them together. A part's soft tokens have the same
 * bits in any job, cut and world size. All memory is reserved at creation. Thread: the worker's
 * step thread; encoder_count_units any. */
#ifndef GEMMAD_MODEL_ENCODER_H
#define GEMMAD_MODEL_ENCODER_H

#include "kernels/ops.h"
#include "model/config.h"
#include "tp/comm.h"

enum encoder_kind { ENCODER_VISION, ENCODER_AUDIO };

struct encoder;
struct encoder_weights; /* model/encoder_weights.h */

/* One image, frame or clip. */
struct encoder_part {
    enum encoder_kind kind;
    bool is_frame; /* of a video: pixels are u8 / 255, an image's u8 * (1 / 255) */
    /* vision: u8 [grid_height * grid_width, 768]; sides are multiples of 3, at least 3 */
    uint32_t grid_width, grid_height;
    /* audio: f32 [n_frames, 128] log-mel features (or [n_frames, 640] samples: unified models), all
     * of them valid */
    uint32_t n_frames;
    const void *data; /* until the job ends */
};

struct encoder_config {
    const struct model_config *config;
    const struct encoder_weights *weights;
    const struct ops *ops;
    struct device_stream *stream;
    struct tp_comm *comm;
    enum compute compute;
    uint32_t max_patches; /* of a vision job, all parts together; at least 9 * 1120 */
    uint32_t max_frames;  /* of an audio job; at least 3000 */
    uint32_t max_parts;   /* of a job */
    /* Sees rows after a stage ("embed", layer l's "out", "pooled", ...) of a world of one, a
     * tower's images in the order of model/vision.h; NULL but in tests and diagnosis. */
    void (*observe)(void *context, const char *stage, uint32_t layer, const float *rows,
                    uint32_t n_rows, uint32_t dim);
    void *observe_context;
};

/* Whether the checkpoint has such an encoder. */
bool encoder_exists(const struct model_config *config, enum encoder_kind kind);
/* Soft tokens of a part; 0: no valid part of this model (a grid or a length out of range). */
uint32_t encoder_n_tokens(const struct model_config *config, const struct encoder_part *part);
/* Units of a job of these parts, which are valid and of one kind. */
uint32_t encoder_count_units(const struct model_config *config, const struct encoder_part *parts,
                             uint32_t n_parts);

/* What a rank reserves at most, for the memory plan. */
size_t encoder_activation_bytes(const struct model_config *config, uint32_t max_patches,
                                uint32_t max_frames, uint32_t max_parts);

NODISCARD enum status encoder_create(const struct encoder_config *config, struct encoder **out,
                                     struct error *err);
void encoder_destroy(struct encoder *encoder); /* NULL is fine */

/* Begins a job; one that was under way is forgotten. Parts fit the limits. */
void encoder_begin(struct encoder *encoder, const struct encoder_part *parts, uint32_t n_parts);
/* The next n_units of it. UNAVAILABLE: a peer is gone (tp/comm.h). */
NODISCARD enum status encoder_run(struct encoder *encoder, uint32_t n_units, struct error *err);
/* When all units have run: [tokens of all parts in order, hidden_size] f32, until the next job. */
const float *encoder_output(const struct encoder *encoder);

#endif
