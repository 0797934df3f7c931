/* tests/kernels/test_matmul.c - kernels/matmul.h: packing, every form against the twin, and the
 * bits. */
#include "kernels/matmul.h"
#include "tests/kernels/row_op.h"

struct matmul_case {
    uint32_t n_rows, n, k;
    uint32_t n_leaves, first_leaf, k_total;
};

static const struct matmul_case cases[] = {
    {1, 1, 1, 1, 0, 1},         {17, 63, 33, 1, 0, 33},     {1, 64, 64, 1, 0, 64},
    {2, 65, 255, 1, 0, 255},    {3, 130, 257, 1, 0, 257},   {4, 200, 513, 1, 0, 513},
    {5, 64, 512, 1, 0, 512},    {6, 96, 100, 1, 0, 100},    {7, 100, 1024, 1, 0, 1024},
    {8, 700, 130, 1, 0, 130},   {100, 320, 300, 1, 0, 300}, {13, 1000, 64, 1, 0, 64},
    {9, 70, 96, 8, 0, 96},      {17, 33, 99, 8, 0, 99},     {2, 128, 5, 8, 0, 5},
    {7, 65, 2100, 8, 0, 2100},  {3, 40, 50, 4, 4, 99},      {3, 40, 25, 2, 2, 99},
    {5, 64, 13, 1, 7, 99},      {97, 130, 290, 1, 0, 290},  {3, 70, 12288, 8, 0, 12288},
    {20, 66, 1536, 1, 0, 1536}, {21, 66, 500, 8, 0, 500},
};
enum { N_CASES = sizeof cases / sizeof cases[0], GAP = 3, N_DTYPES = DTYPE_INT4 + 1 };

struct matmul_inputs {
    struct packed_matrix w;
    float *source; // [n, k]
    float *x;      // [n_rows, k + GAP]
    double *scales;
    bool leaves; // matmul_leaves, unrounded
};

static void *aligned_bytes(size_t n)
{
    void *data = aligned_alloc(64, n);
    ASSERT(data);
    memset(data, 0xA5, n);
    return data;
}

// Weights that bf16, f16 and f32 can hold exactly.
static struct packed_matrix pack(const struct matmul_case *c, enum dtype dtype, const float *source,
                                 size_t stride)
{
    struct packed_matrix w = {.dtype = dtype,
                              .n = c->n,
                              .k = c->k,
                              .n_leaves = c->n_leaves,
                              .first_leaf = c->first_leaf,
                              .k_total = c->k_total};
    w.data = aligned_bytes(packed_matrix_bytes(&w));
    if (dtype != DTYPE_F16) {
        matmul_pack(&w, 0, c->n, source, DTYPE_F32, stride);
        return w;
    }
    uint16_t *halves = malloc((size_t)c->n * stride * sizeof *halves);
    ASSERT(halves);
    for (size_t i = 0; i < (size_t)c->n * stride; i++) // 1 + m / 1024, signs by turns
        halves[i] =
            (uint16_t)(0x3C00 + (f32_to_bf16(source[i]) & 0x3FF) + (i % 3 == 0 ? 0x8000 : 0));
    matmul_pack(&w, 0, c->n, halves, DTYPE_F16, stride);
    free(halves);
    return w;
}

static struct matmul_inputs new_inputs(const struct matmul_case *c, enum dtype dtype,
                                       enum compute compute)
{
    struct matmul_inputs in = {
        .source = new_values((size_t)c->n * c->k, 1, 1, COMPUTE_BF16),
        .x = new_values((size_t)c->n_rows * (c->k + GAP), 4, 2, compute),
        .scales = calloc((size_t)c->n_rows * c->n, sizeof(double)),
    };
    ASSERT(in.scales);
    in.w = pack(c, dtype, in.source, c->k);
    for (size_t r = 0; r < c->n_rows; r++)
        for (uint32_t j = 0; j < c->n; j++)
            for (uint32_t k = 0; k < c->k; k++)
                in.scales[r * c->n + j] +=
                    fabs((double)in.x[r * (c->k + GAP) + k] * packed_matrix_at(&in.w, j, k));
    return in;
}

static void free_inputs(struct matmul_inputs *in)
{
    free(in->source);
    free(in->x);
    free(in->scales);
    free(in->w.data);
}

static void run(const struct ops *ops, const struct matmul_inputs *in, struct device_stream *stream,
                size_t first, size_t n_rows, float *out, uint32_t out_stride)
{
    uint32_t stride = in->w.k + GAP;
    (in->leaves ? ops->matmul_leaves : ops->matmul)(out, out_stride, in->x + first * stride, stride,
                                                    (uint32_t)n_rows, &in->w, stream);
}

static float *run_guarded(const struct ops *ops, const struct matmul_inputs *in,
                          struct device_stream *stream, size_t first, size_t n_rows)
{
    size_t n = n_rows * in->w.n;
    float *out = guarded_new(n);
    run(ops, in, stream, first, n_rows, out, in->w.n);
    float *copy = malloc((n + 1) * sizeof *copy);
    ASSERT(copy);
    memcpy(copy, out, n * sizeof *copy);
    guarded_check_and_free(out, n, "matmul");
    return copy;
}

static void check_bits(const char *what, int c, const float *got, const float *want, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (memcmp(got + i, want + i, sizeof *got) != 0)
            test_fail(__FILE__, __LINE__, "case %d: %s: value %zu is %a, not %a", c, what, i,
                      got[i], want[i]);
}

static void check_variant(int c, const struct matmul_inputs *in, enum kernels_variant variant,
                          enum compute compute, const float *twin, float **out_got)
{
    size_t n_rows = cases[c].n_rows, n = n_rows * in->w.n;
    struct ops ops;
    kernels_select(variant, compute, &ops);
    struct device_stream *stream = new_stream(1);
    float *got = run_guarded(&ops, in, stream, 0, n_rows);
    bool rounds = compute == COMPUTE_BF16 && !in->leaves;
    for (size_t i = 0; i < n; i++) {
        double allowed = MATMUL_TOLERANCE * in->scales[i] + (rounds ? fabs(twin[i]) * 0x1p-7 : 0);
        if (!(fabs((double)got[i] - twin[i]) <= allowed))
            test_fail(__FILE__, __LINE__, "case %d %s %s: value %zu is %.9g, the twin's %.9g", c,
                      kernels_variant_name(variant), rounds ? "rounded" : "unrounded", i, got[i],
                      twin[i]);
        ASSERT(!rounds || got[i] == bf16_round(got[i]));
    }
    for (size_t r = 0; r < n_rows; r++) {
        float *alone = run_guarded(&ops, in, stream, r, 1);
        check_bits("a row alone", c, alone, got + r * in->w.n, in->w.n);
        free(alone);
    }
    device_stream_destroy(stream);
    static const uint32_t n_threads[] = {2, 3, 5};
    for (int t = 0; t < 3; t++) {
        stream = new_stream(n_threads[t]);
        float *other = run_guarded(&ops, in, stream, 0, n_rows);
        check_bits("with more threads", c, other, got, n);
        free(other);
        device_stream_destroy(stream);
    }
    *out_got = got;
}

static void check_case(int c, enum dtype dtype, enum compute compute, bool leaves)
{
    struct matmul_inputs in = new_inputs(&cases[c], dtype, compute);
    in.leaves = leaves;
    struct ops ops;
    kernels_select(KERNELS_TWIN, compute, &ops);
    struct device_stream *stream = new_stream(1);
    float *twin = run_guarded(&ops, &in, stream, 0, cases[c].n_rows);
    device_stream_destroy(stream);
    float *first = NULL;
    for (int v = KERNELS_AVX2; v <= (int)kernels_best_variant(); v++) {
        float *got;
        check_variant(c, &in, (enum kernels_variant)v, compute, twin, &got);
        bool other_chain = v == KERNELS_AVX512_BF16 && compute == COMPUTE_BF16 &&
                           dtype == DTYPE_BF16;
        if (first && !other_chain)
            check_bits("against avx2", c, got, first, (size_t)cases[c].n_rows * in.w.n);
        if (first)
            free(got);
        else
            first = got;
    }
    free(first);
    free(twin);
    free_inputs(&in);
}

TEST(every_matmul_matches_its_twin_and_keeps_a_rows_bits)
{
    for (int c = 0; c < N_CASES; c++)
        for (int i = 0; i < 4 * N_DTYPES; i++)
            check_case(c, (enum dtype)(i % N_DTYPES), i / N_DTYPES % 2 ? COMPUTE_BF16 : COMPUTE_F32,
                       i / (2 * N_DTYPES));
}

TEST(a_matmul_writes_nothing_between_rows)
{
    const struct matmul_case c = {20, 70, 40, 1, 0, 40};
    struct matmul_inputs in = new_inputs(&c, DTYPE_BF16, COMPUTE_F32);
    struct device_stream *stream = new_stream(2);
    for (int v = KERNELS_TWIN; v <= (int)kernels_best_variant(); v++) {
        struct ops ops;
        kernels_select((enum kernels_variant)v, COMPUTE_F32, &ops);
        float out[20][80];
        for (int i = 0; i < 20 * 80; i++)
            (&out[0][0])[i] = 77;
        run(&ops, &in, stream, 0, 20, &out[0][0], 80);
        for (int r = 0; r < 20; r++)
            for (int j = 70; j < 80; j++)
                ASSERT(out[r][j] == 77);
    }
    device_stream_destroy(stream);
    free_inputs(&in);
}

// Adds ranks' sums as the all-reduce does: neighbours first.
static void add_ranks(float **sums, uint32_t world_size, size_t n)
{
    for (uint32_t step = 1; step < world_size; step *= 2)
        for (uint32_t rank = 0; rank < world_size; rank += 2 * step)
            for (size_t i = 0; i < n; i++)
                sums[rank][i] += sums[rank + step][i];
}

static float *row_parallel(const struct ops *ops, enum dtype dtype, const float *source,
                           const float *x, uint32_t n_rows, uint32_t n, uint32_t k_total,
                           uint32_t world_size, struct device_stream *stream)
{
    float *sums[N_LEAVES];
    for (uint32_t rank = 0; rank < world_size; rank++) {
        uint32_t begin = (uint32_t)((uint64_t)rank * k_total / world_size);
        uint32_t end = (uint32_t)((uint64_t)(rank + 1) * k_total / world_size);
        uint32_t n_leaves = N_LEAVES / world_size;
        struct matmul_case c = {n_rows, n, end - begin, n_leaves, rank * n_leaves, k_total};
        struct packed_matrix w = pack(&c, dtype, source + begin, k_total);
        sums[rank] = malloc((size_t)n_rows * n * sizeof(float));
        ASSERT(sums[rank]);
        ops->matmul_leaves(sums[rank], n, x + begin, k_total, n_rows, &w, stream);
        free(w.data);
    }
    add_ranks(sums, world_size, (size_t)n_rows * n);
    for (uint32_t rank = 1; rank < world_size; rank++)
        free(sums[rank]);
    return sums[0];
}

TEST(world_sizes_1_2_4_and_8_give_the_same_bits)
{
    static const uint32_t k_totals[] = {8, 99, 512, 1021, 5};
    enum { ROWS = 9, N = 70 };
    struct device_stream *stream = new_stream(2);
    enum { VARIANTS = KERNELS_AVX512_BF16 + 1 };
    for (int i = 0; i < 5 * VARIANTS * 2 * N_DTYPES; i++) {
        uint32_t k_total = k_totals[i % 5];
        enum kernels_variant variant = (enum kernels_variant)(i / 5 % VARIANTS);
        enum compute compute = i / 5 / VARIANTS % 2 ? COMPUTE_BF16 : COMPUTE_F32;
        enum dtype dtype = (enum dtype)(i / 10 / VARIANTS);
        if (dtype == DTYPE_F16)
            continue; // packed from halves alone, and summed as f32
        if (variant > kernels_best_variant())
            continue;
        struct ops ops;
        kernels_select(variant, compute, &ops);
        float *source = new_values((size_t)N * k_total, 1, 3, COMPUTE_BF16);
        float *x = new_values((size_t)ROWS * k_total, 1, 4, compute);
        float *one = row_parallel(&ops, dtype, source, x, ROWS, N, k_total, 1, stream);
        for (uint32_t world_size = 2; world_size <= N_LEAVES; world_size *= 2) {
            float *more = row_parallel(&ops, dtype, source, x, ROWS, N, k_total, world_size,
                                       stream);
            check_bits("more ranks", i, more, one, (size_t)ROWS * N);
            free(more);
        }
        free(one);
        free(x);
        free(source);
    }
    device_stream_destroy(stream);
}

TEST(a_packed_matrix_holds_what_was_packed_in_any_row_ranges)
{
    for (int c = 0; c < N_CASES; c++) {
        for (int i = 0; i < 10; i++) {
            struct matmul_case shape = cases[c];
            enum dtype dtype = (enum dtype)(i / 2);
            if (dtype == DTYPE_F16)
                continue; // nothing is converted to it
            float *source = new_values((size_t)shape.n * shape.k, 1, 5, COMPUTE_BF16);
            struct packed_matrix whole = pack(&shape, dtype, source, shape.k);
            struct packed_matrix parts = whole;
            size_t bytes = packed_matrix_bytes(&whole);
            ASSERT_EQ(bytes % 64, 0);
            parts.data = aligned_bytes(bytes);
            for (uint32_t row = 0; row < shape.n;) {
                uint32_t end = row + (i % 2 ? 37 : 64);
                end = end < shape.n ? end : shape.n;
                matmul_pack(&parts, row, end, source + (size_t)row * shape.k, DTYPE_F32, shape.k);
                row = end;
            }
            ASSERT(memcmp(parts.data, whole.data, bytes) == 0);
            float allowed = dtype == DTYPE_INT8 ? 1 / 253.0F : dtype == DTYPE_INT4 ? 1 / 5.0F : 0;
            for (uint32_t j = 0; j < shape.n; j++)
                for (uint32_t k = 0; k < shape.k; k++)
                    ASSERT(fabsf(packed_matrix_at(&whole, j, k) -
                                 source[(size_t)j * shape.k + k]) <= allowed);
            free(parts.data);
            free(whole.data);
            free(source);
        }
    }
}

TEST(f16_converts_exactly)
{
    ASSERT(f16_to_f32(0x3C00) == 1.0F);
    ASSERT(f16_to_f32(0xC000) == -2.0F);
    ASSERT(f16_to_f32(0x7BFF) == 65504.0F);
    ASSERT(f16_to_f32(0x0001) == 0x1p-24F);
    ASSERT(f16_to_f32(0x83FF) == -0x3FFp-24F);
    ASSERT(isinf(f16_to_f32(0xFC00)) && isnan(f16_to_f32(0x7E00)));
    ASSERT(signbit(f16_to_f32(0x8000)));
}

TEST(logits_are_capped_products_and_never_rounded)
{
    const struct matmul_case c = {5, 130, 200, 1, 0, 200};
    for (int i = 0; i < 2 * N_DTYPES; i++) {
        enum compute compute = i % 2 ? COMPUTE_BF16 : COMPUTE_F32;
        struct matmul_inputs in = new_inputs(&c, (enum dtype)(i / 2), compute);
        in.leaves = true;
        uint32_t stride = c.k + GAP;
        for (int t = 1; t <= 3; t++)
            for (int v = KERNELS_TWIN; v <= (int)kernels_best_variant(); v++) {
                struct device_stream *stream = new_stream((uint32_t)t);
                struct ops ops;
                kernels_select((enum kernels_variant)v, compute, &ops);
                float *plain = run_guarded(&ops, &in, stream, 0, c.n_rows);
                float capped[5][130], uncapped[5][130];
                ops.logits(&capped[0][0], c.n, in.x, stride, c.n_rows, &in.w, 30, stream);
                ops.logits(&uncapped[0][0], c.n, in.x, stride, c.n_rows, &in.w, 0, stream);
                check_bits("cap 0", v, &uncapped[0][0], plain, (size_t)c.n_rows * c.n);
                for (size_t j = 0; j < (size_t)c.n_rows * c.n; j++) {
                    double want = 30 * tanh((double)plain[j] / 30);
                    ASSERT_NEAR((&capped[0][0])[j], want, fabs(want) * SOFTCAP_TOLERANCE + 1e-30);
                }
                free(plain);
                device_stream_destroy(stream);
            }
        free_inputs(&in);
    }
}

TEST(a_cap_holds_for_any_number)
{
    float weight = 1, x[4] = {1e9F, -1e9F, 0, 16.001F}, out[4];
    struct packed_matrix w = {.dtype = DTYPE_F32, .n = 1, .k = 1, .n_leaves = 1, .k_total = 1};
    w.data = aligned_bytes(packed_matrix_bytes(&w));
    matmul_pack(&w, 0, 1, &weight, DTYPE_F32, 1);
    struct device_stream *stream = new_stream(1);
    for (int v = KERNELS_TWIN; v <= (int)kernels_best_variant(); v++) {
        struct ops ops;
        kernels_select((enum kernels_variant)v, COMPUTE_BF16, &ops);
        ops.logits(out, 1, x, 1, 4, &w, 30, stream);
        ASSERT_NEAR(out[0], 30, 1e-5);
        ASSERT_NEAR(out[1], -30, 1e-5);
        ASSERT_NEAR(out[2], 0, 0);
        ASSERT_NEAR(out[3], 30 * tanh(16.001 / 30), 2e-5);
    }
    device_stream_destroy(stream);
    free(w.data);
}
