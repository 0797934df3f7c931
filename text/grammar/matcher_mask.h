/* text/grammar/matcher_mask.h - the masks of a grammar's states, kept once made. For matcher.c.
 *
 * Thread: that of the grammar's states. */
#ifndef GEMMAD_TEXT_GRAMMAR_MATCHER_MASK_H
#define GEMMAD_TEXT_GRAMMAR_MATCHER_MASK_H

#include "text/grammar/grammar_states.h"
#include "text/grammar/vocabulary.h"

struct mask_table;

struct mask_table *mask_table_create(struct grammar_states *states,
                                     const struct vocabulary *vocabulary);
void mask_table_destroy(struct mask_table *table);         /* NULL is fine */
size_t mask_table_n_bytes(const struct mask_table *table); /* NULL: 0 */
/* State numbers have changed: forgets all masks. */
void mask_table_clear(struct mask_table *table);
/* As matcher_mask. *out_lost: a token was left out because the match would become too ambiguous. */
uint32_t mask_table_write(struct mask_table *table, uint32_t state, uint32_t *bits, bool *out_lost);

#endif
