/* tests/kernels/test_router.c - kernels/router.h (its norm: test_norms.c). */
#include "kernels/router.h"
#include "tests/kernels/row_op.h"

TEST(the_most_probable_experts_come_first_and_the_lower_of_equals)
{
    struct device_stream *stream = new_stream(1);
    const float scores[2 * 6] = {1, 3, 2, 3, -5, 3, 0, 0, 0, 0, 0, 0};
    const float scale[6] = {1, 2, 1, 0.5F, 1, 1};
    for (int v = KERNELS_TWIN; v <= (int)kernels_best_variant(); v++) {
        struct ops ops;
        kernels_select((enum kernels_variant)v, COMPUTE_BF16, &ops);
        uint32_t ids[8];
        float weights[8];
        ops.router_top_k(ids, weights, scores, scale, 2, 6, 4, stream);
        static const uint32_t want[8] = {1, 3, 5, 2, 0, 1, 2, 3};
        for (int i = 0; i < 8; i++)
            ASSERT_EQ(ids[i], want[i]);
        double sum = 3 * exp(3) + exp(2);
        ASSERT_NEAR(weights[0], 2 * exp(3) / sum, 1e-6); // scaled after renormalising
        ASSERT_NEAR(weights[1], 0.5 * exp(3) / sum, 1e-6);
        ASSERT_NEAR(weights[3], exp(2) / sum, 1e-6);
        ASSERT_NEAR(weights[4], 0.25, 1e-7);
    }
    device_stream_destroy(stream);
}

TEST(every_choice_of_experts_is_the_twins_whatever_the_threads)
{
    enum { ROWS = 70, EXPERTS = 128, TOP = 8 };
    float *scores = new_values((size_t)ROWS * EXPERTS, 4, 1, COMPUTE_BF16); // with equal ones
    float *scale = new_values(EXPERTS, 2, 2, COMPUTE_F32);
    uint32_t want_ids[ROWS * TOP], ids[ROWS * TOP];
    float want[ROWS * TOP], weights[ROWS * TOP];
    for (uint32_t n_threads = 1; n_threads <= 3; n_threads++) {
        struct device_stream *stream = new_stream(n_threads);
        for (int v = KERNELS_TWIN; v <= (int)kernels_best_variant(); v++) {
            struct ops ops;
            kernels_select((enum kernels_variant)v, COMPUTE_F32, &ops);
            bool first = v == KERNELS_TWIN && n_threads == 1;
            ops.router_top_k(first ? want_ids : ids, first ? want : weights, scores, scale, ROWS,
                             EXPERTS, TOP, stream);
            ASSERT(first || memcmp(ids, want_ids, sizeof ids) == 0);
            ASSERT(first || memcmp(weights, want, sizeof want) == 0);
        }
        device_stream_destroy(stream);
    }
    for (int i = 0; i < ROWS * TOP; i++) {
        const float *row = scores + (ptrdiff_t)(i / TOP * EXPERTS);
        float score = row[want_ids[i]];
        if (i % TOP)
            ASSERT(row[want_ids[i - 1]] > score ||
                   (row[want_ids[i - 1]] == score && want_ids[i - 1] < want_ids[i]));
    }
    free(scores);
    free(scale);
}

TEST(gathered_rows_are_copies)
{
    struct device_stream *stream = new_stream(2);
    float *x = new_values(10 * 40, 1, 1, COMPUTE_F32);
    static const uint32_t rows[] = {9, 0, 3, 3};
    for (int v = KERNELS_TWIN; v <= (int)kernels_best_variant(); v++) {
        struct ops ops;
        kernels_select((enum kernels_variant)v, COMPUTE_F32, &ops);
        float *out = guarded_new(4 * 37);
        ops.gather_activations(out, x, 40, rows, 4, 37, stream);
        for (int i = 0; i < 4; i++)
            ASSERT(memcmp(out + (ptrdiff_t)i * 37, x + (ptrdiff_t)rows[i] * 40, 37 * sizeof *x) ==
                   0);
        guarded_check_and_free(out, 4 * 37, "gather_activations");
    }
    free(x);
    device_stream_destroy(stream);
}

// Rows of 0 to 8 entries; leaves as top-k order brings them, that is unsorted.
struct combine_inputs {
    uint32_t dim, n_leaves;
    float *f, *weight;
    uint32_t *offsets, *source, *leaf;
};

enum { N_ROWS = 11, N_SOURCES = 30, MAX_ENTRIES = 8 * N_ROWS };

static void run_combine(const struct row_op *op, const struct ops *ops,
                        struct device_stream *stream, size_t first, size_t n_rows, float *out)
{
    const struct combine_inputs *in = op->inputs;
    ops->moe_combine(out, in->dim, in->f, in->offsets + first, in->source, in->weight, in->leaf,
                     in->n_leaves, (uint32_t)n_rows, in->dim, stream);
}

static struct combine_inputs new_inputs(uint32_t dim, uint32_t n_leaves)
{
    uint64_t seed = dim + n_leaves;
    struct combine_inputs in = {
        .dim = dim,
        .n_leaves = n_leaves,
        .f = new_values((size_t)N_SOURCES * dim, 1, 1, COMPUTE_F32),
        .weight = new_values(MAX_ENTRIES, 1, 2, COMPUTE_F32),
        .offsets = malloc((N_ROWS + 1) * sizeof(uint32_t)),
        .source = malloc(MAX_ENTRIES * sizeof(uint32_t)),
        .leaf = malloc(MAX_ENTRIES * sizeof(uint32_t)),
    };
    in.offsets[0] = 0;
    for (uint32_t r = 0; r < N_ROWS; r++)
        in.offsets[r + 1] = in.offsets[r] + r % 9;
    for (uint32_t e = 0; e < MAX_ENTRIES; e++) {
        in.source[e] = (uint32_t)test_random_in(&seed, 0, N_SOURCES - 1);
        in.leaf[e] = (uint32_t)test_random_in(&seed, 0, n_leaves - 1);
    }
    return in;
}

static void free_inputs(struct combine_inputs *in)
{
    free(in->f);
    free(in->weight);
    free(in->offsets);
    free(in->source);
    free(in->leaf);
}

TEST(every_moe_combine_has_its_twins_bits)
{
    static const uint32_t dims[] = {1, 17, 64, 2816};
    for (int i = 0; i < 16; i++) {
        struct combine_inputs in = new_inputs(dims[i / 4], 1U << i % 4);
        row_op_check(&(struct row_op){.name = "moe_combine",
                                      .run = run_combine,
                                      .inputs = &in,
                                      .n_rows = N_ROWS,
                                      .width = in.dim});
        free_inputs(&in);
    }
}

TEST(experts_on_more_ranks_give_the_same_bits)
{
    enum { DIM = 50 };
    struct device_stream *stream = new_stream(1);
    struct combine_inputs in = new_inputs(DIM, N_LEAVES);
    uint32_t last = in.offsets[8], end = in.offsets[9]; // a row of 8 entries
    for (int v = KERNELS_TWIN; v <= (int)kernels_best_variant(); v++) {
        struct ops ops;
        kernels_select((enum kernels_variant)v, COMPUTE_F32, &ops);
        float one[DIM], ranks[2][DIM];
        ops.moe_combine(one, DIM, in.f, in.offsets + 8, in.source, in.weight, in.leaf, N_LEAVES, 1,
                        DIM, stream);
        for (uint32_t rank = 0; rank < 2; rank++) { // each with its own experts' entries
            uint32_t source[8], leaf[8], offsets[2] = {0, 0};
            float weight[8];
            for (uint32_t e = last; e < end; e++) {
                if (in.leaf[e] / 4 != rank)
                    continue;
                source[offsets[1]] = in.source[e];
                weight[offsets[1]] = in.weight[e];
                leaf[offsets[1]++] = in.leaf[e] % 4;
            }
            ops.moe_combine(ranks[rank], DIM, in.f, offsets, source, weight, leaf, 4, 1, DIM,
                            stream);
        }
        for (int i = 0; i < DIM; i++) {
            float sum = ranks[0][i] + ranks[1][i];
            ASSERT(memcmp(&sum, &one[i], sizeof sum) == 0);
        }
    }
    free_inputs(&in);
    device_stream_destroy(stream);
}
