/* model/kv_layout.h - which layer's keys and values lie in which group, and where in it.
 *
 * A group holds the layers of one (kind, KV heads, head_dim) that own a cache, in order; a layer
 * that reads another's is found through its kv_source. Thread: plain values. */
#ifndef GEMMAD_MODEL_KV_LAYOUT_H
#define GEMMAD_MODEL_KV_LAYOUT_H

#include "kvcache/params.h"
#include "model/config.h"

struct kv_layout {
    struct kv_params params;          /* n_pages is 0 until somebody has planned the memory */
    uint32_t group[MODEL_MAX_LAYERS]; /* of a layer's kv_source */
    uint32_t index[MODEL_MAX_LAYERS]; /* of that layer in the group */
};

/* Keys and values are bf16 with COMPUTE_BF16, else f32. INVALID_ARGUMENT: page_tokens is
 * no power of two in 8..256. UNIMPLEMENTED: more than KV_MAX_GROUPS groups. */
NODISCARD enum status kv_layout_init(const struct model_config *config, uint32_t page_tokens,
                                     enum compute compute, struct kv_layout *out,
                                     struct error *err);

/* The KV heads that a rank holds, by group. INVALID_ARGUMENT: they cannot be divided so. */
NODISCARD enum status kv_layout_rank_heads(const struct kv_layout *layout, uint32_t rank,
                                           uint32_t world_size, uint32_t out[KV_MAX_GROUPS],
                                           struct error *err);

#endif
