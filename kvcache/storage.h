/* kvcache/storage.h - this rank's memory for keys and values, and the block tables that say whose
 * page is where.
 *
 * Owns the pages of all groups and a table per (group, slot). Which page belongs to whom is the
 * coordinator's business (kvcache/pool.h): here pages are written and read where the step says.
 * All memory is reserved at creation (the kernel backs a page when it is first touched).
 * Thread: the worker's step thread; views may be read by the stream's threads inside an op. */
#ifndef GEMMAD_KVCACHE_STORAGE_H
#define GEMMAD_KVCACHE_STORAGE_H

#include "base/status.h"
#include "kernels/types.h"
#include "kvcache/params.h"

struct kv_storage;

struct kv_storage_config {
    const struct kv_params *params;
    uint32_t rank_kv_heads[KV_MAX_GROUPS]; /* heads of this rank, by group */
    uint32_t max_slots;
    uint32_t max_positions; /* of one sequence */
};

/* RESOURCE_EXHAUSTED: the machine cannot map so much. */
NODISCARD enum status kv_storage_create(const struct kv_storage_config *config,
                                        struct kv_storage **out, struct error *err);
void kv_storage_destroy(struct kv_storage *storage);

/* The pages as layer number `layer` of a group sees them. */
struct kv_view kv_storage_view(const struct kv_storage *storage, uint32_t group, uint32_t layer);

/* block_table[group][slot][index] = page; all four were range-checked by step_open. */
void kv_storage_set_page(struct kv_storage *storage, uint32_t group, uint32_t slot, uint32_t index,
                         uint32_t page);
const uint32_t *kv_storage_block_table(const struct kv_storage *storage, uint32_t group,
                                       uint32_t slot);

#endif
