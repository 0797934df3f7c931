/* kvcache/params.h - the multi-KV parameters: one group per (layer kind, KV heads, head_dim).
 *
 * The coordinator computes them once (model/kv_layout.h) and sends them to every rank; both sides
 * derive the same numbers from them. A page of a group holds page_tokens tokens of all layers of
 * the group; sliding groups need only the pages that reach into the window. Layers that share
 * another layer's KV belong to no group. Thread: plain values. */
#ifndef GEMMAD_KVCACHE_PARAMS_H
#define GEMMAD_KVCACHE_PARAMS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define KV_MAX_GROUPS 4

struct kv_group_params {
    uint32_t n_layers;   /* that own a cache */
    uint32_t n_kv_heads; /* of the whole model */
    uint32_t head_dim;
    uint32_t k_dim;  /* values of K stored per head and token: head_dim, or the rotated ones */
    uint32_t window; /* tokens a query sees, itself included; 0: all */
    bool k_from_v;   /* kernels/types.h, struct kv_view */
};

struct kv_params {
    uint32_t page_tokens;   /* a power of two, 8..256 */
    uint32_t element_bytes; /* 2 (bf16) or 4 (f32) */
    uint32_t n_groups;
    struct kv_group_params groups[KV_MAX_GROUPS];
    uint32_t n_pages[KV_MAX_GROUPS]; /* page 0 of each group is the padding page, never lent */
};

/* Bytes of one page of one layer, and of a whole page, for rank_kv_heads heads on a rank. */
size_t kv_layer_page_bytes(const struct kv_params *params, uint32_t group, uint32_t rank_kv_heads);
size_t kv_page_bytes(const struct kv_params *params, uint32_t group, uint32_t rank_kv_heads);

/* Pages of a group that one sequence of n_tokens can hold at once while steps of at most
 * step_tokens run: all of them, or the window's, the step's and one for alignment. */
uint32_t kv_sequence_pages(const struct kv_params *params, uint32_t group, uint32_t n_tokens,
                           uint32_t step_tokens);

#endif
