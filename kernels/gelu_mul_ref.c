/* kernels/gelu_mul_ref.c - the twin of kernels/gelu_mul.h, as x / (1 + exp(-2u)): even in f64 the
 * form with tanh has nothing left below gate = -6. */
#include "kernels/gelu_mul.h"

#include <math.h>

#include "kernels/variant.h"

static float gelu_tanh(float value)
{
    double x = value;
    double u = 0.79788456080286536 * (x + 0.044715 * x * x * x);
    return (float)(x / (1 + exp(-2 * u)));
}

static void gelu_mul(float *out, uint32_t out_stride, const float *gate, uint32_t gate_stride,
                     const float *up, uint32_t up_stride, uint32_t n_rows, uint32_t dim,
                     struct device_stream *stream)
{
    (void)stream;
    for (size_t r = 0; r < n_rows; r++)
        for (uint32_t i = 0; i < dim; i++)
            out[r * out_stride + i] =
                rounded(rounded(gelu_tanh(gate[r * gate_stride + i])) * up[r * up_stride + i]);
}

void KERNEL_PUT(gelu_mul)(struct ops *out)
{
    out->gelu_mul = gelu_mul;
}
