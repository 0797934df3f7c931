/* text/grammar/regex_class.h - sets of code points: what a character class of a pattern becomes.
 *
 * Thread: a set has one owner. */
#ifndef GEMMAD_TEXT_GRAMMAR_REGEX_CLASS_H
#define GEMMAD_TEXT_GRAMMAR_REGEX_CLASS_H

#include "text/grammar/expression.h"

/* Zero-initialised: the empty set. */
struct code_point_set {
    struct code_point_range *ranges; /* [n] in order of arrival until code_point_set_sort */
    size_t n, capacity;
};

void code_point_set_finish(struct code_point_set *set);
/* Surrogates are skipped. */
void code_point_set_add(struct code_point_set *set, uint32_t first, uint32_t last);
/* Adds numbers that are not code points: UTF-16 code units, surrogates too. */
void code_point_set_add_units(struct code_point_set *set, uint32_t first, uint32_t last);
void code_point_set_add_all(struct code_point_set *set, const struct code_point_range *ranges,
                            size_t n);
/* Puts ranges in order and joins those that touch or overlap. The functions below want that, and
 * leave it so. */
void code_point_set_sort(struct code_point_set *set);
void code_point_set_negate(struct code_point_set *set);
/* Adds the other case of everything below U+0590: Latin, Greek, Cyrillic, Armenian. Returns how
 * many code points it looked at. */
size_t code_point_set_fold(struct code_point_set *set);
bool code_point_set_has(const struct code_point_set *set, uint32_t code_point);
/* How much of [first, last] belongs to it. */
enum code_point_overlap { CODE_POINT_NONE, CODE_POINT_SOME, CODE_POINT_ALL };
enum code_point_overlap code_point_set_overlap(const struct code_point_set *set, uint32_t first,
                                               uint32_t last);
/* Adds to out, as units from to on, what of the set is in [first, last]. */
void code_point_set_cut(const struct code_point_set *set, uint32_t first, uint32_t last,
                        uint32_t to, struct code_point_set *out);

/* Adds what \d, \w, \s stand for (letter is d, w or s). */
void code_point_set_add_escape(struct code_point_set *set, char letter);
/* Adds a general category of Unicode: "Lu", "L", "LC". False: there is none of that name. */
bool code_point_set_add_category(struct code_point_set *set, const char *name, size_t n);
/* Adds a class of POSIX ("alpha"), in ASCII. False: there is none of that name. */
bool code_point_set_add_posix(struct code_point_set *set, const char *name, size_t n);

#endif
