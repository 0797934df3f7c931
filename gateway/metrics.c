/* gateway/metrics.c - histograms have fixed bounds, as Prometheus wants them; one list for all
 * times and one for all numbers of tokens, wide enough for a CPU and a GPU. */
#include "gateway/metrics.h"

#include <inttypes.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/mem.h"

static const double seconds[] = {0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1,
                                 0.15,  0.25,   0.5,   0.75, 1,     2.5,  5,     10,
                                 20,    40,     80,    160,  320,   640,  1280,  2560};
static const double tokens[] = {1,   2,   5,   10,  20,  50,  100, 200, 500,
                                1e3, 2e3, 5e3, 1e4, 2e4, 5e4, 1e5, 2e5, 5e5};

static const struct histogram_kind {
    const char *name, *help;
    const double *bounds;
    uint32_t n_bounds;
    double unit; // of a sum's integer
} kinds[METRICS_N_HISTOGRAMS] = {
#define SECONDS seconds, sizeof seconds / sizeof seconds[0], (double)NS_PER_S
#define TOKENS tokens, sizeof tokens / sizeof tokens[0], 1
    [METRICS_QUEUE_TIME] = {"request_queue_time_seconds",
                            "From the submit of a request to the begin of its first step.",
                            SECONDS},
    [METRICS_FIRST_TOKEN] = {"time_to_first_token_seconds",
                             "From the submit of a request to its first delta.", SECONDS},
    [METRICS_E2E] = {"e2e_request_latency_seconds",
                     "From the submit of a request to its last event.", SECONDS},
    [METRICS_INTER_TOKEN] = {"inter_token_latency_seconds", "Between two deltas of a sequence.",
                             SECONDS},
    [METRICS_PER_TOKEN] = {"request_time_per_output_token_seconds",
                           "Mean time per token of a sequence after its first delta.", SECONDS},
    [METRICS_PROMPT_TOKENS] = {"request_prompt_tokens", "Prompt tokens of a request.", TOKENS},
    [METRICS_GENERATION_TOKENS] = {"request_generation_tokens", "Generated tokens of a sequence.",
                                   TOKENS},
#undef SECONDS
#undef TOKENS
};

static void add(atomic_uint_fast64_t *counter, uint64_t n)
{
    atomic_fetch_add_explicit(counter, n, memory_order_relaxed);
}

static uint64_t get(atomic_uint_fast64_t *counter)
{
    return atomic_load_explicit(counter, memory_order_relaxed);
}

static void observe(struct metrics *metrics, enum metrics_histogram which, uint64_t value)
{
    const struct histogram_kind *kind = &kinds[which];
    struct histogram *histogram = &metrics->histograms[which];
    double in_units = (double)value / kind->unit;
    uint32_t i = 0;
    while (i < kind->n_bounds && in_units > kind->bounds[i])
        i++;
    add(&histogram->counts[i], 1);
    add(&histogram->sum, value);
}

void request_times_init(struct request_times *times, uint32_t n, uint64_t now_ns)
{
    *times = (struct request_times){.submitted_ns = now_ns, .n = n};
    times->sequences = mem_zeroed(n, sizeof *times->sequences);
}

void request_times_finish(struct request_times *times)
{
    free(times->sequences);
    times->sequences = NULL;
}

static void take_delta(struct metrics *metrics, struct request_times *times,
                       struct sequence_times *sequence, uint64_t now_ns)
{
    if (times->first_ns == 0) {
        times->first_ns = now_ns;
        observe(metrics, METRICS_FIRST_TOKEN, now_ns - times->submitted_ns);
    }
    if (sequence->first_ns == 0)
        sequence->first_ns = now_ns;
    else
        observe(metrics, METRICS_INTER_TOKEN, now_ns - sequence->last_ns);
    sequence->last_ns = now_ns;
}

static void take_finish(struct metrics *metrics, const struct request_times *times,
                        const struct sequence_times *sequence, const struct engine_event *event,
                        uint64_t now_ns)
{
    CHECK((unsigned)event->reason < METRICS_N_REASONS);
    add(&metrics->finished[event->reason], 1);
    observe(metrics, METRICS_GENERATION_TOKENS, event->completion_tokens);
    if (event->completion_tokens > 1 && sequence->first_ns)
        observe(metrics, METRICS_PER_TOKEN,
                (now_ns - sequence->first_ns) / (event->completion_tokens - 1));
    if (!event->last)
        return;
    if (event->queue_ns) // else it ended while it waited
        observe(metrics, METRICS_QUEUE_TIME, event->queue_ns);
    observe(metrics, METRICS_E2E, now_ns - times->submitted_ns);
    observe(metrics, METRICS_PROMPT_TOKENS, event->prompt_tokens);
    add(&metrics->prefix_queries, event->prompt_tokens);
    add(&metrics->prefix_hits, event->cached_tokens);
}

void metrics_take_event(struct metrics *metrics, struct request_times *times,
                        const struct engine_event *event, uint64_t now_ns)
{
    CHECK(event->index < times->n);
    struct sequence_times *sequence = &times->sequences[event->index];
    switch (event->type) {
    case ENGINE_EVENT_PROMPT:
        break;
    case ENGINE_EVENT_DELTA:
        take_delta(metrics, times, sequence, now_ns);
        break;
    case ENGINE_EVENT_FINISH:
        take_finish(metrics, times, sequence, event, now_ns);
        break;
    case ENGINE_EVENT_FAILED:
        metrics_take_failure(metrics, event->error->status);
        break;
    }
}

void metrics_take_failure(struct metrics *metrics, enum status status)
{
    CHECK((unsigned)status < METRICS_N_STATUSES);
    add(&metrics->failed[status], 1);
}

void metrics_write_head(struct text_buffer *out, const char *name, const char *type,
                        const char *help)
{
    text_buffer_append_format(out, "# HELP gemmad_%s %s\n# TYPE gemmad_%s %s\n", name, help, name,
                              type);
}

void metrics_write_label(struct text_buffer *out, const char *name, const char *value)
{
    text_buffer_append_format(out, "%s=\"", name);
    for (const char *c = value; *c; c++) {
        if (*c == '\n')
            text_buffer_append_text(out, "\\n");
        else if (*c == '"' || *c == '\\')
            text_buffer_append_format(out, "\\%c", *c);
        else
            text_buffer_append(out, c, 1);
    }
    text_buffer_append_text(out, "\"");
}

static void write_histogram(const struct histogram_kind *kind, struct histogram *histogram,
                            struct text_buffer *out)
{
    metrics_write_head(out, kind->name, "histogram", kind->help);
    uint64_t n = 0;
    for (uint32_t i = 0; i < kind->n_bounds; i++) {
        n += get(&histogram->counts[i]);
        text_buffer_append_format(out, "gemmad_%s_bucket{le=\"%g\"} %" PRIu64 "\n", kind->name,
                                  kind->bounds[i], n);
    }
    n += get(&histogram->counts[kind->n_bounds]);
    text_buffer_append_format(out, "gemmad_%s_bucket{le=\"+Inf\"} %" PRIu64 "\n", kind->name, n);
    text_buffer_append_format(out, "gemmad_%s_sum %.9f\n", kind->name,
                              (double)get(&histogram->sum) / kind->unit);
    text_buffer_append_format(out, "gemmad_%s_count %" PRIu64 "\n", kind->name, n);
}

static void write_counter(const char *name, const char *help, uint64_t value,
                          struct text_buffer *out)
{
    metrics_write_head(out, name, "counter", help);
    text_buffer_append_format(out, "gemmad_%s %" PRIu64 "\n", name, value);
}

void metrics_write_requests(struct metrics *metrics, struct text_buffer *out)
{
    static const char *const reasons[METRICS_N_REASONS] = {
        [FINISH_STOP] = "stop",
        [FINISH_LENGTH] = "length",
        [FINISH_ABORT] = "abort",
        [FINISH_TIME_LIMIT] = "time_limit",
    };
    for (uint32_t i = 0; i < METRICS_N_HISTOGRAMS; i++)
        write_histogram(&kinds[i], &metrics->histograms[i], out);
    metrics_write_head(out, "request_success_total", "counter",
                       "Sequences that ended, by the reason that their client was told.");
    for (uint32_t i = 0; i < METRICS_N_REASONS; i++)
        text_buffer_append_format(
            out, "gemmad_request_success_total{finished_reason=\"%s\"} %" PRIu64 "\n", reasons[i],
            get(&metrics->finished[i]));
    metrics_write_head(out, "request_failure_total", "counter",
                       "Requests that the engine refused or had to end, by gRPC status.");
    for (uint32_t i = 1; i < METRICS_N_STATUSES; i++)
        text_buffer_append_format(out, "gemmad_request_failure_total{status=\"%s\"} %" PRIu64 "\n",
                                  status_name((enum status)i), get(&metrics->failed[i]));
    write_counter("prefix_cache_queries_total", "Prompt tokens that were looked for in the cache.",
                  get(&metrics->prefix_queries), out);
    write_counter("prefix_cache_hits_total", "Prompt tokens that were found in the cache.",
                  get(&metrics->prefix_hits), out);
    write_counter("worker_restarts_total", "Times that the group of workers was started again.",
                  get(&metrics->worker_restarts), out);
}
