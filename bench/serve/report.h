/* bench/serve/report.h - what a load measured, for people, for programs, and as a picture.
 * Each appends its text to out. Thread: any. */
#ifndef GEMMAD_BENCH_SERVE_REPORT_H
#define GEMMAD_BENCH_SERVE_REPORT_H

#include "base/text_buffer.h"
#include "bench/serve/load.h"
#include "bench/serve/options.h"

/* Rates between two moments of a run. */
struct load_rates {
    double seconds; /* 0: there is nothing between them, nor are there rates */
    double requests, prompt_tokens, answer_tokens;         /* a second */
    double coordinator_cores, workers_cores, client_cores; /* CPU seconds a second; NAN: unknown */
};
struct load_rates load_rates_between(const struct load_mark *from, const struct load_mark *to);
/* From the first measured request until all are over. */
struct load_rates load_rates_run(const struct load_result *result);
/* While the load was whole: until the last request was sent. No rates if that is less than a tenth
 * of the run. */
struct load_rates load_rates_full(const struct load_result *result);

/* Requests that did not end well. */
uint64_t load_failed(const struct load_result *result);

void report_table(const struct serve_options *options, struct load_result *result,
                  struct text_buffer *out);
/* One object, ends with a newline; docs/benchmarks.md says what the fields are. */
void report_json(const struct serve_options *options, struct load_result *result,
                 struct text_buffer *out);
/* SVG: how TTFT and the time between tokens are distributed, and tokens a second over time. */
void report_plot(const struct serve_options *options, struct load_result *result,
                 struct text_buffer *out);

#endif
