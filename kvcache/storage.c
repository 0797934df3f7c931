/* kvcache/storage.c - one mapping per group: page by page, in a page layer by layer, in a layer all
 * K then all V, head by head. So one head's tile of a page is one contiguous read, and a block
 * table is shared by all layers of its group.
 * Table entries of pages that left the window, or of a slot's former sequence, go stale and are
 * never read: a step writes every entry that its rows can see before it uses them. Fresh entries
 * are 0, the padding page. */
#include "kvcache/storage.h"

#include <stdlib.h>

#include "base/mem.h"
#include "device/memory.h"

struct kv_storage {
    struct kv_params params;
    uint32_t rank_kv_heads[KV_MAX_GROUPS];
    uint32_t max_slots;
    uint32_t table_pages; /* entries of one sequence's table */
    struct device_buffer pages[KV_MAX_GROUPS];
    struct device_buffer tables[KV_MAX_GROUPS]; /* [max_slots, table_pages] */
};

enum status kv_storage_create(const struct kv_storage_config *config, struct kv_storage **out,
                              struct error *err)
{
    struct kv_storage *storage = mem_zeroed(1, sizeof *storage);
    storage->params = *config->params;
    storage->max_slots = config->max_slots;
    uint32_t page_tokens = config->params->page_tokens;
    storage->table_pages = config->max_positions / page_tokens + 1;
    enum status st = STATUS_OK;
    for (uint32_t g = 0; g < config->params->n_groups && st == STATUS_OK; g++) {
        storage->rank_kv_heads[g] = config->rank_kv_heads[g];
        size_t page_bytes = kv_page_bytes(config->params, g, config->rank_kv_heads[g]);
        st = device_buffer_create((size_t)config->params->n_pages[g] * page_bytes, "KV pages",
                                  &storage->pages[g], err);
        if (st == STATUS_OK)
            st = device_buffer_create((size_t)storage->max_slots * storage->table_pages *
                                          sizeof(uint32_t),
                                      "block tables", &storage->tables[g], err);
    }
    if (st != STATUS_OK) {
        kv_storage_destroy(storage);
        return st;
    }
    *out = storage;
    return STATUS_OK;
}

void kv_storage_destroy(struct kv_storage *storage)
{
    if (!storage)
        return;
    for (uint32_t g = 0; g < KV_MAX_GROUPS; g++) {
        device_buffer_destroy(&storage->pages[g]);
        device_buffer_destroy(&storage->tables[g]);
    }
    free(storage);
}

struct kv_view kv_storage_view(const struct kv_storage *storage, uint32_t group, uint32_t layer)
{
    const struct kv_params *params = &storage->params;
    const struct kv_group_params *g = &params->groups[group];
    uint32_t heads = storage->rank_kv_heads[group];
    size_t layer_offset = layer * kv_layer_page_bytes(params, group, heads);
    return (struct kv_view){
        .pages = storage->pages[group].data,
        .page_bytes = kv_page_bytes(params, group, heads),
        .k_offset = layer_offset,
        .v_offset = layer_offset +
                    (size_t)heads * params->page_tokens * g->k_dim * params->element_bytes,
        .dtype = params->element_bytes == 4 ? DTYPE_F32 : DTYPE_BF16,
        .page_tokens = params->page_tokens,
        .n_kv_heads = heads,
        .k_dim = g->k_dim,
        .v_dim = g->head_dim,
        .k_from_v = g->k_from_v,
    };
}

static uint32_t *table_of(const struct kv_storage *storage, uint32_t group, uint32_t slot)
{
    return (uint32_t *)storage->tables[group].data + (size_t)slot * storage->table_pages;
}

void kv_storage_set_page(struct kv_storage *storage, uint32_t group, uint32_t slot, uint32_t index,
                         uint32_t page)
{
    CHECK(slot < storage->max_slots && index < storage->table_pages);
    table_of(storage, group, slot)[index] = page;
}

const uint32_t *kv_storage_block_table(const struct kv_storage *storage, uint32_t group,
                                       uint32_t slot)
{
    return table_of(storage, group, slot);
}
