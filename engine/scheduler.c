/* engine/scheduler.c - sequences come, their steps come back, they go. What goes into a step is in
 * scheduler_plan.c, its masks in scheduler_masks.c, its pages in scheduler_pages.c, soft tokens in
 * scheduler_media.c and scheduler_encode.c.
 *
 * Invariants (scheduler_verify):
 * 1. Free pages and the pages of running sequences are all pages but the padding one; waiting and
 *    removed sequences hold none.
 * 2. Every slot is free or of one running sequence. A freed slot is given out again only when no
 *    step in flight reads it; a freed page at once (scheduler_pages.c says why that is sound).
 * 3. A sequence's memory outlives the steps in flight that name it, so that results find it; what
 *    comes back for a removed one is dropped, for a preempted one it is kept.
 * 4. A step whose masks are missing is the one prepared last (scheduler_masks.c).
 * 5. running is sorted by rank and there are never more of them than rows in a step.
 * 6. References to the encoder cache are those of running sequences; a job's parts are ENCODING. */
#include "engine/scheduler_state.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

bool scheduler_ranks_before(const struct sequence *a, const struct sequence *b)
{
    if (a->c.priority != b->c.priority)
        return a->c.priority < b->c.priority;
    if (a->c.arrival != b->c.arrival)
        return a->c.arrival < b->c.arrival;
    return a->c.index < b->c.index;
}

static bool ends_before(const struct sequence *a, const struct sequence *b)
{
    return a->c.deadline_ns < b->c.deadline_ns;
}

static enum status check_config(const struct scheduler_config *c, struct error *err)
{
    const struct step_limits *limits = &c->limits;
    const struct kv_params *kv = &c->kv;
    if (step_max_bytes(limits) == 0)
        return error_set(err, STATUS_INVALID_ARGUMENT, "scheduler: the step limits make no sense");
    if (limits->n_cache_rows > 0 && (!c->encoders.n_tokens || !c->encoders.count_units))
        return error_set(err, STATUS_INVALID_ARGUMENT,
                         "scheduler: an encoder cache, and nothing is known of the encoders");
    if (kv->n_groups == 0 || kv->n_groups > KV_MAX_GROUPS || kv->n_groups != limits->n_groups ||
        kv->page_tokens != limits->page_tokens)
        return error_set(err, STATUS_INVALID_ARGUMENT,
                         "scheduler: n_groups=%u page_tokens=%u, the steps say %u and %u",
                         kv->n_groups, kv->page_tokens, limits->n_groups, limits->page_tokens);
    for (uint32_t g = 0; g < kv->n_groups; g++)
        if (kv->n_pages[g] < 2 || kv->n_pages[g] != limits->n_pages[g])
            return error_set(err, STATUS_INVALID_ARGUMENT,
                             "scheduler: group %u has n_pages=%u (at least 2), the steps say %u", g,
                             kv->n_pages[g], limits->n_pages[g]);
    return STATUS_OK;
}

enum status scheduler_create(const struct scheduler_config *config, struct scheduler **out,
                             struct error *err)
{
    enum status st = check_config(config, err);
    if (st != STATUS_OK)
        return st;
    const struct step_limits *limits = &config->limits;
    struct scheduler *s = mem_zeroed(1, sizeof *s);
    s->c = *config;
    if (s->c.max_chunk_rows == 0 || s->c.max_chunk_rows > limits->max_rows)
        s->c.max_chunk_rows = limits->max_rows;
    if (s->c.n_text_ids == 0 || s->c.n_text_ids > limits->vocab_size)
        s->c.n_text_ids = limits->vocab_size;
    s->max_running = limits->max_slots < limits->max_rows ? limits->max_slots : limits->max_rows;
    s->table_pages = (limits->max_positions - 1) / limits->page_tokens + 1;
    sequence_heap_init(&s->waiting, scheduler_ranks_before,
                       offsetof(struct sequence, waiting_place));
    sequence_heap_init(&s->deadlines, ends_before, offsetof(struct sequence, deadline_place));
    s->running = mem_zeroed(s->max_running, sizeof(struct sequence *));
    s->cache = encoder_cache_create(limits->n_cache_rows);
    s->free_slots = mem_zeroed(limits->max_slots, sizeof *s->free_slots);
    s->slot_last_step = mem_zeroed(limits->max_slots, sizeof *s->slot_last_step);
    s->n_free_slots = limits->max_slots;
    for (uint32_t i = 0; i < limits->max_slots; i++)
        s->free_slots[i] = i;
    for (int i = 0; i < SCHEDULER_MAX_STEPS_IN_FLIGHT; i++)
        s->steps[i].rows = mem_zeroed(limits->max_slots, sizeof *s->steps[i].rows);
    st = step_builder_init(&s->builder, limits, err);
    for (uint32_t g = 0; g < config->kv.n_groups && st == STATUS_OK; g++) {
        s->block_tables[g] = mem_zeroed((size_t)limits->max_slots * s->table_pages,
                                        sizeof(uint32_t));
        st = kv_pool_create(config->kv.n_pages[g], &s->pools[g], err);
    }
    if (st != STATUS_OK) {
        scheduler_destroy(s);
        return st;
    }
    *out = s;
    return STATUS_OK;
}

static void free_sequence(struct sequence *sequence)
{
    free(sequence->generated);
    free(sequence->entries);
    free(sequence);
}

void scheduler_destroy(struct scheduler *s)
{
    if (!s)
        return;
    while (s->n_running > 0)
        scheduler_remove(s, s->running[s->n_running - 1]);
    while (s->waiting.n > 0)
        scheduler_remove(s, sequence_heap_first(&s->waiting));
    scheduler_reset(s);
    sequence_heap_finish(&s->waiting);
    sequence_heap_finish(&s->deadlines);
    free(s->running);
    free(s->free_slots);
    free(s->slot_last_step);
    for (int i = 0; i < SCHEDULER_MAX_STEPS_IN_FLIGHT; i++)
        free(s->steps[i].rows);
    step_builder_finish(&s->builder);
    encoder_cache_destroy(s->cache);
    for (uint32_t g = 0; g < KV_MAX_GROUPS; g++) {
        free(s->block_tables[g]);
        kv_pool_destroy(s->pools[g]);
    }
    free(s);
}

enum status scheduler_can_run(const struct scheduler_config *config,
                              const struct sequence_config *sequence, struct error *err)
{
    uint32_t max_positions = config->limits.max_positions;
    if (sequence->n_prompt == 0 || sequence->max_tokens == 0)
        return error_set(err, STATUS_INVALID_ARGUMENT,
                         "a prompt of %u tokens and max_tokens=%u: at least 1 of each",
                         sequence->n_prompt, sequence->max_tokens);
    uint64_t length = (uint64_t)sequence->n_prompt + sequence->max_tokens;
    if (length > max_positions)
        return error_set(err, STATUS_INVALID_ARGUMENT,
                         "a prompt of %u tokens and max_tokens=%u: at most %u together",
                         sequence->n_prompt, sequence->max_tokens, max_positions);
    size_t blob = step_builder_blob_bytes(sequence->n_stop_ids, sequence->n_biases);
    if (blob > config->limits.max_blob_bytes)
        return error_set(err, STATUS_INVALID_ARGUMENT,
                         "%u stop ids and %u biases take %zu bytes of a step, which has %u",
                         sequence->n_stop_ids, sequence->n_biases, blob,
                         config->limits.max_blob_bytes);
    enum status st = scheduler_check_parts(config, sequence, err);
    if (st != STATUS_OK)
        return st;
    uint32_t max_block = scheduler_max_block(config, sequence);
    for (uint32_t g = 0; g < config->kv.n_groups; g++) {
        uint32_t needed = kv_sequence_pages(&config->kv, g, (uint32_t)length - 1, max_block);
        if (needed > config->kv.n_pages[g] - 1)
            return error_set(err, STATUS_RESOURCE_EXHAUSTED,
                             "a prompt of %u tokens and max_tokens=%u need %u pages of KV group %u "
                             "at once, which has %u of %u tokens each",
                             sequence->n_prompt, sequence->max_tokens, needed, g,
                             config->kv.n_pages[g] - 1, config->kv.page_tokens);
    }
    return STATUS_OK;
}

struct sequence *scheduler_add(struct scheduler *s, const struct sequence_config *config)
{
    enum status st = scheduler_can_run(&s->c, config, NULL);
    CHECK(st == STATUS_OK);
    struct sequence *sequence = mem_zeroed(1, sizeof *sequence);
    sequence->c = *config;
    sequence->c.sampling.n_prompt_tokens = config->n_prompt;
    sequence->slot = NO_SLOT;
    sequence->max_block = scheduler_max_block(&s->c, config);
    // The last token is sampled but never fed.
    uint32_t n_fed = config->n_prompt + config->max_tokens - 1;
    for (uint32_t g = 0; g < s->c.kv.n_groups; g++)
        sequence->most_pages[g] = kv_sequence_pages(&s->c.kv, g, n_fed, sequence->max_block);
    sequence_heap_push(&s->waiting, sequence);
    if (config->deadline_ns != UINT64_MAX)
        sequence_heap_push(&s->deadlines, sequence);
    return sequence;
}

void scheduler_remove(struct scheduler *s, struct sequence *sequence)
{
    if (sequence->state == SEQUENCE_RUNNING)
        scheduler_stop_running(s, sequence);
    else
        sequence_heap_remove(&s->waiting, sequence);
    sequence_heap_remove(&s->deadlines, sequence);
    sequence->state = SEQUENCE_REMOVED;
    if (sequence->n_in_flight == 0)
        free_sequence(sequence);
}

bool scheduler_has_run(const struct sequence *sequence)
{
    return sequence->generated != NULL;
}

size_t scheduler_prepare(struct scheduler *s, const struct scheduler_budget *budget,
                         unsigned char *media, void *message)
{
    if (s->n_prepared - s->n_completed == SCHEDULER_MAX_STEPS_IN_FLIGHT || s->masks_missing)
        return 0;
    uint64_t step_id = s->n_prepared + 1;
    struct planned_step *plan = &s->steps[step_id % SCHEDULER_MAX_STEPS_IN_FLIGHT];
    plan->step_id = step_id;
    plan->n_seqs = 0;
    plan->n_masked = 0;
    plan->work = (struct scheduler_work){0};
    step_builder_begin(&s->builder, step_id);
    scheduler_plan_step(s, budget, media, plan);
    const struct step_header *header = &s->builder.header;
    if (header->n_seqs == 0 && header->n_starts == 0 && header->encode.n_units == 0)
        return 0;
    s->n_prepared = step_id;
    s->masks_missing = plan->n_masked > 0;
    return step_builder_write(&s->builder, message);
}

// Logprobs that the rows asked for: of the token, then of following prompt tokens.
static uint32_t wanted_logprobs(const struct planned_rows *rows)
{
    const struct sampling_params *sampling = &rows->sequence->c.sampling;
    if (!(rows->flags & STEP_SAMPLE) || sampling->n_logprobs < 0)
        return 0;
    return 1 + (uint32_t)sampling->n_logprobs;
}

static uint32_t wanted_prompt_rows(const struct planned_rows *rows)
{
    if (!(rows->flags & STEP_PROMPT_LOGPROBS))
        return 0;
    uint32_t n_followed = rows->sequence->c.n_prompt - 1 - rows->first_position;
    return rows->n_rows < n_followed ? rows->n_rows : n_followed;
}

// Whether the result answers what was planned.
static bool result_matches(const struct planned_step *plan, const struct step_result *result)
{
    if (result->header->step_id != plan->step_id || result->header->n_seqs != plan->n_seqs)
        return false;
    for (uint32_t i = 0; i < plan->n_seqs; i++) {
        const struct planned_rows *rows = &plan->rows[i];
        const struct step_result_seq *seq = &result->seqs[i];
        if (seq->slot != rows->slot)
            return false;
        if (rows->sequence->state == SEQUENCE_REMOVED || (seq->flags & STEP_RESULT_BAD_LOGITS))
            continue;
        uint32_t n = wanted_logprobs(rows);
        uint32_t n_prompt_rows = wanted_prompt_rows(rows);
        int32_t n_prompt_top = rows->sequence->c.sampling.n_prompt_logprobs;
        uint64_t end = seq->logprobs_offset + n;
        if (n_prompt_rows > 0)
            end += (uint64_t)n_prompt_rows * (1 + (uint32_t)n_prompt_top);
        uint32_t next = i + 1 == plan->n_seqs ? result->header->n_logprobs
                                              : result->seqs[i + 1].logprobs_offset;
        bool token = seq->flags & STEP_RESULT_TOKEN;
        bool wanted = (rows->flags & STEP_SAMPLE) && !rows->later;
        if (token && rows->sequence->n_forced > 0 &&
            seq->token != rows->sequence->generated[rows->sequence->n_generated])
            return false;
        if (token != wanted || end != next || seq->n_top + 1 < n ||
            seq->n_prompt_rows != n_prompt_rows ||
            (n_prompt_rows > 0 && seq->n_prompt_top != (uint32_t)n_prompt_top))
            return false;
    }
    return true;
}

// Takes what came back into the sequence and describes it for its owner.
static struct sequence_output take_output(const struct planned_rows *rows,
                                          const struct step_result *result,
                                          const struct step_result_seq *seq)
{
    struct sequence *sequence = rows->sequence;
    struct sequence_output output = {.bad_logits = seq->flags & STEP_RESULT_BAD_LOGITS};
    bool sampled = (rows->flags & STEP_SAMPLE) && !rows->later;
    sequence->n_pending -= sampled;
    if (output.bad_logits)
        return output;
    const struct token_logprob *logprobs = result->logprobs + seq->logprobs_offset;
    if (sampled) {
        output.forced = sequence->generated + sequence->n_generated + 1;
        output.n_forced = sequence->n_forced;
        sequence->generated[sequence->n_generated++] = seq->token;
        output.has_token = true;
        output.token = seq->token;
        output.n_generated = sequence->n_generated;
        sequence->n_generated += sequence->n_forced;
        sequence->n_forced = 0;
        output.n_logprobs = wanted_logprobs(rows);
        output.logprobs = logprobs;
    }
    output.n_prompt_rows = wanted_prompt_rows(rows);
    if (output.n_prompt_rows > 0) {
        output.first_prompt_token = rows->first_position + 1;
        output.n_prompt_top = seq->n_prompt_top;
        output.prompt_logprobs = logprobs + wanted_logprobs(rows);
        sequence->n_prompt_logprobs = rows->first_position + output.n_prompt_rows;
    }
    return output;
}

bool scheduler_oldest_work(const struct scheduler *s, struct scheduler_work *out)
{
    if (s->n_completed == s->n_prepared)
        return false;
    *out = s->steps[(s->n_completed + 1) % SCHEDULER_MAX_STEPS_IN_FLIGHT].work;
    return true;
}

enum status scheduler_complete(struct scheduler *s, const struct step_result *result,
                               scheduler_output_fn *on_output, void *context, struct error *err)
{
    uint64_t step_id = s->n_completed + 1;
    const struct planned_step *plan = &s->steps[step_id % SCHEDULER_MAX_STEPS_IN_FLIGHT];
    if (s->n_completed == s->n_prepared || !result_matches(plan, result))
        return error_set(err, STATUS_INTERNAL,
                         "the result of step %llu does not answer step %llu of %llu",
                         (unsigned long long)result->header->step_id, (unsigned long long)step_id,
                         (unsigned long long)s->n_prepared);
    s->n_completed = step_id;
    for (uint32_t i = 0; i < plan->n_seqs; i++) {
        struct sequence *sequence = plan->rows[i].sequence;
        sequence->n_in_flight--;
        if (sequence->state == SEQUENCE_REMOVED) {
            if (sequence->n_in_flight == 0)
                free_sequence(sequence);
            continue;
        }
        struct sequence_output output = take_output(&plan->rows[i], result, &result->seqs[i]);
        on_output(context, sequence->c.owner, &output);
    }
    return STATUS_OK;
}

void scheduler_reset(struct scheduler *s)
{
    while (s->n_running > 0)
        scheduler_preempt(s, s->running[s->n_running - 1]);
    for (uint64_t id = s->n_completed + 1; id <= s->n_prepared; id++) {
        const struct planned_step *plan = &s->steps[id % SCHEDULER_MAX_STEPS_IN_FLIGHT];
        for (uint32_t i = 0; i < plan->n_seqs; i++) {
            struct sequence *sequence = plan->rows[i].sequence;
            sequence->n_pending = 0;
            sequence->n_forced = 0;
            if (--sequence->n_in_flight == 0 && sequence->state == SEQUENCE_REMOVED)
                free_sequence(sequence);
        }
    }
    s->n_prepared = 0;
    s->n_completed = 0;
    s->masks_missing = false;
    for (uint32_t i = 0; i < s->c.limits.max_slots; i++)
        s->slot_last_step[i] = 0;
    encoder_cache_reset(s->cache);
    s->job.n_units_left = 0;
    memset(s->region_last_step, 0, sizeof s->region_last_step);
}

void *scheduler_expired(const struct scheduler *s, uint64_t now_ns)
{
    const struct sequence *first = sequence_heap_first(&s->deadlines);
    return first && first->c.deadline_ns <= now_ns ? first->c.owner : NULL;
}

uint64_t scheduler_next_deadline(const struct scheduler *s)
{
    const struct sequence *first = sequence_heap_first(&s->deadlines);
    return first ? first->c.deadline_ns : UINT64_MAX;
}

void scheduler_get_counts(const struct scheduler *s, struct scheduler_counts *out)
{
    *out = (struct scheduler_counts){
        .n_waiting = (uint32_t)s->waiting.n,
        .n_running = s->n_running,
        .n_steps_in_flight = (uint32_t)(s->n_prepared - s->n_completed),
        .n_preemptions = s->n_preemptions,
        .n_encoded_parts = s->n_encoded_parts,
    };
    encoder_cache_get_counts(s->cache, &out->cache);
    for (uint32_t g = 0; g < s->c.kv.n_groups; g++)
        out->n_free_pages[g] = kv_pool_free_pages(s->pools[g]);
}

bool scheduler_verify(const struct scheduler *s)
{
    bool taken[STEP_MAX_SLOTS] = {false};
    bool sound = s->n_running <= s->max_running;
    for (uint32_t i = 0; i < s->n_free_slots; i++) {
        uint32_t slot = s->free_slots[(s->first_free_slot + i) % s->c.limits.max_slots];
        sound = sound && !taken[slot];
        taken[slot] = true;
    }
    for (uint32_t i = 0; i < s->n_running; i++) {
        const struct sequence *r = s->running[i];
        sound = sound && r->state == SEQUENCE_RUNNING && !taken[r->slot] &&
                (i == 0 || scheduler_ranks_before(s->running[i - 1], r));
        taken[r->slot] = true;
    }
    for (size_t i = 0; i < s->waiting.n; i++) {
        const struct sequence *w = s->waiting.items[i];
        sound = sound && w->state == SEQUENCE_WAITING && w->slot == NO_SLOT;
    }
    return sound && s->n_free_slots + s->n_running == s->c.limits.max_slots &&
           scheduler_verify_pages(s) && scheduler_verify_media(s);
}
