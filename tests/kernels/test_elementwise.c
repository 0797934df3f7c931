/* tests/kernels/test_elementwise.c - kernels/gelu_mul.h and embed.h: no sums. */
#include "kernels/embed.h"
#include "kernels/gelu_mul.h"
#include "kernels/matmul.h"
#include "tests/kernels/row_op.h"

enum { GAP = 3 }; // between rows of gate and of up

static const struct {
    size_t n_rows;
    uint32_t dim;
} cases[] = {{1, 1}, {2, 15}, {17, 64}, {3, 100}, {2, 2048}, {1, 24600}, {5, 6144}};

struct gelu_inputs {
    const float *gate, *up;
    uint32_t dim;
};

static void run_gelu(const struct row_op *op, const struct ops *ops, struct device_stream *stream,
                     size_t first, size_t n_rows, float *out)
{
    const struct gelu_inputs *in = op->inputs;
    uint32_t stride = in->dim + GAP;
    ops->gelu_mul(out, in->dim, in->gate + first * stride, stride, in->up + first * stride, stride,
                  (uint32_t)n_rows, in->dim, stream);
}

TEST(every_gelu_mul_matches_its_twin)
{
    static const float sizes[] = {0.01F, 4, 40};
    for (size_t i = 0; i < 6 * (sizeof cases / sizeof cases[0]); i++) {
        size_t c = i / 6;
        enum compute compute = i % 2 ? COMPUTE_BF16 : COMPUTE_F32;
        size_t n = cases[c].n_rows * (cases[c].dim + GAP);
        float *gate = new_values(n, sizes[i / 2 % 3], 1, compute);
        float *up = new_values(n, 1, 2, compute);
        struct gelu_inputs in = {gate, up, cases[c].dim};
        row_op_check(&(struct row_op){
            .name = "gelu_mul",
            .run = run_gelu,
            .inputs = &in,
            .n_rows = cases[c].n_rows,
            .width = cases[c].dim,
            .compute = compute,
            .relative = GELU_TOLERANCE,
            .absolute = sizes[i / 2 % 3] > 4 ? GELU_FAR_ERROR : 1e-9,
            .steps = 2,
        });
        free(gate);
        free(up);
    }
}

struct embed_inputs {
    struct packed_matrix packed;
    struct raw_matrix raw;
    const uint32_t *ids;
    uint32_t vocab_begin;
};

static void run_embed(const struct row_op *op, const struct ops *ops, struct device_stream *stream,
                      size_t first, size_t n_rows, float *out)
{
    const struct embed_inputs *in = op->inputs;
    ops->embed_rows(out, &in->packed, in->ids + first, (uint32_t)n_rows, in->vocab_begin, 50.5F,
                    stream);
}

static void run_gather(const struct row_op *op, const struct ops *ops, struct device_stream *stream,
                       size_t first, size_t n_rows, float *out)
{
    const struct embed_inputs *in = op->inputs;
    ops->gather_rows(out, &in->raw, in->ids + first, (uint32_t)n_rows, 16, stream);
}

enum { N_VOCAB = 150, FIRST = 100 };

// The table as a file has it: halves or floats with ordinary values, some of them zeros.
static void *new_table(enum dtype dtype, size_t n)
{
    float *values = new_values(n, 2, 9, COMPUTE_BF16);
    uint16_t *halves = malloc(n * sizeof *halves);
    ASSERT(halves);
    if (dtype == DTYPE_F32)
        for (size_t i = 0; i < n; i += 7)
            values[i] = -0.0F;
    for (size_t i = 0; i < n; i++) // f16: any bits that are a number
        halves[i] = dtype == DTYPE_BF16 ? f32_to_bf16(values[i]) : (uint16_t)(i * 37 % 0x7C00);
    free(dtype == DTYPE_F32 ? (void *)halves : values);
    return dtype == DTYPE_F32 ? (void *)values : halves;
}

typedef void run_fn(const struct row_op *op, const struct ops *ops, struct device_stream *stream,
                    size_t first, size_t n_rows, float *out);

static void check_table(const char *name, run_fn *run, uint32_t dim, enum dtype dtype,
                        enum compute compute)
{
    // ids of this rank's rows, of its first and last, of others before and behind
    static const uint32_t ranks_ids[] = {FIRST,      FIRST + N_VOCAB - 1, 0,
                                         FIRST - 1,  FIRST + N_VOCAB,     FIRST + 70,
                                         UINT32_MAX, FIRST + 64,          FIRST + 63};
    static const uint32_t raw_ids[] = {0, N_VOCAB - 1, 70, 70, 1, 2, 3, 64, 63};
    enum dtype raw = dtype_is_quantized(dtype) ? DTYPE_F32 : dtype;
    void *table = new_table(raw, (size_t)N_VOCAB * dim);
    struct embed_inputs in = {
        .packed = {.dtype = dtype, .n = N_VOCAB, .k = dim, .n_leaves = 1, .k_total = dim},
        .raw = {.dtype = raw, .n_rows = N_VOCAB, .row_length = dim, .data = table},
        .ids = run == run_embed ? ranks_ids : raw_ids,
        .vocab_begin = FIRST,
    };
    in.packed.data = aligned_alloc(64, packed_matrix_bytes(&in.packed));
    ASSERT(in.packed.data);
    matmul_pack(&in.packed, 0, N_VOCAB, table, raw, dim);
    row_op_check(&(struct row_op){
        .name = name, .run = run, .inputs = &in, .n_rows = 9, .width = dim, .compute = compute});
    free(in.packed.data);
    free(table);
}

TEST(every_embedding_has_its_twins_bits)
{
    static const uint32_t dims[] = {1, 15, 64, 2051};
    for (int i = 0; i < 40; i++) {
        enum dtype dtype = (enum dtype)(i % 5);
        enum compute compute = i / 5 % 2 ? COMPUTE_BF16 : COMPUTE_F32;
        check_table("embed_rows", run_embed, dims[i / 10], dtype, compute);
        if (!dtype_is_quantized(dtype))
            check_table("gather_rows", run_gather, dims[i / 10], dtype, compute);
    }
}

TEST(an_embedding_of_another_rank_or_of_minus_zero_is_plus_zero)
{
    const float row[2] = {-0.0F, 2};
    float data[2 * PACK_ROWS];
    struct packed_matrix table = {
        .dtype = DTYPE_F32, .n = 1, .k = 2, .n_leaves = 1, .k_total = 2, .data = data};
    matmul_pack(&table, 0, 1, row, DTYPE_F32, 2);
    struct device_stream *stream = new_stream(1);
    for (int v = KERNELS_TWIN; v <= (int)kernels_best_variant(); v++) {
        struct ops ops;
        kernels_select((enum kernels_variant)v, COMPUTE_F32, &ops);
        float out[4] = {9, 9, 9, 9};
        const uint32_t ids[2] = {7, 8};
        ops.embed_rows(out, &table, ids, 2, 7, 3, stream);
        ASSERT(out[0] == 0 && !signbit(out[0]));
        ASSERT(out[1] == 6);
        ASSERT(out[2] == 0 && !signbit(out[2]) && out[3] == 0);
    }
    device_stream_destroy(stream);
}
