/* bench/serve/report.c - the figures as a table and as JSON. Rates count everything that came
 * between two moments, also the end of the warm-up's answers: it is the server's work of that time.
 */
#include "bench/serve/report.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"

struct load_rates load_rates_between(const struct load_mark *from, const struct load_mark *to)
{
    if (to->ns <= from->ns)
        return (struct load_rates){0};
    double seconds = (double)(to->ns - from->ns) / 1e9;
    return (struct load_rates){
        .seconds = seconds,
        .requests = (double)(to->n_ended - from->n_ended) / seconds,
        .prompt_tokens = (double)(to->prompt_tokens - from->prompt_tokens) / seconds,
        .answer_tokens = (double)(to->answer_tokens - from->answer_tokens) / seconds,
        .coordinator_cores = (to->cpu.own_seconds - from->cpu.own_seconds) / seconds,
        .workers_cores = (to->cpu.children_seconds - from->cpu.children_seconds) / seconds,
        .client_cores = (to->client_seconds - from->client_seconds) / seconds,
    };
}

struct load_rates load_rates_run(const struct load_result *result)
{
    return load_rates_between(&result->begin, &result->end);
}

struct load_rates load_rates_full(const struct load_result *result)
{
    struct load_rates full = load_rates_between(&result->begin, &result->last_sent);
    return full.seconds < load_rates_run(result).seconds / 10 ? (struct load_rates){0} : full;
}

uint64_t load_failed(const struct load_result *result)
{
    uint64_t sum = 0;
    for (size_t status = STATUS_OK + 1; status < LOAD_N_STATUSES; status++)
        sum += result->n_by_status[status];
    return sum;
}

static double ms(uint64_t ns)
{
    return (double)ns / (double)NS_PER_MS;
}

static void times_row(struct text_buffer *out, const char *name, struct samples *samples)
{
    text_buffer_append_format(
        out, "%-16s%11.2f%11.2f%11.2f%11.2f%11.2f%11zu\n", name,
        samples_mean(samples) / (double)NS_PER_MS, ms(samples_percentile(samples, 0.5)),
        ms(samples_percentile(samples, 0.9)), ms(samples_percentile(samples, 0.99)),
        ms(samples_percentile(samples, 1)), samples->n);
}

// A row of two figures, the second only if there is a full load; nothing if the first is unknown.
static void rate_row(struct text_buffer *out, const char *name, double run, double full,
                     bool has_full, int digits)
{
    if (isnan(run))
        return;
    text_buffer_append_format(out, "%-20s%12.*f", name, digits, run);
    if (has_full)
        text_buffer_append_format(out, "%14.*f", digits, full);
    text_buffer_append_text(out, "\n");
}

static void rates_table(struct text_buffer *out, const struct serve_options *options,
                        const struct load_result *result)
{
    struct load_rates run = load_rates_run(result);
    struct load_rates full = load_rates_full(result);
    bool both = full.seconds > 0;
    text_buffer_append_format(out, "%-20s%12s%14s\n", "", "whole run", both ? "full load" : "");
    rate_row(out, "seconds", run.seconds, full.seconds, both, 2);
    rate_row(out, "requests/s", run.requests, full.requests, both, 3);
    rate_row(out, "prompt tokens/s", run.prompt_tokens, full.prompt_tokens, both, 1);
    rate_row(out, "answer tokens/s", run.answer_tokens, full.answer_tokens, both, 1);
    if (options->pid != 0) {
        rate_row(out, "coordinator, cores", run.coordinator_cores, full.coordinator_cores, both, 4);
        rate_row(out, "workers, cores", run.workers_cores, full.workers_cores, both, 4);
    }
    rate_row(out, "this client, cores", run.client_cores, full.client_cores, both, 4);
}

void report_table(const struct serve_options *options, struct load_result *result,
                  struct text_buffer *out)
{
    text_buffer_append_format(out, "requests    %" PRIu64 " OK", result->n_by_status[STATUS_OK]);
    for (size_t status = STATUS_OK + 1; status < LOAD_N_STATUSES; status++) {
        if (result->n_by_status[status] > 0)
            text_buffer_append_format(out, ", %" PRIu64 " %s", result->n_by_status[status],
                                      status_name((enum status)status));
    }
    if (result->n_short > 0)
        text_buffer_append_format(out, " (%" PRIu64 " with too few tokens)", result->n_short);
    text_buffer_append_format(out, "; at most %" PRIu32 " at once\n", result->most_at_once);
    text_buffer_append_format(
        out, "tokens      %" PRIu64 " of prompts, %" PRIu64 " of answers, lengths %s\n\n",
        result->prompt_tokens, result->answer_tokens, options->lengths);
    rates_table(out, options, result);
    text_buffer_append_format(out, "\n%-16s%11s%11s%11s%11s%11s%11s\n", "milliseconds", "mean",
                              "p50", "p90", "p99", "max", "samples");
    times_row(out, "TTFT", &result->ttft);
    times_row(out, "TPOT", &result->tpot);
    times_row(out, "inter-token", &result->inter_token);
    times_row(out, "end to end", &result->end_to_end);
    if (options->rate > 0)
        text_buffer_append_format(out, "\nsent at most %.2f ms late\n", ms(result->most_late_ns));
}

static void json_number(struct text_buffer *out, const char *name, double value)
{
    if (isfinite(value))
        text_buffer_append_format(out, "\"%s\":%.6f", name, value);
    else
        text_buffer_append_format(out, "\"%s\":null", name);
}

static void json_times(struct text_buffer *out, const char *name, struct samples *samples)
{
    text_buffer_append_format(
        out,
        ",\n\"%s\":{\"n\":%zu,\"mean\":%.4f,\"p50\":%.4f,\"p90\":%.4f,\"p99\":%.4f,\"max\":%.4f}",
        name, samples->n, samples_mean(samples) / (double)NS_PER_MS,
        ms(samples_percentile(samples, 0.5)), ms(samples_percentile(samples, 0.9)),
        ms(samples_percentile(samples, 0.99)), ms(samples_percentile(samples, 1)));
}

static void json_rates(struct text_buffer *out, const char *name, struct load_rates rates,
                       bool has_pid)
{
    if (rates.seconds == 0) {
        text_buffer_append_format(out, ",\n\"%s\":null", name);
        return;
    }
    text_buffer_append_format(
        out,
        ",\n\"%s\":{\"seconds\":%.6f,\"requests_per_second\":%.6f,"
        "\"prompt_tokens_per_second\":%.4f,\"answer_tokens_per_second\":%.4f,",
        name, rates.seconds, rates.requests, rates.prompt_tokens, rates.answer_tokens);
    json_number(out, "coordinator_cores", has_pid ? rates.coordinator_cores : NAN);
    text_buffer_append_text(out, ",");
    json_number(out, "workers_cores", has_pid ? rates.workers_cores : NAN);
    text_buffer_append_text(out, ",");
    json_number(out, "client_cores", rates.client_cores);
    text_buffer_append_text(out, "}");
}

static void json_load(struct text_buffer *out, const struct serve_options *options)
{
    text_buffer_append_text(out, "{\"load\":{");
    if (options->rate > 0)
        json_number(out, "rate", options->rate);
    else
        text_buffer_append_format(out, "\"concurrency\":%" PRIu32, options->concurrency);
    text_buffer_append_format(
        out,
        ",\"lengths\":\"%s\",\"requests\":%" PRIu32 ",\"warmup\":%" PRIu32 ",\"seed\":%" PRIu64 "}",
        options->lengths, options->n_requests, options->n_warmup, options->seed);
}

static void json_requests(struct text_buffer *out, const struct load_result *result)
{
    text_buffer_append_format(
        out, ",\n\"requests\":{\"ok\":%" PRIu64 ",\"short\":%" PRIu64 ",\"failed\":{",
        result->n_by_status[STATUS_OK], result->n_short);
    const char *comma = "";
    for (size_t status = STATUS_OK + 1; status < LOAD_N_STATUSES; status++) {
        if (result->n_by_status[status] == 0)
            continue;
        text_buffer_append_format(out, "%s\"%s\":%" PRIu64, comma, status_name((enum status)status),
                                  result->n_by_status[status]);
        comma = ",";
    }
    text_buffer_append_format(out,
                              "},\"prompt_tokens\":%" PRIu64 ",\"answer_tokens\":%" PRIu64
                              ",\"most_at_once\":%" PRIu32 ",\"most_late_ms\":%.4f}",
                              result->prompt_tokens, result->answer_tokens, result->most_at_once,
                              ms(result->most_late_ns));
}

void report_json(const struct serve_options *options, struct load_result *result,
                 struct text_buffer *out)
{
    json_load(out, options);
    json_requests(out, result);
    text_buffer_append_format(out, ",\n\"cpus\":%ld", sysconf(_SC_NPROCESSORS_ONLN));
    json_rates(out, "run", load_rates_run(result), options->pid != 0);
    json_rates(out, "full_load", load_rates_full(result), options->pid != 0);
    json_times(out, "ttft_ms", &result->ttft);
    json_times(out, "tpot_ms", &result->tpot);
    json_times(out, "inter_token_ms", &result->inter_token);
    json_times(out, "end_to_end_ms", &result->end_to_end);
    text_buffer_append_text(out, ",\n\"answer_tokens_of_second\":[");
    for (size_t i = 0; i < result->n_seconds; i++)
        text_buffer_append_format(out, "%s%" PRIu64, i ? "," : "", result->tokens_of_second[i]);
    text_buffer_append_text(out, "]}\n");
}
