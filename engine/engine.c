/* engine/engine.c - the engine thread and its mail box.
 *
 * The lock guards mail (what other threads want), the table of ids and the figures for
 * engine_get_stats; it is held for moments, never during a callback, a step's planning or a wait.
 * The scheduler and everything a sequence consists of belong to the thread alone. The thread waits
 * in the backend's read_result while there is one and on the condition otherwise; mail wakes both.
 * A request leaves the table before its last event, so that its client may reuse the id at once. */
#include "engine/engine.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "engine/delivery.h"
#include "engine/live_request.h"
#include "engine/pace.h"
#include "engine/request_table.h"

struct engine {
    struct engine_config c;
    struct scheduler_config scheduler_config;
    struct request_text text;
    pthread_t thread;

    pthread_mutex_t lock;
    pthread_cond_t changed;
    // Under the lock: mail.
    bool mail;
    struct live_request *submitted, **last_submitted;
    struct live_request *aborts;
    bool stop, draining;
    void (*on_drained)(void *context);
    void *drained_context;
    bool lost; // engine_backend_lost waits until it is false again
    struct error lost_error;
    // Under the lock: shared.
    struct request_table table;
    uint32_t n_queued; // requests that no step has brought anything for
    uint64_t n_arrived;
    bool backend_up;
    struct engine_stats stats;

    // The thread's own.
    struct scheduler *scheduler;
    struct delivery delivery;
    struct live_request *live;
    struct live_request *taken_aborts;
    struct pace pace;
    uint64_t n_requests, n_prompt_tokens, n_steps, prepare_ns, encode_ns, forward_ns, sample_ns;
    uint64_t mask_ns, mask_wait_ns;
    uint64_t collective_wait_ns[STEP_MAX_RANKS];
};

static void *run(void *context);

// A request has brought its first row's result: it queues no more. Under the lock.
static void leave_queue(struct engine *e, struct live_request *r)
{
    if (!r->queued)
        return;
    r->queued = false;
    e->n_queued--;
}

static void on_started(void *context, struct live_request *r)
{
    struct engine *e = context;
    e->n_prompt_tokens += r->n_prompt;
    pthread_mutex_lock(&e->lock);
    leave_queue(e, r);
    pthread_mutex_unlock(&e->lock);
}

static bool unlink_abort(struct live_request **at, struct live_request *r)
{
    while (*at && *at != r)
        at = &(*at)->abort_next;
    if (!*at)
        return false;
    *at = r->abort_next;
    return true;
}

static void on_over(void *context, struct live_request *r)
{
    struct engine *e = context;
    pthread_mutex_lock(&e->lock);
    leave_queue(e, r);
    request_table_remove(&e->table, r);
    if (r->abort_wanted && !unlink_abort(&e->aborts, r))
        unlink_abort(&e->taken_aborts, r);
    pthread_mutex_unlock(&e->lock);
    if (r->live_prev)
        r->live_prev->live_next = r->live_next;
    else
        e->live = r->live_next;
    if (r->live_next)
        r->live_next->live_prev = r->live_prev;
}

static void free_parts(struct engine *e)
{
    scheduler_destroy(e->scheduler);
    tokenizer_encoder_destroy(e->delivery.encoder);
    free(e->delivery.mask_bits);
    request_table_finish(&e->table);
    pthread_cond_destroy(&e->changed);
    pthread_mutex_destroy(&e->lock);
    free(e);
}

enum status engine_create(const struct engine_config *config, struct engine **out,
                          struct error *err)
{
    struct engine *e = mem_zeroed(1, sizeof *e);
    e->c = *config;
    e->scheduler_config = (struct scheduler_config){
        .limits = config->limits,
        .kv = config->kv,
        .max_chunk_rows = config->max_chunk_rows,
        .encoders = config->encoders,
    };
    e->pace.max_stretch = config->max_step_stretch;
    e->text.tokenizer = config->tokenizer;
    e->text.vocabulary = config->vocabulary;
    if (config->tokenizer) {
        reasoning_tokens_find(config->tokenizer, &e->text.reasoning);
        e->scheduler_config.n_text_ids = tokenizer_n_tokens(config->tokenizer);
    }
    enum status st = scheduler_create(&e->scheduler_config, &e->scheduler, err);
    if (st != STATUS_OK) {
        free(e);
        return st;
    }
    e->delivery = (struct delivery){
        .scheduler = e->scheduler, .on_started = on_started, .on_over = on_over, .context = e};
    e->delivery.mask_bits = mem_zeroed(step_mask_bits_words(config->limits.vocab_size),
                                       sizeof(uint32_t));
    if (config->tokenizer)
        e->delivery.encoder = tokenizer_encoder_create(config->tokenizer);
    request_table_init(&e->table);
    e->last_submitted = &e->submitted;
    e->backend_up = true;
    pthread_mutex_init(&e->lock, NULL);
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&e->changed, &attributes);
    pthread_condattr_destroy(&attributes);
    if (pthread_create(&e->thread, NULL, run, e) != 0) {
        free_parts(e);
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "cannot start the engine thread");
    }
    *out = e;
    return STATUS_OK;
}

// Under the lock.
static void wake(struct engine *e)
{
    if (e->mail)
        return;
    e->mail = true;
    pthread_cond_broadcast(&e->changed);
    if (e->backend_up)
        e->c.backend.wake(e->c.backend.context);
}

void engine_destroy(struct engine *e)
{
    if (!e)
        return;
    pthread_mutex_lock(&e->lock);
    e->stop = true;
    wake(e);
    pthread_mutex_unlock(&e->lock);
    pthread_join(e->thread, NULL);
    free_parts(e);
}

// Under the lock.
static enum status check_state(const struct engine *e, const char *id, struct error *err)
{
    if (e->stop || e->draining)
        return error_set(err, STATUS_UNAVAILABLE, "the server is shutting down");
    if (!e->backend_up)
        return error_set(err, STATUS_UNAVAILABLE, "the workers are gone");
    if (request_table_find(&e->table, id))
        return error_set(err, STATUS_ALREADY_EXISTS, "request_id \"%s\" is in use", id);
    if (e->n_queued >= e->c.max_queued)
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "%u requests are waiting: the most",
                         e->n_queued);
    return STATUS_OK;
}

enum status engine_submit(struct engine *e, const struct request *request,
                          engine_event_fn *on_event, void *context, struct error *err)
{
    struct live_request *r = NULL;
    enum status st = live_request_create(request, &e->scheduler_config, &e->text, clock_now_ns(),
                                         &r, err);
    if (st != STATUS_OK)
        return st;
    r->on_event = on_event;
    r->context = context;
    pthread_mutex_lock(&e->lock);
    st = check_state(e, r->id, err);
    if (st == STATUS_OK) {
        r->arrival = e->n_arrived++;
        r->queued = true;
        e->n_queued++;
        request_table_add(&e->table, r);
        *e->last_submitted = r;
        e->last_submitted = &r->mail_next;
        wake(e);
    }
    pthread_mutex_unlock(&e->lock);
    if (st != STATUS_OK)
        live_request_destroy(r);
    return st;
}

bool engine_abort(struct engine *e, const char *request_id, const void *owner)
{
    pthread_mutex_lock(&e->lock);
    struct live_request *r = request_table_find(&e->table, request_id);
    if (r && owner && r->context != owner)
        r = NULL;
    if (r && !r->abort_wanted) {
        r->abort_wanted = true;
        r->abort_next = e->aborts;
        e->aborts = r;
        wake(e);
    }
    pthread_mutex_unlock(&e->lock);
    return r != NULL;
}

void engine_drain(struct engine *e, void (*on_drained)(void *context), void *context)
{
    pthread_mutex_lock(&e->lock);
    e->draining = true;
    e->on_drained = on_drained;
    e->drained_context = context;
    wake(e);
    pthread_mutex_unlock(&e->lock);
}

void engine_backend_lost(struct engine *e, const struct error *err)
{
    CHECK(!pthread_equal(pthread_self(), e->thread)); // it waits for that thread
    pthread_mutex_lock(&e->lock);
    if (e->backend_up) {
        e->lost = true;
        e->lost_error = *err;
        wake(e);
        while (e->lost)
            pthread_cond_wait(&e->changed, &e->lock);
    }
    pthread_mutex_unlock(&e->lock);
}

void engine_backend_reset(struct engine *e, const struct engine_backend *backend)
{
    pthread_mutex_lock(&e->lock);
    CHECK(!e->backend_up);
    e->c.backend = *backend;
    e->backend_up = true;
    wake(e);
    pthread_mutex_unlock(&e->lock);
}

void engine_get_stats(struct engine *e, struct engine_stats *out)
{
    pthread_mutex_lock(&e->lock);
    *out = e->stats;
    out->draining = e->draining;
    out->backend_up = e->backend_up;
    pthread_mutex_unlock(&e->lock);
}

static void schedule(struct engine *e, struct live_request *r)
{
    r->live_next = e->live;
    if (e->live)
        e->live->live_prev = r;
    e->live = r;
    e->n_requests++;
    live_request_constrain(r, &e->text, e->c.limits.vocab_size);
    for (uint32_t i = 0; i < r->n_choices; i++) {
        struct sequence_config config = live_request_sequence(&r->choices[i]);
        r->choices[i].sequence = scheduler_add(e->scheduler, &config);
    }
}

// The workers are gone: what ran fails, what only waited goes on waiting.
static void lose_backend(struct engine *e, const struct error *error)
{
    log_warn("backend_lost", "cause=\"%s\"", error->message);
    pthread_mutex_lock(&e->lock);
    e->backend_up = false; // nobody wakes the old one from here on
    pthread_mutex_unlock(&e->lock);
    for (struct live_request *r = e->live, *next; r; r = next) {
        next = r->live_next;
        bool ran = false;
        for (uint32_t i = 0; i < r->n_choices; i++)
            ran |= r->choices[i].ended || scheduler_has_run(r->choices[i].sequence);
        if (ran)
            delivery_fail_request(&e->delivery, r, error);
    }
    scheduler_reset(e->scheduler);
    pthread_mutex_lock(&e->lock);
    e->lost = false;
    pthread_cond_broadcast(&e->changed);
    pthread_mutex_unlock(&e->lock);
}

static void tell_drained(struct engine *e)
{
    pthread_mutex_lock(&e->lock);
    void (*on_drained)(void *) = NULL;
    if (e->draining && e->table.n == 0) {
        on_drained = e->on_drained;
        e->on_drained = NULL;
    }
    void *context = e->drained_context;
    pthread_mutex_unlock(&e->lock);
    if (on_drained)
        on_drained(context);
}

// Does what other threads have asked for. False: the engine is to end.
static bool take_mail(struct engine *e)
{
    pthread_mutex_lock(&e->lock);
    e->mail = false;
    struct live_request *submitted = e->submitted;
    e->submitted = NULL;
    e->last_submitted = &e->submitted;
    bool stop = e->stop;
    bool lost = e->lost;
    struct error error = {0};
    if (lost)
        error = e->lost_error;
    // With the submissions, so that each is of a request that the thread has seen.
    e->taken_aborts = e->aborts;
    e->aborts = NULL;
    bool draining = e->draining;
    pthread_mutex_unlock(&e->lock);
    while (submitted) {
        struct live_request *r = submitted;
        submitted = r->mail_next;
        schedule(e, r);
    }
    while (e->taken_aborts) // each takes itself out (on_over)
        delivery_end_request(&e->delivery, e->taken_aborts, FINISH_ABORT);
    if (lost)
        lose_backend(e, &error);
    if (draining)
        tell_drained(e);
    return !stop;
}

static void end_expired(struct engine *e)
{
    uint64_t now = clock_now_ns();
    struct choice *choice;
    while ((choice = scheduler_expired(e->scheduler, now)))
        delivery_end_request(&e->delivery, choice->request, FINISH_TIME_LIMIT);
}

// After the deltas, and while the step runs that they are for.
static void write_masks(struct engine *e)
{
    const struct engine_backend *backend = &e->c.backend;
    if (!scheduler_masks_are_due(e->scheduler))
        return;
    void *memory = backend->begin_masks(backend->context);
    if (!memory)
        return;
    uint64_t started = clock_now_ns();
    delivery_begin_masks(&e->delivery, started);
    size_t n = scheduler_write_masks(e->scheduler, memory, delivery_take_mask, &e->delivery);
    e->mask_ns += clock_now_ns() - started;
    backend->submit_masks(backend->context, n);
}

static void prepare_steps(struct engine *e)
{
    const struct engine_backend *backend = &e->c.backend;
    void *memory;
    write_masks(e);
    while ((memory = backend->begin_step(backend->context))) {
        uint64_t started = clock_now_ns();
        struct scheduler_budget budget = pace_budget(&e->pace);
        size_t n = scheduler_prepare(e->scheduler, &budget, backend->media, memory);
        e->prepare_ns += clock_now_ns() - started;
        if (n == 0)
            return;
        backend->submit_step(backend->context, n);
        e->n_steps++;
        write_masks(e); // known at once where a prefill ends
    }
}

static void publish_stats(struct engine *e)
{
    struct scheduler_counts counts;
    scheduler_get_counts(e->scheduler, &counts);
    struct engine_stats stats = {
        .n_requests_total = e->n_requests,
        .n_prompt_tokens_total = e->n_prompt_tokens,
        .n_generated_tokens_total = e->delivery.n_generated_tokens,
        .n_preemptions_total = counts.n_preemptions,
        .n_steps_total = e->n_steps,
        .step_prepare_ns_total = e->prepare_ns,
        .encode_ns_total = e->encode_ns,
        .n_encoded_parts_total = counts.n_encoded_parts,
        .n_cache_hits_total = counts.cache.n_hits,
        .n_cache_misses_total = counts.cache.n_misses,
        .n_cache_rows = counts.cache.n_rows,
        .n_used_cache_rows = counts.cache.n_used_rows,
        .n_held_cache_rows = counts.cache.n_held_rows,
        .forward_ns_total = e->forward_ns,
        .sample_ns_total = e->sample_ns,
        .mask_ns_total = e->mask_ns,
        .mask_wait_ns_total = e->mask_wait_ns,
        .n_waiting = counts.n_waiting,
        .n_running = counts.n_running,
        .n_groups = e->c.kv.n_groups,
    };
    memcpy(stats.collective_wait_ns_total, e->collective_wait_ns, sizeof e->collective_wait_ns);
    for (uint32_t g = 0; g < stats.n_groups; g++) {
        stats.n_pages[g] = e->c.kv.n_pages[g] - 1;
        stats.n_free_pages[g] = counts.n_free_pages[g];
    }
    pthread_mutex_lock(&e->lock);
    e->stats = stats;
    pthread_mutex_unlock(&e->lock);
}

static enum status take_result(struct engine *e, const void *message, size_t n, struct error *err)
{
    struct step_result result;
    enum status st = step_result_open(message, n, &e->c.limits, &result, err);
    if (st != STATUS_OK)
        return st;
    struct scheduler_work work = {0};
    if (!scheduler_oldest_work(e->scheduler, &work))
        return error_set(err, STATUS_INTERNAL, "a result of no step");
    pace_learn(&e->pace, &work, result.header);
    e->encode_ns += result.header->encode_ns;
    e->forward_ns += result.header->forward_ns;
    e->sample_ns += result.header->sample_ns;
    e->mask_wait_ns += result.header->mask_wait_ns;
    for (uint32_t r = 0; r < STEP_MAX_RANKS; r++)
        e->collective_wait_ns[r] += result.header->collective_wait_ns[r];
    uint64_t now = clock_now_ns();
    uint64_t step_ns = result.header->encode_ns + result.header->forward_ns +
                       result.header->sample_ns;
    e->delivery.step_began_ns = step_ns < now ? now - step_ns : 0;
    return scheduler_complete(e->scheduler, &result, delivery_take_output, &e->delivery, err);
}

// Waits for a result, mail or the next deadline.
static void wait_for_result(struct engine *e)
{
    const struct engine_backend *backend = &e->c.backend;
    uint64_t deadline = scheduler_next_deadline(e->scheduler);
    uint64_t timeout = UINT64_MAX;
    if (deadline != UINT64_MAX) {
        uint64_t now = clock_now_ns();
        timeout = deadline > now ? deadline - now : 0;
    }
    const void *message;
    size_t n;
    struct error error = {0};
    enum status st = backend->read_result(backend->context, timeout, &message, &n);
    if (st == STATUS_DEADLINE_EXCEEDED)
        return;
    if (st == STATUS_OK) {
        st = take_result(e, message, n, &error);
        backend->release_result(backend->context);
    } else {
        error_set(&error, STATUS_UNAVAILABLE, "the workers are gone");
    }
    if (st != STATUS_OK) {
        error.status = STATUS_UNAVAILABLE;
        lose_backend(e, &error);
    }
}

// The same without a backend.
static void wait_for_mail(struct engine *e)
{
    uint64_t deadline = scheduler_next_deadline(e->scheduler);
    struct timespec until = {(time_t)(deadline / NS_PER_S), (long)(deadline % NS_PER_S)};
    pthread_mutex_lock(&e->lock);
    int waited = 0;
    while (!e->mail && waited == 0) {
        if (deadline == UINT64_MAX)
            waited = pthread_cond_wait(&e->changed, &e->lock);
        else
            waited = pthread_cond_timedwait(&e->changed, &e->lock, &until);
    }
    pthread_mutex_unlock(&e->lock);
}

static void *run(void *context)
{
    struct engine *e = context;
    while (take_mail(e)) {
        end_expired(e);
        // Only this thread lets the backend go, so it stays what it is until the next mail.
        pthread_mutex_lock(&e->lock);
        bool up = e->backend_up;
        pthread_mutex_unlock(&e->lock);
        if (up)
            prepare_steps(e);
        publish_stats(e);
        if (up)
            wait_for_result(e);
        else
            wait_for_mail(e);
    }
    struct error error = {0};
    error_set(&error, STATUS_UNAVAILABLE, "the server is shutting down");
    while (e->live)
        delivery_fail_request(&e->delivery, e->live, &error);
    return NULL;
}
