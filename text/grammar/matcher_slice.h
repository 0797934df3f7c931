/* text/grammar/matcher_slice.h - whether a state allows a whole slice of the vocabulary
 * (vocabulary_tables.h), found from the form of its expressions without walking through tokens. */
#ifndef GEMMAD_TEXT_GRAMMAR_MATCHER_SLICE_H
#define GEMMAD_TEXT_GRAMMAR_MATCHER_SLICE_H

#include "text/grammar/grammar_states.h"
#include "text/grammar/vocabulary_tables.h"

#define N_COVERS 64
#define N_RECENT 64

/* What was found out about one grammar's expressions. All zero at first. */
struct slice_finder {
    uint32_t characters[N_SLICES]; /* one character of the slice; 0: not made yet */
    struct {
        uint32_t expression;
        uint8_t asked, yes; /* bits by slice: is each of its characters a whole match? */
    } covers[N_COVERS];
    uint32_t n_covers;
    struct {
        uint32_t state; /* 0: no entry */
        uint8_t kind, n;
    } recent[N_RECENT]; /* answers, by state modulo N_RECENT; n = 0: nothing is known */
};

/* True: of the slice *out_kind, the state allows exactly the tokens of at most *out_n characters
 * (SLICE_MAX_CHARS: all of them). False: nothing is known. */
bool slice_find(struct slice_finder *finder, struct grammar_states *states, uint32_t state,
                enum slice_kind *out_kind, uint32_t *out_n);
/* matcher_explore.c: the same for one slice by trying its characters: at most so many of them, 0:
 * nothing is known. character: one of the slice. */
uint32_t slice_explore(struct grammar_states *states, uint32_t state, uint32_t character);

#endif
