/* engine/scheduler_media.c - the soft tokens of sequences: which may stand where, who holds which,
 * and how far rows can go.
 *
 * A running sequence takes its parts in order, from its next rows on, as many as fit the encoder
 * cache; it drops each when its last row is in a step. (Workers run steps in order, so pages may be
 * lent again while that step is in flight, as in scheduler_pages.c.) What its next rows need, it
 * takes from those behind it in rank if it must: they take it again later, and it is encoded again
 * if it is gone by then. So the first in rank can have the whole cache but for what is being
 * encoded, which ends; and whatever must be there at once fits, or was refused.
 *
 * Where images are seen in both directions, neighbouring images and frames make a block, whose rows
 * must be in one step; a step has room for it beside a row of every other sequence. */
#include "engine/scheduler_state.h"

#include "base/mem.h"

static const struct media_part *media_part_of(const struct request_part *part)
{
    return &part->media->parts[part->part];
}

static uint32_t part_end(const struct request_part *part)
{
    return part->first + media_part_of(part)->n_tokens;
}

static bool in_block(const struct scheduler_config *config, const struct request_part *part)
{
    return config->encoders.bidirectional_images && part->media->kind != MEDIA_AUDIO;
}

// The part behind the last one of the block that begins with part i; i + 1: no other is in it.
static uint32_t block_end(const struct scheduler_config *config, const struct sequence_config *c,
                          uint32_t i)
{
    uint32_t end = i + 1;
    while (in_block(config, &c->parts[i]) && end < c->n_parts && in_block(config, &c->parts[end]) &&
           c->parts[end].first == part_end(&c->parts[end - 1]))
        end++;
    return end;
}

static enum status check_part_size(const struct scheduler_config *config,
                                   const struct media_part *part, uint32_t i, struct error *err)
{
    const struct step_limits *limits = &config->limits;
    uint64_t patches = (uint64_t)part->grid_width * part->grid_height;
    uint64_t samples = (uint64_t)part->n_frames * sizeof(float);
    if (part->n_bytes != patches * MEDIA_PATCH_BYTES + samples * MEDIA_MEL_BINS &&
        part->n_bytes != samples * MEDIA_RAW_FRAME_SAMPLES)
        return error_set(err, STATUS_INVALID_ARGUMENT,
                         "media part %u: %zu bytes of %llu patches or %u audio frames", i,
                         part->n_bytes, (unsigned long long)patches, part->n_frames);
    uint64_t most_bytes = scheduler_region_bytes(limits);
    if (patches > limits->max_job_patches || part->n_frames > limits->max_job_frames ||
        part->n_bytes > most_bytes)
        return error_set(err, STATUS_INVALID_ARGUMENT,
                         "media part %u: %llu patches, %u audio frames, %zu bytes; at most %u, %u, "
                         "%llu",
                         i, (unsigned long long)patches, part->n_frames, part->n_bytes,
                         limits->max_job_patches, limits->max_job_frames,
                         (unsigned long long)most_bytes);
    return STATUS_OK;
}

static enum status check_part(const struct scheduler_config *config,
                              const struct sequence_config *c, uint32_t i, struct error *err)
{
    const struct request_part *part = &c->parts[i];
    if (!part->media || part->part >= part->media->n_parts)
        return error_set(err, STATUS_INVALID_ARGUMENT, "media part %u: there is none", i);
    const struct media_part *data = media_part_of(part);
    struct encoder_part encoder_part = scheduler_encoder_part(part);
    uint32_t n_tokens = config->encoders.n_tokens(config->encoders.model, &encoder_part);
    if (n_tokens == 0 || n_tokens != data->n_tokens)
        return error_set(err, STATUS_INVALID_ARGUMENT,
                         "media part %u: %u soft tokens, the model makes %u of it", i,
                         data->n_tokens, n_tokens);
    uint32_t earliest = i > 0 ? part_end(&c->parts[i - 1]) : 0;
    if (part->first < earliest || part->first >= c->n_prompt ||
        n_tokens >= c->n_prompt - part->first)
        return error_set(err, STATUS_INVALID_ARGUMENT,
                         "media part %u: its %u placeholders from token %u on overlap others, or "
                         "end the prompt of %u tokens: text must follow them",
                         i, n_tokens, part->first, c->n_prompt);
    return check_part_size(config, data, i, err);
}

static uint32_t most_running(const struct step_limits *limits)
{
    return limits->max_slots < limits->max_rows ? limits->max_slots : limits->max_rows;
}

// Of parts first .. end - 1, which must be there at once.
static enum status check_block(const struct scheduler_config *config,
                               const struct sequence_config *c, uint32_t first, uint32_t end,
                               struct error *err)
{
    const struct step_limits *limits = &config->limits;
    uint64_t n_pages = 0;
    for (uint32_t i = first; i < end; i++)
        n_pages += encoder_cache_part_pages(media_part_of(&c->parts[i])->n_tokens);
    uint64_t n_rows = n_pages * STEP_CACHE_PAGE_ROWS;
    if (n_rows > limits->n_cache_rows)
        return error_set(err, STATUS_RESOURCE_EXHAUSTED,
                         "media parts %u to %u need %llu rows of the encoder cache at once, which "
                         "has %u",
                         first, end - 1, (unsigned long long)n_rows, limits->n_cache_rows);
    uint32_t length = part_end(&c->parts[end - 1]) - c->parts[first].first;
    uint32_t beside = most_running(limits) - 1;
    if (in_block(config, &c->parts[first]) && (uint64_t)length + beside > limits->max_rows)
        return error_set(err, STATUS_INVALID_ARGUMENT,
                         "media parts %u to %u are a block of %u tokens, which one step must hold "
                         "beside %u other sequences: max_step_tokens is %u, it would have to be %u",
                         first, end - 1, length, beside, limits->max_rows, length + beside);
    return STATUS_OK;
}

enum status scheduler_check_parts(const struct scheduler_config *config,
                                  const struct sequence_config *c, struct error *err)
{
    if (c->n_parts == 0)
        return STATUS_OK;
    if (config->limits.n_cache_rows == 0)
        return error_set(err, STATUS_UNIMPLEMENTED, "no media are served");
    enum status st = STATUS_OK;
    for (uint32_t i = 0; i < c->n_parts && st == STATUS_OK; i++)
        st = check_part(config, c, i, err);
    for (uint32_t i = 0, end; i < c->n_parts && st == STATUS_OK; i = end) {
        end = block_end(config, c, i);
        st = check_block(config, c, i, end, err);
    }
    return st;
}

uint32_t scheduler_max_block(const struct scheduler_config *config, const struct sequence_config *c)
{
    uint32_t most = 1;
    for (uint32_t i = 0, end; i < c->n_parts; i = end) {
        end = block_end(config, c, i);
        uint32_t length = part_end(&c->parts[end - 1]) - c->parts[i].first;
        if (in_block(config, &c->parts[i]) && length > most)
            most = length;
    }
    return most;
}

static void drop_parts_before(struct scheduler *s, struct sequence *sequence, uint32_t end)
{
    for (; sequence->first_part < end; sequence->first_part++)
        encoder_cache_drop(s->cache, sequence->entries[sequence->first_part]);
}

void scheduler_drop_parts(struct scheduler *s, struct sequence *sequence)
{
    drop_parts_before(s, sequence, sequence->end_part);
    sequence->first_part = 0;
    sequence->end_part = 0;
}

// Makes the last in rank behind the sequence that holds parts drop them; false: there is none.
static bool take_from_others(struct scheduler *s, const struct sequence *sequence)
{
    for (uint32_t i = s->n_running; i-- > 0 && s->running[i] != sequence;) {
        struct sequence *other = s->running[i];
        if (other->first_part == other->end_part)
            continue;
        for (uint32_t p = other->first_part; p < other->end_part; p++)
            encoder_cache_drop(s->cache, other->entries[p]);
        other->end_part = other->first_part;
        return true;
    }
    return false;
}

void scheduler_take_parts(struct scheduler *s, struct sequence *sequence)
{
    const struct sequence_config *c = &sequence->c;
    if (sequence->end_part == c->n_parts)
        return;
    if (!sequence->entries)
        sequence->entries = mem_zeroed(c->n_parts, sizeof(struct encoder_entry *));
    uint32_t needed = block_end(&s->c, c, sequence->first_part);
    while (sequence->end_part < c->n_parts) {
        const struct media_part *part = media_part_of(&c->parts[sequence->end_part]);
        struct encoder_entry *entry = encoder_cache_take(s->cache, part);
        if (entry) {
            sequence->entries[sequence->end_part++] = entry;
            continue;
        }
        bool must = sequence->end_part < needed && sequence->state == SEQUENCE_RUNNING;
        if (!must || !take_from_others(s, sequence))
            return;
    }
}

// Whether parts first .. end - 1 are encoded and their rows below row_end.
static bool parts_are_there(const struct scheduler *s, const struct sequence *sequence,
                            uint32_t first, uint32_t end, uint64_t row_end)
{
    const struct request_part *parts = sequence->c.parts;
    if (end > sequence->end_part ||
        (in_block(&s->c, &parts[first]) && part_end(&parts[end - 1]) > row_end))
        return false;
    for (uint32_t i = first; i < end; i++)
        if (sequence->entries[i]->state != ENCODER_ENTRY_READY)
            return false;
    return true;
}

uint32_t scheduler_spliceable_rows(const struct scheduler *s, const struct sequence *sequence,
                                   uint32_t n)
{
    const struct sequence_config *c = &sequence->c;
    uint64_t row_end = (uint64_t)sequence->n_computed + n;
    for (uint32_t i = sequence->first_part, end; i < c->n_parts && c->parts[i].first < row_end;
         i = end) {
        end = block_end(&s->c, c, i);
        if (!parts_are_there(s, sequence, i, end, row_end))
            row_end = c->parts[i].first;
    }
    return row_end > sequence->n_computed ? (uint32_t)(row_end - sequence->n_computed) : 0;
}

uint32_t scheduler_least_rows(const struct scheduler *s, const struct sequence *sequence)
{
    const struct sequence_config *c = &sequence->c;
    uint32_t i = sequence->first_part;
    if (i == c->n_parts || c->parts[i].first != sequence->n_computed ||
        !in_block(&s->c, &c->parts[i]))
        return 1;
    return part_end(&c->parts[block_end(&s->c, c, i) - 1]) - c->parts[i].first;
}

// Rows begin .. end - 1 of the prompt are of the part, and the step's rows from at on.
static void splice_part(struct scheduler *s, const struct sequence *sequence, uint32_t part,
                        uint32_t begin, uint32_t end, uint32_t at)
{
    const struct request_part *p = &sequence->c.parts[part];
    while (begin < end) {
        struct step_cache_rows rows = {.at = at, .is_block = in_block(&s->c, p)};
        rows.cache_row = encoder_cache_row(s->cache, sequence->entries[part], begin - p->first,
                                           end - begin, &rows.n);
        step_builder_add_splice(&s->builder, &rows);
        begin += rows.n;
        at += rows.n;
    }
}

void scheduler_splice_rows(struct scheduler *s, struct sequence *sequence, uint32_t n, uint32_t at)
{
    const struct sequence_config *c = &sequence->c;
    uint32_t end = sequence->n_computed;
    uint32_t first = end - n;
    uint32_t n_done = sequence->first_part;
    for (uint32_t i = sequence->first_part; i < c->n_parts && c->parts[i].first < end; i++) {
        uint32_t begin = c->parts[i].first > first ? c->parts[i].first : first;
        uint32_t stop = part_end(&c->parts[i]) < end ? part_end(&c->parts[i]) : end;
        splice_part(s, sequence, i, begin, stop, at + (begin - first));
        n_done += part_end(&c->parts[i]) <= end;
    }
    drop_parts_before(s, sequence, n_done);
}

bool scheduler_verify_media(const struct scheduler *s)
{
    uint64_t n_refs = 0;
    for (uint32_t i = 0; i < s->n_running; i++) {
        const struct sequence *r = s->running[i];
        const struct sequence_config *c = &r->c;
        n_refs += r->end_part - r->first_part;
        if (r->first_part > r->end_part || r->end_part > c->n_parts ||
            (r->first_part < c->n_parts && part_end(&c->parts[r->first_part]) <= r->n_computed) ||
            (r->first_part > 0 && part_end(&c->parts[r->first_part - 1]) > r->n_computed))
            return false;
        for (uint32_t p = r->first_part; p < r->end_part; p++)
            if (r->entries[p]->n_tokens != media_part_of(&c->parts[p])->n_tokens)
                return false;
    }
    for (size_t i = 0; i < s->waiting.n; i++)
        if (s->waiting.items[i]->end_part > 0)
            return false;
    for (uint32_t i = 0; i < s->job.n_parts && s->job.n_units_left > 0; i++)
        if (s->job.entries[i]->state != ENCODER_ENTRY_ENCODING)
            return false;
    return encoder_cache_verify(s->cache, n_refs);
}
