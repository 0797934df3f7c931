/* bench/serve/load.h - sends a series of Generate requests and measures what comes back.
 *
 * Request k of a seed is the same in every run: its lengths, its prompt (random token ids from the
 * middle of the vocabulary, so that no prefix cache answers) and its sampling seed. End tokens are
 * ignored, so each answer has the length that was drawn. When it is sent is the load's:
 *   closed loop: `concurrency` clients, each sends its next request when its last one has ended;
 *   open loop: at random times, `rate` a second on average (Poisson), however many already run.
 *
 * The first n_warmup requests are sent in the same way and not measured. Times are the client's,
 * and begin when a request is due, so that a client that is late does not hide it.
 * Thread: one, which runs the whole load. */
#ifndef GEMMAD_BENCH_SERVE_LOAD_H
#define GEMMAD_BENCH_SERVE_LOAD_H

#include <stdbool.h>
#include <stdint.h>

#include "bench/serve/lengths.h"
#include "bench/serve/process_cpu.h"
#include "bench/serve/samples.h"
#include "client/client.h"

#define LOAD_N_STATUSES (STATUS_UNAUTHENTICATED + 1)

struct load_config {
    struct lengths lengths;
    double rate;          /* requests a second; 0: a closed loop */
    uint32_t concurrency; /* of a closed loop */
    uint32_t n_warmup, n_requests;
    uint64_t seed;
    uint64_t timeout_ns; /* of each request; 0: none */
    uint32_t pid;        /* whose CPU time is measured; 0: nobody's */
    bool has_temperature;
    float temperature; /* absent: the server's default */
};

/* Everything that had happened at a moment of the run, warm-up included. */
struct load_mark {
    uint64_t ns;
    uint64_t n_ended;       /* requests that went well */
    uint64_t prompt_tokens; /* of requests that have their first token */
    uint64_t answer_tokens; /* received */
    double client_seconds;  /* of CPU */
    struct process_cpu cpu; /* of pid */
};

struct load_result {     /* zero-initialise; of the measured requests, where nothing else is said */
    struct samples ttft; /* until the first token has come */
    struct samples tpot; /* of one answer, mean time of a token after the first */
    struct samples
        inter_token; /* each gap between two; k tokens in one event are k gaps of a k-th */
    struct samples end_to_end; /* until the status has come */
    uint64_t n_by_status[LOAD_N_STATUSES];
    uint64_t n_short;                      /* OK, but without all the tokens that were asked for */
    uint64_t prompt_tokens, answer_tokens; /* of those that are OK */
    struct error first_error;              /* status OK: there was none */
    uint32_t most_at_once;                 /* in flight, with the warm-up */
    uint64_t most_late_ns;                 /* from when a request was due until it was sent */
    /* when the first measured request was due, when the last one was sent, and when all are over */
    struct load_mark begin, last_sent, end;
    uint64_t *tokens_of_second; /* [n_seconds]: answer tokens received, by second since begin */
    size_t n_seconds, seconds_capacity;
};

/* Runs the load to its end. Requests that fail are counted, not returned.
 * NOT_FOUND: no process pid. Otherwise the server's answer to GetModelInfo. */
NODISCARD enum status load_run(const struct load_config *config, struct client *client,
                               struct load_result *out, struct error *err);
void load_result_finish(struct load_result *result);

#endif
