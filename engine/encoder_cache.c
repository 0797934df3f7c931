/* engine/encoder_cache.c - pages so that nothing is ever moved or refused for lack of neighbouring
 * rows. Page lists and buckets are arrays made at creation: an entry has at least one page, so
 * there are never more entries than pages.
 *
 * Invariant (encoder_cache_verify): every page is free or of one entry; an entry may go (it is in
 * the list from oldest to newest) exactly when it is READY and without references. */
#include "engine/encoder_cache.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "engine/step.h"

#define NO_PAGE UINT32_MAX

struct encoder_cache {
    uint32_t n_pages;
    uint32_t *next_page; // [n_pages]
    uint32_t free_page;
    uint32_t n_free_pages, n_idle_pages; // idle: of entries that may go
    struct encoder_entry *entries;       // [n_pages]
    struct encoder_entry *free_entry;
    struct encoder_entry **buckets; // [n_buckets], a power of two
    uint32_t n_buckets;
    struct encoder_entry *oldest, *newest;
    uint64_t n_hits, n_misses;
};

uint32_t encoder_cache_part_pages(uint32_t n_tokens)
{
    return n_tokens / STEP_CACHE_PAGE_ROWS + (n_tokens % STEP_CACHE_PAGE_ROWS != 0);
}

void encoder_cache_reset(struct encoder_cache *c)
{
    memset(c->buckets, 0, c->n_buckets * sizeof(struct encoder_entry *));
    c->free_page = NO_PAGE;
    c->free_entry = NULL;
    for (uint32_t i = c->n_pages; i-- > 0;) {
        c->next_page[i] = c->free_page;
        c->free_page = i;
        c->entries[i] = (struct encoder_entry){.next = c->free_entry};
        c->free_entry = &c->entries[i];
    }
    c->n_free_pages = c->n_pages;
    c->n_idle_pages = 0;
    c->oldest = NULL;
    c->newest = NULL;
}

struct encoder_cache *encoder_cache_create(uint32_t n_rows)
{
    struct encoder_cache *c = mem_zeroed(1, sizeof *c);
    c->n_pages = n_rows / STEP_CACHE_PAGE_ROWS;
    c->next_page = mem_zeroed(c->n_pages, sizeof *c->next_page);
    c->entries = mem_zeroed(c->n_pages, sizeof *c->entries);
    for (c->n_buckets = 1; c->n_buckets < c->n_pages;)
        c->n_buckets *= 2;
    c->buckets = mem_zeroed(c->n_buckets, sizeof(struct encoder_entry *));
    encoder_cache_reset(c);
    return c;
}

void encoder_cache_destroy(struct encoder_cache *c)
{
    if (!c)
        return;
    free(c->next_page);
    free(c->entries);
    free(c->buckets);
    free(c);
}

static struct encoder_entry **bucket_of(const struct encoder_cache *c, const uint64_t *key)
{
    return &c->buckets[(key[0] ^ key[1]) & (c->n_buckets - 1)];
}

static struct encoder_entry *find(const struct encoder_cache *c, const struct media_part *part)
{
    struct encoder_entry *entry = *bucket_of(c, part->key);
    while (entry && (memcmp(entry->key, part->key, sizeof entry->key) != 0 ||
                     entry->n_tokens != part->n_tokens))
        entry = entry->next;
    return entry;
}

static void make_idle(struct encoder_cache *c, struct encoder_entry *entry)
{
    entry->older = c->newest;
    entry->newer = NULL;
    if (c->newest)
        c->newest->newer = entry;
    else
        c->oldest = entry;
    c->newest = entry;
    c->n_idle_pages += encoder_cache_part_pages(entry->n_tokens);
}

static void end_idle(struct encoder_cache *c, struct encoder_entry *entry)
{
    if (entry->older)
        entry->older->newer = entry->newer;
    else
        c->oldest = entry->newer;
    if (entry->newer)
        entry->newer->older = entry->older;
    else
        c->newest = entry->older;
    c->n_idle_pages -= encoder_cache_part_pages(entry->n_tokens);
}

// Of an entry that is not in the list.
static void forget(struct encoder_cache *c, struct encoder_entry *entry)
{
    struct encoder_entry **at = bucket_of(c, entry->key);
    while (*at != entry)
        at = &(*at)->next;
    *at = entry->next;
    uint32_t last = entry->first_page;
    while (c->next_page[last] != NO_PAGE)
        last = c->next_page[last];
    c->next_page[last] = c->free_page;
    c->free_page = entry->first_page;
    c->n_free_pages += encoder_cache_part_pages(entry->n_tokens);
    *entry = (struct encoder_entry){.next = c->free_entry};
    c->free_entry = entry;
}

static struct encoder_entry *make_entry(struct encoder_cache *c, const struct media_part *part)
{
    uint32_t n_pages = encoder_cache_part_pages(part->n_tokens);
    if (n_pages == 0 || n_pages > c->n_free_pages + c->n_idle_pages)
        return NULL;
    while (n_pages > c->n_free_pages) {
        struct encoder_entry *oldest = c->oldest;
        end_idle(c, oldest);
        forget(c, oldest);
    }
    struct encoder_entry *entry = c->free_entry;
    c->free_entry = entry->next;
    *entry = (struct encoder_entry){.key = {part->key[0], part->key[1]},
                                    .n_tokens = part->n_tokens,
                                    .first_page = c->free_page};
    uint32_t last = c->free_page;
    for (uint32_t i = 1; i < n_pages; i++)
        last = c->next_page[last];
    c->free_page = c->next_page[last];
    c->next_page[last] = NO_PAGE;
    c->n_free_pages -= n_pages;
    struct encoder_entry **bucket = bucket_of(c, entry->key);
    entry->next = *bucket;
    *bucket = entry;
    return entry;
}

struct encoder_entry *encoder_cache_take(struct encoder_cache *c, const struct media_part *part)
{
    struct encoder_entry *entry = find(c, part);
    if (entry) {
        c->n_hits++;
        if (entry->state == ENCODER_ENTRY_READY && entry->n_refs == 0)
            end_idle(c, entry);
    } else {
        entry = make_entry(c, part);
        if (!entry)
            return NULL;
        c->n_misses++;
    }
    entry->n_refs++;
    return entry;
}

void encoder_cache_drop(struct encoder_cache *c, struct encoder_entry *entry)
{
    CHECK(entry->n_refs > 0);
    if (--entry->n_refs > 0)
        return;
    if (entry->state == ENCODER_ENTRY_READY)
        make_idle(c, entry);
    else if (entry->state == ENCODER_ENTRY_WANTED)
        forget(c, entry);
}

void encoder_cache_begin(struct encoder_entry *entry)
{
    CHECK(entry->state == ENCODER_ENTRY_WANTED);
    entry->state = ENCODER_ENTRY_ENCODING;
}

void encoder_cache_complete(struct encoder_cache *c, struct encoder_entry *entry)
{
    CHECK(entry->state == ENCODER_ENTRY_ENCODING);
    entry->state = ENCODER_ENTRY_READY;
    if (entry->n_refs == 0)
        make_idle(c, entry);
}

uint32_t encoder_cache_row(const struct encoder_cache *c, const struct encoder_entry *entry,
                           uint32_t token, uint32_t n, uint32_t *out_n)
{
    CHECK(token < entry->n_tokens && n <= entry->n_tokens - token);
    uint32_t page = entry->first_page;
    for (uint32_t i = token / STEP_CACHE_PAGE_ROWS; i > 0; i--)
        page = c->next_page[page];
    uint32_t row = page * STEP_CACHE_PAGE_ROWS + token % STEP_CACHE_PAGE_ROWS;
    uint32_t found = STEP_CACHE_PAGE_ROWS - token % STEP_CACHE_PAGE_ROWS;
    while (found < n && c->next_page[page] == page + 1) {
        page++;
        found += STEP_CACHE_PAGE_ROWS;
    }
    *out_n = found < n ? found : n;
    return row;
}

void encoder_cache_get_counts(const struct encoder_cache *c, struct encoder_cache_counts *out)
{
    *out = (struct encoder_cache_counts){
        .n_rows = c->n_pages * STEP_CACHE_PAGE_ROWS,
        .n_used_rows = (c->n_pages - c->n_free_pages) * STEP_CACHE_PAGE_ROWS,
        .n_hits = c->n_hits,
        .n_misses = c->n_misses,
    };
    out->n_held_rows = out->n_used_rows - c->n_idle_pages * STEP_CACHE_PAGE_ROWS;
}

// Marks the pages of a list; their number, or more than n_pages: one was marked before.
static uint32_t mark_pages(const struct encoder_cache *c, uint32_t page, bool *marked)
{
    uint32_t n = 0;
    for (; page != NO_PAGE; page = c->next_page[page]) {
        if (page >= c->n_pages || marked[page])
            return UINT32_MAX;
        marked[page] = true;
        n++;
    }
    return n;
}

bool encoder_cache_verify(const struct encoder_cache *c, uint64_t n_refs)
{
    bool *marked = mem_zeroed(c->n_pages, sizeof *marked);
    uint64_t n_found_refs = 0;
    uint32_t n_pages = mark_pages(c, c->free_page, marked);
    bool sound = n_pages == c->n_free_pages;
    uint32_t n_idle_pages = 0;
    for (uint32_t b = 0; b < c->n_buckets && sound; b++) {
        for (const struct encoder_entry *e = c->buckets[b]; e && sound; e = e->next) {
            uint32_t n = mark_pages(c, e->first_page, marked);
            sound = n == encoder_cache_part_pages(e->n_tokens) &&
                    (e->n_refs > 0 || e->state != ENCODER_ENTRY_WANTED);
            n_pages += n;
            n_found_refs += e->n_refs;
            n_idle_pages += e->n_refs == 0 && e->state == ENCODER_ENTRY_READY ? n : 0;
        }
    }
    uint32_t n_listed_pages = 0;
    for (const struct encoder_entry *e = c->oldest; e && sound; e = e->newer) {
        sound = e->n_refs == 0 && e->state == ENCODER_ENTRY_READY;
        n_listed_pages += encoder_cache_part_pages(e->n_tokens);
    }
    free(marked);
    return sound && n_pages == c->n_pages && n_found_refs == n_refs &&
           n_idle_pages == c->n_idle_pages && n_listed_pages == c->n_idle_pages;
}
