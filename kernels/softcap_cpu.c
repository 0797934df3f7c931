/* kernels/softcap_cpu.c - values over threads in whole vectors. */
#include "kernels/softcap.h"

#include "kernels/simd.h"
#include "kernels/spread.h"

struct softcap_task {
    float *x;
    size_t n;
    float cap;
};

static void cap_values(void *context, uint32_t thread, uint32_t n_threads)
{
    const struct softcap_task *task = context;
    size_t begin, end;
    device_share(task->n, VF_LANES, thread, n_threads, &begin, &end);
    vf cap = vf_set1(task->cap);
    for (size_t i = begin; i < end; i += VF_LANES) {
        vf x = vf_load_n(task->x + i, end - i);
        vf_store_n(task->x + i, vf_mul(cap, vf_tanh(vf_div(x, cap))), end - i);
    }
}

static void softcap(float *x, size_t n, float cap, struct device_stream *stream)
{
    struct softcap_task task = {x, n, cap};
    spread(stream, cap_values, &task, (n + VF_LANES - 1) / VF_LANES, VF_LANES);
}

void KERNEL_PUT(softcap)(struct ops *out)
{
    out->softcap = softcap;
}
