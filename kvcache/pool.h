/* kvcache/pool.h - who holds which page of one KV group: ids and reference counts.
 *
 * The coordinator's side: no device memory here (kvcache/storage.h has a rank's). Lends page ids;
 * sequences that share a page each hold a reference, and it goes back to the free list when the
 * last is dropped. Page 0 is the padding page and is never lent.
 * Thread: the engine thread only. Nothing here locks, blocks or logs; take and drop never allocate.
 */
#ifndef GEMMAD_KVCACHE_POOL_H
#define GEMMAD_KVCACHE_POOL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"

struct kv_pool;

/* n_pages counts page 0. INVALID_ARGUMENT: fewer than 2. On failure *out is untouched. */
NODISCARD enum status kv_pool_create(uint32_t n_pages, struct kv_pool **out, struct error *err);
void kv_pool_destroy(struct kv_pool *pool); /* NULL is fine */

/* Takes n pages, all or none; the caller then holds one reference to each.
 * RESOURCE_EXHAUSTED is normal: the scheduler preempts, then asks again. */
NODISCARD enum status kv_pool_take(struct kv_pool *pool, uint32_t n, uint32_t *out_pages);
/* One more reference to a page that somebody holds; one less. */
void kv_pool_ref(struct kv_pool *pool, uint32_t page);
void kv_pool_drop(struct kv_pool *pool, uint32_t page);

uint32_t kv_pool_free_pages(const struct kv_pool *pool);
uint32_t kv_pool_lendable_pages(const struct kv_pool *pool); /* free or held: n_pages - 1 */

/* Walks everything: free pages are listed once and have no references, the others have some. */
bool kv_pool_verify(const struct kv_pool *pool);

#endif
