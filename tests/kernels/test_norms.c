/* tests/kernels/test_norms.c - kernels/rmsnorm.h, per_layer.h and router_input of router.h. */
#include "kernels/per_layer.h"
#include "kernels/rmsnorm.h"
#include "kernels/router.h"
#include "tests/kernels/row_op.h"

static const struct {
    size_t n_rows;
    uint32_t dim;
} cases[] = {{1, 1}, {3, 8}, {17, 64}, {2, 72}, {5, 100}, {4, 1536}, {3, 2560}, {2, 5376}};
enum { N_CASES = sizeof cases / sizeof cases[0] };

static const float eps = 1e-6F;

struct norm_inputs {
    uint32_t dim;
    const float *x, *x2, *w1, *w2, *weight;
    float scale;
};

static struct norm_inputs new_inputs(int c, enum compute compute)
{
    uint32_t dim = cases[c].dim;
    size_t n = cases[c].n_rows * dim;
    // a sum of ranks is not rounded yet: x of the residual norms has all its bits
    return (struct norm_inputs){
        .dim = dim,
        .x = new_values(n, 3, 1, compute),
        .x2 = new_values(n, 50, 2, compute),
        .w1 = new_values(dim, 2, 3, COMPUTE_BF16),
        .w2 = new_values(dim, 1, 4, COMPUTE_BF16),
        .weight = new_values(dim, 2, 5, COMPUTE_BF16),
        .scale = 0.75F,
    };
}

static void free_inputs(struct norm_inputs *in)
{
    free((void *)in->x);
    free((void *)in->x2);
    free((void *)in->w1);
    free((void *)in->w2);
    free((void *)in->weight);
}

static void run_rmsnorm(const struct row_op *op, const struct ops *ops,
                        struct device_stream *stream, size_t first, size_t n_rows, float *out)
{
    const struct norm_inputs *in = op->inputs;
    ops->rmsnorm(out, in->dim, in->x + first * in->dim, in->dim, in->weight, (uint32_t)n_rows,
                 in->dim, eps, stream);
}

static void run_rmsnorm_in_place(const struct row_op *op, const struct ops *ops,
                                 struct device_stream *stream, size_t first, size_t n_rows,
                                 float *out)
{
    (void)first;
    const struct norm_inputs *in = op->inputs;
    ops->rmsnorm(out, in->dim, out, in->dim, NULL, (uint32_t)n_rows, in->dim, eps, stream);
}

static void run_residual(const struct row_op *op, const struct ops *ops,
                         struct device_stream *stream, size_t first, size_t n_rows, float *out)
{
    const struct norm_inputs *in = op->inputs;
    ops->residual_norm(out, in->x + first * in->dim, in->weight, (uint32_t)n_rows, in->dim, eps,
                       in->scale, stream);
}

static void run_residual_moe(const struct row_op *op, const struct ops *ops,
                             struct device_stream *stream, size_t first, size_t n_rows, float *out)
{
    const struct norm_inputs *in = op->inputs;
    size_t offset = first * in->dim;
    ops->residual_norm_moe(out, in->x + offset, in->x2 + offset, in->dim, in->w1, in->w2,
                           in->weight, (uint32_t)n_rows, in->dim, eps, in->scale, stream);
}

static void run_router_input(const struct row_op *op, const struct ops *ops,
                             struct device_stream *stream, size_t first, size_t n_rows, float *out)
{
    const struct norm_inputs *in = op->inputs;
    ops->router_input(out, in->x + first * in->dim, in->weight, (uint32_t)n_rows, in->dim, eps,
                      stream);
}

static void run_per_layer(const struct row_op *op, const struct ops *ops,
                          struct device_stream *stream, size_t first, size_t n_rows, float *out)
{
    const struct norm_inputs *in = op->inputs;
    ops->per_layer_inputs(out, in->x + first * in->dim, out, in->weight, (uint32_t)n_rows, 1,
                          in->dim, 0.0255F, eps, stream);
}

typedef void run_fn(const struct row_op *op, const struct ops *ops, struct device_stream *stream,
                    size_t first, size_t n_rows, float *out);

// All shapes, both compute types. x_compute: what x is when computing in bf16.
static void check_norm(const char *name, run_fn *run, enum compute x_compute, bool in_place,
                       double relative, double absolute, int steps)
{
    for (int i = 0; i < 2 * N_CASES; i++) {
        int c = i / 2;
        enum compute compute = i % 2 ? COMPUTE_BF16 : COMPUTE_F32;
        struct norm_inputs in = new_inputs(c, compute == COMPUTE_F32 ? compute : x_compute);
        size_t n = cases[c].n_rows * cases[c].dim;
        float *before = new_values(n, 4, 6, compute);
        struct row_op op = {
            .name = name,
            .run = run,
            .inputs = &in,
            .out_before = in_place ? before : NULL,
            .n_rows = cases[c].n_rows,
            .width = cases[c].dim,
            .compute = compute,
            .relative = relative,
            .absolute = compute == COMPUTE_F32 ? 0.0 : absolute,
            .steps = steps,
        };
        if (in_place && compute == COMPUTE_F32)
            op.absolute = 1e-5; // sums of values up to 10 may cancel
        row_op_check(&op);
        free(before);
        free_inputs(&in);
    }
}

TEST(every_rmsnorm_matches_its_twin)
{
    check_norm("rmsnorm", run_rmsnorm, COMPUTE_BF16, false, NORM_TOLERANCE, 0, 1);
}

TEST(a_norm_without_weight_may_work_in_place)
{
    check_norm("rmsnorm in place", run_rmsnorm_in_place, COMPUTE_BF16, true, NORM_TOLERANCE, 0, 1);
}

TEST(every_residual_norm_matches_its_twin)
{
    check_norm("residual_norm", run_residual, COMPUTE_F32, true, NORM_TOLERANCE, 0.04, 2);
}

TEST(every_residual_norm_of_two_branches_matches_its_twin)
{
    check_norm("residual_norm_moe", run_residual_moe, COMPUTE_F32, true, NORM_TOLERANCE, 0.15, 2);
}

TEST(every_router_input_matches_its_twin)
{
    check_norm("router_input", run_router_input, COMPUTE_BF16, false, NORM_TOLERANCE, 0, 3);
}

TEST(every_per_layer_input_matches_its_twin)
{
    check_norm("per_layer_inputs", run_per_layer, COMPUTE_BF16, true, NORM_TOLERANCE, 0.04, 2);
}

TEST(a_constant_row_is_normed_to_its_sign_times_the_weight)
{
    float x[40], weight[40], out[40];
    for (int i = 0; i < 40; i++) {
        x[i] = -4;
        weight[i] = (float)i;
    }
    struct device_stream *stream = new_stream(1);
    for (int v = KERNELS_TWIN; v <= (int)kernels_best_variant(); v++) {
        struct ops ops;
        kernels_select((enum kernels_variant)v, COMPUTE_F32, &ops);
        ops.rmsnorm(out, 40, x, 40, weight, 1, 40, 0, stream);
        for (int i = 0; i < 40; i++)
            ASSERT_NEAR(out[i], -i, 1e-5);
    }
    device_stream_destroy(stream);
}
