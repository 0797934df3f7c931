/* bench/forward.c - a checkpoint in real ranks (threads of this process), without a server: the
 * start, prefill and decode, beside what this machine's memory gives. --help says how to ask.
 *
 * As gemmad: its chunks, pages and logits rows, a thread to a core. Unlike gemmad: one step in
 * flight, and the ranks wait for each step at a barrier. A decode measurement starts again behind
 * the same context each time. bench/peers.py runs this next to other programs. */

#include "base/clock.h"
#include "base/mem.h"
#include "bench/forward_cost.h"
#include "bench/forward_options.h"
#include "kernels/ops.h"
#include "model/weights_save.h"
#include "tests/model/feed.h"
#include "tests/test.h"
#include "tp/topology.h"

enum { MAX_LOGITS_ROWS = 64, FIRST_PROMPT = 8, MAX_REPEAT = 64 };

struct bench {
    struct forward_options o;
    struct rank_group *group;
    struct feed *feed;
    struct device_stream *reader; /* as many threads as the ranks have together */
    uint32_t *tokens;             /* [the longest prompt or context] */
    double load_s, first_token_s;
    double compute_rate; /* of the matmuls' instruction, per second */
    bool listed;         /* JSON: there is an entry before the next one */
};

static double seconds_since(uint64_t start_ns)
{
    return (double)(clock_now_ns() - start_ns) / (double)NS_PER_S;
}

static int compare_doubles(const void *a, const void *b)
{
    const double *left = a, *right = b;
    return *left < *right ? -1 : *left > *right;
}

static double median(const double *values, uint32_t n)
{
    double sorted[MAX_REPEAT];
    memcpy(sorted, values, n * sizeof *values);
    qsort(sorted, n, sizeof *sorted, compare_doubles);
    return n % 2 ? sorted[n / 2] : (sorted[n / 2 - 1] + sorted[n / 2]) / 2;
}

static uint32_t largest(const struct forward_list *list)
{
    uint32_t most = 0;
    for (uint32_t i = 0; i < list->n; i++)
        most = list->values[i] > most ? list->values[i] : most;
    return most;
}

// Fills cpus [world_size * threads] and returns true if every thread has a core of its own.
static bool place_threads(struct forward_options *o, int *cpus)
{
    struct topology *topology = NULL;
    struct topology_placement *places = mem_zeroed(o->world_size, sizeof *places);
    struct error err = {0};
    ASSERT_OK_ERR(topology_create(&topology, &err), err);
    ASSERT_OK_ERR(topology_place(topology, o->world_size, o->threads, places, &err), err);
    topology_destroy(topology);
    o->threads = places[0].n_threads;
    bool pinned = places[0].pinned;
    for (uint32_t r = 0; pinned && r < o->world_size; r++)
        memcpy(cpus + (size_t)r * o->threads, places[r].cpus, o->threads * sizeof *cpus);
    free(places);
    return pinned;
}

static void open_group(struct bench *bench)
{
    struct forward_options *o = &bench->o;
    static int cpus[8 * TOPOLOGY_MAX_THREADS];
    bool pinned = place_threads(o, cpus);
    uint32_t slots = largest(&o->batches) ? largest(&o->batches) : 1;
    uint32_t prompt = largest(&o->prompts), behind = largest(&o->contexts) + o->n_new;
    uint32_t most = prompt > behind ? prompt : behind;
    uint32_t positions = (most > FIRST_PROMPT ? most : FIRST_PROMPT) + 1;
    struct rank_group_config config = {
        .folder = o->model_dir,
        .world_size = o->world_size,
        .compute = o->compute,
        .weights = o->weights,
        .n_threads = o->threads,
        .cpus = pinned ? cpus : NULL,
        .cache_folder = o->cache,
        .max_rows = o->chunk > slots ? o->chunk : slots,
        .max_slots = slots,
        .max_positions = positions,
        .page_tokens = o->page_tokens,
        .n_pages = slots * (positions / o->page_tokens + 1) + 1,
        .max_logits_rows = MAX_LOGITS_ROWS,
    };
    bench->group = rank_group_create(&config);
    bench->feed = feed_create(bench->group);
    bench->tokens = mem_zeroed(positions, sizeof *bench->tokens);
    for (uint32_t i = 0; i < positions; i++)
        bench->tokens[i] = i ? 1000 + i * 7 % 20000 : 2;
    uint32_t vocab = rank_group_model(bench->group)->vocab_size;
    for (uint32_t i = 0; i < positions; i++)
        bench->tokens[i] %= vocab;
    struct device_stream_config reader = {.n_threads = o->world_size * o->threads,
                                          .cpus = config.cpus};
    struct error err = {0};
    ASSERT_OK_ERR(device_stream_create(&reader, &bench->reader, &err), err);
}

// So that saving packed weights does not disturb what is measured.
static void wait_until_saved(const struct bench *bench)
{
    for (uint32_t r = 0; r < bench->o.world_size; r++) {
        struct weights_saving *saving = rank_group_weights(bench->group, r)->saving;
        if (saving)
            weights_saving_wait(saving);
    }
}

// Prefills a prompt of n tokens in a slot, up to the first sampled token.
static void prefill(struct bench *bench, uint32_t slot, uint32_t n)
{
    static const struct sampling_params greedy = {
        .top_p = 1, .repetition_penalty = 1, .n_logprobs = -1, .n_prompt_logprobs = -1};
    for (uint32_t at = 0; at < n; at += bench->o.chunk) {
        uint32_t rows = n - at < bench->o.chunk ? n - at : bench->o.chunk;
        uint32_t flags = at + rows == n ? (uint32_t)STEP_SAMPLE : 0;
        struct step_seq seq = {slot, at, rows, flags, UINT32_MAX};
        feed_begin(bench->feed);
        if (at == 0)
            feed_start(bench->feed, slot, &greedy);
        feed_rows(bench->feed, &seq, bench->tokens + at);
        feed_run(bench->feed);
    }
}

static void decode(struct bench *bench, uint32_t batch, uint32_t context)
{
    for (uint32_t t = 0; t < bench->o.n_new; t++) {
        feed_begin(bench->feed);
        for (uint32_t slot = 0; slot < batch; slot++) {
            struct step_seq seq = {slot, context + t, 1, STEP_SAMPLE | STEP_TOKEN_FROM_SLOT,
                                   UINT32_MAX};
            feed_rows(bench->feed, &seq, NULL);
        }
        feed_run(bench->feed);
    }
}

static void print_list(const char *name, const double *values, uint32_t n)
{
    printf("\"%s\": [", name);
    for (uint32_t i = 0; i < n; i++)
        printf("%s%.6g", i ? ", " : "", values[i]);
    printf("]");
}

static void measure_prefill(struct bench *bench, uint32_t n)
{
    double seconds[MAX_REPEAT];
    prefill(bench, 0,
            n); // the first touch of pages and activations is the start's, not the speed's
    for (uint32_t i = 0; i < bench->o.repeat; i++) {
        uint64_t start = clock_now_ns();
        prefill(bench, 0, n);
        seconds[i] = seconds_since(start);
    }
    double middle = median(seconds, bench->o.repeat);
    if (bench->o.json) {
        printf("%s\n    {\"tokens\": %u, \"tokens_per_s\": %.6g, ", bench->listed ? "," : "", n,
               n / middle);
        print_list("seconds", seconds, bench->o.repeat);
        printf("}");
        bench->listed = true;
        return;
    }
    printf("prefill of %6u   %8.1f tokens/s  %8.3f s\n", n, n / middle, middle);
}

static void measure_decode(struct bench *bench, uint32_t batch, uint32_t context)
{
    const struct forward_options *o = &bench->o;
    double seconds[MAX_REPEAT], read_gb_s[MAX_REPEAT], roofline[MAX_REPEAT];
    uint32_t middle_context = context + (o->n_new - 1) / 2;
    uint64_t weights = forward_weight_bytes(bench->group, o->world_size, batch);
    uint64_t kv = batch * forward_kv_bytes(bench->group, o->world_size, middle_context);
    double compute_s = (double)(batch * forward_flops(bench->group, o->world_size)) /
                       bench->compute_rate;
    for (uint32_t slot = 0; slot < batch; slot++)
        prefill(bench, slot, context);
    for (uint32_t i = 0; i < o->repeat; i++) {
        double rate = forward_read_rate(bench->group, o->world_size, bench->reader);
        uint64_t start = clock_now_ns();
        decode(bench, batch, context);
        seconds[i] = seconds_since(start) / o->n_new;
        read_gb_s[i] = rate / 1e9;
        double read_s = (double)(weights + kv) / rate;
        roofline[i] = (read_s > compute_s ? read_s : compute_s) / seconds[i];
    }
    double middle = median(seconds, o->repeat);
    if (o->json) {
        printf("%s\n    {\"batch\": %u, \"context\": %u, \"tokens_per_s\": %.6g, "
               "\"roofline\": %.4f, \"compute_s\": %.6g, \"weight_bytes\": %" PRIu64
               ", \"kv_bytes\": %" PRIu64 ", ",
               bench->listed ? "," : "", batch, context, batch / middle,
               median(roofline, o->repeat), compute_s, weights, kv);
        print_list("step_s", seconds, o->repeat);
        printf(", ");
        print_list("read_gb_s", read_gb_s, o->repeat);
        printf("}");
        bench->listed = true;
        return;
    }
    printf("decode %3u x %6u %8.2f tokens/s  %8.2f ms/step  %.3f of the roofline: %.3f + %.3f GB "
           "(weights, KV) at %.1f GB/s, compute %.1f ms\n",
           batch, context, batch / middle, middle * 1e3, median(roofline, o->repeat),
           (double)weights / 1e9, (double)kv / 1e9, median(read_gb_s, o->repeat), compute_s * 1e3);
}

static void print_opening(const struct bench *bench)
{
    const struct forward_options *o = &bench->o;
    const char *compute = o->compute == COMPUTE_BF16 ? "bf16" : "f32";
    const char *kernels = kernels_variant_name(kernels_best_variant());
    if (o->json) {
        printf("{\n  \"kernels\": \"%s\", \"compute\": \"%s\", \"weights\": \"%s\",\n"
               "  \"world_size\": %u, \"threads\": %u, \"chunk\": %u, \"new\": %u,\n"
               "  \"load_s\": %.6g, \"first_token_s\": %.6g, \"gflops\": %.6g,\n  \"prefill\": [",
               kernels, compute, o->weights_name, o->world_size, o->threads, o->chunk, o->n_new,
               bench->load_s, bench->first_token_s, bench->compute_rate / 1e9);
        return;
    }
    printf("%u x %u threads, kernels %s, compute %s, weights %s\n", o->world_size, o->threads,
           kernels, compute, o->weights_name);
    printf("load %.2f s, start to first token %.2f s\n", bench->load_s, bench->first_token_s);
}

int main(int argc, char **argv)
{
    uint64_t start = clock_now_ns();
    struct bench bench = {.o = forward_options_parse(argc, argv)};
    const struct forward_options *o = &bench.o;
    open_group(&bench);
    bench.load_s = seconds_since(start);
    prefill(&bench, 0, FIRST_PROMPT);
    bench.first_token_s = seconds_since(start);
    wait_until_saved(&bench);
    bench.compute_rate = forward_compute_rate(bench.group, o->compute, bench.reader);
    print_opening(&bench);
    for (uint32_t i = 0; i < o->prompts.n; i++)
        measure_prefill(&bench, o->prompts.values[i]);
    if (o->json)
        printf("],\n  \"decode\": [");
    bench.listed = false;
    for (uint32_t c = 0; c < o->contexts.n; c++)
        for (uint32_t b = 0; b < o->batches.n; b++)
            measure_decode(&bench, o->batches.values[b], o->contexts.values[c]);
    if (o->json)
        printf("]\n}\n");
    feed_destroy(bench.feed);
    device_stream_destroy(bench.reader);
    rank_group_destroy(bench.group);
    free(bench.tokens);
    return 0;
}
