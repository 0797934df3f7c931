/* tests/fuzz/fuzz_step_message.c - any bytes in the step ring and the result ring: refused, or
 * every number in them may be used as an index. Input: the length of the step (u16), the step, and
 * what is left, once as its masks and once as a result. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "engine/step.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static const struct step_limits limits = {
    .max_slots = 4,
    .max_rows = 16,
    .max_positions = 100,
    .vocab_size = 50,
    .n_groups = 2,
    .page_tokens = 8,
    .n_pages = {10, 5},
    .max_blob_bytes = 64,
    .n_cache_rows = 64,
    .max_encode_parts = 3,
    .max_job_patches = 40,
    .max_job_frames = 8,
    .media_bytes = 65536,
};

static void check_media(const struct step *step)
{
    for (uint32_t i = 0; i < step->header->encode.n_parts; i++) {
        const struct step_encode_part *part = &step->encode_parts[i];
        CHECK(part->grid_width % 3 == 0 && part->grid_height % 3 == 0);
        CHECK(part->grid_width * part->grid_height <= limits.max_job_patches);
        CHECK(part->n_frames <= limits.max_job_frames);
        CHECK(part->data_offset + part->data_bytes <= limits.media_bytes);
        CHECK(part->data_offset % STEP_MEDIA_ALIGNMENT == 0);
    }
    for (uint32_t i = 0; i < step->header->encode.n_stores; i++)
        CHECK(step->stores[i].cache_row + step->stores[i].n <= limits.n_cache_rows);
    for (uint32_t i = 0; i < step->header->n_splices; i++) {
        CHECK(step->splices[i].at + step->splices[i].n <= step->header->n_rows);
        CHECK(step->splices[i].cache_row + step->splices[i].n <= limits.n_cache_rows);
    }
}

static void check_step(const struct step *step)
{
    uint32_t n_rows = 0;
    for (uint32_t i = 0; i < step->header->n_seqs; i++) {
        CHECK(step->seqs[i].slot < limits.max_slots);
        CHECK(step->seqs[i].first_position + step->seqs[i].n_rows <= limits.max_positions);
        n_rows += step->seqs[i].n_rows;
    }
    CHECK(n_rows == step->header->n_rows && n_rows <= limits.max_rows);
    for (uint32_t i = 0; i < step->header->n_page_updates; i++)
        CHECK(step->page_updates[i].page < limits.n_pages[step->page_updates[i].group]);
    check_media(step);
}

// As the executor walks them.
static void check_masks(const struct step_masks *masks)
{
    for (uint32_t i = 0; i < masks->header->n_masks; i++) {
        const struct step_mask *mask = &masks->masks[i];
        const uint32_t *words = masks->words + mask->first_word;
        CHECK(mask->kind != STEP_MASK_ONE || mask->n_words == 1);
        CHECK(mask->kind != STEP_MASK_BITS ||
              mask->n_words == step_mask_bits_words(limits.vocab_size));
        for (uint32_t k = 0; k < mask->n_words; k++)
            CHECK(mask->kind == STEP_MASK_BITS || words[k] < masks->header->n_ids);
        CHECK(words + mask->n_words <= masks->words + masks->header->n_words);
    }
}

static void check_result(const struct step_result *result)
{
    for (uint32_t i = 0; i < result->header->n_seqs; i++) {
        CHECK(result->seqs[i].slot < limits.max_slots);
        CHECK(result->seqs[i].logprobs_offset <= result->header->n_logprobs);
    }
}

// Memory of exactly the message's size, at a multiple of 8, so that any read outside is seen.
static void *copy_of(const uint8_t *data, size_t n)
{
    void *copy = mem_zeroed(n, 1);
    if (n)
        memcpy(copy, data, n);
    return copy;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    if (n < 2)
        return 0;
    size_t step_n = data[0] | (size_t)data[1] << 8;
    data += 2;
    n -= 2;
    step_n = step_n < n ? step_n : n;
    void *step_bytes = copy_of(data, step_n);
    void *rest = copy_of(data + step_n, n - step_n);
    struct step step;
    struct step_masks masks;
    struct step_result result;
    struct error err = {0};
    if (step_open(step_bytes, step_n, &limits, &step, &err) == STATUS_OK) {
        check_step(&step);
        if (step_masks_open(rest, n - step_n, &step, &limits, &masks, &err) == STATUS_OK)
            check_masks(&masks);
    }
    if (step_result_open(rest, n - step_n, &limits, &result, &err) == STATUS_OK)
        check_result(&result);
    free(step_bytes);
    free(rest);
    return 0;
}
