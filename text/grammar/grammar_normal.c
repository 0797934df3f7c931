/* text/grammar/grammar_normal.c - takes the empty text out of what is called, and what leads
 * nowhere out of the graph.
 *
 * Each rule gets a second beginning, its spine: the same texts without the empty one. It is a copy
 * of the nodes that can be reached before anything is consumed; from the first thing consumed on,
 * ways go through the original nodes. Calls go to spines, and one that could have been empty gets a
 * way around it. */
#include "text/grammar/grammar_tables.h"

#include <stdlib.h>

#include "base/mem.h"

#define NEVER UINT32_MAX

// Which nodes lead to the END, by a rule that differs for "with nothing consumed" and "at all".
struct reach {
    const struct graph *graph;
    bool only_empty;
    uint32_t
        *missing; // [n_nodes] how many of a node's conditions are still open; 0: it leads there
    uint32_t *offsets; // [n_nodes + 1] into dependents
    uint32_t *dependents;
    uint32_t *queue;
    size_t n_queue;
};

static uint32_t conditions(const struct reach *reach, const struct node *node)
{
    const struct expression_pool *pool = reach->graph->pool;
    switch (node->kind) {
    case NODE_END:
        return 0;
    case NODE_TERM:
        if (reach->only_empty)
            return expression_is_nullable(pool, node->a) ? 1 : NEVER;
        return node->a == EXPRESSION_NOTHING ? NEVER : 1;
    case NODE_TOKENS:
        return reach->only_empty || node->count == 0 ? NEVER : 1;
    case NODE_CALL:
        return 2;
    default: // NODE_ALT
        return 1;
    }
}

// The nodes that node waits for: at most 2, or the alternatives.
static size_t waits_for(const struct graph *graph, const struct node *node, uint32_t pair[2],
                        const uint32_t **out)
{
    *out = pair;
    pair[0] = node->next;
    if (node->kind == NODE_ALT) {
        *out = graph->alternatives + node->a;
        return node->count;
    }
    if (node->kind == NODE_CALL)
        pair[1] = graph->rules[node->a].start;
    return node->kind == NODE_END ? 0 : node->kind == NODE_CALL ? 2 : 1;
}

static void list_dependents(struct reach *reach)
{
    const struct graph *graph = reach->graph;
    uint32_t pair[2];
    const uint32_t *on;
    for (size_t i = 0; i < graph->n_nodes; i++)
        for (size_t k = waits_for(graph, &graph->nodes[i], pair, &on); k-- > 0;)
            reach->offsets[on[k] + 1]++;
    for (size_t i = 0; i < graph->n_nodes; i++)
        reach->offsets[i + 1] += reach->offsets[i];
    reach->dependents = mem_zeroed(reach->offsets[graph->n_nodes] + 1, sizeof(uint32_t));
    uint32_t *at = mem_zeroed(graph->n_nodes + 1, sizeof *at);
    for (size_t i = 0; i < graph->n_nodes; i++)
        for (size_t k = waits_for(graph, &graph->nodes[i], pair, &on); k-- > 0;)
            reach->dependents[reach->offsets[on[k]] + at[on[k]]++] = (uint32_t)i;
    free(at);
}

// bool [n_nodes]; the caller frees.
static bool *find_reach(const struct graph *graph, bool only_empty)
{
    struct reach reach = {.graph = graph, .only_empty = only_empty};
    reach.missing = mem_zeroed(graph->n_nodes, sizeof *reach.missing);
    reach.offsets = mem_zeroed(graph->n_nodes + 1, sizeof *reach.offsets);
    reach.queue = mem_zeroed(graph->n_nodes, sizeof *reach.queue);
    list_dependents(&reach);
    for (size_t i = 0; i < graph->n_nodes; i++) {
        reach.missing[i] = conditions(&reach, &graph->nodes[i]);
        if (reach.missing[i] == 0)
            reach.queue[reach.n_queue++] = (uint32_t)i;
    }
    for (size_t i = 0; i < reach.n_queue; i++) {
        uint32_t node = reach.queue[i];
        for (uint32_t k = reach.offsets[node]; k < reach.offsets[node + 1]; k++) {
            uint32_t dependent = reach.dependents[k];
            uint32_t *missing = &reach.missing[dependent];
            if (*missing != 0 && *missing != NEVER && --*missing == 0)
                reach.queue[reach.n_queue++] = dependent;
        }
    }
    bool *result = mem_zeroed(graph->n_nodes, sizeof *result);
    for (size_t i = 0; i < graph->n_nodes; i++)
        result[i] = reach.missing[i] == 0;
    free(reach.missing);
    free(reach.offsets);
    free(reach.dependents);
    free(reach.queue);
    return result;
}

struct spines {
    struct graph *graph;
    const bool *nullable; // [the nodes before this began]
    uint32_t *spine_of;   // node -> its spine, 0: none yet
    uint32_t *todo;
    size_t n_todo, todo_capacity;
};

static uint32_t spine(struct spines *s, uint32_t node)
{
    if (!s->spine_of[node]) {
        s->spine_of[node] = graph_add_alt(s->graph, NULL, 0);
        mem_reserve(&s->todo, &s->todo_capacity, s->n_todo + 1, sizeof *s->todo);
        s->todo[s->n_todo++] = node;
    }
    return s->spine_of[node];
}

static void fill_spine(struct spines *s, uint32_t id)
{
    struct graph *graph = s->graph;
    struct node node = graph->nodes[id];
    uint32_t into = s->spine_of[id];
    uint32_t ways[2];
    size_t n = 0;
    bool may_be_empty = false;
    if (node.kind == NODE_END)
        return; // an alternative of nothing: the empty text is taken away
    if (node.kind == NODE_ALT) {
        uint32_t *spines = mem_zeroed(node.count + 1, sizeof *spines);
        for (uint32_t i = 0; i < node.count; i++)
            spines[i] = spine(s, graph->alternatives[node.a + i]);
        graph_set_alt(graph, into, spines, node.count);
        free(spines);
        return;
    }
    if (node.kind == NODE_TERM) {
        may_be_empty = expression_is_nullable(graph->pool, node.a);
        node.a = expression_without_empty(graph->pool, node.a);
    } else if (node.kind == NODE_CALL) {
        may_be_empty = s->nullable[graph->rules[node.a].start];
    }
    ways[n++] = graph_add(graph, node);
    if (may_be_empty)
        ways[n++] = spine(s, node.next);
    graph_set_alt(graph, into, ways, n);
}

static void make_spines(struct graph *graph)
{
    size_t n_before = graph->n_nodes;
    bool *nullable = find_reach(graph, true);
    struct spines s = {.graph = graph, .nullable = nullable};
    s.spine_of = mem_zeroed(n_before, sizeof *s.spine_of);
    for (size_t i = 0; i < graph->n_rules; i++)
        spine(&s, graph->rules[i].start);
    while (s.n_todo > 0 && graph->n_nodes <= graph->max_nodes)
        fill_spine(&s, s.todo[--s.n_todo]);
    for (size_t i = 0; i < n_before; i++) {
        struct node node = graph->nodes[i];
        if (node.kind == NODE_CALL && nullable[graph->rules[node.a].start]) {
            uint32_t called = graph_add(graph, node);
            graph_set_alt(graph, (uint32_t)i, (uint32_t[]){called, node.next}, 2);
        }
    }
    for (size_t i = 0; i < graph->n_rules; i++)
        graph->rules[i].start = s.spine_of[graph->rules[i].start];
    free(nullable);
    free(s.spine_of);
    free(s.todo);
}

// Afterwards what can be reached from a productive node is productive.
static enum status drop_dead_ends(struct graph *graph, struct error *err)
{
    bool *productive = find_reach(graph, false);
    bool any = productive[graph->start];
    for (size_t i = 0; i < graph->n_nodes; i++) {
        struct node *node = &graph->nodes[i];
        if (node->kind != NODE_ALT)
            continue;
        uint32_t *alternatives = graph->alternatives + node->a;
        uint32_t n = 0;
        for (uint32_t k = 0; k < node->count; k++)
            if (productive[alternatives[k]])
                alternatives[n++] = alternatives[k];
        node->count = n;
    }
    free(productive);
    return any ? STATUS_OK
               : error_set(err, STATUS_INVALID_ARGUMENT, "no text can satisfy the grammar");
}

enum status graph_normalise(struct graph *graph, struct error *err)
{
    for (size_t i = 0; i < graph->n_nodes; i++)
        if (graph->nodes[i].kind == NODE_TERM &&
            expression_is_nothing(graph->pool, graph->nodes[i].a))
            graph->nodes[i].a = EXPRESSION_NOTHING;
    make_spines(graph);
    if (graph->n_nodes > graph->max_nodes || expression_pool_overflowed(graph->pool))
        return STATUS_OK; // grammar_build words it
    enum status st = drop_dead_ends(graph, err);
    if (st != STATUS_OK)
        return st;
    return graph_remove_left_recursion(graph, err);
}
