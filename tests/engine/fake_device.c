/* tests/engine/fake_device.c - failures are noted, not asserted: it also runs on engine threads. */
#include "tests/engine/fake_device.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

#define FNV_START UINT64_C(0xCBF29CE484222325)

static uint64_t mix(uint64_t hash, uint64_t value)
{
    return (hash ^ value) * UINT64_C(0x100000001B3);
}

void fake_device_init(struct fake_device *d, const struct step_limits *limits,
                      const struct kv_params *kv)
{
    *d = (struct fake_device){.limits = *limits, .kv = *kv};
    d->table_pages = limits->max_positions / limits->page_tokens + 1;
    d->slots = mem_zeroed(limits->max_slots, sizeof *d->slots);
    d->encoders = fake_encoders(false);
    d->cache = mem_zeroed(limits->n_cache_rows, sizeof *d->cache);
    d->is_soft = mem_zeroed(limits->max_rows, sizeof *d->is_soft);
    d->soft = mem_zeroed(limits->max_rows, sizeof *d->soft);
    for (uint32_t g = 0; g < kv->n_groups; g++) {
        d->cells[g] = mem_zeroed((size_t)kv->n_pages[g] * kv->page_tokens, sizeof *d->cells[g]);
        d->tables[g] = mem_zeroed((size_t)limits->max_slots * d->table_pages, sizeof(uint32_t));
        d->writers[g] = mem_zeroed(kv->n_pages[g], sizeof *d->writers[g]);
    }
}

void fake_device_finish(struct fake_device *d)
{
    for (uint32_t g = 0; g < KV_MAX_GROUPS; g++) {
        free(d->cells[g]);
        free(d->tables[g]);
        free(d->writers[g]);
    }
    free(d->slots);
    free(d->cache);
    free(d->is_soft);
    free(d->soft);
}

static void fail(struct fake_device *d, const char *what, uint64_t a, uint64_t b)
{
    if (!d->failure[0])
        snprintf(d->failure, sizeof d->failure, "step %llu: %s (%llu, %llu)",
                 (unsigned long long)d->n_steps, what, (unsigned long long)a,
                 (unsigned long long)b);
}

static struct encoder_part encoder_part_of(const struct step_encode_part *part)
{
    return (struct encoder_part){.kind = part->kind,
                                 .grid_width = part->grid_width,
                                 .grid_height = part->grid_height,
                                 .n_frames = part->n_frames};
}

static void begin_job(struct fake_device *d, const struct step *step)
{
    struct fake_job *job = &d->job;
    if (job->n_units_left > 0)
        fail(d, "a job begins in another", job->n_units_left, 0);
    *job = (struct fake_job){.n_parts = step->header->encode.n_parts};
    struct encoder_part parts[STEP_MAX_ENCODE_PARTS];
    for (uint32_t i = 0; i < job->n_parts; i++) {
        const struct step_encode_part *part = &step->encode_parts[i];
        job->parts[i] = *part;
        job->keys[i] = fake_media_key(d->media + part->data_offset, part->data_bytes);
        parts[i] = encoder_part_of(part);
        job->n_tokens += d->encoders.n_tokens(NULL, &parts[i]);
        if (job->keys[i] == 0)
            fail(d, "a part's data are of no part", i, part->data_offset);
    }
    job->n_units_left = d->encoders.count_units(NULL, parts, job->n_parts);
}

// The job's soft token i.
static uint32_t soft_token_of(const struct fake_device *d, uint32_t i)
{
    for (uint32_t p = 0; p < d->job.n_parts; p++) {
        struct encoder_part part = encoder_part_of(&d->job.parts[p]);
        uint32_t n = d->encoders.n_tokens(NULL, &part);
        if (i < n)
            return fake_soft_token(d->job.keys[p], i);
        i -= n;
    }
    return 0;
}

static void end_job(struct fake_device *d, const struct step *step)
{
    struct fake_job *job = &d->job;
    uint32_t n_stored = 0;
    for (uint32_t i = 0; i < job->n_parts; i++)
        if (fake_media_key(d->media + job->parts[i].data_offset, job->parts[i].data_bytes) !=
            job->keys[i])
            fail(d, "a part's data changed under its job", i, job->keys[i]);
    for (uint32_t i = 0; i < step->header->encode.n_stores; i++) {
        const struct step_cache_rows *store = &step->stores[i];
        for (uint32_t k = 0; k < store->n; k++)
            d->cache[store->cache_row + k] = soft_token_of(d, store->at + k);
        n_stored += store->n;
    }
    if (n_stored != job->n_tokens)
        fail(d, "a job's soft tokens are not all stored", n_stored, job->n_tokens);
    d->n_encoded_parts += job->n_parts;
}

static void run_encode(struct fake_device *d, const struct step *step)
{
    const struct step_encode *encode = &step->header->encode;
    if (encode->n_parts > 0)
        begin_job(d, step);
    if (encode->n_units > d->job.n_units_left)
        fail(d, "more units than the job has", encode->n_units, d->job.n_units_left);
    d->n_units += encode->n_units;
    if (encode->n_units == 0)
        return;
    d->job.n_units_left -= encode->n_units;
    if (d->job.n_units_left == 0)
        end_job(d, step);
    else if (encode->n_stores > 0)
        fail(d, "stores before a job's end", encode->n_stores, d->job.n_units_left);
}

// The rows of a block, which are of the sequence whose first row is first_row.
static void see_block(struct fake_device *d, const struct step_seq *seq, uint32_t first_row,
                      uint32_t begin, uint32_t end)
{
    for (uint32_t r = begin; r < end; r++)
        d->soft[r] = fake_block_token(d->soft[r], seq->first_position + (begin - first_row),
                                      end - begin);
}

static void splice(struct fake_device *d, const struct step *step)
{
    memset(d->is_soft, 0, step->header->n_rows * sizeof *d->is_soft);
    uint32_t i = 0;
    uint32_t seq_begin = 0;
    for (uint32_t s = 0; s < step->header->n_seqs; s++) {
        uint32_t seq_end = seq_begin + step->seqs[s].n_rows;
        uint32_t block_begin = 0;
        uint32_t block_end = 0;
        for (; i < step->header->n_splices && step->splices[i].at < seq_end; i++) {
            const struct step_cache_rows *rows = &step->splices[i];
            for (uint32_t k = 0; k < rows->n; k++) {
                d->is_soft[rows->at + k] = true;
                d->soft[rows->at + k] = d->cache[rows->cache_row + k];
                if (d->cache[rows->cache_row + k] == 0)
                    fail(d, "a splice of a row that was never stored", rows->cache_row + k, 0);
            }
            if (rows->is_block && rows->at == block_end && block_begin < block_end) {
                block_end += rows->n;
                continue;
            }
            see_block(d, &step->seqs[s], seq_begin, block_begin, block_end);
            block_begin = rows->at;
            block_end = rows->is_block ? rows->at + rows->n : rows->at;
        }
        see_block(d, &step->seqs[s], seq_begin, block_begin, block_end);
        seq_begin = seq_end;
    }
}

static uint32_t first_seen(const struct kv_params *kv, uint32_t group, uint32_t position)
{
    uint32_t window = kv->groups[group].window;
    return window == 0 || position < window ? 0 : position - window + 1;
}

static bool masked(const struct sampling_params *sampling, const uint32_t *stop_ids,
                   uint32_t n_stop_ids, uint32_t n_generated, uint32_t token)
{
    if (n_generated >= sampling->min_tokens)
        return false;
    for (uint32_t i = 0; i < n_stop_ids; i++)
        if (stop_ids[i] == token)
            return true;
    return false;
}

static bool allowed(const struct fake_mask *mask, uint32_t token)
{
    if (!mask)
        return true;
    if (token >= mask->n_ids)
        return false;
    bool named = false;
    for (uint32_t i = 0; i < mask->n_words && mask->kind != STEP_MASK_BITS; i++)
        named |= mask->words[i] == token;
    switch (mask->kind) {
    case STEP_MASK_ONE:
        return named;
    case STEP_MASK_BITS:
        return mask->words[token / 32] >> token % 32 & 1;
    default:
        return !named;
    }
}

// vocab_size: nothing is allowed.
static uint32_t choose(uint64_t hash, uint32_t vocab_size, const struct sampling_params *sampling,
                       const uint32_t *stop_ids, uint32_t n_stop_ids, const struct fake_mask *mask,
                       uint32_t length)
{
    uint32_t n_generated = length - sampling->n_prompt_tokens;
    for (int with_stops = 0; with_stops < (mask ? 2 : 1); with_stops++) {
        uint32_t token = (uint32_t)((hash ^ hash >> 29) % vocab_size);
        for (uint32_t i = 0; i < vocab_size; i++, token = (token + 1) % vocab_size)
            if (allowed(mask, token) &&
                (with_stops || !masked(sampling, stop_ids, n_stop_ids, n_generated, token)))
                return token;
    }
    return vocab_size;
}

uint32_t fake_token(const struct kv_params *kv, uint32_t vocab_size,
                    const struct sampling_params *sampling, const uint32_t *stop_ids,
                    uint32_t n_stop_ids, const struct fake_mask *mask, const uint32_t *tokens,
                    uint32_t n)
{
    uint64_t hash = mix(FNV_START, sampling->seed);
    for (uint32_t g = 0; g < kv->n_groups; g++)
        for (uint32_t p = first_seen(kv, g, n - 1); p < n; p++)
            hash = mix(hash, tokens[p]);
    return choose(hash, vocab_size, sampling, stop_ids, n_stop_ids, mask, n);
}

float fake_logprob(uint32_t position, uint32_t i)
{
    return -(float)(position % 1000) - (float)i / 32;
}

static void take_start(struct fake_device *d, const struct step *step,
                       const struct step_start *start)
{
    struct fake_slot *slot = &d->slots[start->slot];
    *slot = (struct fake_slot){.started = true, .sampling = start->sampling};
    slot->n_stop_ids = start->n_stop_ids < 8 ? start->n_stop_ids : 8;
    memcpy(slot->stop_ids, step->blob + start->blob_offset, slot->n_stop_ids * sizeof(uint32_t));
}

static struct fake_cell *cell_of(struct fake_device *d, uint32_t group, uint32_t slot,
                                 uint32_t position)
{
    uint32_t index = position / d->kv.page_tokens;
    uint32_t page = d->tables[group][(size_t)slot * d->table_pages + index];
    return &d->cells[group][(size_t)page * d->kv.page_tokens + position % d->kv.page_tokens];
}

static void write_cells(struct fake_device *d, uint32_t slot, uint32_t position, uint32_t token)
{
    uint64_t seed = d->slots[slot].sampling.seed;
    for (uint32_t g = 0; g < d->kv.n_groups; g++) {
        struct fake_cell *cell = cell_of(d, g, slot, position);
        size_t page = (size_t)(cell - d->cells[g]) / d->kv.page_tokens;
        if (page == 0)
            fail(d, "a row is written to the padding page", seed, position);
        if (d->writers[g][page] != 0 && d->writers[g][page] != seed + 1)
            fail(d, "two sequences write one page", d->writers[g][page] - 1, seed);
        d->writers[g][page] = seed + 1;
        *cell = (struct fake_cell){.seed = seed, .position = position + 1, .token = token};
    }
}

static uint64_t read_cells(struct fake_device *d, uint32_t slot, uint32_t position)
{
    uint64_t seed = d->slots[slot].sampling.seed;
    uint64_t hash = mix(FNV_START, seed);
    for (uint32_t g = 0; g < d->kv.n_groups; g++) {
        for (uint32_t p = first_seen(&d->kv, g, position); p <= position; p++) {
            const struct fake_cell *cell = cell_of(d, g, slot, p);
            if (cell->seed != seed || cell->position != p + 1)
                fail(d, "a row reads a cell that is not its sequence's", cell->seed, seed);
            hash = mix(hash, cell->token);
        }
    }
    return hash;
}

static void put_logprobs(struct token_logprob *out, uint32_t token, uint32_t position,
                         uint32_t n_top, uint32_t vocab_size)
{
    for (uint32_t i = 0; i <= n_top; i++)
        out[i] = (struct token_logprob){.token_id = (token + i) % vocab_size,
                                        .logprob = fake_logprob(position, i)};
}

struct fake_result {
    struct step_result_header *header;
    struct step_result_seq *seqs;
    struct token_logprob *logprobs;
};

// first_row: of the step's rows.
static void run_rows(struct fake_device *d, const struct step_seq *seq, const uint32_t *tokens,
                     uint32_t first_row, const struct fake_mask *mask, struct step_result_seq *out,
                     struct fake_result *result)
{
    struct fake_slot *slot = &d->slots[seq->slot];
    uint32_t vocab_size = d->limits.vocab_size;
    uint32_t end = seq->first_position + seq->n_rows;
    *out = (struct step_result_seq){.slot = seq->slot,
                                    .logprobs_offset = result->header->n_logprobs};
    if (!slot->started)
        fail(d, "a slot was never started", seq->slot, 0);
    for (uint32_t r = 0; r < seq->n_rows; r++) {
        uint32_t token = seq->flags & STEP_TOKEN_FROM_SLOT ? slot->last_token : tokens[r];
        if (d->is_soft[first_row + r])
            token = d->soft[first_row + r];
        write_cells(d, seq->slot, seq->first_position + r, token);
    }
    uint64_t hash = 0;
    for (uint32_t p = seq->first_position; p < end; p++)
        hash = read_cells(d, seq->slot, p);
    d->n_rows += seq->n_rows;
    if (mask && mask->kind == STEP_MASK_LATER) {
        out->n_top = slot->sampling.n_logprobs >= 0 ? (uint32_t)slot->sampling.n_logprobs : 0;
        uint32_t n_entries = slot->sampling.n_logprobs >= 0 ? 1 + out->n_top : 0;
        memset(result->logprobs + result->header->n_logprobs, 0,
               n_entries * sizeof *result->logprobs);
        result->header->n_logprobs += n_entries;
    } else if (seq->flags & STEP_SAMPLE) {
        slot->last_token = choose(hash, vocab_size, &slot->sampling, slot->stop_ids,
                                  slot->n_stop_ids, mask, end);
        out->token = slot->last_token;
        out->flags = STEP_RESULT_TOKEN;
        if (slot->last_token == vocab_size)
            *out = (struct step_result_seq){.slot = seq->slot,
                                            .flags = STEP_RESULT_BAD_LOGITS,
                                            .logprobs_offset = out->logprobs_offset};
        if (d->has_bad_seed && d->bad_seed == slot->sampling.seed)
            out->flags = STEP_RESULT_BAD_LOGITS;
        if (slot->sampling.n_logprobs >= 0 && slot->last_token < vocab_size) {
            out->n_top = (uint32_t)slot->sampling.n_logprobs;
            put_logprobs(result->logprobs + result->header->n_logprobs, out->token, end, out->n_top,
                         vocab_size);
            result->header->n_logprobs += 1 + out->n_top;
        }
    }
    if (!(seq->flags & STEP_PROMPT_LOGPROBS))
        return;
    out->n_prompt_top = (uint32_t)slot->sampling.n_prompt_logprobs;
    for (uint32_t r = 0; r < seq->n_rows; r++) {
        uint32_t next = r + 1 < seq->n_rows ? tokens[r + 1] : seq->next_token;
        if (next == UINT32_MAX)
            continue;
        put_logprobs(result->logprobs + result->header->n_logprobs, next,
                     seq->first_position + r + 1, out->n_prompt_top, vocab_size);
        result->header->n_logprobs += 1 + out->n_prompt_top;
        out->n_prompt_rows++;
        d->n_prompt_logprobs++;
    }
}

static enum status open_messages(struct fake_device *d, const void *message, size_t n,
                                 const void *masks, size_t masks_n, struct step *step,
                                 struct step_masks *out)
{
    struct error err = {0};
    enum status st = step_open(message, n, &d->limits, step, &err);
    if (st == STATUS_OK && masks)
        st = step_masks_open(masks, masks_n, step, &d->limits, out, &err);
    if (st != STATUS_OK && !d->failure[0])
        snprintf(d->failure, sizeof d->failure, "%.200s", err.message);
    return st;
}

// The masks in the order of the step's masked sequences.
struct fake_masks {
    const struct step_masks *masks;
    uint32_t n_taken;
};

static const struct fake_mask *next_mask(struct fake_device *d, struct fake_masks *masks,
                                         const struct step_seq *seq, struct fake_mask *out)
{
    if (!(seq->flags & STEP_MASKED))
        return NULL;
    if (!masks->masks->header) {
        fail(d, "a masked sequence without a mask", seq->slot, 0);
        return NULL;
    }
    const struct step_mask *mask = &masks->masks->masks[masks->n_taken++];
    *out = (struct fake_mask){mask->kind, masks->masks->header->n_ids,
                              masks->masks->words + mask->first_word, mask->n_words};
    d->n_masks++;
    return out;
}

size_t fake_device_run(struct fake_device *d, const void *message, size_t n, const void *masks,
                       size_t masks_n, void *memory)
{
    struct step step;
    struct step_masks step_masks = {0};
    if (open_messages(d, message, n, masks, masks_n, &step, &step_masks) != STATUS_OK)
        return 0;
    if (step.header->step_id != ++d->n_steps)
        fail(d, "steps have a gap", step.header->step_id, d->n_steps);
    for (uint32_t i = 0; i < step.header->n_starts; i++)
        take_start(d, &step, &step.starts[i]);
    for (uint32_t i = 0; i < step.header->n_page_updates; i++) {
        const struct step_page_update *u = &step.page_updates[i];
        d->tables[u->group][(size_t)u->slot * d->table_pages + u->index] = u->page;
    }
    for (uint32_t g = 0; g < d->kv.n_groups; g++)
        memset(d->writers[g], 0, d->kv.n_pages[g] * sizeof *d->writers[g]);
    struct fake_result result = {.header = memory};
    result.seqs = (struct step_result_seq *)(result.header + 1);
    result.logprobs = (struct token_logprob *)(result.seqs + step.header->n_seqs);
    *result.header = (struct step_result_header){.step_id = step.header->step_id,
                                                 .n_seqs = step.header->n_seqs};
    run_encode(d, &step);
    splice(d, &step);
    const uint32_t *tokens = step.tokens;
    struct fake_masks left = {.masks = &step_masks};
    for (uint32_t i = 0; i < step.header->n_seqs; i++) {
        struct fake_mask mask;
        run_rows(d, &step.seqs[i], tokens, (uint32_t)(tokens - step.tokens),
                 next_mask(d, &left, &step.seqs[i], &mask), &result.seqs[i], &result);
        tokens += step.seqs[i].n_rows;
    }
    if (d->failure[0])
        return 0;
    return sizeof *result.header + step.header->n_seqs * sizeof *result.seqs +
           result.header->n_logprobs * sizeof *result.logprobs;
}
