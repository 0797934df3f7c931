/* tests/kernels/test_encode.c - kernels/encode.h. */
#include "kernels/encode.h"

#include <math.h>

#include "tests/kernels/row_op.h"

static const struct {
    size_t n_rows;
    uint32_t dim;
} cases[] = {{1, 1}, {2, 15}, {17, 64}, {3, 100}, {40, 768}, {5, 6912}};

enum { N_CASES = sizeof cases / sizeof cases[0] };

struct inputs {
    const float *x, *added, *weight, *bias;
    struct raw_matrix table;
    const uint32_t *a, *b;
    uint32_t dim;
    uint32_t group;
    float low, high;
};

static void run_clamp(const struct row_op *op, const struct ops *ops, struct device_stream *stream,
                      size_t first, size_t n_rows, float *out)
{
    const struct inputs *in = op->inputs;
    ops->clamp(out, in->x + first * in->dim, in->low, in->high, n_rows * in->dim, stream);
}

TEST(every_clamp_is_its_twin)
{
    static const float bounds[][2] = {{-0.5F, 0.25F}, {-INFINITY, 0.5F}, {0.1F, INFINITY}, {1, 1}};
    for (size_t i = 0; i < 4 * N_CASES; i++) {
        size_t n_rows = cases[i / 4].n_rows;
        uint32_t dim = cases[i / 4].dim;
        float *x = new_values(n_rows * dim, 1, i, COMPUTE_F32);
        struct inputs in = {.x = x, .dim = dim, .low = bounds[i % 4][0], .high = bounds[i % 4][1]};
        row_op_check(&(struct row_op){
            .name = "clamp", .run = run_clamp, .inputs = &in, .n_rows = n_rows, .width = dim});
        free(x);
    }
}

static void run_table(const struct row_op *op, const struct ops *ops, struct device_stream *stream,
                      size_t first, size_t n_rows, float *out)
{
    const struct inputs *in = op->inputs;
    ops->add_table_rows(out, &in->table, in->a + first, in->b + first, (uint32_t)n_rows, stream);
}

TEST(every_add_table_rows_is_its_twin)
{
    enum { N_TABLE = 9 };
    for (size_t i = 0; i < 4 * N_CASES; i++) {
        size_t n_rows = cases[i / 4].n_rows;
        uint32_t dim = cases[i / 4].dim;
        enum compute compute = i % 2 ? COMPUTE_BF16 : COMPUTE_F32;
        float *h = new_values(n_rows * dim, 1, i, compute);
        float *values = new_values((size_t)N_TABLE * dim, 1, i + 100, compute);
        uint16_t *halves = calloc((size_t)N_TABLE * dim, sizeof *halves);
        uint32_t *ids = calloc(2 * n_rows, sizeof *ids);
        ASSERT(halves && ids);
        for (size_t j = 0; j < (size_t)N_TABLE * dim; j++)
            halves[j] = f32_to_bf16(values[j]);
        for (size_t j = 0; j < 2 * n_rows; j++)
            ids[j] = (uint32_t)(j * 7 % N_TABLE);
        bool wide = i % 4 < 2;
        struct inputs in = {
            .table = {wide ? DTYPE_F32 : DTYPE_BF16, N_TABLE, dim,
                      wide ? (const void *)values : (const void *)halves},
            .a = ids,
            .b = ids + n_rows,
            .dim = dim,
        };
        row_op_check(&(struct row_op){.name = "add_table_rows",
                                      .run = run_table,
                                      .inputs = &in,
                                      .out_before = h,
                                      .n_rows = n_rows,
                                      .width = dim,
                                      .compute = compute});
        free(h);
        free(values);
        free(halves);
        free(ids);
    }
}

static void run_pool(const struct row_op *op, const struct ops *ops, struct device_stream *stream,
                     size_t first, size_t n_rows, float *out)
{
    const struct inputs *in = op->inputs;
    ops->pool_rows(out, in->x + first * in->group * in->dim, in->group, 27.7F, in->bias, in->weight,
                   (uint32_t)n_rows, in->dim, stream);
}

TEST(every_pool_rows_matches_its_twin)
{
    for (size_t i = 0; i < 4 * N_CASES; i++) {
        size_t n_rows = cases[i / 4].n_rows;
        uint32_t dim = cases[i / 4].dim, group = i % 3 ? 9 : 1;
        enum compute compute = i % 2 ? COMPUTE_BF16 : COMPUTE_F32;
        float *x = new_values(n_rows * group * dim, 1, i, compute);
        float *bias = new_values(dim, 20, i + 1, compute), *factor = new_values(dim, 1, 3, compute);
        bool standardizes = i % 4 < 2;
        struct inputs in = {.x = x,
                            .bias = standardizes ? bias : NULL,
                            .weight = standardizes ? factor : NULL,
                            .dim = dim,
                            .group = group};
        row_op_check(&(struct row_op){.name = "pool_rows",
                                      .run = run_pool,
                                      .inputs = &in,
                                      .n_rows = n_rows,
                                      .width = dim,
                                      .compute = compute,
                                      .absolute = ENCODE_TOLERANCE * 28,
                                      .steps = 2});
        free(x);
        free(bias);
        free(factor);
    }
}

static void run_norm(const struct row_op *op, const struct ops *ops, struct device_stream *stream,
                     size_t first, size_t n_rows, float *out)
{
    const struct inputs *in = op->inputs;
    ops->layer_norm(out, in->x + first * in->dim, in->added, in->weight, in->bias, (uint32_t)n_rows,
                    in->dim, 1e-5F, stream);
}

TEST(every_layer_norm_matches_its_twin)
{
    for (size_t i = 0; i < 4 * N_CASES; i++) {
        size_t n_rows = cases[i / 4].n_rows;
        uint32_t dim = cases[i / 4].dim;
        enum compute compute = i % 2 ? COMPUTE_BF16 : COMPUTE_F32;
        float *x = new_values(n_rows * dim, 3, i, compute);
        float *weight = new_values(dim, 1, 5, compute), *bias = new_values(dim, 1, 6, compute);
        float *added = new_values(dim, 1, 7, compute);
        struct inputs in = {.x = x,
                            .added = i % 4 < 2 ? added : NULL,
                            .weight = weight,
                            .bias = i % 3 ? bias : NULL,
                            .dim = dim};
        // A row of one value is 0 / sqrt(eps): what is left of it is rounding.
        row_op_check(&(struct row_op){.name = "layer_norm",
                                      .run = run_norm,
                                      .inputs = &in,
                                      .n_rows = n_rows,
                                      .width = dim,
                                      .compute = compute,
                                      .absolute = ENCODE_TOLERANCE * 6,
                                      .steps = 2});
        free(x);
        free(weight);
        free(bias);
        free(added);
    }
}
