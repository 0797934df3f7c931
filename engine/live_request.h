/* engine/live_request.h - a request between engine_submit and its last event, with the engine's own
 * copies of all that it needs. Made by the thread that submits, then owned by the engine thread. */
#ifndef GEMMAD_ENGINE_LIVE_REQUEST_H
#define GEMMAD_ENGINE_LIVE_REQUEST_H

#include "engine/choice_constraint.h"
#include "engine/output.h"
#include "engine/request.h"
#include "engine/scheduler.h"
#include "text/tokenizer.h"

#define REQUEST_MAX_SEQUENCES 128

/* One of the n sequences as its client sees it. */
struct choice {
    struct live_request *request;
    uint32_t index;
    struct sequence *sequence;            /* NULL before it is scheduled and once it has ended */
    struct choice_constraint *constraint; /* or NULL */
    struct output output;
    uint32_t n_generated;
    bool ended, told; /* no more tokens; the client has its FINISH */
    enum finish_reason reason;
    bool matched_id;
    uint32_t stop_token_id;
    int32_t stop_string;
};

struct live_request {
    char *id;
    uint32_t *prompt;
    uint32_t n_prompt;
    struct sampling_params sampling;
    uint32_t max_tokens;
    uint32_t *stop_ids; /* ascending, each once, below vocab_size */
    uint32_t n_stop_ids;
    struct stop_strings stop_strings;
    struct logit_bias *biases;
    uint32_t n_biases;
    struct request_part *parts; /* with references to their media */
    uint32_t n_parts;
    bool include_stop;
    bool want_prompt_ids;
    enum reasoning_state start; /* in which generation begins */
    struct grammar *grammar;    /* or NULL */
    uint32_t thinking_budget;   /* or CONSTRAINT_NO_BUDGET */
    int32_t priority;
    uint64_t arrival;
    uint64_t submitted_ns;
    uint64_t queue_ns;    /* once started */
    uint64_t deadline_ns; /* UINT64_MAX: none */
    engine_event_fn *on_event;
    void *context;

    bool started; /* a step has brought something for it */
    /* The prompt event: is it due, or was it sent; its logprobs so far, of prompt tokens 1.. */
    bool prompt_told;
    struct token_logprob *prompt_logprobs; /* [n_prompt - 1, n_prompt_logprobs + 1] */
    uint32_t n_prompt_logprobs;

    struct live_request *table_next; /* engine/request_table.h */
    struct live_request *mail_next;  /* submitted, not yet seen by the engine thread */
    struct live_request *abort_next; /* to be aborted */
    bool abort_wanted;
    bool queued;                                /* counts as waiting; under the engine's lock */
    struct live_request *live_prev, *live_next; /* all that the engine thread has seen */

    uint32_t n_choices;
    uint32_t n_told;
    struct choice choices[];
};

/* What all requests of an engine share of texts; outlives them. */
struct request_text {
    const struct tokenizer *tokenizer;   /* NULL: no text, no thinking apart */
    const struct vocabulary *vocabulary; /* NULL: no grammars */
    struct reasoning_tokens reasoning;
};

/* INVALID_ARGUMENT: which field and why; RESOURCE_EXHAUSTED: never fits the pages. now_ns is when
 * its time limit begins. */
NODISCARD enum status live_request_create(const struct request *request,
                                          const struct scheduler_config *config,
                                          const struct request_text *text, uint64_t now_ns,
                                          struct live_request **out, struct error *err);
void live_request_destroy(struct live_request *request);

/* Gives its choices their constraints, if it has any. On the engine thread. */
void live_request_constrain(struct live_request *request, const struct request_text *text,
                            uint32_t vocab_size);

bool live_request_is_stop_id(const struct live_request *request, uint32_t token);
/* What the scheduler is told of a choice; pointers into the request. */
struct sequence_config live_request_sequence(struct choice *choice);

#endif
