/* text/grammar/expression_tables.h - what an expression pool is made of: for expression*.c and for
 * grammar_states.c, which steps through expressions class by class.
 *
 * Nodes are hash-consed: the same kind and parts have the same id. A CONCAT's first part is never a
 * CONCAT, so a long text is a chain to the right, and all walks along it are loops. */
#ifndef GEMMAD_TEXT_GRAMMAR_EXPRESSION_TABLES_H
#define GEMMAD_TEXT_GRAMMAR_EXPRESSION_TABLES_H

#include "text/grammar/expression.h"

enum expression_kind {
    KIND_NOTHING,
    KIND_EMPTY,
    KIND_BYTES,       /* a: set */
    KIND_CONCAT,      /* a, then b */
    KIND_ANY_OF,      /* lists[a .. a + b), ids ascending */
    KIND_REPEAT,      /* a, min to max times; max > 1, or it would be something else */
    KIND_BOTH,        /* a and b, a < b */
    KIND_NOT,         /* a */
    KIND_MULTIPLE_OF, /* a: divisor, b: remainder so far, min: 1 before the first digit */
};

enum {
    FLAG_NULLABLE = 1,
    FLAG_LIVE = 2,    /* of BOTH and NOT: found to match something */
    FLAG_DEAD = 4,    /* of BOTH and NOT: found to match nothing */
    FLAG_SEEN = 8,    /* during one search */
    FLAG_FINITE = 16, /* made of parts that cannot repeat without limit: matches finitely many */
};

struct expression {
    uint8_t kind, flags;
    uint16_t depth; /* of nesting, chains of CONCAT not counted: what derivatives recurse on */
    uint32_t a, b;
    uint32_t min, max;
    uint32_t first; /* set: no other byte can begin a match */
    uint32_t arcs;  /* the first kept derivative, 0: none */
};

/* The derivative of one expression by every byte of a class. */
struct expression_arc {
    struct byte_set bytes;
    uint32_t target, next;
};

struct expression_pool {
    struct expression *nodes;
    size_t n_nodes, nodes_capacity;
    uint32_t max_nodes;
    bool overflowed;
    uint32_t *lists;
    size_t n_lists, lists_capacity;
    struct byte_set *sets;
    size_t n_sets, sets_capacity;
    uint32_t *node_table, *set_table; /* open addressing, ids + 1; sizes are powers of two */
    size_t node_table_size, set_table_size;
    struct expression_arc *arcs;
    size_t n_arcs, arcs_capacity;
    uint32_t *scratch; /* a stack of alternatives: functions take from its end and give back */
    size_t n_scratch, scratch_capacity;
};

static inline bool byte_set_has(const struct byte_set *set, uint8_t byte)
{
    return set->bits[byte >> 6] >> (byte & 63) & 1;
}

static inline void byte_set_add(struct byte_set *set, uint8_t byte)
{
    set->bits[byte >> 6] |= UINT64_C(1) << (byte & 63);
}

static inline bool byte_set_is_empty(const struct byte_set *set)
{
    return !(set->bits[0] | set->bits[1] | set->bits[2] | set->bits[3]);
}

static inline void byte_set_keep(struct byte_set *set, const struct byte_set *other)
{
    for (int i = 0; i < 4; i++)
        set->bits[i] &= other->bits[i];
}

static inline void byte_set_remove(struct byte_set *set, const struct byte_set *other)
{
    for (int i = 0; i < 4; i++)
        set->bits[i] &= ~other->bits[i];
}

static inline void byte_set_unite(struct byte_set *set, const struct byte_set *other)
{
    for (int i = 0; i < 4; i++)
        set->bits[i] |= other->bits[i];
}

/* The lowest byte of a set that is not empty. */
static inline uint8_t byte_set_lowest(const struct byte_set *set)
{
    int i = 0;
    while (!set->bits[i])
        i++;
    return (uint8_t)(i * 64 + __builtin_ctzll(set->bits[i]));
}

/* The bytes that may begin a match: no other can, not each of these must. */
static inline const struct byte_set *expression_first(const struct expression_pool *pool,
                                                      uint32_t expression)
{
    return &pool->sets[pool->nodes[expression].first];
}

/* expression_pool.c. The list of an ANY_OF stands at the end of lists, and is taken back when the
 * node is there already. EXPRESSION_NOTHING when the pool is full. */
uint32_t expression_intern(struct expression_pool *pool, struct expression node);
uint32_t expression_intern_set(struct expression_pool *pool, const struct byte_set *set);

/* The derivative by byte, and the class of bytes (byte in it) that all have this derivative. */
uint32_t expression_derive_class(struct expression_pool *pool, uint32_t expression, uint8_t byte,
                                 struct byte_set *out_class);
/* The same texts without the empty one. */
uint32_t expression_without_empty(struct expression_pool *pool, uint32_t expression);
/* For expression_derive.c: as expression_any_of over scratch[from..], which is then given back. */
uint32_t expression_any_of_scratch(struct expression_pool *pool, size_t from);
void expression_scratch_push(struct expression_pool *pool, uint32_t expression);
/* The expression, or EXPRESSION_NOTHING when it is known (by search) to match nothing. */
uint32_t expression_checked(struct expression_pool *pool, uint32_t expression);
/* The remainder of a multiple_of's digits. */
uint32_t expression_multiple_of_from(struct expression_pool *pool, uint32_t divisor,
                                     uint32_t remainder, bool is_first);
size_t expression_pool_n_bytes(const struct expression_pool *pool);

#endif
