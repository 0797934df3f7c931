/* base/mem.c - allocation that does not fail: with no memory left, the process ends and its
 * supervisor decides. */
#include "base/mem.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static size_t checked_bytes(size_t n, size_t size)
{
    size_t bytes;
    CHECK(!__builtin_mul_overflow(n, size, &bytes));
    return bytes ? bytes : 1;
}

static void *checked_pointer(void *pointer, size_t bytes)
{
    if (!pointer) {
        fprintf(stderr, "out of host memory (asked for %zu bytes)\n", bytes);
        abort();
    }
    return pointer;
}

void *mem_zeroed(size_t n, size_t size)
{
    size_t bytes = checked_bytes(n, size);
    return checked_pointer(calloc(1, bytes), bytes);
}

void *mem_resized(void *array, size_t n, size_t size)
{
    size_t bytes = checked_bytes(n, size);
    return checked_pointer(realloc(array, bytes), bytes);
}

char *mem_copy(const void *bytes, size_t n)
{
    char *copy = mem_zeroed(n + 1, 1);
    if (n)
        memcpy(copy, bytes, n);
    return copy;
}

char *mem_strdup(const char *text)
{
    return mem_copy(text, strlen(text));
}

void mem_reserve(void *array_pointer, size_t *capacity, size_t needed, size_t size)
{
    if (needed <= *capacity)
        return;
    size_t grown = *capacity < 8 ? 8 : *capacity * 2;
    if (grown < needed)
        grown = needed;
    void *array;
    memcpy(&array, array_pointer, sizeof array); // any object pointer has this representation here
    array = mem_resized(array, grown, size);
    memcpy(array_pointer, &array, sizeof array);
    *capacity = grown;
}
