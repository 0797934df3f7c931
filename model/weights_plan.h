/* model/weights_plan.h - what of the checkpoint goes where in a rank's memory, before there is any:
 * the memory plan counts by it, loading allocates and packs by it, so they cannot differ. */
#ifndef GEMMAD_MODEL_WEIGHTS_PLAN_H
#define GEMMAD_MODEL_WEIGHTS_PLAN_H

#include "model/checkpoint.h"
#include "model/weights.h"

/* Rows of a tensor, from this rank's first column on. */
struct pack_source {
    const struct stored_tensor *tensor;
    const unsigned char *data; /* in it */
    enum dtype dtype;
    size_t stride; /* elements from row to row: the tensor's whole row */
    uint32_t n_rows;
};

/* One packed matrix of the rank and the rows it is made of, in order. */
struct pack_matrix {
    struct packed_matrix *matrix; /* in plan->weights; its data is set by weights_plan_place */
    struct pack_source *sources;
    size_t n_sources, sources_capacity;
};

/* A norm's weight or a scale, which becomes f32. */
struct pack_vector {
    const float **out; /* in plan->weights, set by weights_plan_place; or NULL and */
    float *scalar;     /* in plan->weights, set by weights_plan_finish */
    float *data;       /* its place */
    const struct stored_tensor *tensor;
    uint32_t n;
};

/* Which rank's, and what its weights become. */
struct weights_plan_config {
    uint32_t rank, world_size;
    enum compute compute;
    enum weights_format weights;
    bool encoders; /* of the encoders, not of the text: the same on every rank */
};

struct weights_plan {
    struct model_weights *weights; /* all but addresses; the caller may take it and set NULL; NULL
                                      for encoders */
    struct weights_plan_config config;
    struct pack_matrix *matrices;
    size_t n_matrices, matrices_capacity;
    struct pack_vector *vectors;
    size_t n_vectors, vectors_capacity;
    size_t bytes;        /* of this rank's weights */
    size_t source_bytes; /* of the tensors' parts that are packed, in the files */
    size_t mapped_bytes; /* of tables that stay in the files */
};

/* INVALID_ARGUMENT: the model cannot be divided so. */
NODISCARD enum status weights_plan_create(const struct checkpoint *checkpoint,
                                          const struct weights_plan_config *config,
                                          struct weights_plan **out, struct error *err);
void weights_plan_destroy(struct weights_plan *plan); /* NULL is fine */

/* A plan with nothing in it, and what fills it: matrices with their rows, in order, then vectors of
 * all a tensor's values; last the count of bytes. matrix points to where the caller wants it; a
 * matrix of rows of unlike types becomes f32. */
struct weights_plan *weights_plan_new(const struct weights_plan_config *config);
struct pack_matrix *weights_plan_add_matrix(struct weights_plan *plan,
                                            struct packed_matrix *matrix);
void weights_plan_add_rows(struct pack_matrix *pack, struct pack_source source, enum dtype dtype,
                           uint32_t n_columns);
struct pack_vector *weights_plan_add_vector(struct weights_plan *plan,
                                            const struct stored_tensor *tensor);
void weights_plan_count(struct weights_plan *plan);

/* Gives everything its place in memory of at least plan->bytes. */
void weights_plan_place(struct weights_plan *plan, const struct device_buffer *memory);

/* When the memory is filled: sets scalars, and what plan->weights holds in two places. */
void weights_plan_finish(const struct weights_plan *plan, const struct model_config *config);

#endif
