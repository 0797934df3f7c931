/* text/grammar/matcher_slice.c - a string's contents are a repeat of characters, or such a repeat
 * without some keys: that much is seen from the expression. Each rule below is a proof that each
 * text of the slice's characters, up to a length, can go on, and that longer ones cannot. */
#include "text/grammar/matcher_slice.h"

#include <string.h>

#include "text/grammar/expression_tables.h"

#define MAX_NESTED 8 /* expressions looked into; what is deeper is walked */

// Does each character lead from expression to target?
static bool all_lead_to(struct expression_pool *pool, uint32_t expression, uint32_t characters,
                        uint32_t target)
{
    struct byte_set left = *expression_first(pool, characters);
    while (!byte_set_is_empty(&left)) {
        uint8_t byte = byte_set_lowest(&left);
        struct byte_set class, class_of_characters;
        uint32_t rest = expression_derive_class(pool, characters, byte, &class_of_characters);
        uint32_t next = expression_derive_class(pool, expression, byte, &class);
        byte_set_keep(&class, &class_of_characters);
        byte_set_remove(&left, &class);
        if (next == EXPRESSION_NOTHING)
            return false;
        if (rest == EXPRESSION_EMPTY ? next != target : !all_lead_to(pool, next, rest, target))
            return false;
    }
    return true;
}

static uint32_t characters_of(struct slice_finder *finder, struct expression_pool *pool,
                              enum slice_kind kind)
{
    if (!finder->characters[kind]) {
        size_t n;
        const struct code_point_range *ranges = slice_characters(kind, &n);
        finder->characters[kind] = expression_code_points(pool, ranges, n);
    }
    return finder->characters[kind];
}

// Does expression match each character of the slice, and nothing longer that begins with it?
static bool covers(struct slice_finder *finder, struct expression_pool *pool, uint32_t expression,
                   enum slice_kind kind)
{
    uint32_t at = 0, n = finder->n_covers < N_COVERS ? finder->n_covers : N_COVERS;
    while (at < n && finder->covers[at].expression != expression)
        at++;
    if (at == n) {
        at = finder->n_covers++ % N_COVERS;
        finder->covers[at].expression = expression;
        finder->covers[at].asked = finder->covers[at].yes = 0;
    }
    uint8_t bit = (uint8_t)(1U << kind);
    if (!(finder->covers[at].asked & bit)) {
        finder->covers[at].asked |= bit;
        if (all_lead_to(pool, expression, characters_of(finder, pool, kind), EXPRESSION_EMPTY))
            finder->covers[at].yes |= bit;
    }
    return finder->covers[at].yes & bit;
}

static bool is_repeat_without_limit(const struct expression *node)
{
    return node->kind == KIND_REPEAT && node->max == EXPRESSION_UNLIMITED;
}

// Can every text of the slice's characters, however long, go on?
static bool goes_on(struct slice_finder *finder, struct expression_pool *pool, uint32_t expression,
                    enum slice_kind kind, int depth)
{
    struct expression node = pool->nodes[expression];
    if (depth > MAX_NESTED)
        return false;
    switch (node.kind) {
    case KIND_CONCAT: // whatever the first part consumes can be completed by the second
        return goes_on(finder, pool, node.a, kind, depth + 1);
    case KIND_REPEAT:
        return is_repeat_without_limit(&node) && covers(finder, pool, node.a, kind);
    case KIND_ANY_OF:
        for (uint32_t i = 0; i < node.b; i++)
            if (goes_on(finder, pool, pool->lists[node.a + i], kind, depth + 1))
                return true;
        return false;
    case KIND_BOTH: // all but finitely many texts, of which there are infinitely many
        for (int i = 0; i < 2; i++) {
            struct expression other = pool->nodes[i ? node.a : node.b];
            if (other.kind == KIND_NOT && (pool->nodes[other.a].flags & FLAG_FINITE) &&
                goes_on(finder, pool, i ? node.b : node.a, kind, depth + 1))
                return true;
        }
        break;
    }
    struct byte_set class;
    return (node.kind == KIND_BOTH || node.kind == KIND_NOT) &&
           expression_derive_class(pool, expression, 'a', &class) == expression &&
           all_lead_to(pool, expression, characters_of(finder, pool, kind), expression);
}

// x{.,n} and then something that cannot begin with a character of the slice: at most n of them.
static uint32_t counted(struct slice_finder *finder, struct expression_pool *pool,
                        uint32_t expression, enum slice_kind kind)
{
    struct expression node = pool->nodes[expression];
    if (node.kind != KIND_CONCAT || expression_is_nullable(pool, node.b))
        return 0;
    struct expression head = pool->nodes[node.a];
    if (head.kind != KIND_REPEAT || !covers(finder, pool, head.a, kind))
        return 0;
    struct byte_set both = *expression_first(pool, node.b);
    byte_set_keep(&both, expression_first(pool, characters_of(finder, pool, kind)));
    if (!byte_set_is_empty(&both))
        return 0;
    return head.max < SLICE_MAX_CHARS ? head.max : SLICE_MAX_CHARS;
}

// How many characters of the slice may follow; 0: nothing is known.
static uint32_t reach(struct slice_finder *finder, struct grammar_states *states, uint32_t state,
                      enum slice_kind kind)
{
    struct expression_pool *pool = grammar_states_pool(states);
    size_t n_items = grammar_state_n_items(states, state);
    for (size_t i = 0; i < n_items; i++)
        if (goes_on(finder, pool, grammar_state_expression(states, state, i), kind, 0))
            return SLICE_MAX_CHARS;
    uint32_t n = 0;
    if (n_items == 1)
        n = counted(finder, pool, grammar_state_expression(states, state, 0), kind);
    return n ? n : slice_explore(states, state, characters_of(finder, pool, kind));
}

bool slice_find(struct slice_finder *finder, struct grammar_states *states, uint32_t state,
                enum slice_kind *out_kind, uint32_t *out_n)
{
    struct byte_set first = grammar_state_first(states, state);
    if (!byte_set_has(&first, 'a') || !byte_set_has(&first, 'z')) // every slice has them
        return false;
    uint32_t at = state % N_RECENT, n = 0;
    if (finder->recent[at].state != state) {
        int kind = 0;
        while (kind < N_SLICES && (n = reach(finder, states, state, kind)) == 0)
            kind++;
        finder->recent[at].state = state;
        finder->recent[at].kind = (uint8_t)kind;
        finder->recent[at].n = (uint8_t)n;
    }
    *out_kind = finder->recent[at].kind;
    *out_n = finder->recent[at].n;
    return *out_n > 0;
}
