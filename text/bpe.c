/* text/bpe.c - words are short, so their pairs are searched again for each merge: no heap, all in
 * two cache lines. Longer series (text without a place to cut, up to a whole prompt) use a heap of
 * (rank, position) over a linked list; entries that a later merge made stale are dropped when they
 * come up, known by a rank that is no longer the one at their position. */
#include "text/bpe.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

#define SHORT_SERIES 32

void bpe_merges_init(struct bpe_merges *merges, size_t n)
{
    unsigned log2 = 4;
    while ((size_t)1 << log2 < n * 2)
        log2++;
    *merges = (struct bpe_merges){.capacity = (size_t)1 << log2, .shift = 64 - log2};
    merges->slots = mem_resized(NULL, merges->capacity, sizeof *merges->slots);
    memset(merges->slots, 0xFF, merges->capacity * sizeof *merges->slots); // BPE_NO_RANK
}

void bpe_merges_finish(struct bpe_merges *merges)
{
    free(merges->slots);
    *merges = (struct bpe_merges){0};
}

// The slot of the pair, or the empty one where it belongs.
static inline struct bpe_merge *find_slot(const struct bpe_merges *merges, uint32_t left,
                                          uint32_t right)
{
    uint64_t pair = (uint64_t)left << 32 | right;
    size_t at = (pair * UINT64_C(0x9E3779B97F4A7C15) ^ pair) >> merges->shift;
    for (;; at = (at + 1) & (merges->capacity - 1)) {
        struct bpe_merge *slot = &merges->slots[at];
        if ((slot->left == left && slot->right == right) || slot->rank == BPE_NO_RANK)
            return slot;
    }
}

void bpe_merges_add(struct bpe_merges *merges, const struct bpe_merge *merge)
{
    *find_slot(merges, merge->left, merge->right) = *merge;
}

static size_t apply_short(const struct bpe_merges *merges, uint32_t *ids, size_t n)
{
    uint32_t ranks[SHORT_SERIES]; // of the pair that begins here
    uint32_t merged[SHORT_SERIES];
    for (size_t i = 0; i + 1 < n; i++) {
        const struct bpe_merge *slot = find_slot(merges, ids[i], ids[i + 1]);
        ranks[i] = slot->rank;
        merged[i] = slot->merged;
    }
    while (n > 1) {
        size_t best = 0;
        for (size_t i = 1; i + 1 < n; i++)
            best = ranks[i] < ranks[best] ? i : best;
        if (ranks[best] == BPE_NO_RANK)
            break;
        ids[best] = merged[best];
        n--;
        for (size_t i = best + 1; i < n; i++)
            ids[i] = ids[i + 1];
        for (size_t i = best + 1; i + 1 < n; i++) {
            ranks[i] = ranks[i + 1];
            merged[i] = merged[i + 1];
        }
        for (size_t i = best ? best - 1 : 0; i <= best && i + 1 < n; i++) {
            const struct bpe_merge *slot = find_slot(merges, ids[i], ids[i + 1]);
            ranks[i] = slot->rank;
            merged[i] = slot->merged;
        }
    }
    return n;
}

struct link {
    uint32_t previous, next; // positions; n is behind the last, UINT32_MAX before the first
    uint32_t rank, merged;   // of the pair with next
};

struct heap {
    uint64_t *keys; // rank << 32 | position: the lowest rank, then the leftmost, is on top
    size_t n;
};

static void sift_down(struct heap *heap, size_t at)
{
    uint64_t key = heap->keys[at];
    for (;;) {
        size_t child = at * 2 + 1;
        if (child >= heap->n)
            break;
        if (child + 1 < heap->n && heap->keys[child + 1] < heap->keys[child])
            child++;
        if (heap->keys[child] >= key)
            break;
        heap->keys[at] = heap->keys[child];
        at = child;
    }
    heap->keys[at] = key;
}

static uint64_t pop(struct heap *heap)
{
    uint64_t top = heap->keys[0];
    heap->keys[0] = heap->keys[--heap->n];
    if (heap->n)
        sift_down(heap, 0);
    return top;
}

static void push(struct heap *heap, uint64_t key)
{
    size_t at = heap->n++;
    while (at && heap->keys[(at - 1) / 2] > key) {
        heap->keys[at] = heap->keys[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    heap->keys[at] = key;
}

// Looks up the pair that begins at position; its heap key, or UINT64_MAX if it does not merge.
static uint64_t look_up(const struct bpe_merges *merges, const uint32_t *ids, struct link *links,
                        uint32_t position, size_t n)
{
    struct link *link = &links[position];
    link->rank = BPE_NO_RANK;
    if (link->next >= n)
        return UINT64_MAX;
    const struct bpe_merge *slot = find_slot(merges, ids[position], ids[link->next]);
    link->rank = slot->rank;
    link->merged = slot->merged;
    return slot->rank == BPE_NO_RANK ? UINT64_MAX : (uint64_t)slot->rank << 32 | position;
}

static void push_pair(struct heap *heap, uint64_t key)
{
    if (key != UINT64_MAX)
        push(heap, key);
}

static void merge_all(const struct bpe_merges *merges, uint32_t *ids, struct link *links, size_t n,
                      struct heap *heap)
{
    while (heap->n) {
        uint64_t key = pop(heap);
        uint32_t position = (uint32_t)key;
        struct link *link = &links[position];
        if (link->rank != (uint32_t)(key >> 32))
            continue; // stale: the pair has changed since
        struct link *swallowed = &links[link->next];
        ids[position] = link->merged;
        link->next = swallowed->next;
        swallowed->rank = BPE_NO_RANK;
        if (link->next < n)
            links[link->next].previous = position;
        push_pair(heap, look_up(merges, ids, links, position, n));
        if (link->previous != UINT32_MAX)
            push_pair(heap, look_up(merges, ids, links, link->previous, n));
    }
}

static size_t apply_long(const struct bpe_merges *merges, uint32_t *ids, size_t n)
{
    CHECK(n < (size_t)1 << 31);
    struct link *links = mem_resized(NULL, n, sizeof *links);
    // each merge pops one key and pushes two at most, and there are fewer than n merges
    struct heap heap = {.keys = mem_resized(NULL, 2 * n, sizeof *heap.keys)};
    for (uint32_t i = 0; i < n; i++) {
        links[i] = (struct link){.previous = i - 1, .next = i + 1};
        uint64_t key = look_up(merges, ids, links, i, n);
        if (key != UINT64_MAX)
            heap.keys[heap.n++] = key;
    }
    for (size_t i = heap.n / 2; i-- > 0;)
        sift_down(&heap, i);
    merge_all(merges, ids, links, n, &heap);
    size_t n_left = 0;
    for (size_t i = 0; i < n; i = links[i].next)
        ids[n_left++] = ids[i];
    free(heap.keys);
    free(links);
    return n_left;
}

size_t bpe_apply(const struct bpe_merges *merges, uint32_t *ids, size_t n)
{
    return n <= SHORT_SERIES ? apply_short(merges, ids, n) : apply_long(merges, ids, n);
}
