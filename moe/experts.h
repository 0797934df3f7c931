/* moe/experts.h - the routed experts of one layer: gemma4-model.md section 3.5.
 *
 * A rank holds whole experts [expert_begin, expert_begin + n_experts) (expert parallel) and returns
 * its part of the weighted sum; the layer's all-reduce adds the ranks' parts. The router runs on
 * every rank from the same residual with the same kernel, so all choose alike.
 * Sum of a row: experts fall into N_LEAVES leaves by id (leaf l: experts [l E / 8, (l + 1) E / 8));
 * inside a leaf in top-k order, the leaves in the tree, so every world size gives the same bits.
 * Thread: the step thread. Nothing is allocated in a step. */
#ifndef GEMMAD_MOE_EXPERTS_H
#define GEMMAD_MOE_EXPERTS_H

#include "kernels/ops.h"

struct moe_shape {
    uint32_t hidden_size;
    uint32_t num_experts;
    uint32_t top_k_experts;
    uint32_t moe_intermediate_size;
    uint32_t expert_begin, n_experts; /* of this rank */
    uint32_t rank, world_size;
    float rms_norm_eps;
};

/* One layer's weights; pointers into model/weights.h. */
struct moe_weights {
    const struct packed_matrix *router;  /* [num_experts, hidden_size] */
    const float *router_scale;           /* [hidden_size] */
    const float *per_expert_scale;       /* [num_experts] */
    const float *norm;                   /* pre_feedforward_layernorm_2 [hidden_size] */
    const struct packed_matrix *gate_up; /* [n_experts] of [2 moe_intermediate, hidden_size] */
    const struct packed_matrix *down;    /* [n_experts] of [hidden_size, moe_intermediate] */
};

struct moe_scratch;

/* Bytes that moe_scratch_create takes, for the memory plan. */
size_t moe_scratch_bytes(const struct moe_shape *shape, uint32_t max_rows);
NODISCARD enum status moe_scratch_create(const struct moe_shape *shape, uint32_t max_rows,
                                         struct moe_scratch **out, struct error *err);
void moe_scratch_destroy(struct moe_scratch *scratch);

/* out [n_rows, hidden_size] with out_stride = this rank's part of MoE(r), unrounded.
 * r [n_rows, hidden_size]: the residual before pre_feedforward_layernorm. */
void moe_experts_forward(const struct moe_shape *shape, const struct moe_weights *weights,
                         const struct ops *ops, struct device_stream *stream,
                         struct moe_scratch *scratch, const float *r, uint32_t n_rows, float *out,
                         uint32_t out_stride);

#endif
