/* engine/sequence_heap.c - O(log n) for every change; grows by doubling and never shrinks. */
#include "engine/sequence_heap.h"

#include <stdlib.h>

#include "base/mem.h"

void sequence_heap_init(struct sequence_heap *heap, sequence_before_fn *before, size_t place_offset)
{
    *heap = (struct sequence_heap){.before = before, .place_offset = place_offset};
}

void sequence_heap_finish(struct sequence_heap *heap)
{
    free(heap->items);
    *heap = (struct sequence_heap){0};
}

struct sequence *sequence_heap_first(const struct sequence_heap *heap)
{
    return heap->n > 0 ? heap->items[0] : NULL;
}

static size_t *place_of(const struct sequence_heap *heap, struct sequence *sequence)
{
    return (size_t *)((char *)sequence + heap->place_offset);
}

static void put(struct sequence_heap *heap, size_t at, struct sequence *sequence)
{
    heap->items[at] = sequence;
    *place_of(heap, sequence) = at + 1;
}

static void rise(struct sequence_heap *heap, size_t at, struct sequence *sequence)
{
    while (at > 0 && heap->before(sequence, heap->items[(at - 1) / 2])) {
        put(heap, at, heap->items[(at - 1) / 2]);
        at = (at - 1) / 2;
    }
    put(heap, at, sequence);
}

static void sink(struct sequence_heap *heap, size_t at, struct sequence *sequence)
{
    for (;;) {
        size_t child = 2 * at + 1;
        if (child + 1 < heap->n && heap->before(heap->items[child + 1], heap->items[child]))
            child++;
        if (child >= heap->n || !heap->before(heap->items[child], sequence))
            break;
        put(heap, at, heap->items[child]);
        at = child;
    }
    put(heap, at, sequence);
}

void sequence_heap_push(struct sequence_heap *heap, struct sequence *sequence)
{
    CHECK(*place_of(heap, sequence) == 0);
    mem_reserve(&heap->items, &heap->capacity, heap->n + 1, sizeof(struct sequence *));
    rise(heap, heap->n++, sequence);
}

void sequence_heap_remove(struct sequence_heap *heap, struct sequence *sequence)
{
    size_t place = *place_of(heap, sequence);
    if (place == 0)
        return;
    *place_of(heap, sequence) = 0;
    struct sequence *last = heap->items[--heap->n];
    if (last == sequence)
        return;
    size_t at = place - 1;
    if (at > 0 && heap->before(last, heap->items[(at - 1) / 2]))
        rise(heap, at, last);
    else
        sink(heap, at, last);
}
