/* text/grammar/expression.h - regular expressions over bytes, matched by derivatives.
 *
 * An expression is an id in a pool; equal expressions have equal ids, so a state of a match is an
 * expression too: what may still follow. The derivative by a byte is the state behind that byte;
 * it is made when first asked for and kept. Counted repeats, intersection and complement are
 * therefore as cheap as the states that a match really visits. (Brzozowski, 1964.)
 * Limits: a pool that would hold more than max_expressions, or an expression that is nested too
 * deep, has overflowed: functions then return EXPRESSION_NOTHING, and the pool says so.
 * Thread: one at a time. */
#ifndef GEMMAD_TEXT_GRAMMAR_EXPRESSION_H
#define GEMMAD_TEXT_GRAMMAR_EXPRESSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct expression_pool;

#define EXPRESSION_NOTHING 0U /* matches no text */
#define EXPRESSION_EMPTY 1U   /* matches the empty text alone */
#define EXPRESSION_UNLIMITED UINT32_MAX

struct byte_set {
    uint64_t bits[4];
};

/* Both ends belong to it; at most 0x10FFFF. Surrogates in it are skipped. */
struct code_point_range {
    uint32_t first, last;
};

struct expression_pool *expression_pool_create(uint32_t max_expressions); /* 0: 1 << 18 */
void expression_pool_destroy(struct expression_pool *pool);
bool expression_pool_overflowed(const struct expression_pool *pool);

uint32_t expression_bytes(struct expression_pool *pool, const struct byte_set *set);
uint32_t expression_text(struct expression_pool *pool, const char *bytes, size_t n);
/* One code point of the ranges, as UTF-8. */
uint32_t expression_code_points(struct expression_pool *pool, const struct code_point_range *ranges,
                                size_t n);
uint32_t expression_concat(struct expression_pool *pool, uint32_t first, uint32_t second);
uint32_t expression_any_of(struct expression_pool *pool, const uint32_t *expressions, size_t n);
uint32_t expression_repeat(struct expression_pool *pool, uint32_t expression, uint32_t min,
                           uint32_t max);
uint32_t expression_both(struct expression_pool *pool, uint32_t first, uint32_t second);
uint32_t expression_not(struct expression_pool *pool, uint32_t expression);
/* Decimal digits, at least one, whose value leaves remainder 0 when divided by divisor >= 1. */
uint32_t expression_multiple_of(struct expression_pool *pool, uint32_t divisor);

/* What may follow once byte was matched. */
uint32_t expression_derive(struct expression_pool *pool, uint32_t expression, uint8_t byte);
/* Does it match the empty text: may a match end here? */
bool expression_is_nullable(const struct expression_pool *pool, uint32_t expression);
/* Does it match nothing at all? True for EXPRESSION_NOTHING; complements and intersections that
 * match nothing without being that id are found by search, within a bound on the states (beyond it
 * the answer is false). */
bool expression_is_nothing(struct expression_pool *pool, uint32_t expression);

#endif
