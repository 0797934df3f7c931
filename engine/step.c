/* engine/step.c - messages are checked once, here, in time linear in their size; after that their
 * numbers may be used as indices. A message is exactly as long as its counts say. */
#include "engine/step.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "media/media.h"
#include "model/encoder.h"

#define MAX_GROUPS (sizeof((struct step_limits *)0)->n_pages / sizeof(uint32_t))

static bool media_limits_valid(const struct step_limits *limits)
{
    if (limits->n_cache_rows == 0)
        return limits->max_encode_parts == 0;
    return limits->n_cache_rows % STEP_CACHE_PAGE_ROWS == 0 && limits->max_encode_parts >= 1 &&
           limits->max_encode_parts <= STEP_MAX_ENCODE_PARTS;
}

static bool limits_valid(const struct step_limits *limits)
{
    return limits->max_slots >= 1 && limits->max_slots <= STEP_MAX_SLOTS && limits->max_rows >= 1 &&
           limits->max_positions >= 1 && limits->vocab_size >= 1 && limits->page_tokens >= 1 &&
           limits->n_groups <= MAX_GROUPS && media_limits_valid(limits);
}

// A page is updated when its first position gets a row, so a sequence's n rows bring at most
// n / page_tokens + 1 pages of a group, and at most n.
size_t step_max_page_updates(const struct step_limits *limits)
{
    size_t pages = (size_t)limits->max_rows / limits->page_tokens + limits->max_slots;
    if (pages > limits->max_rows)
        pages = limits->max_rows;
    return pages * limits->n_groups;
}

static bool add_array(size_t *bytes, size_t n, size_t size)
{
    size_t array;
    return !__builtin_mul_overflow(n, size, &array) &&
           !__builtin_add_overflow(*bytes, array, bytes);
}

// Of a message with these counts; 0 on overflow.
static size_t message_bytes(const struct step_header *h)
{
    size_t bytes = sizeof *h;
    bool fits = add_array(&bytes, h->encode.n_parts, sizeof(struct step_encode_part)) &&
                add_array(&bytes, h->n_starts, sizeof(struct step_start)) &&
                add_array(&bytes, h->n_page_updates, sizeof(struct step_page_update)) &&
                add_array(&bytes, h->encode.n_stores, sizeof(struct step_cache_rows)) &&
                add_array(&bytes, h->n_splices, sizeof(struct step_cache_rows)) &&
                add_array(&bytes, h->n_seqs, sizeof(struct step_seq)) &&
                add_array(&bytes, h->n_rows, sizeof(uint32_t)) &&
                add_array(&bytes, h->blob_bytes, 1);
    return fits ? bytes : 0;
}

// Each page of the encoder cache is of one part.
uint32_t step_max_stores(const struct step_limits *limits)
{
    return limits->n_cache_rows / STEP_CACHE_PAGE_ROWS;
}

uint32_t step_max_splices(const struct step_limits *limits)
{
    return limits->n_cache_rows > 0 ? limits->max_rows : 0;
}

size_t step_masks_bytes(uint32_t n_masks, uint32_t n_words)
{
    return sizeof(struct step_masks_header) + (size_t)n_masks * sizeof(struct step_mask) +
           (size_t)n_words * sizeof(uint32_t);
}

uint32_t step_mask_bits_words(uint32_t vocab_size)
{
    return vocab_size / 32 + (vocab_size % 32 != 0);
}

uint32_t *step_masks_words(void *message, uint32_t n_masks)
{
    struct step_masks_header *header = message;
    return (uint32_t *)((struct step_mask *)(header + 1) + n_masks);
}

// Words of all masks together; 0 when they cannot be counted.
static uint32_t max_mask_words(const struct step_limits *limits)
{
    uint32_t each = step_mask_bits_words(limits->vocab_size);
    if (each < STEP_MASK_MAX_IDS)
        each = STEP_MASK_MAX_IDS;
    uint32_t all;
    return __builtin_mul_overflow(each, limits->max_slots, &all) ? 0 : all;
}

size_t step_max_bytes(const struct step_limits *limits)
{
    if (!limits_valid(limits) || max_mask_words(limits) == 0)
        return 0;
    size_t max_page_updates = step_max_page_updates(limits);
    if (max_page_updates > UINT32_MAX)
        return 0;
    struct step_header most = {
        .n_starts = limits->max_slots,
        .n_page_updates = (uint32_t)max_page_updates,
        .n_seqs = limits->max_slots,
        .n_rows = limits->max_rows,
        .blob_bytes = limits->max_blob_bytes,
        .n_splices = step_max_splices(limits),
        .encode = {.n_parts = limits->max_encode_parts, .n_stores = step_max_stores(limits)},
    };
    size_t step = message_bytes(&most);
    size_t masks = step_masks_bytes(limits->max_slots, max_mask_words(limits));
    return step > 0 && step < masks ? masks : step;
}

static enum status broken(struct error *err, const char *what, uint64_t got, uint64_t limit)
{
    return error_set(err, STATUS_INTERNAL, "step message: %s is %llu, limit %llu", what,
                     (unsigned long long)got, (unsigned long long)limit);
}

#define REQUIRE(condition, what, got, limit)      \
    do {                                          \
        if (!(condition))                         \
            return broken(err, what, got, limit); \
    } while (0)

static enum status check_header(const struct step_header *h, size_t n,
                                const struct step_limits *limits, struct error *err)
{
    REQUIRE(h->step_id >= 1, "step_id", h->step_id, 1);
    REQUIRE(h->n_starts <= limits->max_slots, "n_starts", h->n_starts, limits->max_slots);
    REQUIRE(h->n_page_updates <= step_max_page_updates(limits), "n_page_updates", h->n_page_updates,
            step_max_page_updates(limits));
    REQUIRE(h->n_seqs <= limits->max_slots, "n_seqs", h->n_seqs, limits->max_slots);
    REQUIRE(h->n_rows <= limits->max_rows, "n_rows", h->n_rows, limits->max_rows);
    REQUIRE(h->blob_bytes <= limits->max_blob_bytes, "blob_bytes", h->blob_bytes,
            limits->max_blob_bytes);
    REQUIRE(h->n_splices <= step_max_splices(limits), "n_splices", h->n_splices,
            step_max_splices(limits));
    const struct step_encode *encode = &h->encode;
    REQUIRE(encode->n_parts <= limits->max_encode_parts, "encode.n_parts", encode->n_parts,
            limits->max_encode_parts);
    REQUIRE(encode->n_stores <= step_max_stores(limits), "encode.n_stores", encode->n_stores,
            step_max_stores(limits));
    if (encode->n_units == 0)
        REQUIRE(encode->n_parts == 0 && encode->n_stores == 0, "encode.n_units", 0, 1);
    else
        REQUIRE(limits->max_encode_parts > 0, "encode.n_units", encode->n_units, 0);
    size_t wanted = message_bytes(h);
    REQUIRE(wanted == n, "its length", n, wanted);
    return STATUS_OK;
}

enum status step_check_sampling(const struct sampling_params *s, struct error *err)
{
    const float floats[] = {
        s->temperature,       s->top_p,           s->min_p, s->repetition_penalty,
        s->frequency_penalty, s->presence_penalty};
    for (size_t i = 0; i < sizeof floats / sizeof *floats; i++)
        if (!isfinite(floats[i]))
            return error_set(err, STATUS_INVALID_ARGUMENT, "sampling parameter %zu is not finite",
                             i);
    const int32_t most = SAMPLING_MAX_TOP_LOGPROBS;
    if (s->n_logprobs < -1 || s->n_logprobs > most || s->n_prompt_logprobs < -1 ||
        s->n_prompt_logprobs > most)
        return error_set(err, STATUS_INVALID_ARGUMENT,
                         "n_logprobs=%d n_prompt_logprobs=%d: -1 to %d", s->n_logprobs,
                         s->n_prompt_logprobs, most);
    return STATUS_OK;
}

static enum status check_start(const struct step *step, const struct step_start *start,
                               const struct step_limits *limits, struct error *err)
{
    REQUIRE(start->slot < limits->max_slots, "a start's slot", start->slot, limits->max_slots);
    REQUIRE(start->blob_offset % 4 == 0, "a start's blob_offset", start->blob_offset, 0);
    uint64_t end = start->blob_offset + (uint64_t)start->n_stop_ids * 4 +
                   (uint64_t)start->n_biases * 8;
    REQUIRE(end <= step->header->blob_bytes, "the end of a start's blob", end,
            step->header->blob_bytes);
    const uint32_t *words = (const uint32_t *)(step->blob + start->blob_offset);
    for (uint32_t i = 0; i < start->n_stop_ids; i++)
        REQUIRE(words[i] < limits->vocab_size, "a stop id", words[i], limits->vocab_size);
    words += start->n_stop_ids;
    for (uint32_t i = 0; i < start->n_biases; i++) {
        float bias;
        memcpy(&bias, &words[2 * i + 1], sizeof bias);
        REQUIRE(words[2 * i] < limits->vocab_size, "a biased id", words[2 * i], limits->vocab_size);
        REQUIRE(isfinite(bias), "a bias that is not finite: its id", words[2 * i],
                limits->vocab_size);
    }
    return step_check_sampling(&start->sampling, err);
}

static enum status check_page_update(const struct step_page_update *u,
                                     const struct step_limits *limits, struct error *err)
{
    REQUIRE(u->group < limits->n_groups, "a page's group", u->group, limits->n_groups);
    REQUIRE(u->slot < limits->max_slots, "a page's slot", u->slot, limits->max_slots);
    uint32_t last_index = (limits->max_positions - 1) / limits->page_tokens;
    REQUIRE(u->index <= last_index, "a page's index", u->index, last_index);
    REQUIRE(u->page < limits->n_pages[u->group], "a page", u->page, limits->n_pages[u->group]);
    REQUIRE(u->page > 0, "a lent page", u->page, limits->n_pages[u->group]);
    return STATUS_OK;
}

static enum status check_seq(const struct step_seq *seq, const struct step_limits *limits,
                             struct error *err)
{
    const uint32_t all_flags = STEP_SAMPLE | STEP_TOKEN_FROM_SLOT | STEP_PROMPT_LOGPROBS |
                               STEP_MASKED;
    REQUIRE(seq->slot < limits->max_slots, "a sequence's slot", seq->slot, limits->max_slots);
    REQUIRE((seq->flags & ~all_flags) == 0, "a sequence's flags", seq->flags, all_flags);
    if (seq->flags & STEP_MASKED)
        REQUIRE(seq->flags & STEP_SAMPLE, "a masked sequence's flags", seq->flags, all_flags);
    REQUIRE(seq->n_rows >= 1, "a sequence's n_rows", seq->n_rows, 1);
    uint64_t end = (uint64_t)seq->first_position + seq->n_rows;
    REQUIRE(end <= limits->max_positions, "a sequence's end", end, limits->max_positions);
    if (seq->flags & STEP_TOKEN_FROM_SLOT) {
        REQUIRE(seq->n_rows == 1, "the rows of a token from its slot", seq->n_rows, 1);
        REQUIRE(!(seq->flags & STEP_PROMPT_LOGPROBS), "a decode row's flags", seq->flags, 3);
    }
    if (seq->flags & STEP_PROMPT_LOGPROBS)
        REQUIRE(seq->next_token < limits->vocab_size || seq->next_token == UINT32_MAX, "next_token",
                seq->next_token, limits->vocab_size);
    return STATUS_OK;
}

static enum status check_seqs(const struct step *step, const struct step_limits *limits,
                              struct error *err)
{
    uint64_t seen[STEP_MAX_SLOTS / 64] = {0};
    uint64_t n_rows = 0;
    for (uint32_t i = 0; i < step->header->n_seqs; i++) {
        const struct step_seq *seq = &step->seqs[i];
        enum status st = check_seq(seq, limits, err);
        if (st != STATUS_OK)
            return st;
        uint64_t bit = UINT64_C(1) << (seq->slot % 64);
        REQUIRE(!(seen[seq->slot / 64] & bit), "a slot that occurs twice", seq->slot,
                limits->max_slots);
        seen[seq->slot / 64] |= bit;
        uint64_t first = n_rows;
        n_rows += seq->n_rows;
        REQUIRE(n_rows <= step->header->n_rows, "the sum of n_rows", n_rows, step->header->n_rows);
        if (seq->flags & STEP_TOKEN_FROM_SLOT)
            continue;
        for (uint64_t r = first; r < n_rows; r++)
            REQUIRE(step->tokens[r] < limits->vocab_size, "a token", step->tokens[r],
                    limits->vocab_size);
    }
    REQUIRE(n_rows == step->header->n_rows, "the sum of n_rows", n_rows, step->header->n_rows);
    return STATUS_OK;
}

// Of a part whose grid or frames are in range.
static enum status check_part_data(const struct step_encode_part *part, uint64_t bytes,
                                   const struct step_limits *limits, struct error *err)
{
    REQUIRE(part->data_bytes == bytes, "a part's data_bytes", part->data_bytes, bytes);
    REQUIRE(part->data_offset % STEP_MEDIA_ALIGNMENT == 0, "a part's data_offset",
            part->data_offset, STEP_MEDIA_ALIGNMENT);
    REQUIRE(bytes <= limits->media_bytes && part->data_offset <= limits->media_bytes - bytes,
            "the end of a part's data", part->data_offset + bytes, limits->media_bytes);
    return STATUS_OK;
}

static enum status check_image(const struct step_encode_part *part, uint64_t *n_patches,
                               const struct step_limits *limits, struct error *err)
{
    const uint32_t most = MEDIA_MAX_IMAGE_TOKENS * MEDIA_TOKEN_PATCHES;
    const uint32_t sides[] = {part->grid_width, part->grid_height};
    for (int i = 0; i < 2; i++)
        REQUIRE(sides[i] >= 3 && sides[i] % 3 == 0 && sides[i] <= most, "a side of a part's grid",
                sides[i], most);
    uint64_t patches = (uint64_t)sides[0] * sides[1];
    REQUIRE(patches <= most, "a part's patches", patches, most);
    REQUIRE(part->is_frame <= 1, "is_frame", part->is_frame, 1);
    REQUIRE(part->n_frames == 0, "an image's n_frames", part->n_frames, 0);
    *n_patches += patches;
    REQUIRE(*n_patches <= limits->max_job_patches, "a job's patches", *n_patches,
            limits->max_job_patches);
    return check_part_data(part, patches * MEDIA_PATCH_BYTES, limits, err);
}

static enum status check_clip(const struct step_encode_part *part, uint64_t *n_frames,
                              const struct step_limits *limits, struct error *err)
{
    REQUIRE(part->n_frames >= 1, "a clip's n_frames", part->n_frames, 1);
    REQUIRE(part->grid_width == 0 && part->grid_height == 0 && part->is_frame == 0,
            "a clip's grid_width", part->grid_width, 0);
    *n_frames += part->n_frames;
    REQUIRE(*n_frames <= limits->max_job_frames, "a job's frames", *n_frames,
            limits->max_job_frames);
    uint64_t mel_bytes = (uint64_t)part->n_frames * MEDIA_MEL_BINS * sizeof(float);
    uint64_t raw_bytes = (uint64_t)part->n_frames * MEDIA_RAW_FRAME_SAMPLES * sizeof(float);
    bool is_raw = part->data_bytes == raw_bytes;
    return check_part_data(part, is_raw ? raw_bytes : mel_bytes, limits, err);
}

static enum status check_encode_parts(const struct step *step, const struct step_limits *limits,
                                      struct error *err)
{
    uint64_t size = 0; // patches or frames
    for (uint32_t i = 0; i < step->header->encode.n_parts; i++) {
        const struct step_encode_part *part = &step->encode_parts[i];
        REQUIRE(part->kind == ENCODER_VISION || part->kind == ENCODER_AUDIO, "a part's kind",
                part->kind, ENCODER_AUDIO);
        REQUIRE(part->kind == step->encode_parts[0].kind, "the kind of a job's part", part->kind,
                step->encode_parts[0].kind);
        enum status st = part->kind == ENCODER_VISION ? check_image(part, &size, limits, err)
                                                      : check_clip(part, &size, limits, err);
        if (st != STATUS_OK)
            return st;
    }
    return STATUS_OK;
}

static enum status check_cache_rows(const struct step_cache_rows *rows,
                                    const struct step_limits *limits, struct error *err)
{
    REQUIRE(rows->n >= 1, "the n of cache rows", rows->n, 1);
    uint64_t end = (uint64_t)rows->cache_row + rows->n;
    REQUIRE(end <= limits->n_cache_rows, "the end of cache rows", end, limits->n_cache_rows);
    REQUIRE(rows->is_block <= 1, "is_block", rows->is_block, 1);
    return STATUS_OK;
}

static enum status check_stores(const struct step *step, const struct step_limits *limits,
                                struct error *err)
{
    uint64_t end = 0;
    for (uint32_t i = 0; i < step->header->encode.n_stores; i++) {
        const struct step_cache_rows *store = &step->stores[i];
        enum status st = check_cache_rows(store, limits, err);
        if (st != STATUS_OK)
            return st;
        REQUIRE(store->at == end, "where a store begins", store->at, end);
        end += store->n;
        REQUIRE(end <= limits->n_cache_rows, "the end of the stores", end, limits->n_cache_rows);
    }
    return STATUS_OK;
}

// Of sound sequences.
static enum status check_splices(const struct step *step, const struct step_limits *limits,
                                 struct error *err)
{
    uint64_t end = 0;
    uint64_t seq_end = 0;
    uint32_t n_seqs = 0; // up to the one at hand
    for (uint32_t i = 0; i < step->header->n_splices; i++) {
        const struct step_cache_rows *splice = &step->splices[i];
        enum status st = check_cache_rows(splice, limits, err);
        if (st != STATUS_OK)
            return st;
        REQUIRE(splice->at >= end, "where a splice begins", splice->at, end);
        end = (uint64_t)splice->at + splice->n;
        REQUIRE(end <= step->header->n_rows, "a splice's end", end, step->header->n_rows);
        while (seq_end <= splice->at)
            seq_end += step->seqs[n_seqs++].n_rows;
        REQUIRE(end <= seq_end, "the end of a sequence's splice", end, seq_end);
        REQUIRE(!(step->seqs[n_seqs - 1].flags & STEP_TOKEN_FROM_SLOT),
                "a splice of a token from its slot", splice->at, 0);
    }
    return STATUS_OK;
}

static enum status check_place(const void *message, size_t n, size_t header_bytes,
                               const struct step_limits *limits, struct error *err)
{
    if (!limits_valid(limits))
        return error_set(err, STATUS_INTERNAL, "step limits make no sense");
    REQUIRE(n >= header_bytes, "its length", n, header_bytes);
    REQUIRE((uintptr_t)message % 8 == 0, "its address modulo 8", (uintptr_t)message % 8, 0);
    return STATUS_OK;
}

enum status step_open(const void *message, size_t n, const struct step_limits *limits,
                      struct step *out, struct error *err)
{
    const struct step_header *header = message;
    enum status st = check_place(message, n, sizeof *header, limits, err);
    if (st == STATUS_OK)
        st = check_header(header, n, limits, err);
    if (st != STATUS_OK)
        return st;
    struct step step = {.header = header,
                        .encode_parts = (const struct step_encode_part *)(header + 1)};
    step.starts = (const struct step_start *)(step.encode_parts + header->encode.n_parts);
    step.page_updates = (const struct step_page_update *)(step.starts + header->n_starts);
    step.stores = (const struct step_cache_rows *)(step.page_updates + header->n_page_updates);
    step.splices = step.stores + header->encode.n_stores;
    step.seqs = (const struct step_seq *)(step.splices + header->n_splices);
    step.tokens = (const uint32_t *)(step.seqs + header->n_seqs);
    step.blob = (const unsigned char *)(step.tokens + header->n_rows);
    for (uint32_t i = 0; i < header->n_starts && st == STATUS_OK; i++)
        st = check_start(&step, &step.starts[i], limits, err);
    for (uint32_t i = 0; i < header->n_page_updates && st == STATUS_OK; i++)
        st = check_page_update(&step.page_updates[i], limits, err);
    if (st == STATUS_OK)
        st = check_seqs(&step, limits, err);
    if (st == STATUS_OK)
        st = check_encode_parts(&step, limits, err);
    if (st == STATUS_OK)
        st = check_stores(&step, limits, err);
    if (st == STATUS_OK)
        st = check_splices(&step, limits, err);
    if (st == STATUS_OK)
        *out = step;
    return st;
}

static enum status check_mask(const struct step_mask *mask, const struct step_masks *masks,
                              uint32_t slot, const struct step_limits *limits, struct error *err)
{
    const struct step_masks_header *header = masks->header;
    REQUIRE(mask->slot == slot, "a mask's slot", mask->slot, slot);
    REQUIRE(mask->kind <= STEP_MASK_LATER, "a mask's kind", mask->kind, STEP_MASK_LATER);
    REQUIRE((uint64_t)mask->first_word + mask->n_words <= header->n_words, "a mask's first_word",
            mask->first_word, header->n_words);
    uint32_t most = STEP_MASK_MAX_IDS;
    bool is_exact = mask->kind != STEP_MASK_NOT;
    if (mask->kind == STEP_MASK_BITS)
        most = step_mask_bits_words(limits->vocab_size);
    else if (is_exact)
        most = mask->kind == STEP_MASK_ONE;
    REQUIRE(mask->n_words <= most && (!is_exact || mask->n_words == most), "a mask's n_words",
            mask->n_words, most);
    if (mask->kind == STEP_MASK_BITS)
        return STATUS_OK;
    const uint32_t *words = masks->words + mask->first_word;
    for (uint32_t i = 0; i < mask->n_words; i++)
        REQUIRE(words[i] < header->n_ids, "a mask's token", words[i], header->n_ids);
    return STATUS_OK;
}

enum status step_masks_open(const void *message, size_t n, const struct step *step,
                            const struct step_limits *limits, struct step_masks *out,
                            struct error *err)
{
    const struct step_masks_header *header = message;
    enum status st = check_place(message, n, sizeof *header, limits, err);
    if (st != STATUS_OK)
        return st;
    REQUIRE(header->step_id == step->header->step_id, "the masks' step_id", header->step_id,
            step->header->step_id);
    REQUIRE(header->n_masks <= limits->max_slots, "n_masks", header->n_masks, limits->max_slots);
    REQUIRE(header->n_words <= max_mask_words(limits), "n_words", header->n_words,
            max_mask_words(limits));
    REQUIRE(header->n_ids <= limits->vocab_size, "n_ids", header->n_ids, limits->vocab_size);
    size_t wanted = step_masks_bytes(header->n_masks, header->n_words);
    REQUIRE(wanted == n, "the masks' length", n, wanted);
    struct step_masks masks = {.header = header, .masks = (const struct step_mask *)(header + 1)};
    masks.words = (const uint32_t *)(masks.masks + header->n_masks);
    uint32_t at = 0;
    for (uint32_t i = 0; i < step->header->n_seqs; i++) {
        const struct step_seq *seq = &step->seqs[i];
        if (!(seq->flags & STEP_MASKED))
            continue;
        REQUIRE(at < header->n_masks, "n_masks", header->n_masks, at + 1);
        st = check_mask(&masks.masks[at++], &masks, seq->slot, limits, err);
        if (st != STATUS_OK)
            return st;
    }
    REQUIRE(at == header->n_masks, "n_masks", header->n_masks, at);
    *out = masks;
    return STATUS_OK;
}

static size_t result_bytes(size_t n_seqs, size_t n_logprobs)
{
    size_t bytes = sizeof(struct step_result_header);
    bool fits = add_array(&bytes, n_seqs, sizeof(struct step_result_seq)) &&
                add_array(&bytes, n_logprobs, sizeof(struct token_logprob));
    return fits ? bytes : 0;
}

static size_t max_logprobs(const struct step_limits *limits)
{
    return ((size_t)limits->max_rows + limits->max_slots) * (1 + SAMPLING_MAX_TOP_LOGPROBS);
}

size_t step_result_max_bytes(const struct step_limits *limits)
{
    if (!limits_valid(limits))
        return 0;
    return result_bytes(limits->max_slots, max_logprobs(limits));
}

// The sequence's entries reach up to next_offset. Those of bad logits were never written.
static enum status check_result_seq(const struct step_result *result, uint32_t i,
                                    uint32_t next_offset, const struct step_limits *limits,
                                    struct error *err)
{
    const struct step_result_seq *seq = &result->seqs[i];
    const uint32_t all_flags = STEP_RESULT_TOKEN | STEP_RESULT_BAD_LOGITS;
    const uint32_t most = SAMPLING_MAX_TOP_LOGPROBS;
    REQUIRE(seq->slot < limits->max_slots, "a result's slot", seq->slot, limits->max_slots);
    REQUIRE((seq->flags & ~all_flags) == 0, "a result's flags", seq->flags, all_flags);
    if (seq->flags & STEP_RESULT_TOKEN)
        REQUIRE(seq->token < limits->vocab_size, "a sampled token", seq->token, limits->vocab_size);
    REQUIRE(seq->n_top <= most, "n_top", seq->n_top, most);
    REQUIRE(seq->n_prompt_top <= most, "n_prompt_top", seq->n_prompt_top, most);
    REQUIRE(seq->n_prompt_rows <= limits->max_rows, "n_prompt_rows", seq->n_prompt_rows,
            limits->max_rows);
    uint64_t end = seq->logprobs_offset + (uint64_t)seq->n_prompt_rows * (1 + seq->n_prompt_top);
    end += seq->n_top ? 1 + seq->n_top : 0;
    REQUIRE(end <= next_offset && next_offset <= result->header->n_logprobs,
            "the end of a result's logprobs", end, next_offset);
    if (seq->flags & STEP_RESULT_BAD_LOGITS)
        return STATUS_OK;
    for (uint32_t l = seq->logprobs_offset; l < next_offset; l++)
        REQUIRE(result->logprobs[l].token_id < limits->vocab_size, "a logprob's token",
                result->logprobs[l].token_id, limits->vocab_size);
    return STATUS_OK;
}

enum status step_result_open(const void *message, size_t n, const struct step_limits *limits,
                             struct step_result *out, struct error *err)
{
    const struct step_result_header *header = message;
    enum status st = check_place(message, n, sizeof *header, limits, err);
    if (st != STATUS_OK)
        return st;
    uint32_t n_seqs = header->n_seqs;
    REQUIRE(n_seqs <= limits->max_slots, "n_seqs", n_seqs, limits->max_slots);
    REQUIRE(header->n_logprobs <= max_logprobs(limits), "n_logprobs", header->n_logprobs,
            max_logprobs(limits));
    size_t wanted = result_bytes(n_seqs, header->n_logprobs);
    REQUIRE(wanted == n, "its length", n, wanted);
    struct step_result result = {.header = header,
                                 .seqs = (const struct step_result_seq *)(header + 1)};
    result.logprobs = (const struct token_logprob *)(result.seqs + n_seqs);
    for (uint32_t i = 0; i < n_seqs && st == STATUS_OK; i++) {
        bool last = i + 1 == n_seqs;
        uint32_t next = last ? header->n_logprobs : result.seqs[i + 1].logprobs_offset;
        st = check_result_seq(&result, i, next, limits, err);
    }
    if (st == STATUS_OK)
        *out = result;
    return st;
}
