/* kernels/rope_cpu.c - one head after the other, over threads; a head is normed into scratch, then
 * rotated on its way out. Angles are plain C in f64, which compilers make vectors of: they come
 * within 1e-11 of the twin's before they are rounded to f32, and all forms agree in every bit, as
 * nothing is contracted. */
#include "kernels/rope.h"

#include "kernels/norm_factor.h"
#include "kernels/spread.h"

struct rope_task {
    const struct kv_view *view;
    struct device_stream *stream;
    const float *cos, *sin;
    float eps;
    uint32_t n_rows;
    // query_finish
    float *out;
    const float *q;
    size_t q_stride;
    uint32_t n_heads;
    const float *q_norm;
    // kv_write
    const uint32_t *slots;
    const float *k, *v;
    size_t k_stride, v_stride;
    // both
    const float *k_norm;
};

struct angles_task {
    float *cos_out, *sin_out;
    const uint32_t *positions;
    const float *inv_freq;
    uint32_t n_rows, half_dim;
};

// cos and sin of one row's angles: the angle less the nearest multiple n of pi / 2, of which the
// first part times n is exact, then polynomials, swapped and negated as n says.
static void angles_row(float *cos_row, float *sin_row, float position, const float *inv_freq,
                       uint32_t half_dim)
{
    const double round_integer = 0x1.8p52; // added, whole numbers are all that is left
    for (uint32_t i = 0; i < half_dim; i++) {
        double angle = (double)(position * inv_freq[i]);
        double shifted = angle * 0x1.45f306dc9c883p-1 + round_integer;
        double n = shifted - round_integer;
        double r = angle - n * 0x1.921fb544p0 - n * 0x1.0b4611a626331p-34;
        double z = r * r;
        double s = z * (-1.0 / 39916800) + 1.0 / 362880;
        s = s * z - 1.0 / 5040;
        s = s * z + 1.0 / 120;
        s = s * z - 1.0 / 6;
        s = s * z * r + r;
        double c = z * (1.0 / 479001600) - 1.0 / 3628800;
        c = c * z + 1.0 / 40320;
        c = c * z - 1.0 / 720;
        c = c * z + 1.0 / 24;
        c = c * z - 1.0 / 2;
        c = c * z + 1;
        uint64_t quadrant;
        memcpy(&quadrant, &shifted, sizeof quadrant);
        double odd_cos = quadrant & 1 ? s : c;
        double odd_sin = quadrant & 1 ? c : s;
        cos_row[i] = rounded((float)((quadrant + 1) & 2 ? -odd_cos : odd_cos));
        sin_row[i] = rounded((float)(quadrant & 2 ? -odd_sin : odd_sin));
    }
}

static void angles_rows(void *context, uint32_t thread, uint32_t n_threads)
{
    const struct angles_task *task = context;
    size_t begin, end;
    device_share(task->n_rows, 1, thread, n_threads, &begin, &end);
    for (size_t r = begin; r < end; r++)
        angles_row(task->cos_out + r * task->half_dim, task->sin_out + r * task->half_dim,
                   (float)task->positions[r], task->inv_freq, task->half_dim);
}

static void rope_angles(float *cos_out, float *sin_out, const uint32_t *positions,
                        const float *inv_freq, uint32_t n_rows, uint32_t half_dim,
                        struct device_stream *stream)
{
    struct angles_task task = {cos_out, sin_out, positions, inv_freq, n_rows, half_dim};
    spread(stream, angles_rows, &task, n_rows, half_dim);
}

static void norm_head(float *out, const float *x, const float *weight, uint32_t dim, float eps)
{
    float factor = norm_factor(x, dim, eps);
    for (uint32_t i = 0; i < dim; i += VF_LANES)
        vf_store_n(
            out + i,
            vf_normed(vf_load_n(x + i, dim - i), factor, weight ? weight + i : NULL, dim - i),
            dim - i);
}

// R(a c - b s): dimension i of the first half, with b its partner; the second half is R(b c + a s).
ALWAYS_INLINE vf rotated(vf a, vf c, vf b, vf s, bool second)
{
    vf product = vf_mul(a, c);
    return vf_rounded(second ? vf_fma(b, s, product) : vf_fnma(b, s, product));
}

// The first n rotated dimensions of each half: out gets them at 0 and at second on.
static void rotate_head(float *out, uint32_t second, const float *x, uint32_t dim,
                        const float *cos_row, const float *sin_row, uint32_t n)
{
    const float *partner = x + dim / 2;
    for (uint32_t i = 0; i < n; i += VF_LANES) {
        vf a = vf_load_n(x + i, n - i);
        vf b = vf_load_n(partner + i, n - i);
        vf c = vf_load_n(cos_row + i, n - i);
        vf s = vf_load_n(sin_row + i, n - i);
        vf_store_n(out + i, rotated(a, c, b, s, false), n - i);
        vf_store_n(out + second + i, rotated(b, c, a, s, true), n - i);
    }
}

// norm(q) * k_norm with the rotated dimensions, the first n of each half, zero.
static void finish_plain(float *out, const float *x, const float *k_norm, uint32_t dim, uint32_t n)
{
    for (uint32_t i = 0; i < dim; i += VF_LANES)
        vf_store_n(out + i, vf_mul(vf_load_n(x + i, dim - i), vf_load_n(k_norm + i, dim - i)),
                   dim - i);
    memset(out, 0, n * sizeof *out);
    memset(out + dim / 2, 0, n * sizeof *out);
}

static void finish_queries(void *context, uint32_t thread, uint32_t n_threads)
{
    const struct rope_task *task = context;
    const struct kv_view *view = task->view;
    uint32_t dim = view->v_dim;
    float *x = device_stream_scratch(task->stream, thread, dim * sizeof *x);
    size_t begin, end;
    device_share((size_t)task->n_rows * task->n_heads, 1, thread, n_threads, &begin, &end);
    for (size_t unit = begin; unit < end; unit++) {
        size_t r = unit / task->n_heads;
        size_t head = unit % task->n_heads;
        const float *cos_row = task->cos + r * (dim / 2);
        const float *sin_row = task->sin + r * (dim / 2);
        float *out = task->out + unit * query_head_width(view);
        norm_head(x, task->q + r * task->q_stride + head * dim, task->q_norm, dim, task->eps);
        uint32_t n = view->k_from_v ? view->k_dim / 2 : dim / 2;
        rotate_head(out, n, x, dim, cos_row, sin_row, n);
        if (view->k_from_v)
            finish_plain(out + view->k_dim, x, task->k_norm, dim, n);
    }
}

static void query_finish(float *out, const float *q, uint32_t q_stride, uint32_t n_heads,
                         const float *q_norm, const float *k_norm, const float *cos,
                         const float *sin, uint32_t n_rows, float eps, const struct kv_view *view,
                         struct device_stream *stream)
{
    struct rope_task task = {
        .view = view,
        .stream = stream,
        .cos = cos,
        .sin = sin,
        .eps = eps,
        .n_rows = n_rows,
        .out = out,
        .q = q,
        .q_stride = q_stride,
        .n_heads = n_heads,
        .q_norm = q_norm,
        .k_norm = k_norm,
    };
    spread(stream, finish_queries, &task, (size_t)n_rows * n_heads, view->v_dim);
}

static void store_value(const struct kv_view *view, unsigned char *row, const float *x)
{
    uint32_t n = view->v_dim;
    if (view->dtype == DTYPE_F32) {
        memcpy(row, x, n * sizeof *x);
        return;
    }
    for (uint32_t i = 0; i < n; i += VF_LANES)
        vf_store_bf16_n((uint16_t *)(void *)row + i, vf_load_n(x + i, n - i), n - i);
}

// A lane of each vector of the tile.
static void store_key(const struct kv_view *view, uint32_t slot, uint32_t head, const float *x)
{
    unsigned char *lane = kv_view_key(view, slot, head, 0);
    uint32_t run = kv_key_run(view->dtype);
    for (uint32_t i = 0; i < view->k_dim; i += run, lane += KV_TILE_TOKENS * sizeof(uint32_t)) {
        uint16_t pair[2] = {f32_to_bf16(x[i]), f32_to_bf16(x[i + run - 1])};
        memcpy(lane, run == 1 ? (const void *)(x + i) : pair, sizeof(uint32_t));
    }
}

static void write_heads(void *context, uint32_t thread, uint32_t n_threads)
{
    const struct rope_task *task = context;
    const struct kv_view *view = task->view;
    uint32_t dim = view->v_dim;
    float *x = device_stream_scratch(task->stream, thread, 2 * dim * sizeof *x);
    float *rotated_key = x + dim;
    size_t begin, end;
    device_share((size_t)task->n_rows * view->n_kv_heads, 1, thread, n_threads, &begin, &end);
    for (size_t unit = begin; unit < end; unit++) {
        size_t r = unit / view->n_kv_heads;
        uint32_t head = (uint32_t)(unit % view->n_kv_heads);
        uint32_t slot = task->slots[r];
        norm_head(x, task->k + r * task->k_stride + (size_t)head * dim, task->k_norm, dim,
                  task->eps);
        rotate_head(rotated_key, view->k_dim / 2, x, dim, task->cos + r * (dim / 2),
                    task->sin + r * (dim / 2), view->k_dim / 2);
        store_key(view, slot, head, rotated_key);
        norm_head(x, task->v + r * task->v_stride + (size_t)head * dim, NULL, dim, task->eps);
        store_value(view, kv_view_value(view, slot, head), x);
    }
}

static void kv_write(const struct kv_view *view, const uint32_t *slots, const float *k,
                     uint32_t k_stride, const float *v, uint32_t v_stride, const float *k_norm,
                     const float *cos, const float *sin, uint32_t n_rows, float eps,
                     struct device_stream *stream)
{
    struct rope_task task = {
        .view = view,
        .stream = stream,
        .cos = cos,
        .sin = sin,
        .eps = eps,
        .n_rows = n_rows,
        .slots = slots,
        .k = k,
        .k_stride = k_stride,
        .v = v,
        .v_stride = v_stride,
        .k_norm = k_norm,
    };
    spread(stream, write_heads, &task, (size_t)n_rows * view->n_kv_heads, 2 * view->v_dim);
}

void KERNEL_PUT(rope)(struct ops *out)
{
    out->rope_angles = rope_angles;
    out->query_finish = query_finish;
    out->kv_write = kv_write;
}
