/* kernels/per_layer_ref.c - the twin of kernels/per_layer.h. */
#include "kernels/per_layer.h"

#include <math.h>

#include "kernels/variant.h"

static void per_layer_inputs(float *out, const float *ctx, const float *tok, const float *weight,
                             uint32_t n_rows, uint32_t n_layers, uint32_t dim, float ctx_scale,
                             float eps, struct device_stream *stream)
{
    (void)stream;
    size_t n = (size_t)n_rows * n_layers;
    for (size_t r = 0; r < n; r++, out += dim, ctx += dim, tok += dim) {
        double sum = 0;
        for (uint32_t i = 0; i < dim; i++) {
            double value = rounded(ctx[i] * ctx_scale);
            sum += value * value;
        }
        double factor = 1 / sqrt(sum / dim + eps);
        for (uint32_t i = 0; i < dim; i++) {
            double value = rounded(ctx[i] * ctx_scale) * factor * weight[i];
            out[i] = rounded(rounded(rounded((float)value) + tok[i]) * PER_LAYER_SCALE);
        }
    }
}

void KERNEL_PUT(per_layer)(struct ops *out)
{
    out->per_layer_inputs = per_layer_inputs;
}
