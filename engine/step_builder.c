/* engine/step_builder.c - the counts stand before the arrays in a message, so the arrays are
 * collected apart and copied once: 64 decoding sequences are under 4 KiB. */
#include "engine/step_builder.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

enum status step_builder_init(struct step_builder *b, const struct step_limits *limits,
                              struct error *err)
{
    if (step_max_bytes(limits) == 0)
        return error_set(err, STATUS_INVALID_ARGUMENT,
                         "step limits: max_slots=%u max_rows=%u max_positions=%u vocab_size=%u "
                         "page_tokens=%u n_groups=%u",
                         limits->max_slots, limits->max_rows, limits->max_positions,
                         limits->vocab_size, limits->page_tokens, limits->n_groups);
    *b = (struct step_builder){.limits = *limits};
    b->max_page_updates = (uint32_t)step_max_page_updates(limits);
    b->encode_parts = mem_zeroed(limits->max_encode_parts, sizeof *b->encode_parts);
    b->starts = mem_zeroed(limits->max_slots, sizeof *b->starts);
    b->page_updates = mem_zeroed(b->max_page_updates, sizeof *b->page_updates);
    b->stores = mem_zeroed(step_max_stores(limits), sizeof *b->stores);
    b->splices = mem_zeroed(step_max_splices(limits), sizeof *b->splices);
    b->seqs = mem_zeroed(limits->max_slots, sizeof *b->seqs);
    b->tokens = mem_zeroed(limits->max_rows, sizeof *b->tokens);
    b->blob = mem_zeroed(limits->max_blob_bytes, 1);
    return STATUS_OK;
}

void step_builder_finish(struct step_builder *b)
{
    free(b->encode_parts);
    free(b->starts);
    free(b->page_updates);
    free(b->stores);
    free(b->splices);
    free(b->seqs);
    free(b->tokens);
    free(b->blob);
    *b = (struct step_builder){0};
}

void step_builder_begin(struct step_builder *b, uint64_t step_id)
{
    b->header = (struct step_header){.step_id = step_id};
}

size_t step_builder_blob_bytes(size_t n_stop_ids, size_t n_biases)
{
    return n_stop_ids * sizeof(uint32_t) + n_biases * sizeof(struct logit_bias);
}

void step_builder_add_start(struct step_builder *b, uint32_t slot,
                            const struct sampling_params *sampling, const uint32_t *stop_ids,
                            uint32_t n_stop_ids, const struct logit_bias *biases, uint32_t n_biases)
{
    size_t bytes = step_builder_blob_bytes(n_stop_ids, n_biases);
    CHECK(b->header.n_starts < b->limits.max_slots);
    CHECK(bytes <= b->limits.max_blob_bytes - b->header.blob_bytes);
    unsigned char *blob = b->blob + b->header.blob_bytes;
    if (n_stop_ids)
        memcpy(blob, stop_ids, n_stop_ids * sizeof *stop_ids);
    if (n_biases)
        memcpy(blob + n_stop_ids * sizeof *stop_ids, biases, n_biases * sizeof *biases);
    b->starts[b->header.n_starts++] = (struct step_start){
        .slot = slot,
        .n_stop_ids = n_stop_ids,
        .n_biases = n_biases,
        .blob_offset = b->header.blob_bytes,
        .sampling = *sampling,
    };
    b->header.blob_bytes += (uint32_t)bytes;
}

void step_builder_add_page(struct step_builder *b, const struct step_page_update *update)
{
    CHECK(b->header.n_page_updates < b->max_page_updates);
    b->page_updates[b->header.n_page_updates++] = *update;
}

uint32_t *step_builder_add_seq(struct step_builder *b, const struct step_seq *seq)
{
    CHECK(b->header.n_seqs < b->limits.max_slots);
    CHECK(seq->n_rows <= b->limits.max_rows - b->header.n_rows);
    b->seqs[b->header.n_seqs++] = *seq;
    uint32_t *tokens = b->tokens + b->header.n_rows;
    b->header.n_rows += seq->n_rows;
    return tokens;
}

void step_builder_add_encode_part(struct step_builder *b, const struct step_encode_part *part)
{
    CHECK(b->header.encode.n_parts < b->limits.max_encode_parts);
    b->encode_parts[b->header.encode.n_parts++] = *part;
}

void step_builder_add_store(struct step_builder *b, const struct step_cache_rows *store)
{
    CHECK(b->header.encode.n_stores < step_max_stores(&b->limits));
    b->stores[b->header.encode.n_stores++] = *store;
}

void step_builder_add_splice(struct step_builder *b, const struct step_cache_rows *splice)
{
    CHECK(b->header.n_splices < step_max_splices(&b->limits));
    b->splices[b->header.n_splices++] = *splice;
}

static unsigned char *write_array(unsigned char *at, const void *array, size_t n, size_t size)
{
    if (n)
        memcpy(at, array, n * size);
    return at + n * size;
}

size_t step_builder_write(const struct step_builder *b, void *memory)
{
    const struct step_header *h = &b->header;
    unsigned char *at = memory;
    at = write_array(at, h, 1, sizeof *h);
    at = write_array(at, b->encode_parts, h->encode.n_parts, sizeof *b->encode_parts);
    at = write_array(at, b->starts, h->n_starts, sizeof *b->starts);
    at = write_array(at, b->page_updates, h->n_page_updates, sizeof *b->page_updates);
    at = write_array(at, b->stores, h->encode.n_stores, sizeof *b->stores);
    at = write_array(at, b->splices, h->n_splices, sizeof *b->splices);
    at = write_array(at, b->seqs, h->n_seqs, sizeof *b->seqs);
    at = write_array(at, b->tokens, h->n_rows, sizeof *b->tokens);
    at = write_array(at, b->blob, h->blob_bytes, 1);
    return (size_t)(at - (unsigned char *)memory);
}
