/* engine/sequence_heap.h - a binary heap of sequences in which each knows its place, so that any
 * one can be taken out. Owns no sequence. Thread: the engine thread. */
#ifndef GEMMAD_ENGINE_SEQUENCE_HEAP_H
#define GEMMAD_ENGINE_SEQUENCE_HEAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct sequence;

/* True when a comes out before b. */
typedef bool sequence_before_fn(const struct sequence *a, const struct sequence *b);

struct sequence_heap {
    sequence_before_fn *before;
    size_t place_offset; /* of the size_t in struct sequence where its place + 1 is kept; 0: none */
    struct sequence **items; /* [n] */
    size_t n;
    size_t capacity;
};

void sequence_heap_init(struct sequence_heap *heap, sequence_before_fn *before,
                        size_t place_offset);
void sequence_heap_finish(struct sequence_heap *heap);
struct sequence *sequence_heap_first(const struct sequence_heap *heap); /* or NULL */
void sequence_heap_push(struct sequence_heap *heap, struct sequence *sequence);
/* Nothing happens if it is not in the heap. */
void sequence_heap_remove(struct sequence_heap *heap, struct sequence *sequence);

#endif
