/* tests/model/encoder_group.h - the encoders of all ranks of a world, as threads of the test: real
 * weights and collectives. */
#ifndef GEMMAD_TESTS_MODEL_ENCODER_GROUP_H
#define GEMMAD_TESTS_MODEL_ENCODER_GROUP_H

#include "model/checkpoint.h"
#include "model/encoder.h"

struct encoder_group;

struct encoder_group_config {
    const char *folder; /* of the checkpoint, in tests/ */
    uint32_t world_size;
    enum compute compute;
    uint32_t n_threads;       /* of each rank */
    const char *cache_folder; /* of packed weights; NULL: none */
    uint32_t max_patches;
    uint32_t max_frames;
    uint32_t max_parts;
    /* as in struct encoder_config, of a world of one */
    void (*observe)(void *context, const char *stage, uint32_t layer, const float *rows,
                    uint32_t n_rows, uint32_t dim);
    void *observe_context;
};

/* Fails the running test if anything goes wrong. */
struct encoder_group *encoder_group_create(const struct encoder_group_config *config);
void encoder_group_destroy(struct encoder_group *group);
const struct model_config *encoder_group_model(const struct encoder_group *group);

/* One job, units_per_run units at a time. All ranks have the same bits; those of rank 0, until the
 * next job. */
const float *encoder_group_run(struct encoder_group *group, const struct encoder_part *parts,
                               uint32_t n_parts, uint32_t units_per_run);

#endif
