/* tp/shard.h - which slice of which tensor a rank holds: one table by tensor-name pattern
 * (gemma4-model.md section 7.1), and where KV heads are replicated (7.2). */
#ifndef GEMMAD_TP_SHARD_H
#define GEMMAD_TP_SHARD_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"

enum shard_rule {
    SHARD_REPLICATED, /* whole on every rank */
    SHARD_VOCAB,      /* rows [r V / D, (r + 1) V / D) */
    SHARD_Q_HEADS,    /* rows by query head */
    SHARD_KV_HEADS,   /* rows by KV head, replicated when there are fewer than ranks */
    SHARD_O_COLUMNS,  /* columns by query head; sums go on in the all-reduce */
    SHARD_MLP_ROWS,   /* rows of intermediate_size */
    SHARD_MLP_COLUMNS,
    SHARD_EXPERTS, /* dimension 0, by leaf: rank r holds [floor(r E / D), floor((r + 1) E / D)) */
    SHARD_MAPPED,  /* stays in the file, read where it is (per-layer embedding table) */
};

/* The rule of a text tensor by its name without the language-model prefix, for instance
 * "layers.3.self_attn.q_proj.weight". NOT_FOUND: no rule knows this name. */
NODISCARD enum status shard_rule_of(const char *name, enum shard_rule *out, struct error *err);

/* [*begin, *end) of n that rank holds: floor(rank n / world), floor((rank + 1) n / world). */
void shard_range(uint32_t n, uint32_t rank, uint32_t world_size, uint32_t *begin, uint32_t *end);

/* KV heads of a rank: n_kv_heads >= world: n_kv_heads / world each; fewer: one, number
 * floor(rank n_kv_heads / world). INVALID_ARGUMENT if neither divides the other. */
NODISCARD enum status shard_kv_heads(uint32_t n_kv_heads, uint32_t rank, uint32_t world_size,
                                     uint32_t *first, uint32_t *count, struct error *err);

#endif
