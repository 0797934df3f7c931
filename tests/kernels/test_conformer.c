/* tests/kernels/test_conformer.c - kernels/conformer.h. */
#include "kernels/conformer.h"

#include <math.h>

#include "tests/kernels/row_op.h"

enum { N_BEFORE = 30 }; // rows that stand before the first one

static const struct {
    size_t n_rows;
    uint32_t dim;
} cases[] = {{1, 1}, {2, 15}, {17, 64}, {3, 100}, {40, 1024}};

enum { N_CASES = sizeof cases / sizeof cases[0] };

struct inputs {
    const float *x, *k, *v, *w;
    uint32_t *ages;
    struct relative_keys keys;
    struct unfold_input unfold;
    uint32_t dim, n_taps, n_frames, n_bins, n_channels;
};

static void run_silu(const struct row_op *op, const struct ops *ops, struct device_stream *stream,
                     size_t first, size_t n_rows, float *out)
{
    const struct inputs *in = op->inputs;
    ops->silu(out, in->x + first * in->dim, n_rows * in->dim, stream);
}

static void run_gated(const struct row_op *op, const struct ops *ops, struct device_stream *stream,
                      size_t first, size_t n_rows, float *out)
{
    const struct inputs *in = op->inputs;
    ops->gated_linear(out, in->x + 2 * first * in->dim, (uint32_t)n_rows, in->dim, stream);
}

static void run_add(const struct row_op *op, const struct ops *ops, struct device_stream *stream,
                    size_t first, size_t n_rows, float *out)
{
    const struct inputs *in = op->inputs;
    ops->add_rows(out, in->x + first * in->dim, in->dim, (uint32_t)n_rows, in->dim, stream);
}

TEST(every_activation_and_sum_matches_its_twin)
{
    for (size_t i = 0; i < 2 * N_CASES; i++) {
        size_t n_rows = cases[i / 2].n_rows;
        uint32_t dim = cases[i / 2].dim;
        enum compute compute = i % 2 ? COMPUTE_BF16 : COMPUTE_F32;
        float *x = new_values(2 * n_rows * dim, 8, i, compute);
        float *before = new_values(n_rows * dim, 1, i + 1, compute);
        struct inputs in = {.x = x, .dim = dim};
        struct row_op op = {.name = "silu",
                            .run = run_silu,
                            .inputs = &in,
                            .n_rows = n_rows,
                            .width = dim,
                            .compute = compute,
                            .relative = CONFORMER_TOLERANCE,
                            .absolute = 1e-30,
                            .steps = 1};
        row_op_check(&op);
        op.name = "gated_linear";
        op.run = run_gated;
        row_op_check(&op);
        op.name = "add_rows";
        op.run = run_add;
        op.out_before = before;
        op.relative = op.absolute = 0;
        op.steps = 0;
        row_op_check(&op);
        free(x);
        free(before);
    }
}

// Clips that begin here and there; the first rows have some of theirs before them.
static uint32_t *new_ages(size_t n_rows)
{
    uint32_t *ages = calloc(n_rows, sizeof *ages);
    ASSERT(ages != NULL);
    uint32_t age = N_BEFORE / 2;
    for (size_t r = 0; r < n_rows; r++) {
        ages[r] = age++;
        if (r % 7 == 3)
            age = 0;
    }
    return ages;
}

static void run_conv(const struct row_op *op, const struct ops *ops, struct device_stream *stream,
                     size_t first, size_t n_rows, float *out)
{
    const struct inputs *in = op->inputs;
    ops->causal_conv(out, in->x + first * in->dim, in->ages + first, in->w, in->n_taps,
                     (uint32_t)n_rows, in->dim, stream);
}

TEST(every_causal_conv_matches_its_twin_and_stays_in_its_clip)
{
    for (size_t i = 0; i < 2 * N_CASES; i++) {
        size_t n_rows = cases[i / 2].n_rows;
        uint32_t dim = cases[i / 2].dim;
        enum compute compute = i % 2 ? COMPUTE_BF16 : COMPUTE_F32;
        float *x = new_values((N_BEFORE + n_rows) * dim, 1, i, compute);
        float *w = new_values((size_t)5 * dim, 1, i + 1, compute);
        struct inputs in = {.x = x + (size_t)N_BEFORE * dim,
                            .w = w,
                            .ages = new_ages(n_rows),
                            .n_taps = 5,
                            .dim = dim};
        row_op_check(&(struct row_op){.name = "causal_conv",
                                      .run = run_conv,
                                      .inputs = &in,
                                      .n_rows = n_rows,
                                      .width = dim,
                                      .compute = compute,
                                      .absolute = CONFORMER_TOLERANCE * 5,
                                      .steps = 1});
        free(x);
        free(w);
        free(in.ages);
    }
}

static void run_attention(const struct row_op *op, const struct ops *ops,
                          struct device_stream *stream, size_t first, size_t n_rows, float *out)
{
    const struct inputs *in = op->inputs;
    size_t at = first * in->dim;
    ops->relative_attention(out, in->x + at, in->k + at, in->v + at, in->ages + first, &in->keys,
                            (uint32_t)n_rows, stream);
}

TEST(every_relative_attention_matches_its_twin_and_stays_in_its_clip)
{
    static const struct {
        uint32_t n_heads, head_dim, n_keys;
        size_t n_rows;
    } shapes[] = {{1, 1, 1, 3}, {4, 16, 12, 40}, {8, 128, 12, 30}, {3, 20, 17, 25}};
    for (size_t i = 0; i < 8; i++) {
        uint32_t d = shapes[i / 2].head_dim, dim = shapes[i / 2].n_heads * d;
        size_t n_rows = shapes[i / 2].n_rows, n = (N_BEFORE + n_rows) * dim;
        enum compute compute = i % 2 ? COMPUTE_BF16 : COMPUTE_F32;
        float *q = new_values(n, 1, i, compute), *k = new_values(n, 1, i + 1, compute);
        float *v = new_values(n, 1, i + 2, compute);
        float *relative = new_values((size_t)shapes[i / 2].n_keys * dim, 1, i + 3, compute);
        float *scale = new_values(d, 1, i + 4, COMPUTE_F32);
        size_t before = (size_t)N_BEFORE * dim;
        struct inputs in = {
            .x = q + before,
            .k = k + before,
            .v = v + before,
            .ages = new_ages(n_rows),
            .dim = dim,
            .keys = {shapes[i / 2].n_heads, d, shapes[i / 2].n_keys, relative, scale, 1.9F, 50},
        };
        row_op_check(&(struct row_op){.name = "relative_attention",
                                      .run = run_attention,
                                      .inputs = &in,
                                      .n_rows = n_rows,
                                      .width = dim,
                                      .compute = compute,
                                      .absolute = CONFORMER_TOLERANCE * (1 + 3 * sqrt(d)),
                                      .steps = 1});
        free(q);
        free(k);
        free(v);
        free(relative);
        free(scale);
        free(in.ages);
    }
}

static void run_mel(const struct row_op *op, const struct ops *ops, struct device_stream *stream,
                    size_t first, size_t n_rows, float *out)
{
    const struct inputs *in = op->inputs;
    ops->mel_conv(out, in->x, in->n_frames, in->n_bins, in->w, in->n_channels, (uint32_t)first,
                  (uint32_t)n_rows, stream);
}

TEST(every_mel_conv_matches_its_twin)
{
    static const struct {
        uint32_t n_frames, n_bins, n_channels;
    } shapes[] = {{1, 2, 1}, {2, 8, 15}, {7, 128, 128}, {40, 16, 33}};
    for (size_t i = 0; i < 8; i++) {
        uint32_t frames = shapes[i / 2].n_frames, bins = shapes[i / 2].n_bins;
        uint32_t channels = shapes[i / 2].n_channels;
        enum compute compute = i % 2 ? COMPUTE_BF16 : COMPUTE_F32;
        float *x = new_values((size_t)frames * bins, 5, i, COMPUTE_F32);
        float *w = new_values((size_t)9 * channels, 1, i + 1, compute);
        struct inputs in = {
            .x = x, .w = w, .n_frames = frames, .n_bins = bins, .n_channels = channels};
        row_op_check(&(struct row_op){.name = "mel_conv",
                                      .run = run_mel,
                                      .inputs = &in,
                                      .n_rows = (frames - 1) / 2 + 1,
                                      .width = (size_t)bins / 2 * channels,
                                      .compute = compute,
                                      .absolute = CONFORMER_TOLERANCE * 45,
                                      .steps = 1});
        free(x);
        free(w);
    }
}

static void run_unfold(const struct row_op *op, const struct ops *ops, struct device_stream *stream,
                       size_t first, size_t n_rows, float *out)
{
    const struct inputs *in = op->inputs;
    ops->unfold_conv(out, &in->unfold, (uint32_t)first, (uint32_t)n_rows, stream);
}

TEST(every_unfold_conv_is_its_twin)
{
    static const struct unfold_input shapes[] = {
        {NULL, 0, 1, 2, 1}, {NULL, 0, 9, 8, 3}, {NULL, 0, 30, 64, 16}};
    for (size_t i = 0; i < 3; i++) {
        struct inputs in = {.unfold = shapes[i]};
        size_t n = (size_t)shapes[i].n_rows * shapes[i].n_bins * shapes[i].n_channels;
        float *x = new_values(n, 1, i, COMPUTE_F32);
        in.unfold.x = x;
        row_op_check(&(struct row_op){
            .name = "unfold_conv",
            .run = run_unfold,
            .inputs = &in,
            .n_rows = (shapes[i].n_rows - 1) / 2 + 1,
            .width = (size_t)shapes[i].n_bins / 2 * shapes[i].n_channels * 9,
        });
        free(x);
    }
}
