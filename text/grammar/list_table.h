/* text/grammar/list_table.h - lists of numbers with one id for equal lists, from 0 up.
 *
 * Owns its memory. Thread: one at a time. */
#ifndef GEMMAD_TEXT_GRAMMAR_LIST_TABLE_H
#define GEMMAD_TEXT_GRAMMAR_LIST_TABLE_H

#include <stddef.h>
#include <stdint.h>

struct list_table {
    uint32_t *words;
    size_t n_words, words_capacity;
    size_t *ends; /* [n] where list i ends in words */
    size_t n, ends_capacity;
    uint32_t *table; /* open addressing, ids + 1; the size is a power of two */
    size_t table_size;
};

void list_table_finish(struct list_table *lists);
/* list is no part of the table. */
uint32_t list_table_intern(struct list_table *lists, const uint32_t *list, size_t n);
/* Valid until the next intern. */
const uint32_t *list_table_get(const struct list_table *lists, uint32_t id, size_t *out_n);
size_t list_table_n_bytes(const struct list_table *lists);

#endif
