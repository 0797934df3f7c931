/* text/grammar/expression_derive.c - derivatives, with the class of bytes that share each, and the
 * search that finds complements and intersections which match nothing.
 * A derivative's class is the intersection of its parts' classes: finer than need be, never wrong.
 */
#include "text/grammar/expression_tables.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

#define MAX_SEARCH_STATES 4096

static uint32_t derive_concat(struct expression_pool *pool, uint32_t expression, uint8_t byte,
                              struct byte_set *out_class)
{
    size_t from = pool->n_scratch;
    for (;;) {
        struct expression node = pool->nodes[expression];
        struct byte_set class;
        bool is_concat = node.kind == KIND_CONCAT;
        uint32_t head = is_concat ? node.a : expression;
        uint32_t derived = expression_derive_class(pool, head, byte, &class);
        byte_set_keep(out_class, &class);
        if (is_concat)
            derived = expression_concat(pool, derived, node.b);
        expression_scratch_push(pool, derived);
        if (!is_concat || !expression_is_nullable(pool, head))
            break;
        expression = node.b;
    }
    return expression_any_of_scratch(pool, from);
}

static uint32_t derive_any_of(struct expression_pool *pool, struct expression node, uint8_t byte,
                              struct byte_set *out_class)
{
    size_t from = pool->n_scratch;
    for (uint32_t i = 0; i < node.b; i++) {
        uint32_t part = pool->lists[node.a + i];
        struct byte_set class;
        uint32_t derived = expression_derive_class(pool, part, byte, &class);
        byte_set_keep(out_class, &class);
        if (derived != EXPRESSION_NOTHING)
            expression_scratch_push(pool, derived);
    }
    return expression_any_of_scratch(pool, from);
}

static uint32_t one_less(uint32_t count)
{
    return count == 0 || count == EXPRESSION_UNLIMITED ? count : count - 1;
}

static uint32_t derive_node(struct expression_pool *pool, uint32_t expression, uint8_t byte,
                            struct byte_set *out_class)
{
    struct expression node = pool->nodes[expression];
    struct byte_set class;
    uint32_t a;
    switch (node.kind) {
    case KIND_CONCAT:
        return derive_concat(pool, expression, byte, out_class);
    case KIND_ANY_OF:
        return derive_any_of(pool, node, byte, out_class);
    case KIND_REPEAT:
        a = expression_derive_class(pool, node.a, byte, out_class);
        return expression_concat(
            pool, a, expression_repeat(pool, node.a, one_less(node.min), one_less(node.max)));
    case KIND_BOTH:
        a = expression_derive_class(pool, node.a, byte, out_class);
        if (a == EXPRESSION_NOTHING)
            return a;
        node.b = expression_derive_class(pool, node.b, byte, &class);
        byte_set_keep(out_class, &class);
        return expression_both(pool, a, node.b);
    default: // KIND_NOT
        a = expression_derive_class(pool, node.a, byte, out_class);
        return expression_not(pool, a);
    }
}

static uint32_t derive_multiple_of(struct expression_pool *pool, struct expression node,
                                   uint8_t byte, struct byte_set *out_class)
{
    *out_class = (struct byte_set){{0}};
    byte_set_add(out_class, byte);
    uint64_t value = (uint64_t)node.b * 10 + (byte - (uint8_t)'0');
    return expression_multiple_of_from(pool, node.a, (uint32_t)(value % node.a), false);
}

uint32_t expression_derive_class(struct expression_pool *pool, uint32_t expression, uint8_t byte,
                                 struct byte_set *out_class)
{
    struct expression node = pool->nodes[expression];
    const struct byte_set *first = &pool->sets[node.first];
    if (!byte_set_has(first, byte)) {
        memset(out_class, 0xFF, sizeof *out_class);
        byte_set_remove(out_class, first);
        return EXPRESSION_NOTHING;
    }
    *out_class = *first;
    if (node.kind == KIND_BYTES)
        return EXPRESSION_EMPTY;
    if (node.kind == KIND_CONCAT && pool->nodes[node.a].kind == KIND_BYTES)
        return node.b;
    if (node.kind == KIND_MULTIPLE_OF)
        return derive_multiple_of(pool, node, byte, out_class);
    for (uint32_t at = node.arcs; at; at = pool->arcs[at].next)
        if (byte_set_has(&pool->arcs[at].bytes, byte)) {
            *out_class = pool->arcs[at].bytes;
            return pool->arcs[at].target;
        }
    uint32_t target = derive_node(pool, expression, byte, out_class);
    if (pool->overflowed)
        return EXPRESSION_NOTHING;
    mem_reserve(&pool->arcs, &pool->arcs_capacity, pool->n_arcs + 1, sizeof *pool->arcs);
    pool->arcs[pool->n_arcs] = (struct expression_arc){*out_class, target,
                                                       pool->nodes[expression].arcs};
    pool->nodes[expression].arcs = (uint32_t)pool->n_arcs++;
    return target;
}

uint32_t expression_derive(struct expression_pool *pool, uint32_t expression, uint8_t byte)
{
    struct byte_set class;
    return expression_checked(pool, expression_derive_class(pool, expression, byte, &class));
}

static bool is_boolean(const struct expression *node)
{
    return node->kind == KIND_BOTH || node->kind == KIND_NOT;
}

struct search_entry {
    uint32_t expression;
    struct byte_set untried;
};

struct search {
    struct search_entry *path; // from the expression that is asked about to the one looked at
    size_t n_path, path_capacity;
    uint32_t *seen;
    size_t n_seen, seen_capacity;
};

static void search_push(struct expression_pool *pool, struct search *search, uint32_t expression)
{
    mem_reserve(&search->path, &search->path_capacity, search->n_path + 1, sizeof *search->path);
    search->path[search->n_path++] = (struct search_entry){expression,
                                                           *expression_first(pool, expression)};
    mem_reserve(&search->seen, &search->seen_capacity, search->n_seen + 1, sizeof *search->seen);
    search->seen[search->n_seen++] = expression;
    pool->nodes[expression].flags |= FLAG_SEEN;
}

// Goes down the next untried class of the path's end. True: something that matches was found.
static bool search_step(struct expression_pool *pool, struct search *search)
{
    struct search_entry *top = &search->path[search->n_path - 1];
    if (byte_set_is_empty(&top->untried)) {
        search->n_path--;
        return false;
    }
    struct byte_set class;
    uint32_t target = expression_derive_class(pool, top->expression, byte_set_lowest(&top->untried),
                                              &class);
    byte_set_remove(&top->untried, &class);
    const struct expression *node = &pool->nodes[target];
    if (target == EXPRESSION_NOTHING || (node->flags & (FLAG_DEAD | FLAG_SEEN)))
        return false;
    if (!is_boolean(node) || (node->flags & (FLAG_LIVE | FLAG_NULLABLE)))
        return true;
    search_push(pool, search, target);
    return false;
}

// Marks what was learnt; the answer is whether expression matches nothing.
static bool search_nothing(struct expression_pool *pool, uint32_t expression)
{
    struct search search = {0};
    search_push(pool, &search, expression);
    bool found = false;
    while (!found && search.n_path > 0 && search.n_seen < MAX_SEARCH_STATES)
        found = search_step(pool, &search);
    bool dead = search.n_path == 0 && !pool->overflowed;
    for (size_t i = 0; i < search.n_seen; i++) {
        pool->nodes[search.seen[i]].flags &= (uint8_t)~FLAG_SEEN;
        if (dead)
            pool->nodes[search.seen[i]].flags |= FLAG_DEAD;
    }
    for (size_t i = 0; i < search.n_path; i++) // found, or taken for alive as the bound was reached
        pool->nodes[search.path[i].expression].flags |= FLAG_LIVE;
    free(search.path);
    free(search.seen);
    return dead;
}

bool expression_is_nothing(struct expression_pool *pool, uint32_t expression)
{
    const struct expression *node = &pool->nodes[expression];
    if (!is_boolean(node))
        return expression == EXPRESSION_NOTHING;
    if (node->flags & (FLAG_LIVE | FLAG_NULLABLE))
        return false;
    return (node->flags & FLAG_DEAD) || search_nothing(pool, expression);
}

uint32_t expression_checked(struct expression_pool *pool, uint32_t expression)
{
    return expression_is_nothing(pool, expression) ? EXPRESSION_NOTHING : expression;
}

uint32_t expression_without_empty(struct expression_pool *pool, uint32_t expression)
{
    if (!expression_is_nullable(pool, expression))
        return expression;
    struct expression node = pool->nodes[expression];
    if (node.kind == KIND_REPEAT && !expression_is_nullable(pool, node.a))
        return expression_repeat(pool, node.a, 1, node.max);
    return expression_checked(
        pool, expression_both(pool, expression, expression_not(pool, EXPRESSION_EMPTY)));
}
