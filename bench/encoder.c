/* bench/encoder.c - images and clips through a checkpoint's towers, alone on this machine's
 * threads: soft tokens per second, and the share of what the matmuls' instruction gives from
 * registers.
 *
 *     bench_encoder CHECKPOINT [f32|bf16] [threads] [repeat]
 *
 * Of what is timed, matmuls and attention are counted: 2 * rows * weights, and 4 * rows * rows *
 * heads * head_dim a layer (of audio's attention, with its dozen keys, nothing). The slowest unit
 * is what a decode row may have to wait for. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "bench/peaks.h"
#include "model/checkpoint.h"
#include "model/encoder.h"
#include "model/encoder_weights.h"

enum { MAX_REPEAT = 32, MAX_PATCHES = 9 * 1120, PATCH_BYTES = 768, MEL_BINS = 128 };

struct bench {
    struct checkpoint *checkpoint;
    const struct model_config *config;
    struct device_stream *stream;
    struct tp_comm *comm;
    struct encoder_weights *weights;
    struct encoder *encoder;
    enum compute compute;
    struct ops ops;
    double peak_gflops;
};

static void must(enum status status, const struct error *err)
{
    if (status == STATUS_OK)
        return;
    fprintf(stderr, "bench_encoder: %s\n", err->message);
    exit(1);
}

static void bench_open(struct bench *bench, const char *folder, uint32_t n_threads)
{
    struct error err = {0};
    const struct device_stream_config stream = {.n_threads = n_threads};
    const struct tp_comm_config comm = {.world_size = 1, .shared_fd = -1};
    const struct model_load_options load = {.compute = bench->compute};
    must(checkpoint_open(folder, &bench->checkpoint, &err), &err);
    bench->config = checkpoint_config(bench->checkpoint);
    must(device_stream_create(&stream, &bench->stream, &err), &err);
    must(tp_comm_create(&comm, &bench->comm, &err), &err);
    kernels_select(kernels_best_variant(), bench->compute, &bench->ops);
    uint64_t start = clock_now_ns();
    must(encoder_weights_load(bench->checkpoint, &load, bench->stream, &bench->weights, &err),
         &err);
    printf("weights: %.0f MB in %.2f s\n", (double)bench->weights->memory.bytes / 1e6,
           (double)(clock_now_ns() - start) / 1e9);
    const struct encoder_config config = {
        .config = bench->config,
        .weights = bench->weights,
        .ops = &bench->ops,
        .stream = bench->stream,
        .comm = bench->comm,
        .compute = bench->compute,
        .max_patches = MAX_PATCHES,
        .max_frames = 3000,
        .max_parts = 32,
    };
    must(encoder_create(&config, &bench->encoder, &err), &err);
    bench->peak_gflops = peak_gflops(bench->stream, kernels_best_variant(),
                                     bench->compute == COMPUTE_BF16 ? DTYPE_BF16 : DTYPE_F32);
}

static void bench_close(struct bench *bench)
{
    encoder_destroy(bench->encoder);
    encoder_weights_destroy(bench->weights);
    tp_comm_destroy(bench->comm);
    device_stream_destroy(bench->stream);
    checkpoint_destroy(bench->checkpoint);
}

static double vision_gflop(const struct vision_config *v, double rows)
{
    double heads = (double)v->num_attention_heads * v->head_dim;
    double weights = 4.0 * heads * v->hidden_size + 3.0 * v->intermediate_size * v->hidden_size;
    double layer = 2 * rows * weights + 4 * rows * rows * heads;
    return (v->num_hidden_layers * layer + 2 * rows * PATCH_BYTES * v->hidden_size) / 1e9;
}

static double audio_gflop(const struct audio_config *a, double rows)
{
    double dim = a->hidden_size;
    double layer = 23 * dim * dim; // 2 * 8 of the feed-forwards, 4 of attention, 3 of convolution
    double second = 9.0 * a->subsampling_conv_channels[0] * a->subsampling_conv_channels[1];
    double subsampled = MEL_BINS / 4 * (second + a->subsampling_conv_channels[1] * dim) +
                        MEL_BINS / 2 * 2 * 9.0 * a->subsampling_conv_channels[0];
    return 2 * rows * (a->num_hidden_layers * layer + subsampled + dim * a->output_proj_dims) / 1e9;
}

static int compare_doubles(const void *a, const void *b)
{
    const double *left = a, *right = b;
    return *left < *right ? -1 : *left > *right;
}

// One image or clip, unit by unit; *slowest becomes the longest unit's time.
static double run_once(struct bench *bench, const struct encoder_part *part, double *slowest)
{
    struct error err = {0};
    uint32_t n_units = encoder_count_units(bench->config, part, 1);
    uint64_t begin = clock_now_ns(), last = begin;
    encoder_begin(bench->encoder, part, 1);
    for (uint32_t i = 0; i < n_units; i++) {
        must(encoder_run(bench->encoder, 1, &err), &err);
        uint64_t now = clock_now_ns();
        double unit = (double)(now - last) / 1e9;
        *slowest = unit > *slowest ? unit : *slowest;
        last = now;
    }
    return (double)(last - begin) / 1e9;
}

static void run_part(struct bench *bench, const struct encoder_part *part, double gflop,
                     uint32_t repeat)
{
    uint32_t n_tokens = encoder_n_tokens(bench->config, part);
    double times[MAX_REPEAT], slowest = 0;
    (void)run_once(bench, part, &slowest);
    slowest = 0;
    for (uint32_t i = 0; i < repeat; i++)
        times[i] = run_once(bench, part, &slowest);
    qsort(times, repeat, sizeof *times, compare_doubles);
    double median = times[repeat / 2], gflops = gflop / median;
    printf("%s, %5u tokens: %8.1f ms, %7.1f tokens/s, %6.1f GFLOP/s, %.2f of the peak; %u units, "
           "the slowest %.1f ms\n",
           part->kind == ENCODER_AUDIO ? "audio" : "image", n_tokens, median * 1e3,
           n_tokens / median, gflops, gflops / bench->peak_gflops,
           encoder_count_units(bench->config, part, 1), slowest * 1e3);
}

static void run_image(struct bench *bench, uint32_t width, uint32_t height, uint32_t repeat)
{
    size_t n_bytes = (size_t)width * height * PATCH_BYTES;
    unsigned char *pixels = mem_zeroed(n_bytes, 1);
    for (size_t i = 0; i < n_bytes; i++)
        pixels[i] = (unsigned char)(i * 2654435761U >> 24);
    const struct encoder_part part = {
        .kind = ENCODER_VISION, .grid_width = width, .grid_height = height, .data = pixels};
    run_part(bench, &part, vision_gflop(&bench->config->vision, (double)width * height), repeat);
    free(pixels);
}

static void run_clip(struct bench *bench, uint32_t n_frames, uint32_t repeat)
{
    size_t n = (size_t)n_frames * MEL_BINS;
    float *mel = mem_zeroed(n, sizeof *mel);
    for (size_t i = 0; i < n; i++)
        mel[i] = (float)((uint32_t)i * 2654435761U >> 24) / 64 - 4;
    const struct encoder_part part = {.kind = ENCODER_AUDIO, .n_frames = n_frames, .data = mel};
    double rows = encoder_n_tokens(bench->config, &part);
    run_part(bench, &part, audio_gflop(&bench->config->audio, rows), repeat);
    free(mel);
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        fprintf(stderr, "usage: bench_encoder CHECKPOINT [f32|bf16] [threads] [repeat]\n");
        return 2;
    }
    struct bench bench = {.compute = kernels_auto_compute()};
    if (argc > 2)
        bench.compute = strcmp(argv[2], "f32") == 0 ? COMPUTE_F32 : COMPUTE_BF16;
    uint32_t n_threads = argc > 3 ? (uint32_t)strtoul(argv[3], NULL, 10) : 2;
    uint32_t repeat = argc > 4 ? (uint32_t)strtoul(argv[4], NULL, 10) : 5;
    if (repeat < 1 || repeat > MAX_REPEAT || n_threads < 1 || n_threads > 256) {
        fprintf(stderr, "bench_encoder: threads are 1..256, repeat 1..%d\n", MAX_REPEAT);
        return 2;
    }
    bench_open(&bench, argv[1], n_threads);
    bool sees = bench.config->vision.num_hidden_layers > 0;
    bool hears = bench.config->audio.num_hidden_layers > 0;
    if (!sees && !hears) {
        fprintf(stderr, "bench_encoder: %s has no tower\n", argv[1]);
        return 1;
    }
    printf("%s, %s, %u threads, %.1f GFLOP/s from registers\n",
           kernels_variant_name(kernels_best_variant()),
           bench.compute == COMPUTE_BF16 ? "bf16" : "f32", n_threads, bench.peak_gflops);
    static const uint32_t grids[][2] = {{27, 21}, {57, 42}, {114, 84}}; // of 640 x 480
    for (size_t i = 0; sees && i < sizeof grids / sizeof *grids; i++)
        run_image(&bench, grids[i][0], grids[i][1], repeat);
    static const uint32_t n_frames[] = {99, 999, 2999}; // of 1, 10 and 30 s
    for (size_t i = 0; hears && i < sizeof n_frames / sizeof *n_frames; i++)
        run_clip(&bench, n_frames[i], repeat);
    bench_close(&bench);
    return 0;
}
