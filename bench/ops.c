/* bench/ops.c - what the ops of one device reach, next to what the machine can do.
 *
 *     bench_ops [--threads N] [substring of a row's name]
 *
 * Prints, per row, the best of several calls, as others may be using the machine: time, GB/s of
 * what must be read, GFLOP/s. The first row is a plain read of as many bytes as a decode matmul
 * reads, by the same threads: the figure to beat. Weights are larger than the caches and a new
 * matrix is taken for each call, as in a model.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/status.h"
#include "device/memory.h"
#include "device/stream.h"
#include "kernels/matmul.h"
#include "kernels/ops.h"
#include "kernels/rope.h"

enum { N_CALLS = 21, N_MATRICES = 4 };

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

struct read_task {
    const uint64_t *words;
    size_t n;
    _Alignas(64) volatile uint64_t sink[256];
};

static void read_share(void *context, uint32_t thread, uint32_t n_threads)
{
    struct read_task *task = context;
    size_t begin, end;
    device_share(task->n, 512, thread, n_threads, &begin, &end);
    uint64_t sums[8] = {0};
    for (size_t i = begin; i + 8 <= end; i += 8)
        for (int j = 0; j < 8; j++)
            sums[j] ^= task->words[i + (size_t)j];
    for (int j = 0; j < 8; j++)
        task->sink[thread] += sums[j];
}

static void bench_read(const struct bench *bench, const void *data, size_t bytes)
{
    static struct read_task task;
    uint64_t best = UINT64_MAX;
    for (int call = 0; call < N_CALLS; call++) {
        size_t part = bytes / N_MATRICES;
        task.words = (const uint64_t *)data + (size_t)(call % N_MATRICES) * part / 8;
        task.n = part / 8;
        uint64_t begin = clock_now_ns();
        device_stream_run(bench->stream, read_share, &task);
        best = smaller(best, clock_now_ns() - begin);
    }
    print_row("plain read", best, (double)(bytes / N_MATRICES), 0);
}

static void bench_matmul(const struct bench *bench, enum kernels_variant variant,
                         enum compute compute, enum dtype dtype, uint32_t n, uint32_t k)
{
    static const uint32_t rows[] = {1, 4, 8, 64, 256};
    static const char *const dtypes[] = {"bf16", "f16", "f32"};
    struct packed_matrix w = {.dtype = dtype, .n = n, .k = k, .n_leaves = 1, .k_total = k};
    size_t bytes = packed_matrix_bytes(&w);
    unsigned char *data = new_buffer(bytes * N_MATRICES);
    float *x = new_values((size_t)256 * k, 1);
    float *out = new_values((size_t)256 * n, 1);
    for (size_t i = 0; i < bytes * N_MATRICES / 2; i++) // small numbers in each of the types
        ((uint16_t *)(void *)data)[i] = (uint16_t)(0x3000 + i % 509);
    struct ops ops;
    kernels_select(variant, compute, &ops);
    if (!bench->wanted || strstr("matmul", bench->wanted))
        bench_read(bench, data, bytes * N_MATRICES);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char name[96];
        snprintf(name, sizeof name, "matmul %s %s %s [%u, %u] rows %u",
                 kernels_variant_name(variant), compute == COMPUTE_BF16 ? "cbf16" : "cf32",
                 dtypes[dtype], n, k, rows[i]);
        if (bench->wanted && !strstr(name, bench->wanted))
            continue;
        uint64_t best = UINT64_MAX;
        for (int call = 0; call < N_CALLS; call++) {
            w.data = data + (size_t)(call % N_MATRICES) * bytes;
            uint64_t begin = clock_now_ns();
            ops.matmul(out, n, x, k, rows[i], &w, bench->stream);
            best = smaller(best, clock_now_ns() - begin);
        }
        print_row(name, best, (double)bytes, 2.0 * rows[i] * n * k);
    }
    free_buffer(data, bytes * N_MATRICES);
    free_buffer(x, (size_t)256 * k * sizeof *x);
    free_buffer(out, (size_t)256 * n * sizeof *out);
}

static void bench_matmuls(const struct bench *bench)
{
    for (int variant = KERNELS_AVX2; variant <= (int)kernels_best_variant(); variant++) {
        enum kernels_variant v = (enum kernels_variant)variant;
        bench_matmul(bench, v, COMPUTE_BF16, DTYPE_BF16, 6144, 2048);
        if (v == KERNELS_AVX512_BF16)
            continue; // the rest is that of avx512
        bench_matmul(bench, v, COMPUTE_F32, DTYPE_F16, 6144, 2048);
        bench_matmul(bench, v, COMPUTE_F32, DTYPE_F32, 6144, 2048);
    }
}

static void bench_pack(const struct bench *bench, enum dtype from, enum dtype to)
{
    enum { N = 4096, K = 5376 };
    static const char *const dtypes[] = {"bf16", "f16", "f32"};
    char name[96];
    snprintf(name, sizeof name, "pack %s to %s [%d, %d], one thread", dtypes[from], dtypes[to], N,
             K);
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

// A step's attention: n_seqs sequences of n_rows rows behind `context` keys each, bf16 pages.
static void bench_attention(const struct bench *bench, enum kernels_variant variant,
                            uint32_t n_heads, uint32_t n_kv_heads, uint32_t dim, uint32_t n_seqs,
                            uint32_t n_rows, uint32_t context)
{
    enum { PAGE_TOKENS = 32, MAX_SEQS = 16 };
    char name[96];
    snprintf(name, sizeof name, "attention %s %u/%u heads of %u, %u x %u rows, %u keys",
             kernels_variant_name(variant), n_heads, n_kv_heads, dim, n_seqs, n_rows, context);
    if (bench->wanted && !strstr(name, bench->wanted))
        return;
    uint32_t pages = context / PAGE_TOKENS + 1, tables[MAX_SEQS][4096], offsets[MAX_SEQS + 1];
    uint32_t first[MAX_SEQS];
    const uint32_t *block_tables[MAX_SEQS];
    CHECK(n_seqs <= MAX_SEQS && pages < 4096);
    for (uint32_t s = 0; s < n_seqs; s++) {
        for (uint32_t i = 0; i < pages; i++)
            tables[s][i] = s * pages + i;
        block_tables[s] = tables[s];
        offsets[s] = s * n_rows;
        first[s] = context - n_rows;
    }
    offsets[n_seqs] = n_seqs * n_rows;
    size_t half = (size_t)PAGE_TOKENS * n_kv_heads * dim * 2;
    struct kv_view view = {
        .page_bytes = 2 * half,
        .v_offset = half,
        .dtype = DTYPE_BF16,
        .page_tokens = PAGE_TOKENS,
        .n_kv_heads = n_kv_heads,
        .k_dim = dim,
        .v_dim = dim,
    };
    size_t bytes = view.page_bytes * pages * n_seqs;
    view.pages = new_buffer(bytes);
    for (size_t i = 0; i < bytes / 2; i++)
        ((uint16_t *)(void *)view.pages)[i] = (uint16_t)(0x3D00 + i % 251);
    size_t width = (size_t)n_seqs * n_rows * n_heads * dim;
    float *q = new_values(width, 0.1F), *out = new_values(width, 1);
    struct attention_batch batch = {n_seqs, n_seqs * n_rows, offsets, first, block_tables};
    struct ops ops;
    kernels_select(variant, COMPUTE_BF16, &ops);
    uint64_t best = UINT64_MAX;
    for (int call = 0; call < N_CALLS; call++) {
        uint64_t begin = clock_now_ns();
        ops.attention_paged(out, q, n_heads, &view, &batch, 0, bench->stream);
        best = smaller(best, clock_now_ns() - begin);
    }
    print_row(name, best, (double)bytes, 4.0 * (double)width * (context - n_rows / 2.0));
    free_buffer(view.pages, bytes);
    free_buffer(q, width * sizeof *q);
    free_buffer(out, width * sizeof *out);
}

static void bench_attentions(const struct bench *bench)
{
    for (int v = KERNELS_AVX2; v <= KERNELS_AVX512 && v <= (int)kernels_best_variant(); v++) {
        enum kernels_variant variant = (enum kernels_variant)v;
        bench_attention(bench, variant, 8, 1, 256, 1, 1, 4096);
        bench_attention(bench, variant, 8, 1, 256, 16, 1, 4096);
        bench_attention(bench, variant, 32, 16, 256, 4, 1, 4096);
        bench_attention(bench, variant, 8, 1, 512, 1, 1, 32768);
        bench_attention(bench, variant, 8, 1, 256, 1, 128, 1024);
        bench_attention(bench, variant, 32, 16, 256, 1, 128, 1024);
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
    device_stream_destroy(bench.stream);
    return 0;
}
