/* gateway/metrics.h - what is counted and timed for Prometheus: of requests by their events, of the
 * engine by its own statistics. docs/metrics.md has the names.
 *
 * Recorded where events pass, on the engine's thread and for refused requests on others: counters
 * are atomic and nothing locks, so that a token costs a few additions. A reader may see a histogram
 * between two of its counters; it makes the total from the buckets, so that what it writes is
 * consistent with itself. Thread: any, but struct request_times, which is its request's. */
#ifndef GEMMAD_GATEWAY_METRICS_H
#define GEMMAD_GATEWAY_METRICS_H

#include <stdatomic.h>

#include "base/text_buffer.h"
#include "engine/request.h"

#define METRICS_MAX_BOUNDS 24
#define METRICS_N_STATUSES 17 /* of enum status */
#define METRICS_N_REASONS 4   /* of enum finish_reason */

enum metrics_histogram {
    METRICS_QUEUE_TIME,  /* per request; seconds from here on */
    METRICS_FIRST_TOKEN, /* per request */
    METRICS_E2E,         /* per request */
    METRICS_INTER_TOKEN, /* per delta but a sequence's first */
    METRICS_PER_TOKEN,   /* per sequence: its mean */
    METRICS_PROMPT_TOKENS,
    METRICS_GENERATION_TOKENS, /* per sequence */
    METRICS_N_HISTOGRAMS,
};

struct histogram {
    atomic_uint_fast64_t counts[METRICS_MAX_BOUNDS + 1]; /* the last: above every bound */
    atomic_uint_fast64_t sum;                            /* nanoseconds, or tokens */
};

/* Zero-initialise. */
struct metrics {
    struct histogram histograms[METRICS_N_HISTOGRAMS];
    atomic_uint_fast64_t finished[METRICS_N_REASONS]; /* sequences */
    atomic_uint_fast64_t failed[METRICS_N_STATUSES]; /* requests that the engine refused or ended */
    atomic_uint_fast64_t prefix_queries, prefix_hits; /* prompt tokens */
    atomic_uint_fast64_t worker_restarts;
};

/* What is remembered of a request in flight. */
struct request_times {
    uint64_t submitted_ns;
    uint64_t first_ns; /* of the first delta; 0: none yet */
    uint32_t n;
    struct sequence_times {
        uint64_t first_ns, last_ns; /* deltas */
    } * sequences;                  /* [n] */
};

void request_times_init(struct request_times *times, uint32_t n, uint64_t now_ns);
void request_times_finish(struct request_times *times);

void metrics_take_event(struct metrics *metrics, struct request_times *times,
                        const struct engine_event *event, uint64_t now_ns);
/* The engine refused a request, or it failed. */
void metrics_take_failure(struct metrics *metrics, enum status status);

/* One family of each of the histograms and counters above, in Prometheus' text format. */
void metrics_write_requests(struct metrics *metrics, struct text_buffer *out);

/* For all that writes families: "# HELP" and "# TYPE" lines; a label's value, escaped. */
void metrics_write_head(struct text_buffer *out, const char *name, const char *type,
                        const char *help);
void metrics_write_label(struct text_buffer *out, const char *name, const char *value);

#endif
