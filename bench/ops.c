/* bench/ops.c - what the ops of one device reach, next to what the machine can do.
 *
 *     bench_ops [--threads N] [substring of a row's name]
 *
 * Prints, per row, the median of several calls: time, GB/s of what must be read, GFLOP/s. The first row
 * is a plain read of as many bytes as a decode matmul reads, by the same threads: the figure to beat.
 * Weights are larger than the caches and a new matrix is taken for each call, as in a model. */
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

enum { N_CALLS = 9, N_MATRICES = 4 };

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

static int compare_times(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static void print_row(const char *name, uint64_t *times, double bytes, double flops)
{
    qsort(times, N_CALLS, sizeof *times, compare_times);
    double ns = (double)times[N_CALLS / 2];
    printf("%-44s %10.1f us", name, ns / 1000);
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
    uint64_t times[N_CALLS];
    for (int call = 0; call < N_CALLS; call++) {
        size_t part = bytes / N_MATRICES;
        task.words = (const uint64_t *)data + (size_t)(call % N_MATRICES) * part / 8;
        task.n = part / 8;
        uint64_t begin = clock_now_ns();
        device_stream_run(bench->stream, read_share, &task);
        times[call] = clock_now_ns() - begin;
    }
    print_row("plain read", times, (double)(bytes / N_MATRICES), 0);
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
    bench_read(bench, data, bytes * N_MATRICES);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char name[96];
        snprintf(name, sizeof name, "matmul %s %s %s [%u, %u] rows %u",
                 kernels_variant_name(variant), compute == COMPUTE_BF16 ? "cbf16" : "cf32",
                 dtypes[dtype], n, k, rows[i]);
        if (bench->wanted && !strstr(name, bench->wanted))
            continue;
        uint64_t times[N_CALLS];
        for (int call = 0; call < N_CALLS; call++) {
            w.data = data + (size_t)(call % N_MATRICES) * bytes;
            uint64_t begin = clock_now_ns();
            ops.matmul(out, n, x, k, rows[i], &w, bench->stream);
            times[call] = clock_now_ns() - begin;
        }
        print_row(name, times, (double)bytes, 2.0 * rows[i] * n * k);
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
    device_stream_destroy(bench.stream);
    return 0;
}
