/* model/encoder_linear.c - bounds that are infinite cost nothing. */
#include "model/encoder_linear.h"

#include <math.h>

void encoder_linear_run(const struct encoder_linear *linear, float *out, const float *x,
                        float *clamped, uint32_t n_rows, const struct ops *ops,
                        struct device_stream *stream)
{
    const struct packed_matrix *matrix = &linear->matrix;
    if (!isinf(linear->input_min) || !isinf(linear->input_max)) {
        ops->clamp(clamped, x, linear->input_min, linear->input_max, (size_t)n_rows * matrix->k,
                   stream);
        x = clamped;
    }
    ops->matmul(out, matrix->n, x, matrix->k, n_rows, matrix, stream);
    if (!isinf(linear->output_min) || !isinf(linear->output_max))
        ops->clamp(out, out, linear->output_min, linear->output_max, (size_t)n_rows * matrix->n,
                   stream);
}
