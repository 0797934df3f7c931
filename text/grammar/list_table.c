/* text/grammar/list_table.c - lists stand one behind the other and never move within words. */
#include "text/grammar/list_table.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

void list_table_finish(struct list_table *lists)
{
    free(lists->words);
    free(lists->ends);
    free(lists->table);
    *lists = (struct list_table){0};
}

static size_t hash(const uint32_t *list, size_t n)
{
    uint64_t hash = n;
    for (size_t i = 0; i < n; i++) {
        hash = (hash ^ list[i]) * UINT64_C(0x9E3779B97F4A7C15);
        hash ^= hash >> 29;
    }
    return (size_t)(hash ^ hash >> 32);
}

const uint32_t *list_table_get(const struct list_table *lists, uint32_t id, size_t *out_n)
{
    size_t from = id > 0 ? lists->ends[id - 1] : 0;
    *out_n = lists->ends[id] - from;
    return lists->words + from;
}

static void grow(struct list_table *lists)
{
    size_t size = lists->table_size ? lists->table_size * 2 : 64;
    free(lists->table);
    lists->table = mem_zeroed(size, sizeof *lists->table);
    lists->table_size = size;
    for (uint32_t id = 0; id < lists->n; id++) {
        size_t n;
        const uint32_t *list = list_table_get(lists, id, &n);
        size_t at = hash(list, n) & (size - 1);
        while (lists->table[at])
            at = (at + 1) & (size - 1);
        lists->table[at] = id + 1;
    }
}

uint32_t list_table_intern(struct list_table *lists, const uint32_t *list, size_t n)
{
    if (lists->n * 2 >= lists->table_size)
        grow(lists);
    size_t mask = lists->table_size - 1, at = hash(list, n) & mask;
    for (; lists->table[at]; at = (at + 1) & mask) {
        size_t n_there;
        const uint32_t *there = list_table_get(lists, lists->table[at] - 1, &n_there);
        if (n_there == n && (n == 0 || memcmp(there, list, n * sizeof *list) == 0))
            return lists->table[at] - 1;
    }
    mem_reserve(&lists->words, &lists->words_capacity, lists->n_words + n + 1,
                sizeof *lists->words);
    mem_reserve(&lists->ends, &lists->ends_capacity, lists->n + 1, sizeof *lists->ends);
    if (n > 0)
        memcpy(lists->words + lists->n_words, list, n * sizeof *list);
    lists->n_words += n;
    lists->ends[lists->n] = lists->n_words;
    lists->table[at] = (uint32_t)++lists->n;
    return (uint32_t)lists->n - 1;
}

size_t list_table_n_bytes(const struct list_table *lists)
{
    return lists->words_capacity * sizeof *lists->words +
           lists->ends_capacity * sizeof *lists->ends + lists->table_size * sizeof *lists->table;
}
