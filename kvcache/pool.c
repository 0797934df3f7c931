/* kvcache/pool.c - the free list is a stack: the pages lent next are the ones dropped last, which
 * keeps them warm in the ranks' caches and gives tests a fixed order.
 * Invariant: n_free + pages with references == n_pages - 1 (kv_pool_verify). */
#include "kvcache/pool.h"

#include <stdlib.h>

#include "base/mem.h"

struct kv_pool {
    uint32_t n_pages;
    uint32_t n_free;
    uint32_t *free; // [n_pages - 1], the top at n_free - 1
    uint32_t *refs; // [n_pages]
};

enum status kv_pool_create(uint32_t n_pages, struct kv_pool **out, struct error *err)
{
    if (n_pages < 2)
        return error_set(err, STATUS_INVALID_ARGUMENT,
                         "n_pages=%u: at least 2, as page 0 is never lent", n_pages);
    struct kv_pool *pool = mem_zeroed(1, sizeof *pool);
    pool->n_pages = n_pages;
    pool->n_free = n_pages - 1;
    pool->free = mem_zeroed(n_pages - 1, sizeof *pool->free);
    pool->refs = mem_zeroed(n_pages, sizeof *pool->refs);
    for (uint32_t i = 0; i < pool->n_free; i++)
        pool->free[i] = n_pages - 1 - i;
    *out = pool;
    return STATUS_OK;
}

void kv_pool_destroy(struct kv_pool *pool)
{
    if (!pool)
        return;
    free(pool->free);
    free(pool->refs);
    free(pool);
}

enum status kv_pool_take(struct kv_pool *pool, uint32_t n, uint32_t *out_pages)
{
    if (n > pool->n_free)
        return STATUS_RESOURCE_EXHAUSTED;
    for (uint32_t i = 0; i < n; i++) {
        uint32_t page = pool->free[--pool->n_free];
        pool->refs[page] = 1;
        out_pages[i] = page;
    }
    return STATUS_OK;
}

void kv_pool_ref(struct kv_pool *pool, uint32_t page)
{
    CHECK(page < pool->n_pages && pool->refs[page] > 0 && pool->refs[page] < UINT32_MAX);
    pool->refs[page]++;
}

void kv_pool_drop(struct kv_pool *pool, uint32_t page)
{
    CHECK(page < pool->n_pages && pool->refs[page] > 0);
    if (--pool->refs[page] == 0)
        pool->free[pool->n_free++] = page;
}

uint32_t kv_pool_free_pages(const struct kv_pool *pool)
{
    return pool->n_free;
}

uint32_t kv_pool_lendable_pages(const struct kv_pool *pool)
{
    return pool->n_pages - 1;
}

bool kv_pool_verify(const struct kv_pool *pool)
{
    bool sound = pool->refs[0] == 0 && pool->n_free < pool->n_pages;
    unsigned char *listed = mem_zeroed(pool->n_pages, 1);
    for (uint32_t i = 0; i < pool->n_free && sound; i++) {
        uint32_t page = pool->free[i];
        sound = page > 0 && page < pool->n_pages && !listed[page] && pool->refs[page] == 0;
        if (sound)
            listed[page] = 1;
    }
    uint32_t n_held = 0;
    for (uint32_t page = 1; page < pool->n_pages; page++)
        n_held += pool->refs[page] > 0;
    free(listed);
    return sound && pool->n_free + n_held == pool->n_pages - 1;
}
