/* tests/kernels/test_rope.c - kernels/rope.h, also that scores of K from V are those of whole keys.
 */
#include "kernels/rope.h"
#include "tests/kernels/row_op.h"

static const struct {
    uint32_t n_rows, n_heads, n_kv_heads, dim;
    uint32_t k_dim; // less than dim: k_from_v
} cases[] = {
    {1, 1, 1, 16, 16},    {3, 4, 2, 32, 32},   {2, 2, 1, 64, 16},   {5, 3, 3, 72, 72},
    {17, 8, 1, 256, 256}, {2, 4, 2, 512, 128}, {1, 8, 1, 512, 512}, {3, 2, 2, 20, 8},
};
enum { N_CASES = sizeof cases / sizeof cases[0], PAGE_TOKENS = 16, N_PAGES = 5, GAP = 5 };

struct rope_inputs {
    struct kv_view view;
    uint32_t n_heads;
    float *q, *q_norm, *k_norm, *cos, *sin;
    uint32_t *slots;
};

static struct kv_view view_of(int c, enum dtype dtype)
{
    struct kv_view view = {
        .dtype = dtype,
        .page_tokens = PAGE_TOKENS,
        .n_kv_heads = cases[c].n_kv_heads,
        .k_dim = cases[c].k_dim,
        .v_dim = cases[c].dim,
        .k_from_v = cases[c].k_dim < cases[c].dim,
    };
    size_t tokens = (size_t)PAGE_TOKENS * view.n_kv_heads;
    view.k_offset = 64;
    view.v_offset = view.k_offset + tokens * view.k_dim * dtype_bytes(dtype);
    view.page_bytes = view.v_offset + tokens * view.v_dim * dtype_bytes(dtype) + 32;
    return view;
}

static struct rope_inputs new_inputs(int c, enum compute compute)
{
    uint32_t rows = cases[c].n_rows, dim = cases[c].dim, half = dim / 2;
    struct rope_inputs in = {
        .view = view_of(c, compute == COMPUTE_BF16 ? DTYPE_BF16 : DTYPE_F32),
        .n_heads = cases[c].n_heads,
        .q = new_values((size_t)rows * (cases[c].n_heads * dim + GAP), 5, 1, compute),
        .q_norm = new_values(dim, 2, 2, COMPUTE_BF16),
        .k_norm = new_values(dim, 2, 3, COMPUTE_BF16),
        .cos = new_values((size_t)rows * half, 1, 4, compute),
        .sin = new_values((size_t)rows * half, 1, 5, compute),
        .slots = malloc(rows * sizeof *in.slots),
    };
    for (uint32_t r = 0; r < rows; r++)
        in.slots[r] = (r * 11 + 3) % (PAGE_TOKENS * N_PAGES);
    // what a full layer does not rotate has angle 0
    for (uint32_t r = 0; in.view.k_from_v && r < rows; r++) {
        for (uint32_t i = in.view.k_dim / 2; i < half; i++) {
            in.cos[r * half + i] = 1;
            in.sin[r * half + i] = 0;
        }
    }
    return in;
}

static void free_inputs(struct rope_inputs *in)
{
    free(in->q);
    free(in->q_norm);
    free(in->k_norm);
    free(in->cos);
    free(in->sin);
    free(in->slots);
}

static void run_query(const struct row_op *op, const struct ops *ops, struct device_stream *stream,
                      size_t first, size_t n_rows, float *out)
{
    const struct rope_inputs *in = op->inputs;
    uint32_t dim = in->view.v_dim, stride = in->n_heads * dim + GAP;
    ops->query_finish(out, in->q + first * stride, stride, in->n_heads, in->q_norm, in->k_norm,
                      in->cos + first * (dim / 2), in->sin + first * (dim / 2), (uint32_t)n_rows,
                      1e-6F, &in->view, stream);
}

// Writes rows into guarded pages, then reads them back: K and V of each head.
static void run_write(const struct row_op *op, const struct ops *ops, struct device_stream *stream,
                      size_t first, size_t n_rows, float *out)
{
    const struct rope_inputs *in = op->inputs;
    struct kv_view view = in->view;
    uint32_t dim = view.v_dim, stride = in->n_heads * dim + GAP;
    size_t n_floats = view.page_bytes * N_PAGES / sizeof(float);
    float *pages = guarded_new(n_floats);
    view.pages = (unsigned char *)pages;
    ops->kv_write(&view, in->slots + first, in->q + first * stride, stride, in->q + first * stride,
                  stride, in->k_norm, in->cos + first * (dim / 2), in->sin + first * (dim / 2),
                  (uint32_t)n_rows, 1e-6F, stream);
    for (size_t r = 0; r < n_rows; r++) {
        for (uint32_t head = 0; head < view.n_kv_heads; head++) {
            for (uint32_t i = 0; i < view.k_dim + dim; i++) {
                size_t size = dtype_bytes(view.dtype);
                const unsigned char *at = i < view.k_dim
                                              ? kv_view_key(&view, in->slots[first + r], head, i)
                                              : kv_view_value(&view, in->slots[first + r], head) +
                                                    (i - view.k_dim) * size;
                uint16_t half;
                memcpy(&half, at, sizeof half);
                *out = bf16_to_f32(half);
                if (view.dtype == DTYPE_F32)
                    memcpy(out, at, sizeof *out);
                out++;
            }
        }
    }
    guarded_check_and_free(pages, n_floats, op->name);
}

static void check_rope(int c, enum compute compute, bool write)
{
    struct rope_inputs in = new_inputs(c, compute);
    size_t width = write ? in.view.n_kv_heads * (size_t)(in.view.k_dim + in.view.v_dim)
                         : in.n_heads * (size_t)query_head_width(&in.view);
    row_op_check(&(struct row_op){
        .name = write ? "kv_write" : "query_finish",
        .run = write ? run_write : run_query,
        .inputs = &in,
        .n_rows = cases[c].n_rows,
        .width = width,
        .compute = compute,
        .relative = ROPE_TOLERANCE,
        // pairs are up to 2 * sqrt(dim) long in these cases; in bf16 a component may be off by one
        .absolute = compute == COMPUTE_BF16 ? 0.04 : 20 * ROPE_TOLERANCE,
        .steps = 2,
    });
    free_inputs(&in);
}

TEST(every_query_finish_matches_its_twin)
{
    for (int c = 0; c < 2 * N_CASES; c++)
        check_rope(c / 2, c % 2 ? COMPUTE_BF16 : COMPUTE_F32, false);
}

TEST(every_kv_write_matches_its_twin)
{
    for (int c = 0; c < 2 * N_CASES; c++)
        check_rope(c / 2, c % 2 ? COMPUTE_BF16 : COMPUTE_F32, true);
}

struct angle_inputs {
    uint32_t half_dim;
    uint32_t *positions;
    float *inv_freq;
};

static void run_angles(const struct row_op *op, const struct ops *ops, struct device_stream *stream,
                       size_t first, size_t n_rows, float *out)
{
    const struct angle_inputs *in = op->inputs;
    size_t half = in->half_dim;
    float *c = guarded_new(n_rows * half), *s = guarded_new(n_rows * half);
    ops->rope_angles(c, s, in->positions + first, in->inv_freq, (uint32_t)n_rows, in->half_dim,
                     stream);
    for (size_t r = 0; r < n_rows; r++) {
        memcpy(out + r * 2 * half, c + r * half, half * sizeof *c);
        memcpy(out + r * 2 * half + half, s + r * half, half * sizeof *s);
    }
    guarded_check_and_free(c, n_rows * half, op->name);
    guarded_check_and_free(s, n_rows * half, op->name);
}

TEST(every_rope_angles_matches_its_twin)
{
    enum { ROWS = 150, MAX_HALF = 256 };
    static const uint32_t half_dims[] = {1, 11, 128, MAX_HALF};
    float inv_freq[MAX_HALF];
    uint32_t positions[ROWS];
    for (int r = 0; r < ROWS; r++)
        positions[r] = r < 100 ? (uint32_t)r : (uint32_t)r * 1747;
    for (int i = 0; i < 8; i++) {
        uint32_t half = half_dims[i / 2];
        for (uint32_t d = 0; d < half; d++) // a quarter is not rotated
            inv_freq[d] = d < half - half / 4 ? (float)pow(10000, -2.0 * d / MAX_HALF) : 0;
        row_op_check(&(struct row_op){
            .name = "rope_angles",
            .run = run_angles,
            .inputs = &(struct angle_inputs){half, positions, inv_freq},
            .n_rows = ROWS,
            .width = (size_t)2 * half,
            .compute = i % 2 ? COMPUTE_BF16 : COMPUTE_F32,
            .relative = 1.2e-7,
            .absolute = 1e-11,
            .steps = 1,
        });
    }
}

TEST(angles_are_right_at_far_positions)
{
    struct device_stream *stream = new_stream(1);
    for (int v = KERNELS_TWIN; v <= (int)kernels_best_variant(); v++) {
        struct ops ops;
        kernels_select((enum kernels_variant)v, COMPUTE_F32, &ops);
        const uint32_t positions[2] = {0, 262143};
        const float inv_freq[3] = {1, 0.930572F, 0};
        float c[6], s[6];
        ops.rope_angles(c, s, positions, inv_freq, 2, 3, stream);
        for (int i = 0; i < 6; i++) {
            float angle = (float)positions[i / 3] * inv_freq[i % 3];
            ASSERT_NEAR(c[i], cos(angle), 1e-7);
            ASSERT_NEAR(s[i], sin(angle), 1e-7);
        }
        kernels_select((enum kernels_variant)v, COMPUTE_BF16, &ops);
        ops.rope_angles(c, s, positions, inv_freq, 2, 3, stream);
        for (int i = 0; i < 6; i++)
            ASSERT(c[i] == bf16_round(c[i]) && s[i] == bf16_round(s[i]));
    }
    device_stream_destroy(stream);
}

// The same k and q with whole keys and with K from V.
TEST(the_score_of_k_from_v_is_the_score_of_the_whole_key)
{
    enum { DIM = 64, ROTATED = 16 };
    struct device_stream *stream = new_stream(1);
    float *q = new_values(DIM, 2, 1, COMPUTE_F32), *k = new_values(DIM, 2, 2, COMPUTE_F32);
    float *weight = new_values(DIM, 2, 3, COMPUTE_F32);
    float c[DIM / 2], s[DIM / 2];
    for (int i = 0; i < DIM / 2; i++) {
        c[i] = i < ROTATED / 2 ? 0.6F : 1;
        s[i] = i < ROTATED / 2 ? 0.8F : 0;
    }
    for (int v = KERNELS_TWIN; v <= (int)kernels_best_variant(); v++) {
        struct ops ops;
        kernels_select((enum kernels_variant)v, COMPUTE_F32, &ops);
        double scores[2] = {0, 0};
        for (int from_v = 0; from_v < 2; from_v++) {
            float page[2 * DIM * PAGE_TOKENS], out[2 * DIM];
            struct kv_view view = {.pages = (unsigned char *)page,
                                   .page_bytes = sizeof page,
                                   .v_offset = sizeof page / 2,
                                   .dtype = DTYPE_F32,
                                   .page_tokens = PAGE_TOKENS,
                                   .n_kv_heads = 1,
                                   .k_dim = from_v ? ROTATED : DIM,
                                   .v_dim = DIM,
                                   .k_from_v = from_v};
            const uint32_t slot = 0;
            ops.kv_write(&view, &slot, k, DIM, k, DIM, weight, c, s, 1, 1e-6F, stream);
            ops.query_finish(out, q, DIM, 1, weight, weight, c, s, 1, 1e-6F, &view, stream);
            for (uint32_t i = 0; i < view.k_dim; i++)
                scores[from_v] += (double)out[i] * page[(size_t)i * KV_TILE_TOKENS];
            for (uint32_t i = 0; from_v && i < DIM; i++)
                scores[1] += (double)out[ROTATED + i] * page[DIM * PAGE_TOKENS + i];
        }
        ASSERT_NEAR(scores[1], scores[0], 1e-5 * fabs(scores[0]) + 1e-4);
    }
    free(q);
    free(k);
    free(weight);
    device_stream_destroy(stream);
}
