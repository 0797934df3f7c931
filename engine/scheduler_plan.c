/* engine/scheduler_plan.c - one step's rows.
 *
 * The running ones are visited in order of rank, and a victim is always the last in rank, so no
 * sequence loses pages after its rows are in the step. Decode rows have precedence because a
 * prefill gets at most what the decodes behind it leave; there are never more running sequences
 * than rows, so the first in rank always has its row.
 * A decoding sequence that is itself the last and finds no page keeps what it has and sits the step
 * out: those before it go on, and take its pages if they need them. */
#include "engine/scheduler_state.h"

#include <string.h>

#include "base/mem.h"

#define MAX_DECODE_ROWS 32    /* more at once are a prefill */
#define FIRST_PREFILL_ROWS 16 /* while their cost is not known */
#define MIN_PREFILL_ROWS 4    /* that a step has, or units, so that prefills go on */

static uint32_t at_most(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

void scheduler_stop_running(struct scheduler *s, struct sequence *sequence)
{
    uint32_t at = 0;
    while (s->running[at] != sequence)
        at++;
    s->n_running--;
    memmove(s->running + at, s->running + at + 1, (s->n_running - at) * sizeof(struct sequence *));
    scheduler_drop_pages(s, sequence);
    scheduler_drop_parts(s, sequence);
    uint32_t max_slots = s->c.limits.max_slots;
    s->free_slots[(s->first_free_slot + s->n_free_slots++) % max_slots] = sequence->slot;
    sequence->slot = NO_SLOT;
    sequence->n_computed = 0;
}

void scheduler_preempt(struct scheduler *s, struct sequence *sequence)
{
    scheduler_stop_running(s, sequence);
    sequence->state = SEQUENCE_WAITING;
    sequence_heap_push(&s->waiting, sequence);
}

static bool wants_prompt_logprobs(const struct sequence *sequence)
{
    return sequence->c.sampling.n_prompt_logprobs >= 0;
}

// One that has its prompt behind it and adds what it generates: a row, or a few after forced
// tokens.
static bool is_decoding(const struct sequence *sequence)
{
    return sequence->n_computed >= sequence->c.n_prompt &&
           sequence_wanted_rows(sequence) <= MAX_DECODE_ROWS;
}

// Rows that one step may have, from n_computed on: at most room, and no more than a chunk and the
// step's prefill rows unless a block needs them. A chunk is either wholly for prompt logprobs that
// have not come yet, or wholly not.
static uint32_t chunk_rows(const struct scheduler *s, const struct planned_step *plan,
                           const struct sequence *sequence, uint32_t room)
{
    uint32_t first = sequence->n_computed;
    uint32_t n = at_most(sequence_wanted_rows(sequence), room);
    if (n == 0)
        return 0;
    uint32_t most = s->c.max_chunk_rows;
    if (!is_decoding(sequence))
        most = at_most(most, plan->n_prefill_rows_left);
    uint32_t least = scheduler_least_rows(s, sequence);
    if (most > 0 && most < least)
        most = least;
    n = at_most(n, most);
    uint32_t n_done = sequence->n_prompt_logprobs;
    if (wants_prompt_logprobs(sequence) && first < n_done)
        n = at_most(n, n_done - first);
    else if (wants_prompt_logprobs(sequence) && first < sequence->c.n_prompt)
        n = at_most(n, sequence->c.n_prompt - first);
    return scheduler_spliceable_rows(s, sequence, n);
}

static uint32_t row_flags(const struct sequence *sequence, uint32_t n)
{
    uint32_t first = sequence->n_computed;
    uint32_t flags = 0;
    if (first + n == sequence_length(sequence))
        flags |= sequence->c.masked ? STEP_SAMPLE | STEP_MASKED : STEP_SAMPLE;
    if (sequence->n_pending > 0 && sequence->n_forced == 0)
        flags |= STEP_TOKEN_FROM_SLOT;
    if (wants_prompt_logprobs(sequence) && first >= sequence->n_prompt_logprobs &&
        first + 1 < sequence->c.n_prompt)
        flags |= STEP_PROMPT_LOGPROBS;
    return flags;
}

static void copy_tokens(const struct sequence *sequence, uint32_t n, uint32_t *out)
{
    uint32_t first = sequence->n_computed;
    uint32_t n_prompt = sequence->c.n_prompt;
    uint32_t n_from_prompt = first < n_prompt ? at_most(n, n_prompt - first) : 0;
    memcpy(out, sequence->c.prompt + first, n_from_prompt * sizeof *out);
    if (n > n_from_prompt)
        memcpy(out + n_from_prompt, sequence->generated + (first + n_from_prompt - n_prompt),
               (n - n_from_prompt) * sizeof *out);
}

static void count_rows(struct planned_step *plan, const struct sequence *sequence, uint32_t n)
{
    if (is_decoding(sequence)) {
        plan->work.n_decode_rows += n;
        return;
    }
    plan->work.n_prefill_rows += n;
    plan->n_prefill_rows_left -= at_most(n, plan->n_prefill_rows_left);
}

// Puts n rows that fit into the step.
static void add_rows(struct scheduler *s, struct planned_step *plan, struct sequence *sequence,
                     uint32_t n)
{
    uint32_t end = sequence->n_computed + n;
    uint32_t at = s->builder.header.n_rows;
    if (!sequence->generated)
        sequence->generated = mem_zeroed(sequence->c.max_tokens, sizeof *sequence->generated);
    count_rows(plan, sequence, n);
    struct step_seq seq = {
        .slot = sequence->slot,
        .first_position = sequence->n_computed,
        .n_rows = n,
        .flags = row_flags(sequence, n),
        .next_token = UINT32_MAX,
    };
    if ((seq.flags & STEP_PROMPT_LOGPROBS) && end < sequence->c.n_prompt)
        seq.next_token = sequence->c.prompt[end];
    scheduler_take_pages(s, sequence, n);
    uint32_t *tokens = step_builder_add_seq(&s->builder, &seq);
    if (seq.flags & STEP_TOKEN_FROM_SLOT)
        tokens[0] = 0;
    else
        copy_tokens(sequence, n, tokens);
    plan->rows[plan->n_seqs++] = (struct planned_rows){
        .sequence = sequence,
        .slot = seq.slot,
        .first_position = seq.first_position,
        .n_rows = n,
        .flags = seq.flags,
    };
    s->slot_last_step[seq.slot] = plan->step_id;
    sequence->n_in_flight++;
    sequence->n_computed = end;
    if (seq.flags & STEP_SAMPLE)
        sequence->n_pending++;
    plan->n_masked += (seq.flags & STEP_MASKED) != 0;
    scheduler_splice_rows(s, sequence, n, at);
    scheduler_promise_pages(s, sequence);
}

// Rows that fit without hurting anyone, or else a page's worth or the next block with what spare
// pages there are.
static uint32_t fitting_rows(struct scheduler *s, struct sequence *sequence, uint32_t n)
{
    uint32_t rows = scheduler_rows_that_fit(s, sequence, n, s->n_running);
    rows = scheduler_spliceable_rows(s, sequence, rows);
    if (rows > 0)
        return rows;
    uint32_t least = scheduler_least_rows(s, sequence);
    if (least < s->c.kv.page_tokens)
        least = s->c.kv.page_tokens;
    rows = scheduler_rows_that_fit(s, sequence, at_most(n, least), 0);
    return scheduler_spliceable_rows(s, sequence, rows);
}

// Returns whether anything had to be preempted.
static bool plan_running(struct scheduler *s, struct planned_step *plan)
{
    bool preempted = false;
    uint32_t n_decodes = 0; // behind the one at i
    for (uint32_t i = 0; i < s->n_running; i++)
        n_decodes += sequence_wanted_rows(s->running[i]) == 1;
    for (uint32_t i = 0; i < s->n_running; i++) {
        struct sequence *sequence = s->running[i];
        uint32_t wanted = sequence_wanted_rows(sequence);
        n_decodes -= wanted == 1;
        uint32_t room = s->c.limits.max_rows - s->builder.header.n_rows - n_decodes;
        uint32_t n = chunk_rows(s, plan, sequence, room);
        if (n == 0)
            continue;
        uint32_t rows = fitting_rows(s, sequence, n);
        while (rows == 0 && i + 1 < s->n_running) {
            struct sequence *victim = s->running[s->n_running - 1];
            n_decodes -= sequence_wanted_rows(victim) == 1;
            scheduler_preempt(s, victim);
            s->n_preemptions++;
            preempted = true;
            rows = fitting_rows(s, sequence, n);
        }
        if (rows > 0)
            add_rows(s, plan, sequence, rows);
    }
    return preempted;
}

// The slot that was freed first, once no step in flight reads it; or NO_SLOT.
static uint32_t next_free_slot(const struct scheduler *s)
{
    if (s->n_free_slots == 0)
        return NO_SLOT;
    uint32_t slot = s->free_slots[s->first_free_slot];
    return s->slot_last_step[slot] <= s->n_completed ? slot : NO_SLOT;
}

// Gives it the slot and tells the workers.
static void start_running(struct scheduler *s, struct sequence *sequence)
{
    const struct sequence_config *c = &sequence->c;
    sequence_heap_remove(&s->waiting, sequence);
    uint32_t at = s->n_running++;
    for (; at > 0 && scheduler_ranks_before(sequence, s->running[at - 1]); at--)
        s->running[at] = s->running[at - 1];
    s->running[at] = sequence;
    sequence->state = SEQUENCE_RUNNING;
    sequence->slot = s->free_slots[s->first_free_slot];
    s->first_free_slot = (s->first_free_slot + 1) % s->c.limits.max_slots;
    s->n_free_slots--;
    uint32_t n_stop_ids = c->sampling.min_tokens > 0 ? c->n_stop_ids : 0;
    step_builder_add_start(&s->builder, sequence->slot, &c->sampling, c->stop_ids, n_stop_ids,
                           c->biases, c->n_biases);
}

// Its prompt begins with a part: it runs without rows until that is encoded.
static bool waits_for_encoding(const struct scheduler *s, const struct sequence *sequence)
{
    return scheduler_spliceable_rows(s, sequence, sequence_wanted_rows(sequence)) == 0;
}

// Admits in order and never past one that must wait, so that long prompts are not starved.
static void admit_waiting(struct scheduler *s, struct planned_step *plan)
{
    while (s->n_running < s->max_running) {
        struct sequence *sequence = sequence_heap_first(&s->waiting);
        if (!sequence || sequence->n_in_flight > 0 || next_free_slot(s) == NO_SLOT)
            return;
        uint32_t room = s->c.limits.max_rows - s->builder.header.n_rows;
        if (room == 0 || plan->n_prefill_rows_left == 0)
            return;
        size_t blob = step_builder_blob_bytes(sequence->c.n_stop_ids, sequence->c.n_biases);
        if (blob > s->c.limits.max_blob_bytes - s->builder.header.blob_bytes ||
            !scheduler_pages_admit(s, sequence))
            return;
        scheduler_take_parts(s, sequence);
        uint32_t n = chunk_rows(s, plan, sequence, room);
        uint32_t rows = n > 0 ? fitting_rows(s, sequence, n) : 0;
        if (rows == 0 && !waits_for_encoding(s, sequence)) {
            scheduler_drop_parts(s, sequence);
            return;
        }
        start_running(s, sequence);
        if (rows > 0)
            add_rows(s, plan, sequence, rows);
        else
            scheduler_promise_pages(s, sequence);
    }
}

static bool any_decodes(const struct scheduler *s)
{
    for (uint32_t i = 0; i < s->n_running; i++)
        if (is_decoding(s->running[i]) && sequence_wanted_rows(s->running[i]) > 0)
            return true;
    return false;
}

static bool any_prefills(const struct scheduler *s)
{
    for (uint32_t i = 0; i < s->n_running; i++) {
        const struct sequence *r = s->running[i];
        if (!is_decoding(r) && !waits_for_encoding(s, r))
            return true;
    }
    return s->waiting.n > 0;
}

// Encoding goes first, since its soft tokens may be spliced at once; when both want time beside
// decode rows, it gets half of it.
static void plan_encode(struct scheduler *s, struct planned_step *plan,
                        const struct scheduler_budget *budget, unsigned char *media)
{
    bool shared = any_decodes(s);
    uint64_t left = shared ? budget->shared_ns : UINT64_MAX;
    plan->n_prefill_rows_left = left > 0 ? UINT32_MAX : 0;
    if (left == 0)
        return;
    if (scheduler_has_encode_work(s)) {
        uint64_t most = budget->alone_ns;
        if (shared && left < UINT64_MAX)
            most = any_prefills(s) ? left / 2 : left;
        uint64_t taken = scheduler_plan_encode(s, plan, budget, most, media);
        if (left < UINT64_MAX)
            left -= taken < left ? taken : left;
    }
    if (left == UINT64_MAX)
        return;
    uint64_t rows = budget->row_ns > 0 ? left / budget->row_ns : FIRST_PREFILL_ROWS;
    if (rows < MIN_PREFILL_ROWS && plan->work.n_units == 0)
        rows = MIN_PREFILL_ROWS;
    if (rows < UINT32_MAX)
        plan->n_prefill_rows_left = (uint32_t)rows;
}

void scheduler_plan_step(struct scheduler *s, const struct scheduler_budget *budget,
                         unsigned char *media, struct planned_step *plan)
{
    for (uint32_t i = 0; i < s->n_running; i++)
        scheduler_take_parts(s, s->running[i]);
    plan_encode(s, plan, budget, media);
    bool preempted = plan_running(s, plan);
    if (plan->n_seqs == 0 && plan->work.n_units == 0 && budget->shared_ns == 0) {
        // The decode rows found no pages: the others must go on until some are free.
        struct scheduler_budget no_limit = *budget;
        no_limit.shared_ns = UINT64_MAX;
        plan_encode(s, plan, &no_limit, media);
        preempted |= plan_running(s, plan);
    }
    if (!preempted) // else the pages just won would go straight back
        admit_waiting(s, plan);
}
