/* engine/engine.h - the coordinator's heart: takes requests, runs steps on the workers, hands out
 * events. One thread owns the scheduler, the pages and every sequence; the functions here are its
 * mail box and may be called from any thread, except that callbacks run on the engine thread.
 *
 * Two steps are in flight: step n + 1 is prepared while step n runs; a sequence that ends in step n
 * is trimmed from what step n + 1 brought back. */
#ifndef GEMMAD_ENGINE_ENGINE_H
#define GEMMAD_ENGINE_ENGINE_H

#include "engine/request.h"
#include "engine/scheduler.h"
#include "kvcache/params.h"
#include "text/grammar/vocabulary.h"

struct engine;

/* Where steps go: rings to real workers, or a null device in tests and benchmarks. */
struct engine_backend {
    void *context;
    /* Memory for the next step of at most step_max_bytes, or NULL when max_steps are in flight. */
    void *(*begin_step)(void *context);
    void (*submit_step)(void *context, size_t n_bytes);
    /* The same for the masks of the step that was submitted last, once. NULL: the workers are not
     * well; asked again later. */
    void *(*begin_masks)(void *context);
    void (*submit_masks)(void *context, size_t n_bytes);
    /* The next result; waits up to timeout_ns. DEADLINE_EXCEEDED: none yet. UNAVAILABLE: the
     * workers are gone (the engine fails what runs, and waits for engine_backend_reset). */
    enum status (*read_result)(void *context, uint64_t timeout_ns, const void **out, size_t *n);
    void (*release_result)(void *context);
    /* [limits.media_bytes], where the workers find what steps give their encoders; or NULL. */
    unsigned char *media;
    /* Makes the read_result under way, or else the next one, return, from any thread. */
    void (*wake)(void *context);
};

struct engine_config {
    struct step_limits limits; /* max_rows is the token budget of a step */
    struct kv_params kv;
    struct engine_backend backend;
    const struct tokenizer *tokenizer; /* for text deltas and stop strings; may be NULL in tests */
    const struct vocabulary *vocabulary; /* of the tokenizer and limits.vocab_size; NULL: requests
                                            with a grammar are UNIMPLEMENTED */
    uint32_t max_queued;                 /* requests waiting; one more is RESOURCE_EXHAUSTED */
    uint32_t max_chunk_rows;             /* prefill rows of one sequence in a step; 0: max_rows */
    struct scheduler_encoders encoders;  /* with limits.n_cache_rows > 0 */
    float max_step_stretch; /* prefill and encoding make a step with decode rows at most so many
                               times longer (engine/pace.h); 0: no limit */
};

NODISCARD enum status engine_create(const struct engine_config *config, struct engine **out,
                                    struct error *err);
/* Fails what is left with UNAVAILABLE, joins the thread. */
void engine_destroy(struct engine *engine);

/* Queues a request; events come through on_event until one with `last` or FAILED. Errors here mean
 * that no event will come: INVALID_ARGUMENT (which field and why), ALREADY_EXISTS,
 * RESOURCE_EXHAUSTED (queue full; or it can never fit the pages, with the numbers), UNAVAILABLE
 * (draining or the workers are gone). */
NODISCARD enum status engine_submit(struct engine *engine, const struct request *request,
                                    engine_event_fn *on_event, void *context, struct error *err);
/* Ends a request: its sequences finish with FINISH_ABORT. False: no such live request. Any moment.
 * owner: the context it was submitted with, when only that one is meant (another request may have
 * its id by now); NULL: whoever has the id. */
bool engine_abort(struct engine *engine, const char *request_id, const void *owner);

/* No new requests; on_drained (may be NULL) is called once nothing is left. */
void engine_drain(struct engine *engine, void (*on_drained)(void *context), void *context);

/* The workers died: fail what ran with err; what only waited goes on waiting. Returns when the old
 * backend is no longer used; not from a callback. Then, with a new group of workers: go on. */
void engine_backend_lost(struct engine *engine, const struct error *err);
void engine_backend_reset(struct engine *engine, const struct engine_backend *backend);

struct engine_stats {
    uint64_t n_requests_total, n_prompt_tokens_total, n_generated_tokens_total, n_preemptions_total;
    uint64_t n_steps_total, step_prepare_ns_total, forward_ns_total;
    uint64_t n_encoded_parts_total, encode_ns_total;
    /* Of the parts that sequences took up: soft tokens found in the encoder cache (or being made),
     * and not. Its rows: all, in use, and in use by sequences that run. */
    uint64_t n_cache_hits_total, n_cache_misses_total;
    uint32_t n_cache_rows, n_used_cache_rows, n_held_cache_rows;
    uint64_t sample_ns_total;
    uint64_t mask_ns_total;      /* the engine thread's work on masks */
    uint64_t mask_wait_ns_total; /* of sample_ns_total: workers waited for masks */
    uint64_t collective_wait_ns_total[STEP_MAX_RANKS]; /* by rank */
    uint32_t n_waiting, n_running;
    uint32_t n_pages[KV_MAX_GROUPS], n_free_pages[KV_MAX_GROUPS];
    uint32_t n_groups;
    bool draining, backend_up;
};
void engine_get_stats(struct engine *engine, struct engine_stats *out);

#endif
