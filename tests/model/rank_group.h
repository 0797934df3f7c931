/* tests/model/rank_group.h - all ranks of a world as threads of the test: real weights, pages,
 * collectives and executors, without processes. Steps go in as messages (engine/step_builder.h). */
#ifndef GEMMAD_TESTS_MODEL_RANK_GROUP_H
#define GEMMAD_TESTS_MODEL_RANK_GROUP_H

#include "engine/step.h"
#include "kernels/types.h"
#include "kvcache/storage.h"
#include "model/checkpoint.h"
#include "model/text.h"

struct ring;
struct kv_layout; /* model/kv_layout.h */
struct rank_group;

enum { RANK_GROUP_CACHE_ROWS = 512, RANK_GROUP_MEDIA_BYTES = 4 << 20 };

struct rank_group_config {
    const char *folder; /* of the checkpoint */
    uint32_t world_size;
    enum compute compute;
    enum weights_format weights;
    uint32_t n_threads;       /* of each rank */
    const int *cpus;          /* [world_size * n_threads], by rank; NULL: any, and no shedding */
    const char *cache_folder; /* of packed weights; NULL: none */
    uint32_t max_rows;
    uint32_t max_slots;
    uint32_t max_positions;
    uint32_t page_tokens;
    uint32_t n_pages; /* of each KV group */
    uint32_t max_logits_rows;
    bool media; /* encoders, and a cache of RANK_GROUP_CACHE_ROWS soft tokens */
    /* rank 0's hidden rows after each layer; may be NULL */
    void (*observe)(void *context, uint32_t layer, const float *hidden, uint32_t n_rows);
    void *observe_context;
};

/* Fails the running test if anything goes wrong. */
struct rank_group *rank_group_create(const struct rank_group_config *config);
void rank_group_destroy(struct rank_group *group);

const struct step_limits *rank_group_limits(const struct rank_group *group);
const struct model_config *rank_group_model(const struct rank_group *group);
const struct kv_layout *rank_group_kv_layout(const struct rank_group *group);

/* The writer's end of the ring in which the masks of a step with masked sequences are looked for:
 * publish them before rank_group_step, or while it runs. */
struct ring *rank_group_masks(struct rank_group *group);
/* With media: the media file. */
unsigned char *rank_group_media(struct rank_group *group);
/* Runs one step on every rank; the result is rank 0's, valid until the next step. */
struct step_result rank_group_step(struct rank_group *group, const void *message, size_t n);

const struct model_weights *rank_group_weights(const struct rank_group *group, uint32_t rank);

/* For world size 1: the model and its pages, to call on the test's thread between steps. */
struct text_model *rank_group_text_model(const struct rank_group *group);
struct kv_storage *rank_group_storage(const struct rank_group *group);

#endif
