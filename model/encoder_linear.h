/* model/encoder_linear.h - a linear layer of an encoder, clipped or not. */
#ifndef GEMMAD_MODEL_ENCODER_LINEAR_H
#define GEMMAD_MODEL_ENCODER_LINEAR_H

#include "kernels/ops.h"
#include "model/encoder_weights.h"

/* out [n_rows, n] of x [n_rows, k]; clamped [n_rows, k] is room for the clamped x. */
void encoder_linear_run(const struct encoder_linear *linear, float *out, const float *x,
                        float *clamped, uint32_t n_rows, const struct ops *ops,
                        struct device_stream *stream);

#endif
