/* text/grammar/grammar_tables.h - what a built grammar is made of: a graph of nodes. For grammar*.c
 * and matcher*.c.
 *
 * A rule is a node to start from; its texts are the ways from there to the END. Behind
 * grammar_build: no CALL's rule matches the empty text, no rule calls itself before it has consumed
 * something, and every node leads to the END: whatever a matcher holds can be completed. */
#ifndef GEMMAD_TEXT_GRAMMAR_GRAMMAR_TABLES_H
#define GEMMAD_TEXT_GRAMMAR_GRAMMAR_TABLES_H

#include "text/grammar/expression_tables.h"
#include "text/grammar/grammar.h"

enum node_kind {
    NODE_END,    /* back to the caller */
    NODE_TERM,   /* a: expression, then next */
    NODE_TOKENS, /* one of token_ids[a .. a + count), ascending, then next */
    NODE_CALL,   /* a: rule, then next */
    NODE_ALT,    /* any of alternatives[a .. a + count) */
};

struct node {
    uint32_t kind, a, count, next;
};

struct rule {
    uint32_t start; /* node */
    uint32_t rank;  /* higher than that of each rule which can call it before consuming anything */
};

#define END_NODE 0U

struct graph {
    struct node *nodes; /* [0] is the END */
    size_t n_nodes, nodes_capacity;
    uint32_t *alternatives;
    size_t n_alternatives, alternatives_capacity;
    struct rule *rules;
    size_t n_rules, rules_capacity;
    uint32_t *token_ids;
    size_t n_token_ids, token_ids_capacity;
    uint32_t start; /* node */
    size_t max_nodes;
    struct expression_pool *pool; /* owned by the builder, then by the grammar */
};

enum symbol_kind {
    SYMBOL_TERMINAL, /* a: expression */
    SYMBOL_TOKENS,   /* token_ids[a .. a + count) */
    SYMBOL_SEQUENCE, /* parts[a .. a + count) */
    SYMBOL_CHOICE,   /* parts[a .. a + count) */
    SYMBOL_REPEAT,   /* a: symbol, min, max */
    SYMBOL_RULE,     /* a: body, count: 1 once defined, min: offset of the name */
};

struct symbol {
    uint32_t kind, a, count, min, max;
};

struct grammar_builder {
    struct graph graph; /* token_ids and pool are filled while symbols are made, the rest at last */
    struct symbol *symbols;
    size_t n_symbols, symbols_capacity;
    uint32_t max_symbols;
    uint32_t *parts;
    size_t n_parts, parts_capacity;
    char *names;
    size_t n_names, names_capacity;
    bool overflowed;
};

uint32_t graph_add(struct graph *graph, struct node node);
uint32_t graph_add_alt(struct graph *graph, const uint32_t *nodes, size_t n);
void graph_set_alt(struct graph *graph, uint32_t node, const uint32_t *nodes, size_t n);
void graph_finish(struct graph *graph);

/* grammar_graph.c: symbols to nodes. */
NODISCARD enum status graph_from_symbols(struct grammar_builder *builder, grammar_symbol root,
                                         struct error *err);
/* grammar_normal.c: makes true what this header says of a built grammar. */
NODISCARD enum status graph_normalise(struct graph *graph, struct error *err);
/* grammar_left.c: a part of it: rewrites left recursion, then ranks the rules. */
NODISCARD enum status graph_remove_left_recursion(struct graph *graph, struct error *err);

struct grammar_states;
struct mask_table;
struct matcher;

struct grammar {
    uint32_t n_refs; /* atomic */
    size_t n_bytes;  /* atomic */
    struct graph graph;
    /* Made by the first matcher, whose thread has them from then on: */
    struct grammar_states *states;
    struct mask_table *masks;
    struct matcher *matchers;      /* all there are */
    size_t n_bytes_when_to_shrink; /* of states */
};

/* Notes how much memory it takes now; on the thread of its matchers. */
void grammar_measure(struct grammar *grammar);

#endif
