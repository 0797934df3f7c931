/* bench/peaks.c - see bench/peaks.h. Each loop keeps enough independent sums in registers to hide
 * the instruction's latency, and nothing else. */
#include "bench/peaks.h"

#include <string.h>

#include "base/clock.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

enum { N_SUMS = 12, N_ROUNDS = 1000000, N_TRIES = 5, AHEAD_BYTES = 8192 };

// A cache line, as the compiler's widest vectors.
typedef uint64_t line_words __attribute__((vector_size(64)));

struct read_task {
    const unsigned char *data;
    size_t bytes;
    _Alignas(64) volatile uint64_t sink[256];
};

static void read_share(void *context, uint32_t thread, uint32_t n_threads)
{
    struct read_task *task = context;
    size_t begin, end;
    device_share(task->bytes, 4096, thread, n_threads, &begin, &end);
    line_words sums[4] = {0};
    for (size_t i = begin; i + sizeof sums <= end; i += sizeof sums)
        for (int j = 0; j < 4; j++) {
            const unsigned char *line = task->data + i + (size_t)j * 64;
            __builtin_prefetch(line + AHEAD_BYTES);
            sums[j] ^= *(const line_words *)(const void *)line;
        }
    line_words all = sums[0] ^ sums[1] ^ sums[2] ^ sums[3];
    for (int j = 0; j < 8; j++)
        task->sink[thread] += all[j];
}

uint64_t peak_read_ns(struct device_stream *stream, const void *data, size_t bytes)
{
    static struct read_task task;
    task.data = data;
    task.bytes = bytes;
    uint64_t begin = clock_now_ns();
    device_stream_run(stream, read_share, &task);
    return clock_now_ns() - begin;
}

#if defined(__x86_64__)
// A loop of N_ROUNDS times N_SUMS independent instructions, in a function for one instruction set.
#define PEAK_LOOP(name, isa, type, zero, step)                                                   \
    __attribute__((target(isa))) static void name(void *context, uint32_t thread,                \
                                                  uint32_t n_threads)                            \
    {                                                                                            \
        (void)context, (void)thread, (void)n_threads;                                            \
        type s0 = zero, s1 = zero, s2 = zero, s3 = zero, s4 = zero, s5 = zero, s6 = zero,        \
             s7 = zero, s8 = zero, s9 = zero, s10 = zero, s11 = zero, x = zero;                  \
        __asm__ volatile("" : "+x"(x));                                                          \
        for (int round = 0; round < N_ROUNDS; round++) {                                         \
            s0 = step(s0, x), s1 = step(s1, x), s2 = step(s2, x), s3 = step(s3, x);              \
            s4 = step(s4, x), s5 = step(s5, x), s6 = step(s6, x), s7 = step(s7, x);              \
            s8 = step(s8, x), s9 = step(s9, x), s10 = step(s10, x), s11 = step(s11, x);          \
            __asm__ volatile("" : "+x"(s0), "+x"(s1), "+x"(s2), "+x"(s3), "+x"(s4), "+x"(s5));   \
            __asm__ volatile("" : "+x"(s6), "+x"(s7), "+x"(s8), "+x"(s9), "+x"(s10), "+x"(s11)); \
        }                                                                                        \
    }

#define FMA_256(s, x) _mm256_fmadd_ps(x, x, s)
#define FMA_512(s, x) _mm512_fmadd_ps(x, x, s)
#define BYTES_256(s, x) _mm256_add_epi16(s, _mm256_maddubs_epi16(x, s))
#define BYTES_512(s, x) _mm512_add_epi16(s, _mm512_maddubs_epi16(x, s))
#define BYTES_VNNI(s, x) _mm512_dpbusd_epi32(s, x, x)
#define PAIRS(s, x) \
    _mm512_castps_si512(_mm512_dpbf16_ps(_mm512_castsi512_ps(s), (__m512bh)(x), (__m512bh)(x)))
PEAK_LOOP(fma_avx2, "avx2,fma", __m256, _mm256_setzero_ps(), FMA_256)
PEAK_LOOP(fma_avx512, "avx512f", __m512, _mm512_setzero_ps(), FMA_512)
PEAK_LOOP(bytes_avx2, "avx2", __m256i, _mm256_setzero_si256(), BYTES_256)
PEAK_LOOP(bytes_avx512, "avx512bw", __m512i, _mm512_setzero_si512(), BYTES_512)
PEAK_LOOP(bytes_vnni, "avx512vnni", __m512i, _mm512_setzero_si512(), BYTES_VNNI)
PEAK_LOOP(pairs_avx512, "avx512bf16", __m512i, _mm512_setzero_si512(), PAIRS)
#endif

static double run_loop(struct device_stream *stream, device_task_fn *loop, double products)
{
    double best = 0;
    for (int i = 0; i < N_TRIES; i++) {
        uint64_t begin = clock_now_ns();
        device_stream_run(stream, loop, NULL);
        double ns = (double)(clock_now_ns() - begin);
        double gflops = 2.0 * N_ROUNDS * N_SUMS * products * device_stream_n_threads(stream) / ns;
        best = gflops > best ? gflops : best;
    }
    return best;
}

double peak_gflops(struct device_stream *stream, enum kernels_variant variant, enum dtype dtype)
{
#if defined(__x86_64__)
    bool wide = variant >= KERNELS_AVX512;
    if (variant < KERNELS_AVX2)
        return 0;
    if (dtype_is_quantized(dtype) && variant >= KERNELS_AVX512_VNNI)
        return run_loop(stream, bytes_vnni, 64);
    if (dtype_is_quantized(dtype))
        return run_loop(stream, wide ? bytes_avx512 : bytes_avx2, wide ? 64 : 32);
    if (dtype == DTYPE_BF16 && variant == KERNELS_AVX512_BF16)
        return run_loop(stream, pairs_avx512, 32);
    return run_loop(stream, wide ? fma_avx512 : fma_avx2, wide ? 16 : 8);
#else
    (void)stream, (void)variant, (void)dtype;
    return 0;
#endif
}
