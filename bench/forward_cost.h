/* bench/forward_cost.h - what a decode step must read, and how fast this machine reads.
 *
 * Weights are counted once a step, the cache once a sequence and layer: a layer that shares
 * another's cache comes so many weights later that it reads it anew. Embedding rows and activations
 * are left out: thousandths. */
#ifndef GEMMAD_BENCH_FORWARD_COST_H
#define GEMMAD_BENCH_FORWARD_COST_H

#include "device/stream.h"
#include "tests/model/rank_group.h"

/* Of all ranks together. With experts: as many as a batch of that size can choose at most. */
uint64_t forward_weight_bytes(const struct rank_group *group, uint32_t world_size, uint32_t batch);
/* Of one sequence whose last token has `context` tokens in front of it. */
uint64_t forward_kv_bytes(const struct rank_group *group, uint32_t world_size, uint32_t context);

/* Multiplications and additions of the matmuls of one decoded token, all ranks together. */
uint64_t forward_flops(const struct rank_group *group, uint32_t world_size);

/* Bytes per second of one pass over the weights of all ranks by all threads of the stream. */
double forward_read_rate(const struct rank_group *group, uint32_t world_size,
                         struct device_stream *stream);
/* Multiplications and additions per second of the instruction that the layers' matmuls stand on. */
double forward_compute_rate(const struct rank_group *group, enum compute compute,
                            struct device_stream *stream);

#endif
