/* text/bpe.h - byte-pair encoding on ids: which pairs merge, and merging a series of them.
 * Part of the tokenizer. Thread: a filled table is read-only. */
#ifndef GEMMAD_TEXT_BPE_H
#define GEMMAD_TEXT_BPE_H

#include <stddef.h>
#include <stdint.h>

#define BPE_NO_RANK UINT32_MAX

struct bpe_merge {
    uint32_t left, right; /* ids that stand side by side */
    uint32_t rank;        /* lower merges first; BPE_NO_RANK: an empty slot */
    uint32_t merged;      /* the id that takes their place */
};

struct bpe_merges {
    struct bpe_merge *slots; /* [capacity], open addressing */
    size_t capacity;         /* a power of two, at least twice the merges */
    unsigned shift;          /* 64 - log2(capacity) */
};

void bpe_merges_init(struct bpe_merges *merges, size_t n);
void bpe_merges_finish(struct bpe_merges *merges);
/* Of a pair that is added twice the last rank counts, as in the reference implementation. */
void bpe_merges_add(struct bpe_merges *merges, const struct bpe_merge *merge);

/* Merges ids[0..n) in place, always the pair of lowest rank, the leftmost on a tie; returns how
 * many ids are left. n is below 2^31. O(n log n). */
size_t bpe_apply(const struct bpe_merges *merges, uint32_t *ids, size_t n);

#endif
