/* text/grammar/regex_part.c - how parts with anchors are put together.
 *
 * What surrounds a part is known: nothing before (start) or something, nothing behind (end) or
 * something. Two parts in a row surround each other, unless one of them is empty. */
#include "text/grammar/regex_part.h"

struct regex_part regex_part_plain(uint32_t expression)
{
    return (struct regex_part){{{expression, expression}, {expression, expression}}};
}

static bool is_plain(const struct regex_part *part)
{
    return part->in[0][0] == part->in[0][1] && part->in[0][0] == part->in[1][0] &&
           part->in[0][0] == part->in[1][1];
}

// first before second, where what surrounds both is known: something is behind first, or second is
// empty there; and the same the other way round.
static uint32_t join_in(struct expression_pool *pool, const struct regex_part *first,
                        const struct regex_part *second, int start, int end, uint32_t *n_unions)
{
    uint32_t left = first->in[start][0], right = second->in[0][end];
    uint32_t left_alone = first->in[start][end], right_alone = second->in[start][end];
    uint32_t alternatives[4] = {expression_concat(pool, left, right)};
    size_t n = 1;
    if (right_alone != right && expression_is_nullable(pool, left))
        alternatives[n++] = right_alone;
    if (left_alone != left && expression_is_nullable(pool, right))
        alternatives[n++] = left_alone;
    if (expression_is_nullable(pool, left_alone) && expression_is_nullable(pool, right_alone))
        alternatives[n++] = EXPRESSION_EMPTY;
    *n_unions += n > 1;
    return n == 1 ? alternatives[0] : expression_any_of(pool, alternatives, n);
}

struct regex_part regex_part_join(struct expression_pool *pool, struct regex_part first,
                                  struct regex_part second, uint32_t *n_unions)
{
    if (is_plain(&first) && is_plain(&second))
        return regex_part_plain(expression_concat(pool, first.in[0][0], second.in[0][0]));
    struct regex_part out;
    for (int i = 0; i < 4; i++)
        out.in[i / 2][i % 2] = join_in(pool, &first, &second, i / 2, i % 2, n_unions);
    return out;
}

// A turn that is empty, in any place where it may be, can stand for all turns that are missing.
static uint32_t repeat_in(struct expression_pool *pool, const struct regex_part *part, uint32_t min,
                          uint32_t max, int start, int end)
{
    uint32_t alternatives[3];
    size_t n = 0;
    uint32_t once = part->in[start][end], first = part->in[start][0], last = part->in[0][end];
    if (min == 0 || expression_is_nullable(pool, once))
        alternatives[n++] = EXPRESSION_EMPTY;
    if (min > 1 && (expression_is_nullable(pool, first) || expression_is_nullable(pool, last)))
        min = 1;
    if (min <= 1 && max >= 1)
        alternatives[n++] = once;
    if (max >= 2) {
        uint32_t between = expression_repeat(pool, part->in[0][0], min > 2 ? min - 2 : 0,
                                             max == EXPRESSION_UNLIMITED ? EXPRESSION_UNLIMITED
                                                                         : max - 2);
        alternatives[n++] = expression_concat(pool, first, expression_concat(pool, between, last));
    }
    return expression_any_of(pool, alternatives, n);
}

struct regex_part regex_part_repeat(struct expression_pool *pool, struct regex_part part,
                                    uint32_t min, uint32_t max)
{
    if (is_plain(&part))
        return regex_part_plain(expression_repeat(pool, part.in[0][0], min, max));
    struct regex_part out;
    for (int i = 0; i < 4; i++)
        out.in[i / 2][i % 2] = repeat_in(pool, &part, min, max, i / 2, i % 2);
    return out;
}

struct regex_part regex_part_start(void)
{
    return (struct regex_part){
        {{EXPRESSION_NOTHING, EXPRESSION_NOTHING}, {EXPRESSION_EMPTY, EXPRESSION_EMPTY}}};
}

struct regex_part regex_part_end(void)
{
    return (struct regex_part){
        {{EXPRESSION_NOTHING, EXPRESSION_EMPTY}, {EXPRESSION_NOTHING, EXPRESSION_EMPTY}}};
}
