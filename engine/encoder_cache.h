/* engine/encoder_cache.h - the directory of the workers' encoder caches: which soft tokens stand in
 * which rows. All ranks hold the same rows, so the coordinator alone decides.
 *
 * An entry is one part's soft tokens, found by what they were made of. It is lent pages of
 * STEP_CACHE_PAGE_ROWS rows, not neighbouring ones, as long as it lives. Sequences that still have
 * to read it hold references. Without any, one that is encoded stays until its pages are needed,
 * longest unused first; one whose encoding has not begun goes at once.
 * Thread: the engine thread. Memory: none after creation. */
#ifndef GEMMAD_ENGINE_ENCODER_CACHE_H
#define GEMMAD_ENGINE_ENCODER_CACHE_H

#include <stdbool.h>
#include <stdint.h>

#include "media/media.h"

struct encoder_cache;

enum encoder_entry_state { ENCODER_ENTRY_WANTED, ENCODER_ENTRY_ENCODING, ENCODER_ENTRY_READY };

/* Read by all, written by the cache alone. */
struct encoder_entry {
    uint64_t key[2];
    uint32_t n_tokens;
    enum encoder_entry_state state;
    uint32_t n_refs;
    uint32_t first_page;                 /* of a list through the cache's next_page */
    struct encoder_entry *next;          /* in its bucket, or of the free ones */
    struct encoder_entry *older, *newer; /* of those that may go */
};

/* n_rows is a multiple of STEP_CACHE_PAGE_ROWS; 0: nothing fits. */
struct encoder_cache *encoder_cache_create(uint32_t n_rows);
void encoder_cache_destroy(struct encoder_cache *cache); /* NULL is fine */

/* Pages that a part of n_tokens takes. */
uint32_t encoder_cache_part_pages(uint32_t n_tokens);

/* A reference to the part's entry, which is made if there is none (WANTED); NULL: its pages do not
 * fit beside what is held. */
struct encoder_entry *encoder_cache_take(struct encoder_cache *cache,
                                         const struct media_part *part);
void encoder_cache_drop(struct encoder_cache *cache, struct encoder_entry *entry);

/* WANTED becomes ENCODING, which stays without references, too; then READY. */
void encoder_cache_begin(struct encoder_entry *entry);
void encoder_cache_complete(struct encoder_cache *cache, struct encoder_entry *entry);

/* The row of a token, and in *out_n how many from there on, at most n, stand in neighbouring rows.
 */
uint32_t encoder_cache_row(const struct encoder_cache *cache, const struct encoder_entry *entry,
                           uint32_t token, uint32_t n, uint32_t *out_n);

/* The rows are lost; nobody holds an entry. */
void encoder_cache_reset(struct encoder_cache *cache);

struct encoder_cache_counts {
    uint32_t n_rows, n_used_rows, n_held_rows; /* used: lent to entries; held: that may not go */
    uint64_t n_hits, n_misses;                 /* of encoder_cache_take that did not fail */
};
void encoder_cache_get_counts(const struct encoder_cache *cache, struct encoder_cache_counts *out);

/* Walks everything; n_refs is the sum of all references. For tests. */
bool encoder_cache_verify(const struct encoder_cache *cache, uint64_t n_refs);

#endif
