/* text/grammar/expression.c - making expressions: whatever two expressions can be seen to be equal
 * gets one id, because each id is a state of a match. Alternatives are flattened, sorted, and
 * factored (ab|ac = a(b|c), ax|bx = [ab]x), so that a list of texts becomes a tree of its prefixes
 * and a derivative does not look at more than the alternatives that begin with the byte.
 * Invariant: only a BOTH or a NOT can match nothing without being EXPRESSION_NOTHING; the makers
 * of all other kinds ask (expression_checked) before they take one in. */
#include "text/grammar/expression_tables.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

#define MAX_FACTOR_DEPTH 64 /* deeper common beginnings are factored when a match comes there */

bool expression_is_nullable(const struct expression_pool *pool, uint32_t expression)
{
    return pool->nodes[expression].flags & FLAG_NULLABLE;
}

uint32_t expression_bytes(struct expression_pool *pool, const struct byte_set *set)
{
    if (byte_set_is_empty(set))
        return EXPRESSION_NOTHING;
    return expression_intern(
        pool, (struct expression){.kind = KIND_BYTES, .a = expression_intern_set(pool, set)});
}

uint32_t expression_text(struct expression_pool *pool, const char *bytes, size_t n)
{
    uint32_t text = EXPRESSION_EMPTY;
    while (n-- > 0) {
        struct byte_set set = {{0}};
        byte_set_add(&set, (uint8_t)bytes[n]);
        text = expression_concat(pool, expression_bytes(pool, &set), text);
    }
    return text;
}

static uint32_t add_counts(uint32_t x, uint32_t y)
{
    return x > EXPRESSION_UNLIMITED - y ? EXPRESSION_UNLIMITED : x + y;
}

// first is no CONCAT. x{a,b}x{c,d} = x{a+c,b+d}: else each text had many ways through both.
static uint32_t concat_one(struct expression_pool *pool, uint32_t first, uint32_t second)
{
    if (second == EXPRESSION_EMPTY)
        return first;
    struct expression x = pool->nodes[first], y = pool->nodes[second];
    uint32_t rest = EXPRESSION_EMPTY;
    if (x.kind == KIND_REPEAT && y.kind == KIND_CONCAT) {
        rest = y.b;
        y = pool->nodes[y.a];
    }
    if (x.kind == KIND_REPEAT && y.kind == KIND_REPEAT && x.a == y.a &&
        add_counts(x.min, y.min) != EXPRESSION_UNLIMITED) {
        uint32_t both = expression_repeat(pool, x.a, add_counts(x.min, y.min),
                                          add_counts(x.max, y.max));
        return expression_concat(pool, both, rest);
    }
    return expression_intern(pool,
                             (struct expression){.kind = KIND_CONCAT, .a = first, .b = second});
}

uint32_t expression_concat(struct expression_pool *pool, uint32_t first, uint32_t second)
{
    first = expression_checked(pool, first);
    second = expression_checked(pool, second);
    if (first == EXPRESSION_NOTHING || second == EXPRESSION_NOTHING)
        return EXPRESSION_NOTHING;
    if (first == EXPRESSION_EMPTY)
        return second;
    if (second == EXPRESSION_EMPTY)
        return first; // as it is: a chain grows in front, one part at a time
    size_t from = pool->n_scratch;
    for (; pool->nodes[first].kind == KIND_CONCAT; first = pool->nodes[first].b)
        expression_scratch_push(pool, pool->nodes[first].a);
    uint32_t result = concat_one(pool, first, second);
    while (pool->n_scratch > from)
        result = concat_one(pool, pool->scratch[--pool->n_scratch], result);
    return pool->overflowed ? EXPRESSION_NOTHING : result;
}

void expression_scratch_push(struct expression_pool *pool, uint32_t expression)
{
    mem_reserve(&pool->scratch, &pool->scratch_capacity, pool->n_scratch + 1,
                sizeof *pool->scratch);
    pool->scratch[pool->n_scratch++] = expression;
}

// An alternative, cut behind its first part.
struct alternative {
    uint32_t head, tail;
};

static int by_head(const void *x, const void *y)
{
    const struct alternative *a = x, *b = y;
    if (a->head != b->head)
        return a->head < b->head ? -1 : 1;
    return (a->tail > b->tail) - (a->tail < b->tail);
}

static int by_tail(const void *x, const void *y)
{
    const struct alternative *a = x, *b = y;
    if (a->tail != b->tail)
        return a->tail < b->tail ? -1 : 1;
    return (a->head > b->head) - (a->head < b->head);
}

static int by_id(const void *x, const void *y)
{
    uint32_t a = *(const uint32_t *)x, b = *(const uint32_t *)y;
    return (a > b) - (a < b);
}

static uint32_t any_of(struct expression_pool *pool, size_t from, int depth);

// ab|ac = a(b|c). Returns the new number.
static size_t merge_heads(struct expression_pool *pool, struct alternative *all, size_t n,
                          int depth)
{
    qsort(all, n, sizeof *all, by_head);
    size_t n_out = 0;
    for (size_t i = 0, end; i < n; i = end) {
        size_t from = pool->n_scratch;
        for (end = i; end < n && all[end].head == all[i].head; end++)
            expression_scratch_push(pool, all[end].tail);
        uint32_t tail = all[i].tail;
        if (end - i > 1)
            tail = any_of(pool, from, depth + 1);
        pool->n_scratch = from;
        all[n_out++] = (struct alternative){all[i].head, tail};
    }
    return n_out;
}

// Can the two heads be one? Byte sets: their union. Counts of one thing: where they touch.
static uint32_t united_heads(struct expression_pool *pool, uint32_t x, uint32_t y)
{
    struct expression a = pool->nodes[x], b = pool->nodes[y];
    if (a.kind == KIND_BYTES && b.kind == KIND_BYTES) {
        struct byte_set set = pool->sets[a.a];
        byte_set_unite(&set, &pool->sets[b.a]);
        return expression_bytes(pool, &set);
    }
    if (a.kind != KIND_REPEAT || b.kind != KIND_REPEAT || a.a != b.a ||
        a.min > add_counts(b.max, 1) || b.min > add_counts(a.max, 1))
        return EXPRESSION_NOTHING;
    return expression_repeat(pool, a.a, a.min < b.min ? a.min : b.min,
                             a.max > b.max ? a.max : b.max);
}

// ax|bx = [ab]x.
static size_t merge_tails(struct expression_pool *pool, struct alternative *all, size_t n)
{
    qsort(all, n, sizeof *all, by_tail);
    size_t n_out = 0;
    for (size_t i = 0, first_of_tail = 0; i < n; i++) {
        if (i == 0 || all[i].tail != all[i - 1].tail)
            first_of_tail = n_out;
        struct alternative next = all[i];
        size_t at = first_of_tail;
        for (; at < n_out; at++) {
            uint32_t head = united_heads(pool, all[at].head, next.head);
            if (head != EXPRESSION_NOTHING) {
                all[at].head = head;
                break;
            }
            if (at - first_of_tail > 8) { // many heads with one tail: not worth the search
                at = n_out;
                break;
            }
        }
        if (at == n_out)
            all[n_out++] = next;
    }
    return n_out;
}

// Flattens scratch[from..] into alternatives [*out_n]; tells whether the empty text is one.
static struct alternative *cut_alternatives(struct expression_pool *pool, size_t from,
                                            size_t *out_n, bool *out_empty)
{
    size_t n = 0;
    for (size_t i = from; i < pool->n_scratch; i++) {
        const struct expression *part = &pool->nodes[pool->scratch[i]];
        n += part->kind == KIND_ANY_OF ? part->b : 1;
    }
    struct alternative *all = mem_zeroed(n, sizeof *all);
    n = 0;
    for (size_t i = from; i < pool->n_scratch; i++) {
        const uint32_t *ids = &pool->scratch[i];
        const struct expression *part = &pool->nodes[*ids];
        uint32_t n_ids = 1;
        if (part->kind == KIND_ANY_OF) {
            ids = pool->lists + part->a;
            n_ids = part->b;
        }
        for (uint32_t k = 0; k < n_ids; k++) {
            const struct expression *node = &pool->nodes[ids[k]];
            *out_empty |= node->kind == KIND_EMPTY;
            if (node->kind == KIND_CONCAT)
                all[n++] = (struct alternative){node->a, node->b};
            else if (node->kind != KIND_EMPTY && node->kind != KIND_NOTHING)
                all[n++] = (struct alternative){ids[k], EXPRESSION_EMPTY};
        }
    }
    *out_n = n;
    return all;
}

static bool is_universal(const struct expression_pool *pool, uint32_t expression)
{
    const struct expression *node = &pool->nodes[expression];
    return node->kind == KIND_NOT && node->a == EXPRESSION_NOTHING;
}

// Puts the empty text into one of the alternatives if it can hold it: x{1,n} becomes x{0,n}.
static bool hide_empty(struct expression_pool *pool, struct alternative *all, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        struct expression head = pool->nodes[all[i].head];
        if ((head.flags & FLAG_NULLABLE) && expression_is_nullable(pool, all[i].tail))
            return true;
        if (head.kind == KIND_REPEAT && head.min == 1 && all[i].tail == EXPRESSION_EMPTY) {
            all[i].head = expression_repeat(pool, head.a, 0, head.max);
            return true;
        }
    }
    return false;
}

static uint32_t intern_list(struct expression_pool *pool, uint32_t *ids, size_t n)
{
    qsort(ids, n, sizeof *ids, by_id);
    size_t n_out = 0;
    for (size_t i = 0; i < n; i++) {
        if (is_universal(pool, ids[i]))
            return ids[i];
        if (ids[i] != EXPRESSION_NOTHING && (n_out == 0 || ids[n_out - 1] != ids[i]))
            ids[n_out++] = ids[i];
    }
    if (n_out < 2)
        return n_out ? ids[0] : EXPRESSION_NOTHING;
    mem_reserve(&pool->lists, &pool->lists_capacity, pool->n_lists + n_out, sizeof *pool->lists);
    memcpy(pool->lists + pool->n_lists, ids, n_out * sizeof *ids);
    struct expression node = {
        .kind = KIND_ANY_OF, .a = (uint32_t)pool->n_lists, .b = (uint32_t)n_out};
    pool->n_lists += n_out;
    return expression_intern(pool, node);
}

static uint32_t any_of(struct expression_pool *pool, size_t from, int depth)
{
    if (pool->n_scratch == from + 1) {
        pool->n_scratch = from;
        return pool->scratch[from];
    }
    size_t n = 0;
    bool empty = false;
    struct alternative *all = cut_alternatives(pool, from, &n, &empty);
    pool->n_scratch = from;
    if (depth < MAX_FACTOR_DEPTH) {
        n = merge_heads(pool, all, n, depth);
        n = merge_tails(pool, all, n);
    }
    if (empty && hide_empty(pool, all, n))
        empty = false;
    uint32_t *ids = mem_zeroed(n + 1, sizeof *ids);
    for (size_t i = 0; i < n; i++)
        ids[i] = expression_concat(pool, all[i].head, all[i].tail);
    if (empty)
        ids[n++] = EXPRESSION_EMPTY;
    uint32_t result = intern_list(pool, ids, n);
    free(all);
    free(ids);
    return result;
}

uint32_t expression_any_of_scratch(struct expression_pool *pool, size_t from)
{
    for (size_t i = from; i < pool->n_scratch; i++) {
        uint32_t checked = expression_checked(pool, pool->scratch[i]);
        pool->scratch[i] = checked;
    }
    if (pool->n_scratch == from)
        return EXPRESSION_NOTHING;
    return any_of(pool, from, 0);
}

uint32_t expression_any_of(struct expression_pool *pool, const uint32_t *expressions, size_t n)
{
    size_t from = pool->n_scratch;
    for (size_t i = 0; i < n; i++)
        expression_scratch_push(pool, expressions[i]);
    return expression_any_of_scratch(pool, from);
}

uint32_t expression_repeat(struct expression_pool *pool, uint32_t expression, uint32_t min,
                           uint32_t max)
{
    expression = expression_checked(pool, expression);
    struct expression body = pool->nodes[expression];
    if (min > max)
        return EXPRESSION_NOTHING;
    if (max == 0 || expression == EXPRESSION_EMPTY)
        return EXPRESSION_EMPTY;
    if (expression == EXPRESSION_NOTHING)
        return min == 0 ? EXPRESSION_EMPTY : EXPRESSION_NOTHING;
    if (body.flags & FLAG_NULLABLE)
        min = 0;
    if (max == 1 && (min == 1 || (body.flags & FLAG_NULLABLE)))
        return expression;
    if (max == 1)
        return expression_any_of(pool, (uint32_t[]){EXPRESSION_EMPTY, expression}, 2);
    if (body.kind == KIND_REPEAT && body.max == EXPRESSION_UNLIMITED && body.min == 0)
        return expression;
    if (body.kind == KIND_REPEAT && max == EXPRESSION_UNLIMITED && body.min <= 1)
        return expression_repeat(pool, body.a, min, max); // body.min is 0 only if min is
    return expression_intern(
        pool, (struct expression){.kind = KIND_REPEAT, .a = expression, .min = min, .max = max});
}

uint32_t expression_both(struct expression_pool *pool, uint32_t first, uint32_t second)
{
    if (first > second) {
        uint32_t swap = first;
        first = second;
        second = swap;
    }
    if (first == EXPRESSION_NOTHING || pool->overflowed)
        return EXPRESSION_NOTHING;
    if (first == EXPRESSION_EMPTY)
        return expression_is_nullable(pool, second) ? EXPRESSION_EMPTY : EXPRESSION_NOTHING;
    if (first == second || is_universal(pool, second))
        return first;
    if (is_universal(pool, first))
        return second;
    const struct expression *a = &pool->nodes[first], *b = &pool->nodes[second];
    if (a->kind == KIND_BYTES && b->kind == KIND_BYTES) {
        struct byte_set set = pool->sets[a->a];
        byte_set_keep(&set, &pool->sets[b->a]);
        return expression_bytes(pool, &set);
    }
    return expression_intern(pool, (struct expression){.kind = KIND_BOTH, .a = first, .b = second});
}

uint32_t expression_not(struct expression_pool *pool, uint32_t expression)
{
    expression = expression_checked(pool, expression);
    if (pool->nodes[expression].kind == KIND_NOT)
        return pool->nodes[expression].a;
    return expression_intern(pool, (struct expression){.kind = KIND_NOT, .a = expression});
}

uint32_t expression_multiple_of_from(struct expression_pool *pool, uint32_t divisor,
                                     uint32_t remainder, bool is_first)
{
    return expression_intern(
        pool, (struct expression){
                  .kind = KIND_MULTIPLE_OF, .a = divisor, .b = remainder, .min = is_first});
}

uint32_t expression_multiple_of(struct expression_pool *pool, uint32_t divisor)
{
    return expression_multiple_of_from(pool, divisor ? divisor : 1, 0, true);
}
