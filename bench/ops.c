/* bench/ops.c - what the ops of one device reach, next to what the machine can do.
 *
 *     bench_ops [--threads N] [substring of a row's name]
 *
 * Prints, per row, the median of several calls: time, GB/s of what must be read, GFLOP/s, and for
 * matmuls the share of the limit: the longer of a plain read of as many bytes, timed call by call
 * in between, and of the products at the peak of the variant's instruction (bench/peaks.h). Weights
 * are larger than the caches and a new matrix is taken for each call, as in a model. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/status.h"
#include "bench/peaks.h"
#include "device/memory.h"
#include "device/stream.h"
#include "kernels/matmul.h"
#include "kernels/ops.h"
#include "kernels/rope.h"

enum { N_CALLS = 21, LEAST_BYTES = 256 << 20 }; // much more than caches hold

struct bench {
    struct device_stream *stream;
    const char *wanted;
};

static void *new_buffer(size_t bytes)
{
    struct device_buffer buffer;
    struct error err = {0};
    enum status st = device_buffer_create(bytes, "benchmark", &buffer, &err);
    if (st != STATUS_OK) {
        fprintf(stderr, "%s\n", err.message);
        exit(1);
    }
    return buffer.data;
}

static void free_buffer(void *data, size_t bytes)
{
    device_buffer_destroy(&(struct device_buffer){.data = data, .bytes = bytes});
}

static float *new_values(size_t n, float size)
{
    float *values = new_buffer(n * sizeof *values);
    uint32_t state = 1;
    for (size_t i = 0; i < n; i++) {
        state = state * 1664525 + 1013904223;
        values[i] = bf16_round(((float)(state >> 8) / 8388608.0F - 1.0F) * size);
    }
    return values;
}

static uint64_t smaller(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static void print_row(const char *name, uint64_t best_ns, double bytes, double flops)
{
    double ns = (double)best_ns;
    printf("%-52s %10.1f us", name, ns / 1000);
    if (bytes > 0)
        printf(" %7.2f GB/s", bytes / ns);
    if (flops > 0)
        printf(" %8.1f GFLOP/s", flops / ns);
    printf("\n");
}

static const char *const dtype_names[] = {"bf16", "f16", "f32", "int8", "int4"};

static int by_value(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

static uint64_t median(uint64_t times[N_CALLS])
{
    qsort(times, N_CALLS, sizeof times[0], by_value);
    return times[N_CALLS / 2];
}

// Numbers that are small in each of the types, and whose scales are.
static unsigned char *new_matrices(size_t bytes)
{
    unsigned char *data = new_buffer(bytes);
    for (size_t i = 0; i < bytes / 2; i++)
        ((uint16_t *)(void *)data)[i] = (uint16_t)(0x3000 + i % 509);
    return data;
}

struct matmul_bench {
    const struct bench *bench;
    struct ops ops;
    struct packed_matrix w;
    unsigned char *data; // n_matrices of them, LEAST_BYTES or more
    size_t bytes;        // of one
    size_t n_matrices;
    float *x, *out;
    double peak; // GFLOP/s
};

static void bench_rows(struct matmul_bench *m, const char *name, uint32_t n_rows)
{
    struct device_stream *stream = m->bench->stream;
    uint64_t reads[N_CALLS], times[N_CALLS];
    for (int call = 0; call < N_CALLS; call++) {
        reads[call] = peak_read_ns(stream, m->data + (size_t)call % m->n_matrices * m->bytes,
                                   m->bytes);
        m->w.data = m->data + ((size_t)call + m->n_matrices / 2) % m->n_matrices * m->bytes;
        uint64_t begin = clock_now_ns();
        m->ops.matmul(m->out, m->w.n, m->x, m->w.k, n_rows, &m->w, stream);
        times[call] = clock_now_ns() - begin;
    }
    double flops = 2.0 * n_rows * m->w.n * m->w.k;
    double read = (double)median(reads), least = flops / m->peak, ns = (double)median(times);
    printf("%-52s %10.1f us %7.2f GB/s %8.1f GFLOP/s %5.2f of %s\n", name, ns / 1000,
           (double)m->bytes / ns, flops / ns, (read > least ? read : least) / ns,
           read > least ? "a plain read" : "the peak");
}

static void bench_matmul(const struct bench *bench, enum kernels_variant variant,
                         enum compute compute, enum dtype dtype, uint32_t n, uint32_t k)
{
    enum { MOST_ROWS = 512 };
    static const uint32_t rows[] = {1, 2, 4, 8, 16, 32, 64, 256, MOST_ROWS};
    struct matmul_bench m = {.bench = bench,
                             .w = {.dtype = dtype, .n = n, .k = k, .n_leaves = 1, .k_total = k}};
    m.bytes = packed_matrix_bytes(&m.w);
    m.n_matrices = LEAST_BYTES / m.bytes + 1;
    kernels_select(variant, compute, &m.ops);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char name[96];
        snprintf(name, sizeof name, "matmul %s %s %s [%u, %u] rows %u",
                 kernels_variant_name(variant), compute == COMPUTE_BF16 ? "cbf16" : "cf32",
                 dtype_names[dtype], n, k, rows[i]);
        if (bench->wanted && !strstr(name, bench->wanted))
            continue;
        if (!m.data) {
            m.data = new_matrices(m.bytes * m.n_matrices);
            m.x = new_values((size_t)MOST_ROWS * k, 1);
            m.out = new_values((size_t)MOST_ROWS * n, 1);
            m.peak = peak_gflops(bench->stream, variant, dtype);
            printf("peak of %s for %s: %.1f GFLOP/s\n", kernels_variant_name(variant),
                   dtype_names[dtype], m.peak);
        }
        bench_rows(&m, name, rows[i]);
    }
    if (!m.data)
        return;
    free_buffer(m.data, m.bytes * m.n_matrices);
    free_buffer(m.x, (size_t)MOST_ROWS * k * sizeof *m.x);
    free_buffer(m.out, (size_t)MOST_ROWS * n * sizeof *m.out);
}

static void bench_matmuls(const struct bench *bench)
{
    enum { N = 12288, K = 1536 }; // gate and up of a layer of E2B
    for (int variant = KERNELS_AVX2; variant <= (int)kernels_best_variant(); variant++) {
        enum kernels_variant v = (enum kernels_variant)variant;
        if (v != KERNELS_AVX512_VNNI) // as avx512
            bench_matmul(bench, v, COMPUTE_BF16, DTYPE_BF16, N, K);
        if (v == KERNELS_AVX512_BF16)
            continue; // the rest is as before
        bench_matmul(bench, v, COMPUTE_BF16, DTYPE_INT8, N, K);
        bench_matmul(bench, v, COMPUTE_BF16, DTYPE_INT4, N, K);
        if (v == KERNELS_AVX512_VNNI)
            continue;
        bench_matmul(bench, v, COMPUTE_F32, DTYPE_F16, N, K);
        bench_matmul(bench, v, COMPUTE_F32, DTYPE_F32, N, K);
    }
}

static void bench_pack(const struct bench *bench, enum dtype from, enum dtype to)
{
    enum { N = 4096, K = 5376 };
    char name[96];
    snprintf(name, sizeof name, "pack %s to %s [%d, %d], one thread", dtype_names[from],
             dtype_names[to], N, K);
    if (bench->wanted && !strstr(name, bench->wanted))
        return;
    struct packed_matrix w = {.dtype = to, .n = N, .k = K, .n_leaves = 1, .k_total = K};
    w.data = new_buffer(packed_matrix_bytes(&w));
    size_t bytes = (size_t)N * K * dtype_bytes(from);
    unsigned char *source = new_buffer(bytes);
    memset(source, 0x3C, bytes);
    uint64_t best = UINT64_MAX;
    for (int call = 0; call < N_CALLS; call++) {
        uint64_t begin = clock_now_ns();
        matmul_pack(&w, 0, N, source, from, K);
        best = smaller(best, clock_now_ns() - begin);
    }
    print_row(name, best, (double)bytes, 0);
    free_buffer(w.data, packed_matrix_bytes(&w));
    free_buffer(source, bytes);
}

enum { PAGE_TOKENS = 32, MAX_SEQS = 16, MAX_PAGES = 2048 };

// A step's attention: sequences of n_rows rows that are the last of `context` tokens, bf16 pages.
struct attention_shape {
    uint32_t n_heads, n_kv_heads, k_dim, v_dim; // k_dim < v_dim: K from V
    uint32_t window;
    uint32_t n_seqs, n_rows, context;
};

static struct kv_view new_view(const struct attention_shape *shape, size_t *out_bytes)
{
    size_t tokens = (size_t)PAGE_TOKENS * shape->n_kv_heads;
    struct kv_view view = {
        .page_bytes = tokens * (shape->k_dim + shape->v_dim) * 2,
        .v_offset = tokens * shape->k_dim * 2,
        .dtype = DTYPE_BF16,
        .page_tokens = PAGE_TOKENS,
        .n_kv_heads = shape->n_kv_heads,
        .k_dim = shape->k_dim,
        .v_dim = shape->v_dim,
        .k_from_v = shape->k_dim < shape->v_dim,
    };
    *out_bytes = view.page_bytes * (shape->context / PAGE_TOKENS + 1) * shape->n_seqs;
    view.pages = new_buffer(*out_bytes);
    for (size_t i = 0; i < *out_bytes / 2; i++)
        ((uint16_t *)(void *)view.pages)[i] = (uint16_t)(0x3D00 + i % 251);
    return view;
}

static uint64_t time_attention(const struct bench *bench, enum kernels_variant variant,
                               const struct attention_shape *shape, const struct kv_view *view)
{
    static uint32_t tables[MAX_SEQS][MAX_PAGES];
    uint32_t n_pages = shape->context / PAGE_TOKENS + 1, offsets[MAX_SEQS + 1], first[MAX_SEQS];
    const uint32_t *block_tables[MAX_SEQS];
    CHECK(shape->n_seqs <= MAX_SEQS && n_pages <= MAX_PAGES);
    for (uint32_t s = 0; s <= shape->n_seqs; s++)
        offsets[s] = s * shape->n_rows;
    for (uint32_t s = 0; s < shape->n_seqs; s++) {
        for (uint32_t i = 0; i < n_pages; i++)
            tables[s][i] = s * n_pages + i;
        block_tables[s] = tables[s];
        first[s] = shape->context - shape->n_rows;
    }
    uint32_t n_rows = shape->n_seqs * shape->n_rows;
    size_t heads = (size_t)n_rows * shape->n_heads;
    size_t q_width = heads * query_head_width(view), out_width = heads * shape->v_dim;
    float *q = new_values(q_width, 0.1F), *out = new_values(out_width, 1);
    struct attention_batch batch = {shape->n_seqs, n_rows, offsets, first, block_tables};
    struct ops ops;
    kernels_select(variant, COMPUTE_BF16, &ops);
    uint64_t best = UINT64_MAX;
    for (int call = 0; call < N_CALLS; call++) {
        uint64_t begin = clock_now_ns();
        ops.attention_paged(out, q, shape->n_heads, view, &batch, shape->window, bench->stream);
        best = smaller(best, clock_now_ns() - begin);
    }
    free_buffer(q, q_width * sizeof *q);
    free_buffer(out, out_width * sizeof *out);
    return best;
}

static void bench_attention(const struct bench *bench, enum kernels_variant variant,
                            const struct attention_shape *shape)
{
    char name[96];
    snprintf(name, sizeof name, "attention %s %u/%u x %u+%u, window %u, %u x %u of %u",
             kernels_variant_name(variant), shape->n_heads, shape->n_kv_heads, shape->k_dim,
             shape->v_dim, shape->window, shape->n_seqs, shape->n_rows, shape->context);
    if (bench->wanted && !strstr(name, bench->wanted))
        return;
    size_t bytes;
    struct kv_view view = new_view(shape, &bytes);
    uint64_t best = time_attention(bench, variant, shape, &view);
    double keys = 0; // that rows see
    uint32_t most = shape->window > 0 ? shape->window : shape->context;
    for (uint32_t end = shape->context - shape->n_rows + 1; end <= shape->context; end++)
        keys += end < most ? end : most;
    uint32_t read = most + shape->n_rows - 1 < shape->context ? most + shape->n_rows - 1
                                                              : shape->context;
    double token_bytes = 2.0 * shape->n_kv_heads * (shape->k_dim + shape->v_dim);
    print_row(name, best, token_bytes * read * shape->n_seqs,
              2.0 * shape->n_seqs * keys * shape->n_heads *
                  (query_head_width(&view) + shape->v_dim));
    free_buffer(view.pages, bytes);
}

// E2B's layers (8/1 heads), then those of the larger models.
static const struct attention_shape attention_shapes[] = {
    {8, 1, 256, 256, 512, 1, 1, 4096},      {8, 1, 256, 256, 512, 16, 1, 4096},
    {8, 1, 512, 512, 0, 1, 1, 1024},        {8, 1, 512, 512, 0, 1, 1, 32768},
    {8, 1, 512, 512, 0, 16, 1, 4096},       {8, 1, 256, 256, 512, 1, 512, 512},
    {8, 1, 256, 256, 512, 1, 128, 4096},    {8, 1, 512, 512, 0, 1, 512, 512},
    {8, 1, 512, 512, 0, 1, 128, 4096},      {32, 16, 256, 256, 1024, 4, 1, 4096},
    {32, 16, 256, 256, 1024, 1, 128, 1024}, {32, 4, 128, 512, 0, 1, 1, 16384},
    {16, 8, 128, 512, 0, 1, 1, 16384},      {32, 4, 128, 512, 0, 1, 128, 2048},
};

static void bench_attentions(const struct bench *bench)
{
    for (int v = KERNELS_AVX2; v <= (int)kernels_best_variant(); v++) {
        if (v == KERNELS_AVX512_VNNI)
            continue; // attention is that of avx512
        for (size_t i = 0; i < sizeof attention_shapes / sizeof attention_shapes[0]; i++)
            bench_attention(bench, (enum kernels_variant)v, &attention_shapes[i]);
    }
}

int main(int argc, char **argv)
{
    struct device_stream_config config = {.n_threads = (uint32_t)sysconf(_SC_NPROCESSORS_ONLN)};
    struct bench bench = {0};
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--threads") == 0 && i + 1 < argc)
            config.n_threads = (uint32_t)atoi(argv[++i]);
        else
            bench.wanted = argv[i];
    }
    struct error err = {0};
    if (device_stream_create(&config, &bench.stream, &err) != STATUS_OK) {
        fprintf(stderr, "%s\n", err.message);
        return 1;
    }
    printf("%u threads, kernels up to %s\n", config.n_threads,
           kernels_variant_name(kernels_best_variant()));
    bench_matmuls(&bench);
    bench_attentions(&bench);
    bench_pack(&bench, DTYPE_BF16, DTYPE_BF16);
    bench_pack(&bench, DTYPE_F32, DTYPE_F32);
    bench_pack(&bench, DTYPE_F32, DTYPE_BF16);
    bench_pack(&bench, DTYPE_BF16, DTYPE_INT8);
    bench_pack(&bench, DTYPE_BF16, DTYPE_INT4);
    device_stream_destroy(bench.stream);
    return 0;
}
