/* text/grammar/regex_part.h - a part of a pattern: the texts it matches, by what surrounds it.
 *
 * Anchors are no texts but conditions on what surrounds them. So a part has four languages: the
 * texts it matches where nothing (or something) is before and behind it. They only grow when
 * nothing is there, which keeps the rules for sequences and repeats short. A part without anchors
 * has four times the same expression and costs nothing extra. Thread: the pool's. */
#ifndef GEMMAD_TEXT_GRAMMAR_REGEX_PART_H
#define GEMMAD_TEXT_GRAMMAR_REGEX_PART_H

#include "text/grammar/expression.h"

struct regex_part {
    uint32_t in[2][2]; /* [nothing stands before][nothing stands behind] */
};

struct regex_part regex_part_plain(uint32_t expression);
struct regex_part regex_part_start(void); /* ^ */
struct regex_part regex_part_end(void);   /* $ */
/* *n_unions counts the joins that an anchor turns into alternatives; such a sequence grows with the
 * square of them. */
struct regex_part regex_part_join(struct expression_pool *pool, struct regex_part first,
                                  struct regex_part second, uint32_t *n_unions);
struct regex_part regex_part_repeat(struct expression_pool *pool, struct regex_part part,
                                    uint32_t min, uint32_t max);

#endif
