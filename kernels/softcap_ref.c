/* kernels/softcap_ref.c - the twin of kernels/softcap.h. */
#include "kernels/softcap.h"

#include <math.h>

#include "kernels/variant.h"

static void softcap(float *x, size_t n, float cap, struct device_stream *stream)
{
    (void)stream;
    for (size_t i = 0; i < n; i++)
        x[i] = (float)(cap * tanh((double)x[i] / cap));
}

void KERNEL_PUT(softcap)(struct ops *out)
{
    out->softcap = softcap;
}
