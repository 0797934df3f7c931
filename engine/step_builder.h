/* engine/step_builder.h - collects a step's parts and writes them as the message of engine/step.h.
 *
 * All memory is taken at creation for the most that the limits allow. Whoever adds has made sure
 * that there is room (the counts are public); adding more is a bug. Thread: the engine thread. */
#ifndef GEMMAD_ENGINE_STEP_BUILDER_H
#define GEMMAD_ENGINE_STEP_BUILDER_H

#include "engine/request.h"
#include "engine/step.h"

struct step_builder {
    struct step_limits limits;
    struct step_header header; /* counts so far */
    struct step_encode_part *encode_parts;
    struct step_start *starts;
    struct step_page_update *page_updates;
    struct step_cache_rows *stores;
    struct step_cache_rows *splices;
    struct step_seq *seqs;
    uint32_t *tokens;
    unsigned char *blob;
    uint32_t max_page_updates;
};

/* INVALID_ARGUMENT: the limits make no sense. */
NODISCARD enum status step_builder_init(struct step_builder *builder,
                                        const struct step_limits *limits, struct error *err);
void step_builder_finish(struct step_builder *builder);

void step_builder_begin(struct step_builder *builder, uint64_t step_id);

/* Bytes that a start takes in the blob. */
size_t step_builder_blob_bytes(size_t n_stop_ids, size_t n_biases);
void step_builder_add_start(struct step_builder *builder, uint32_t slot,
                            const struct sampling_params *sampling, const uint32_t *stop_ids,
                            uint32_t n_stop_ids, const struct logit_bias *biases,
                            uint32_t n_biases);
void step_builder_add_page(struct step_builder *builder, const struct step_page_update *update);
/* Returns the place of seq->n_rows tokens, which the caller fills in. */
uint32_t *step_builder_add_seq(struct step_builder *builder, const struct step_seq *seq);

/* Work for the encoders; header.encode.n_units is the caller's to set. */
void step_builder_add_encode_part(struct step_builder *builder,
                                  const struct step_encode_part *part);
void step_builder_add_store(struct step_builder *builder, const struct step_cache_rows *store);
void step_builder_add_splice(struct step_builder *builder, const struct step_cache_rows *splice);

/* Writes the message to memory of step_max_bytes; returns its length. */
size_t step_builder_write(const struct step_builder *builder, void *memory);

#endif
