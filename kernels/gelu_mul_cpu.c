/* kernels/gelu_mul_cpu.c - pieces of rows over threads, so that a single wide row is shared as
 * well. */
#include "kernels/gelu_mul.h"

#include "kernels/simd.h"
#include "kernels/spread.h"

enum { PIECE = 1024 }; // values of a row that are one unit

struct gelu_task {
    float *out;
    size_t out_stride;
    const float *gate;
    size_t gate_stride;
    const float *up;
    size_t up_stride;
    uint32_t dim;
    uint32_t n_pieces; // of a row
    size_t n_units;
};

// x / (1 + exp(-2u)) = 0.5 x (1 + tanh(u))
ALWAYS_INLINE vf gelu_tanh(vf x)
{
    vf cube = vf_mul(vf_mul(x, x), x);
    vf u = vf_mul(vf_set1(0.7978845608F), vf_fma(vf_set1(0.044715F), cube, x));
    vf e = vf_exp(vf_mul(vf_set1(-2.0F), u));
    return vf_div(x, vf_add(vf_set1(1.0F), e));
}

static void run_pieces(void *context, uint32_t thread, uint32_t n_threads)
{
    const struct gelu_task *task = context;
    size_t begin, end;
    device_share(task->n_units, 1, thread, n_threads, &begin, &end);
    for (size_t unit = begin; unit < end; unit++) {
        size_t row = unit / task->n_pieces;
        uint32_t first = (uint32_t)(unit % task->n_pieces) * PIECE;
        uint32_t last = task->dim - first < PIECE ? task->dim : first + PIECE;
        const float *gate = task->gate + row * task->gate_stride;
        const float *up = task->up + row * task->up_stride;
        float *out = task->out + row * task->out_stride;
        for (uint32_t i = first; i < last; i += VF_LANES) {
            vf activated = vf_rounded(gelu_tanh(vf_load_n(gate + i, last - i)));
            vf product = vf_mul(activated, vf_load_n(up + i, last - i));
            vf_store_n(out + i, vf_rounded(product), last - i);
        }
    }
}

static void gelu_mul(float *out, uint32_t out_stride, const float *gate, uint32_t gate_stride,
                     const float *up, uint32_t up_stride, uint32_t n_rows, uint32_t dim,
                     struct device_stream *stream)
{
    struct gelu_task task = {
        .out = out,
        .out_stride = out_stride,
        .gate = gate,
        .gate_stride = gate_stride,
        .up = up,
        .up_stride = up_stride,
        .dim = dim,
        .n_pieces = (dim + PIECE - 1) / PIECE,
    };
    task.n_units = (size_t)n_rows * task.n_pieces;
    spread(stream, run_pieces, &task, task.n_units, PIECE);
}

void KERNEL_PUT(gelu_mul)(struct ops *out)
{
    out->gelu_mul = gelu_mul;
}
