/* engine/executor.c - from a step's bytes to a result's bytes.
 *
 * Logits are made for a few rows at a time (a row is 1 MiB at 262144 tokens); on rank 0 the
 * stream's threads share those rows for sampling and logprobs, each row alone on one thread, so
 * that nothing depends on how they are dealt out. Where each row's logprobs go in the result is
 * fixed before the forward pass (plan_outputs), so that threads write without meeting.
 * A token sampled for a slot is kept here: the next step may name it without knowing it. */
#include "engine/executor.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "engine/sampler.h"

#define NO_LOGPROBS UINT32_MAX
#define NO_MASK UINT32_MAX
#define NO_TOKEN UINT32_MAX // what rank 0 tells of a sequence that is sampled later
#define DEFAULT_MASK_TIMEOUT_NS (60 * NS_PER_S)

// What becomes of one kept hidden row.
struct output_row {
    uint32_t seq;
    uint32_t position;        // of the row; the token after it stands at position + 1
    uint32_t next_token;      // prompt logprobs: the token after it, or UINT32_MAX: none
    uint32_t logprobs_offset; // of its prompt logprobs in the result's array
    bool sample;
};

struct executor {
    struct executor_config c;
    struct sampler *sampler;        // rank 0
    uint32_t *last_token;           // [max_slots], sampled
    struct sampling_params *params; // [max_slots]: what prompt logprobs and n_logprobs a slot wants
    uint32_t *tokens;               // [max_rows], with the slots' tokens filled in
    uint32_t *row_offsets;          // [max_slots + 1]
    uint32_t *first_position;       // [max_slots]
    uint32_t *slots;                // [max_slots]
    uint32_t *n_logits_rows;        // [max_slots]
    uint32_t *sampled;              // [max_slots], by sequence of the step
    struct output_row *outputs;     // [max_rows]
    uint32_t n_outputs;
    struct sampler_mask *masks; // [max_slots] of the step's masked sequences, in order
    uint32_t *mask_of_seq;      // [max_slots]: in masks, or NO_MASK
    uint64_t mask_wait_ns;
    uint64_t told_wait_ns[STEP_MAX_RANKS]; // in collectives, with the results so far
    uint32_t n_read;                       // messages of the step that executor_run has to release
    bool closed;                           // the step ring, while masks were waited for
    unsigned char *result;
    size_t max_result_bytes;
};

enum status executor_create(const struct executor_config *config, struct executor **out,
                            struct error *err)
{
    bool root = tp_rank(config->comm) == 0;
    const struct step_limits *limits = &config->limits;
    struct executor *x = mem_zeroed(1, sizeof *x);
    x->c = *config;
    if (root) {
        x->sampler = sampler_create(limits->vocab_size, limits->max_slots, limits->max_positions,
                                    device_stream_n_threads(config->stream));
        x->max_result_bytes = step_result_max_bytes(limits);
        x->result = mem_zeroed(x->max_result_bytes, 1);
    }
    x->last_token = mem_zeroed(limits->max_slots, sizeof *x->last_token);
    x->params = mem_zeroed(limits->max_slots, sizeof *x->params);
    x->tokens = mem_zeroed(limits->max_rows, sizeof *x->tokens);
    x->row_offsets = mem_zeroed((size_t)limits->max_slots + 1, sizeof *x->row_offsets);
    x->first_position = mem_zeroed(limits->max_slots, sizeof *x->first_position);
    x->slots = mem_zeroed(limits->max_slots, sizeof *x->slots);
    x->n_logits_rows = mem_zeroed(limits->max_slots, sizeof *x->n_logits_rows);
    x->sampled = mem_zeroed(limits->max_slots, sizeof *x->sampled);
    x->outputs = mem_zeroed(limits->max_rows, sizeof *x->outputs);
    x->masks = mem_zeroed(limits->max_slots, sizeof *x->masks);
    x->mask_of_seq = mem_zeroed(limits->max_slots, sizeof *x->mask_of_seq);
    if (x->c.mask_timeout_ns == 0)
        x->c.mask_timeout_ns = DEFAULT_MASK_TIMEOUT_NS;
    if ((root && x->max_result_bytes == 0) || (limits->n_cache_rows > 0 && !config->soft)) {
        executor_destroy(x);
        return error_set(err, STATUS_INVALID_ARGUMENT,
                         "step limits leave no room for a result, or say media without encoders");
    }
    *out = x;
    return STATUS_OK;
}

void executor_destroy(struct executor *x)
{
    if (!x)
        return;
    sampler_destroy(x->sampler);
    free(x->last_token);
    free(x->params);
    free(x->tokens);
    free(x->row_offsets);
    free(x->first_position);
    free(x->slots);
    free(x->n_logits_rows);
    free(x->sampled);
    free(x->outputs);
    free(x->masks);
    free(x->mask_of_seq);
    free(x->result);
    free(x);
}

static void apply_changes(struct executor *x, const struct step *step)
{
    for (uint32_t i = 0; i < step->header->n_starts; i++) {
        const struct step_start *start = &step->starts[i];
        x->params[start->slot] = start->sampling;
        if (x->sampler)
            sampler_start(x->sampler, start, step->blob);
    }
    for (uint32_t i = 0; i < step->header->n_page_updates; i++) {
        const struct step_page_update *u = &step->page_updates[i];
        kv_storage_set_page(x->c.storage, u->group, u->slot, u->index, u->page);
    }
}

// The step's sequences as the model takes them.
static struct text_batch batch_of(struct executor *x, const struct step *step)
{
    uint32_t n_seqs = step->header->n_seqs;
    uint32_t row = 0;
    for (uint32_t s = 0; s < n_seqs; s++) {
        const struct step_seq *seq = &step->seqs[s];
        bool sample = seq->flags & STEP_SAMPLE;
        x->row_offsets[s] = row;
        x->first_position[s] = seq->first_position;
        x->slots[s] = seq->slot;
        x->n_logits_rows[s] = seq->flags & STEP_PROMPT_LOGPROBS ? seq->n_rows : sample;
        memcpy(x->tokens + row, step->tokens + row, seq->n_rows * sizeof *x->tokens);
        if (seq->flags & STEP_TOKEN_FROM_SLOT)
            x->tokens[row] = x->last_token[seq->slot];
        if (x->sampler)
            sampler_observe(x->sampler, seq->slot, seq->first_position, x->tokens + row,
                            seq->n_rows);
        row += seq->n_rows;
    }
    x->row_offsets[n_seqs] = row;
    return (struct text_batch){
        .n_seqs = n_seqs,
        .n_rows = row,
        .tokens = x->tokens,
        .row_offsets = x->row_offsets,
        .first_position = x->first_position,
        .slots = x->slots,
        .n_logits_rows = x->n_logits_rows,
    };
}

static struct step_result_seq *result_seqs(struct executor *x)
{
    return (struct step_result_seq *)(x->result + sizeof(struct step_result_header));
}

static struct token_logprob *result_logprobs(struct executor *x, uint32_t n_seqs)
{
    return (struct token_logprob *)(result_seqs(x) + n_seqs);
}

// Lays the result out: which kept row fills which entries. Returns the number of logprob entries.
static uint32_t plan_outputs(struct executor *x, const struct step *step)
{
    struct step_result_seq *out = result_seqs(x);
    uint32_t at = 0;
    x->n_outputs = 0;
    for (uint32_t s = 0; s < step->header->n_seqs; s++) {
        const struct step_seq *seq = &step->seqs[s];
        const struct sampling_params *params = &x->params[seq->slot];
        bool sample = seq->flags & STEP_SAMPLE;
        bool prompt = seq->flags & STEP_PROMPT_LOGPROBS;
        uint32_t end = x->row_offsets[s + 1];
        out[s] = (struct step_result_seq){.slot = seq->slot, .logprobs_offset = at};
        if (sample && params->n_logprobs >= 0) {
            out[s].n_top = (uint32_t)params->n_logprobs;
            at += 1 + out[s].n_top;
        }
        if (prompt && params->n_prompt_logprobs > 0)
            out[s].n_prompt_top = (uint32_t)params->n_prompt_logprobs;
        for (uint32_t r = end - x->n_logits_rows[s]; r < end; r++) {
            uint32_t next = r + 1 < end ? x->tokens[r + 1] : seq->next_token;
            bool wanted = prompt && next != UINT32_MAX;
            x->outputs[x->n_outputs++] = (struct output_row){
                .seq = s,
                .position = seq->first_position + (r - x->row_offsets[s]),
                .next_token = next,
                .logprobs_offset = wanted ? at : NO_LOGPROBS,
                .sample = sample && r + 1 == end,
            };
            if (wanted) {
                at += 1 + out[s].n_prompt_top;
                out[s].n_prompt_rows++;
            }
        }
    }
    return at;
}

// The logits rows [first, first + n) of a step, shared by the stream's threads.
struct sample_task {
    struct executor *x;
    const float *logits;
    struct token_logprob *logprobs;
    uint32_t first, n;
};

static void sample_row(const struct sample_task *task, uint32_t i, uint32_t thread)
{
    struct executor *x = task->x;
    uint32_t vocab = x->c.limits.vocab_size;
    const struct output_row *row = &x->outputs[task->first + i];
    struct step_result_seq *out = &result_seqs(x)[row->seq];
    const float *logits = task->logits + (size_t)i * vocab;
    bool sound = true;
    if (row->logprobs_offset != NO_LOGPROBS)
        sound = sampler_logprobs(logits, vocab, row->next_token, out->n_prompt_top,
                                 task->logprobs + row->logprobs_offset);
    uint32_t m = x->mask_of_seq[row->seq];
    const struct sampler_mask *mask = m == NO_MASK ? NULL : &x->masks[m];
    if (row->sample && mask && mask->kind == STEP_MASK_LATER) {
        out->token = NO_TOKEN;
        uint32_t n_logprobs = x->params[out->slot].n_logprobs >= 0 ? 1 + out->n_top : 0;
        memset(task->logprobs + out->logprobs_offset, 0, n_logprobs * sizeof *task->logprobs);
    } else if (row->sample) {
        uint32_t n_logprobs;
        sound &= sampler_sample(x->sampler, thread, out->slot, row->position + 1, logits, mask,
                                &out->token, task->logprobs + out->logprobs_offset, &n_logprobs);
        if (sound)
            __atomic_fetch_or(&out->flags, STEP_RESULT_TOKEN, __ATOMIC_RELAXED);
    }
    if (!sound) // rows of one sequence may be on different threads
        __atomic_fetch_or(&out->flags, STEP_RESULT_BAD_LOGITS, __ATOMIC_RELAXED);
}

static void sample_rows(void *context, uint32_t thread, uint32_t n_threads)
{
    const struct sample_task *task = context;
    for (uint32_t i = thread; i < task->n; i += n_threads)
        sample_row(task, i, thread);
}

// The step's second message. It is on its way: the coordinator works on it since it has the results
// of the step before.
static enum status read_masks(struct executor *x, const struct step *step, const void **out,
                              size_t *out_n, struct error *err)
{
    unsigned long long step_id = step->header->step_id;
    enum status st = STATUS_DEADLINE_EXCEEDED;
    uint64_t started = clock_now_ns();
    if (x->c.steps)
        st = ring_read(x->c.steps, x->c.mask_timeout_ns, out, out_n);
    x->mask_wait_ns = clock_now_ns() - started;
    x->closed = st == STATUS_UNAVAILABLE;
    if (st == STATUS_OK)
        x->n_read++;
    else if (x->closed)
        error_set(err, st, "step %llu: the step ring was closed before its masks", step_id);
    else
        error_set(err, st, "step %llu: no masks after %.1f s", step_id,
                  (double)x->mask_wait_ns / (double)NS_PER_S);
    return st;
}

// Rank 0, when it has logits to sample from.
static enum status take_masks(struct executor *x, const struct step *step, struct error *err)
{
    uint32_t n = 0;
    for (uint32_t s = 0; s < step->header->n_seqs; s++)
        x->mask_of_seq[s] = step->seqs[s].flags & STEP_MASKED ? n++ : NO_MASK;
    if (n == 0)
        return STATUS_OK;
    const void *message;
    size_t bytes;
    struct step_masks masks;
    enum status st = read_masks(x, step, &message, &bytes, err);
    if (st == STATUS_OK)
        st = step_masks_open(message, bytes, step, &x->c.limits, &masks, err);
    if (st != STATUS_OK)
        return st;
    for (uint32_t i = 0; i < n; i++) {
        const struct step_mask *mask = &masks.masks[i];
        x->masks[i] = (struct sampler_mask){
            .kind = (enum step_mask_kind)mask->kind,
            .n_ids = masks.header->n_ids,
            .words = masks.words + mask->first_word,
            .n_words = mask->n_words,
        };
    }
    return STATUS_OK;
}

// Ranks that do not sample read the masks, to be past them in the ring.
static enum status skip_masks(struct executor *x, const struct step *step, struct error *err)
{
    bool any = false;
    for (uint32_t s = 0; s < step->header->n_seqs; s++)
        any |= (step->seqs[s].flags & STEP_MASKED) != 0;
    const void *message;
    size_t bytes;
    return any ? read_masks(x, step, &message, &bytes, err) : STATUS_OK;
}

static enum status make_outputs(struct executor *x, const struct step *step, uint32_t n_rows,
                                struct error *err)
{
    bool root = x->sampler != NULL;
    uint32_t n_seqs = step->header->n_seqs;
    for (uint32_t first = 0; first < n_rows; first += x->c.max_logits_rows) {
        uint32_t left = n_rows - first;
        uint32_t n = left < x->c.max_logits_rows ? left : x->c.max_logits_rows;
        float *logits;
        enum status st = text_model_logits(x->c.model, first, n, &logits, err);
        if (st != STATUS_OK)
            return st;
        if (!root)
            continue;
        if (first == 0)
            st = take_masks(x, step, err);
        if (st != STATUS_OK)
            return st;
        struct sample_task task = {x, logits, result_logprobs(x, n_seqs), first, n};
        device_stream_run(x->c.stream, sample_rows, &task);
    }
    return STATUS_OK;
}

// Rank 0 tells the others what was sampled; everyone remembers it for the slots.
static enum status share_tokens(struct executor *x, const struct step *step, struct error *err)
{
    uint32_t n_seqs = step->header->n_seqs;
    bool any = false;
    for (uint32_t s = 0; s < n_seqs; s++) {
        any |= (step->seqs[s].flags & STEP_SAMPLE) != 0;
        x->sampled[s] = x->sampler ? result_seqs(x)[s].token : 0;
    }
    if (!any)
        return STATUS_OK;
    enum status st = tp_broadcast(x->c.comm, 0, x->sampled, n_seqs * sizeof *x->sampled, err);
    for (uint32_t s = 0; s < n_seqs && st == STATUS_OK; s++) {
        const struct step_seq *seq = &step->seqs[s];
        bool later = (seq->flags & STEP_MASKED) && x->sampled[s] == NO_TOKEN;
        if (!(seq->flags & STEP_SAMPLE) || later)
            continue;
        if (x->sampled[s] >= x->c.limits.vocab_size)
            return error_set(err, STATUS_INTERNAL, "rank 0 sampled token %u of %u", x->sampled[s],
                             x->c.limits.vocab_size);
        x->last_token[seq->slot] = x->sampled[s];
        if (x->sampler)
            sampler_observe(x->sampler, seq->slot, seq->first_position + seq->n_rows,
                            &x->sampled[s], 1);
    }
    return st;
}

static void tell_waits(struct executor *x, struct step_result_header *header)
{
    uint64_t waits[STEP_MAX_RANKS] = {0};
    tp_get_waits(x->c.comm, waits);
    for (uint32_t r = 0; r < STEP_MAX_RANKS; r++) {
        header->collective_wait_ns[r] = waits[r] - x->told_wait_ns[r];
        x->told_wait_ns[r] = waits[r];
    }
}

enum status executor_step(struct executor *x, const void *message, size_t n, const void **out,
                          size_t *out_n, struct error *err)
{
    struct step step;
    enum status st = step_open(message, n, &x->c.limits, &step, err);
    if (st != STATUS_OK)
        return st;
    x->mask_wait_ns = 0;
    apply_changes(x, &step);
    struct text_batch batch = batch_of(x, &step);
    uint32_t n_logprobs = x->sampler ? plan_outputs(x, &step) : 0;
    size_t bytes = sizeof(struct step_result_header) +
                   step.header->n_seqs * sizeof(struct step_result_seq) +
                   n_logprobs * sizeof(struct token_logprob);
    if (x->sampler && bytes > x->max_result_bytes)
        return error_set(err, STATUS_INTERNAL, "step %llu: a result of %zu bytes, room for %zu",
                         (unsigned long long)step.header->step_id, bytes, x->max_result_bytes);
    uint64_t started = clock_now_ns();
    if (x->c.soft) {
        st = soft_tokens_encode(x->c.soft, &step, err);
        batch.splices = soft_tokens_splices(x->c.soft, &step);
        batch.n_splices = step.header->n_splices;
    }
    uint64_t encoded = clock_now_ns();
    uint32_t n_rows = 0;
    if (st == STATUS_OK && batch.n_rows > 0)
        st = text_model_forward(x->c.model, &batch, &n_rows, err);
    uint64_t forwarded = clock_now_ns();
    if (st == STATUS_OK)
        st = make_outputs(x, &step, n_rows, err);
    if (st == STATUS_OK)
        st = share_tokens(x, &step, err);
    if (st == STATUS_OK && !x->sampler)
        st = skip_masks(x, &step, err);
    if (st != STATUS_OK)
        return st;
    *out = NULL;
    if (!x->sampler)
        return STATUS_OK;
    struct step_result_header header = {
        .step_id = step.header->step_id,
        .n_seqs = step.header->n_seqs,
        .n_logprobs = n_logprobs,
        .encode_ns = encoded - started,
        .forward_ns = forwarded - encoded,
        .sample_ns = clock_now_ns() - forwarded,
        .mask_wait_ns = x->mask_wait_ns,
    };
    tell_waits(x, &header);
    memcpy(x->result, &header, sizeof header);
    *out = x->result;
    *out_n = bytes;
    return STATUS_OK;
}

// The coordinator keeps fewer steps in flight than the ring has slots, so there is always room.
static enum status publish(struct executor *x, const void *result, size_t n, struct error *err)
{
    void *slot = ring_begin_write(x->c.results);
    if (!slot)
        return error_set(err, STATUS_INTERNAL, "the result ring is full");
    memcpy(slot, result, n);
    ring_publish(x->c.results, n);
    return STATUS_OK;
}

enum status executor_run(struct executor *x, struct error *err)
{
    for (;;) {
        const void *message;
        size_t n;
        enum status st = ring_read(x->c.steps, UINT64_MAX, &message, &n);
        if (st == STATUS_UNAVAILABLE)
            return STATUS_OK;
        if (st == STATUS_DEADLINE_EXCEEDED)
            continue;
        const void *result = NULL;
        size_t result_n = 0;
        x->n_read = 1;
        st = executor_step(x, message, n, &result, &result_n, err);
        if (x->closed)
            return STATUS_OK;
        if (st != STATUS_OK)
            return st;
        if (result)
            st = publish(x, result, result_n, err);
        if (st != STATUS_OK)
            return st;
        for (; x->n_read > 0; x->n_read--)
            ring_release(x->c.steps);
    }
}
