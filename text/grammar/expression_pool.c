/* text/grammar/expression_pool.c - one id for equal nodes, and what is known of a node from its
 * parts. Neither sets nor nodes are ever taken out again. */
#include "text/grammar/expression_tables.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

#define DEFAULT_MAX_EXPRESSIONS (1U << 18)
#define MAX_DEPTH 400

static uint32_t mix(uint32_t hash, uint32_t value)
{
    hash = (hash ^ value) * UINT32_C(0x9E3779B1);
    return hash ^ hash >> 15;
}

static uint32_t hash_set(const struct byte_set *set)
{
    uint32_t hash = 1;
    for (int i = 0; i < 4; i++)
        hash = mix(mix(hash, (uint32_t)set->bits[i]), (uint32_t)(set->bits[i] >> 32));
    return hash;
}

static uint32_t hash_node(const struct expression_pool *pool, const struct expression *node)
{
    uint32_t hash = mix(mix(mix(node->kind, node->min), node->max), node->b);
    if (node->kind != KIND_ANY_OF)
        return mix(hash, node->a);
    for (uint32_t i = 0; i < node->b; i++)
        hash = mix(hash, pool->lists[node->a + i]);
    return hash;
}

static bool same_node(const struct expression_pool *pool, const struct expression *x,
                      const struct expression *y)
{
    if (x->kind != y->kind || x->b != y->b || x->min != y->min || x->max != y->max)
        return false;
    if (x->kind != KIND_ANY_OF)
        return x->a == y->a;
    return memcmp(pool->lists + x->a, pool->lists + y->a, x->b * sizeof *pool->lists) == 0;
}

static void grow_set_table(struct expression_pool *pool)
{
    size_t size = pool->set_table_size ? pool->set_table_size * 2 : 64;
    free(pool->set_table);
    pool->set_table = mem_zeroed(size, sizeof *pool->set_table);
    pool->set_table_size = size;
    for (size_t i = 0; i < pool->n_sets; i++) {
        size_t at = hash_set(&pool->sets[i]) & (size - 1);
        while (pool->set_table[at])
            at = (at + 1) & (size - 1);
        pool->set_table[at] = (uint32_t)i + 1;
    }
}

uint32_t expression_intern_set(struct expression_pool *pool, const struct byte_set *set)
{
    if (pool->n_sets * 2 >= pool->set_table_size)
        grow_set_table(pool);
    size_t at = hash_set(set) & (pool->set_table_size - 1);
    for (; pool->set_table[at]; at = (at + 1) & (pool->set_table_size - 1))
        if (memcmp(&pool->sets[pool->set_table[at] - 1], set, sizeof *set) == 0)
            return pool->set_table[at] - 1;
    struct byte_set copy = *set; // set may stand in the array that grows
    mem_reserve(&pool->sets, &pool->sets_capacity, pool->n_sets + 1, sizeof *pool->sets);
    pool->sets[pool->n_sets] = copy;
    pool->set_table[at] = (uint32_t)++pool->n_sets;
    return (uint32_t)pool->n_sets - 1;
}

static void grow_node_table(struct expression_pool *pool)
{
    size_t size = pool->node_table_size ? pool->node_table_size * 2 : 256;
    free(pool->node_table);
    pool->node_table = mem_zeroed(size, sizeof *pool->node_table);
    pool->node_table_size = size;
    for (size_t i = 0; i < pool->n_nodes; i++) {
        size_t at = hash_node(pool, &pool->nodes[i]) & (size - 1);
        while (pool->node_table[at])
            at = (at + 1) & (size - 1);
        pool->node_table[at] = (uint32_t)i + 1;
    }
}

static const struct expression no_part = {.flags = FLAG_FINITE};

// a and b of a node, as far as they are expressions.
static void parts_of(const struct expression_pool *pool, const struct expression *node,
                     const struct expression **out_a, const struct expression **out_b)
{
    bool has_b = node->kind == KIND_CONCAT || node->kind == KIND_BOTH;
    bool has_a = has_b || node->kind == KIND_REPEAT || node->kind == KIND_NOT;
    *out_a = has_a ? &pool->nodes[node->a] : &no_part;
    *out_b = has_b ? &pool->nodes[node->b] : &no_part;
}

static struct byte_set first_of(const struct expression_pool *pool, const struct expression *node)
{
    const struct expression *a, *b;
    parts_of(pool, node, &a, &b);
    struct byte_set first = pool->sets[a->first];
    switch (node->kind) {
    case KIND_BYTES:
        return pool->sets[node->a];
    case KIND_CONCAT:
        if (a->flags & FLAG_NULLABLE)
            byte_set_unite(&first, &pool->sets[b->first]);
        break;
    case KIND_ANY_OF:
        for (uint32_t i = 0; i < node->b; i++)
            byte_set_unite(&first, &pool->sets[pool->nodes[pool->lists[node->a + i]].first]);
        break;
    case KIND_BOTH:
        byte_set_keep(&first, &pool->sets[b->first]);
        break;
    case KIND_NOT:
        memset(&first, 0xFF, sizeof first);
        break;
    case KIND_MULTIPLE_OF:
        for (int digit = '0'; digit <= '9'; digit++)
            byte_set_add(&first, (uint8_t)digit);
        break;
    }
    return first;
}

static uint8_t flags_of(const struct expression_pool *pool, const struct expression *node)
{
    const struct expression *a, *b;
    parts_of(pool, node, &a, &b);
    uint8_t nullable = 0, finite = a->flags & b->flags & FLAG_FINITE;
    switch (node->kind) {
    case KIND_EMPTY:
        nullable = FLAG_NULLABLE;
        break;
    case KIND_CONCAT:
    case KIND_BOTH:
        nullable = a->flags & b->flags & FLAG_NULLABLE;
        break;
    case KIND_ANY_OF:
        for (uint32_t i = 0; i < node->b; i++) {
            uint8_t flags = pool->nodes[pool->lists[node->a + i]].flags;
            nullable |= flags & FLAG_NULLABLE;
            finite &= flags;
        }
        break;
    case KIND_REPEAT:
        nullable = node->min == 0 ? FLAG_NULLABLE : 0;
        finite = node->max == EXPRESSION_UNLIMITED ? 0 : finite;
        break;
    case KIND_NOT:
        nullable = ~a->flags & FLAG_NULLABLE;
        finite = 0;
        break;
    case KIND_MULTIPLE_OF:
        nullable = node->b == 0 && !node->min ? FLAG_NULLABLE : 0;
        finite = 0;
        break;
    }
    return nullable | finite;
}

static uint32_t depth_of(const struct expression_pool *pool, const struct expression *node)
{
    const struct expression *a, *b;
    parts_of(pool, node, &a, &b);
    uint32_t depth = a->depth + 1U, other = b->depth + (node->kind == KIND_BOTH);
    for (uint32_t i = 0; node->kind == KIND_ANY_OF && i < node->b; i++) {
        uint32_t part = pool->nodes[pool->lists[node->a + i]].depth + 1U;
        depth = depth > part ? depth : part;
    }
    return depth > other ? depth : other;
}

// The list of an ANY_OF stands at the end of lists; it is given back when the node is there
// already.
uint32_t expression_intern(struct expression_pool *pool, struct expression node)
{
    if (pool->overflowed)
        return EXPRESSION_NOTHING;
    if (pool->n_nodes * 2 >= pool->node_table_size)
        grow_node_table(pool);
    size_t at = hash_node(pool, &node) & (pool->node_table_size - 1);
    for (; pool->node_table[at]; at = (at + 1) & (pool->node_table_size - 1)) {
        uint32_t id = pool->node_table[at] - 1;
        if (same_node(pool, &pool->nodes[id], &node)) {
            if (node.kind == KIND_ANY_OF)
                pool->n_lists = node.a;
            return id;
        }
    }
    uint32_t depth = depth_of(pool, &node);
    if (depth > MAX_DEPTH || pool->n_nodes >= pool->max_nodes ||
        pool->n_lists > (size_t)pool->max_nodes * 16) {
        pool->overflowed = true;
        return EXPRESSION_NOTHING;
    }
    struct byte_set first = first_of(pool, &node);
    node.first = expression_intern_set(pool, &first);
    node.flags = flags_of(pool, &node);
    node.depth = (uint16_t)depth;
    mem_reserve(&pool->nodes, &pool->nodes_capacity, pool->n_nodes + 1, sizeof *pool->nodes);
    pool->nodes[pool->n_nodes] = node;
    pool->node_table[at] = (uint32_t)++pool->n_nodes;
    return (uint32_t)pool->n_nodes - 1;
}

struct expression_pool *expression_pool_create(uint32_t max_expressions)
{
    struct expression_pool *pool = mem_zeroed(1, sizeof *pool);
    pool->max_nodes = max_expressions ? max_expressions : DEFAULT_MAX_EXPRESSIONS;
    pool->max_nodes = pool->max_nodes < 2 ? 2 : pool->max_nodes;
    expression_intern_set(pool, &(struct byte_set){{0}});
    pool->n_arcs = 1; // 0 means none
    mem_reserve(&pool->arcs, &pool->arcs_capacity, 16, sizeof *pool->arcs);
    expression_intern(pool, (struct expression){.kind = KIND_NOTHING});
    expression_intern(pool, (struct expression){.kind = KIND_EMPTY});
    return pool;
}

void expression_pool_destroy(struct expression_pool *pool)
{
    if (!pool)
        return;
    free(pool->nodes);
    free(pool->lists);
    free(pool->sets);
    free(pool->node_table);
    free(pool->set_table);
    free(pool->arcs);
    free(pool->scratch);
    free(pool);
}

bool expression_pool_overflowed(const struct expression_pool *pool)
{
    return pool->overflowed;
}

size_t expression_pool_n_bytes(const struct expression_pool *pool)
{
    return pool->nodes_capacity * sizeof *pool->nodes + pool->lists_capacity * sizeof *pool->lists +
           pool->sets_capacity * sizeof *pool->sets +
           (pool->node_table_size + pool->set_table_size) * sizeof *pool->node_table +
           pool->arcs_capacity * sizeof *pool->arcs;
}
