/* text/grammar/grammar_left.c - left recursion is rewritten as repetition: the grammar only says
 * which texts belong to it, so trees need not survive.
 *
 * Let S be rules that call each other first (before anything is consumed). Each text of a rule A of
 * S begins with a leaf: something other than a call of S that stands first in some B of S. After
 * the leaf comes the rest of B, then, as B stood first in some C of S, the rest of C, and so on
 * until an A is complete. So A becomes: all leaves, each followed by a copy of the rest of its
 * rule, whose END leads on to the rests of those that may have called it, and, in A's case, to the
 * END. */
#include "text/grammar/grammar_tables.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

#define MAX_LEFT_RECURSIVE 128 /* rules */

// What may come first in a rule: nodes that are no alternatives.
struct leaves {
    uint32_t *nodes;
    size_t n, capacity;
};

struct left {
    struct graph *graph;
    struct leaves *of;   // [n_rules]
    uint32_t *n_callers; // [n_rules] that call it first and are not ranked yet
    uint32_t *queue;     // rules in the order of their ranks
    size_t n_queue;
};

static void find_leaves(const struct graph *graph, uint32_t start, struct leaves *out,
                        uint32_t *marks, uint32_t mark)
{
    uint32_t *stack = NULL;
    size_t n_stack = 0, capacity = 0;
    mem_reserve(&stack, &capacity, 1, sizeof *stack);
    stack[n_stack++] = start;
    while (n_stack > 0) {
        uint32_t id = stack[--n_stack];
        const struct node *node = &graph->nodes[id];
        if (marks[id] == mark)
            continue;
        marks[id] = mark;
        if (node->kind != NODE_ALT) {
            mem_reserve(&out->nodes, &out->capacity, out->n + 1, sizeof *out->nodes);
            out->nodes[out->n++] = id;
            continue;
        }
        mem_reserve(&stack, &capacity, n_stack + node->count, sizeof *stack);
        for (uint32_t i = 0; i < node->count; i++)
            stack[n_stack++] = graph->alternatives[node->a + i];
    }
    free(stack);
}

static void left_init(struct left *left, struct graph *graph)
{
    *left = (struct left){.graph = graph};
    left->of = mem_zeroed(graph->n_rules, sizeof *left->of);
    left->n_callers = mem_zeroed(graph->n_rules, sizeof *left->n_callers);
    left->queue = mem_zeroed(graph->n_rules, sizeof *left->queue);
    uint32_t *marks = mem_zeroed(graph->n_nodes, sizeof *marks);
    for (size_t i = 0; i < graph->n_rules; i++)
        find_leaves(graph, graph->rules[i].start, &left->of[i], marks, (uint32_t)i + 1);
    free(marks);
}

static void left_finish(struct left *left)
{
    for (size_t i = 0; i < left->graph->n_rules; i++)
        free(left->of[i].nodes);
    free(left->of);
    free(left->n_callers);
    free(left->queue);
}

static bool leaf_call(const struct left *left, uint32_t leaf, uint32_t *out_rule)
{
    const struct node *node = &left->graph->nodes[leaf];
    *out_rule = node->a;
    return node->kind == NODE_CALL;
}

// Ranks callers before those they call first; rules on a cycle, or behind one, are left out.
static void rank_rules(struct left *left)
{
    struct graph *graph = left->graph;
    uint32_t called;
    for (size_t i = 0; i < graph->n_rules; i++)
        for (size_t k = 0; k < left->of[i].n; k++)
            if (leaf_call(left, left->of[i].nodes[k], &called))
                left->n_callers[called]++;
    for (size_t i = 0; i < graph->n_rules; i++)
        if (left->n_callers[i] == 0)
            left->queue[left->n_queue++] = (uint32_t)i;
    for (size_t i = 0; i < left->n_queue; i++) {
        const struct leaves *leaves = &left->of[left->queue[i]];
        graph->rules[left->queue[i]].rank = (uint32_t)i;
        for (size_t k = 0; k < leaves->n; k++)
            if (leaf_call(left, leaves->nodes[k], &called) && --left->n_callers[called] == 0)
                left->queue[left->n_queue++] = called;
    }
}

// The rewriting of one rule.
struct goal {
    const struct left *left;
    struct graph *graph;
    const bool *in_set;  // [n_rules] is in S and can be called first by the goal
    uint32_t goal;       // A
    uint32_t *member_of; // [n_rules] the number of a rule in rests
    uint32_t **copies;   // [members][n_nodes] node -> its copy in the rest of that rule, 0: none
    uint32_t *endings;   // [members] where the END of the copies leads to
    size_t n_members, n_nodes;
    uint32_t *todo; // pairs: member, node
    size_t n_todo, todo_capacity;
};

static uint32_t copy(struct goal *g, uint32_t member, uint32_t node)
{
    if (node == END_NODE)
        return g->endings[member];
    uint32_t *copies = g->copies[member];
    if (!copies[node]) {
        copies[node] = graph_add(g->graph, g->graph->nodes[node]);
        mem_reserve(&g->todo, &g->todo_capacity, g->n_todo + 2, sizeof *g->todo);
        g->todo[g->n_todo++] = member;
        g->todo[g->n_todo++] = node;
    }
    return copies[node];
}

static void fill_copy(struct goal *g, uint32_t member, uint32_t id)
{
    struct graph *graph = g->graph;
    struct node node = graph->nodes[id];
    uint32_t into = g->copies[member][id];
    if (node.kind != NODE_ALT) {
        uint32_t next = copy(g, member, node.next);
        graph->nodes[into].next = next;
        return;
    }
    uint32_t *list = mem_zeroed(node.count + 1, sizeof *list);
    for (uint32_t i = 0; i < node.count; i++)
        list[i] = copy(g, member, graph->alternatives[node.a + i]);
    graph_set_alt(graph, into, list, node.count);
    free(list);
}

struct node_list {
    uint32_t *nodes;
    size_t n, capacity;
};

static void append(struct node_list *list, uint32_t node)
{
    mem_reserve(&list->nodes, &list->capacity, list->n + 1, sizeof *list->nodes);
    list->nodes[list->n++] = node;
}

// Leaves of all members: those that call no member begin the goal; the others say what may follow
// the END of the member they call.
static uint32_t join_leaves(struct goal *g)
{
    struct node_list start = {0};
    struct node_list *after = mem_zeroed(g->n_members, sizeof *after);
    append(&after[g->member_of[g->goal]], END_NODE);
    for (uint32_t rule = 0; rule < g->graph->n_rules; rule++) {
        if (!g->in_set[rule])
            continue;
        const struct leaves *leaves = &g->left->of[rule];
        for (size_t i = 0; i < leaves->n; i++) {
            struct node leaf = g->graph->nodes[leaves->nodes[i]];
            uint32_t rest = copy(g, g->member_of[rule], leaf.next);
            if (leaf.kind == NODE_CALL && g->in_set[leaf.a]) {
                append(&after[g->member_of[leaf.a]], rest);
                continue;
            }
            leaf.next = rest;
            append(&start, graph_add(g->graph, leaf));
        }
    }
    for (size_t i = 0; i < g->n_members; i++) {
        graph_set_alt(g->graph, g->endings[i], after[i].nodes, after[i].n);
        free(after[i].nodes);
    }
    free(after);
    uint32_t node = graph_add_alt(g->graph, start.nodes, start.n);
    free(start.nodes);
    return node;
}

static uint32_t rewrite(const struct left *left, const bool *in_set, uint32_t rule)
{
    struct graph *graph = left->graph;
    struct goal g = {.left = left, .graph = graph, .in_set = in_set, .goal = rule};
    g.n_nodes = graph->n_nodes;
    g.member_of = mem_zeroed(graph->n_rules, sizeof *g.member_of);
    for (uint32_t i = 0; i < graph->n_rules; i++)
        if (in_set[i])
            g.member_of[i] = (uint32_t)g.n_members++;
    g.copies = mem_zeroed(g.n_members, sizeof *g.copies);
    g.endings = mem_zeroed(g.n_members, sizeof *g.endings);
    for (size_t i = 0; i < g.n_members; i++) {
        g.copies[i] = mem_zeroed(g.n_nodes, sizeof *g.copies[i]);
        g.endings[i] = graph_add_alt(graph, NULL, 0);
    }
    uint32_t start = join_leaves(&g);
    while (g.n_todo > 0 && graph->n_nodes <= graph->max_nodes) {
        g.n_todo -= 2;
        fill_copy(&g, g.todo[g.n_todo], g.todo[g.n_todo + 1]);
    }
    for (size_t i = 0; i < g.n_members; i++)
        free(g.copies[i]);
    free(g.copies);
    free(g.endings);
    free(g.member_of);
    free(g.todo);
    return start;
}

// reaches[a * n + b]: cyclic rule a can call cyclic rule b first. By Warshall.
static bool *find_cycles(const struct left *left, const uint32_t *cyclic, size_t n,
                         const uint32_t *number)
{
    bool *reaches = mem_zeroed(n * n + 1, sizeof *reaches);
    uint32_t called;
    for (size_t a = 0; a < n; a++) {
        const struct leaves *leaves = &left->of[cyclic[a]];
        for (size_t k = 0; k < leaves->n; k++)
            if (leaf_call(left, leaves->nodes[k], &called) && number[called] > 0)
                reaches[a * n + number[called] - 1] = true;
    }
    for (size_t via = 0; via < n; via++)
        for (size_t a = 0; a < n; a++)
            for (size_t b = 0; reaches[a * n + via] && b < n; b++)
                reaches[a * n + b] |= reaches[via * n + b];
    return reaches;
}

// cyclic [n]: the rules that have no rank.
static void rewrite_all(struct left *left, const uint32_t *cyclic, size_t n)
{
    struct graph *graph = left->graph;
    uint32_t *number = mem_zeroed(graph->n_rules, sizeof *number);
    for (size_t i = 0; i < n; i++)
        number[cyclic[i]] = (uint32_t)i + 1;
    bool *reaches = find_cycles(left, cyclic, n, number);
    uint32_t *starts = mem_zeroed(n, sizeof *starts);
    bool *in_set = mem_zeroed(graph->n_rules, sizeof *in_set);
    for (size_t a = 0; a < n && graph->n_nodes <= graph->max_nodes; a++) {
        starts[a] = graph->rules[cyclic[a]].start;
        if (!reaches[a * n + a])
            continue;
        for (size_t b = 0; b < n; b++)
            in_set[cyclic[b]] = reaches[a * n + b] && reaches[b * n + a];
        starts[a] = rewrite(left, in_set, cyclic[a]);
    }
    for (size_t a = 0; a < n; a++)
        graph->rules[cyclic[a]].start = starts[a];
    free(number);
    free(reaches);
    free(starts);
    free(in_set);
}

enum status graph_remove_left_recursion(struct graph *graph, struct error *err)
{
    struct left left;
    left_init(&left, graph);
    rank_rules(&left);
    size_t n = 0;
    uint32_t *cyclic = mem_zeroed(graph->n_rules, sizeof *cyclic);
    for (uint32_t i = 0; i < graph->n_rules; i++)
        if (left.n_callers[i] > 0)
            cyclic[n++] = i;
    bool fits = n <= MAX_LEFT_RECURSIVE;
    if (n > 0 && fits)
        rewrite_all(&left, cyclic, n);
    left_finish(&left);
    free(cyclic);
    if (n > 0 && fits && graph->n_nodes <= graph->max_nodes) {
        left_init(&left, graph);
        rank_rules(&left);
        CHECK(left.n_queue == graph->n_rules);
        left_finish(&left);
    }
    return fits ? STATUS_OK
                : error_set(err, STATUS_INVALID_ARGUMENT,
                            "%zu rules are, or follow, left-recursive ones; at most %d can be", n,
                            MAX_LEFT_RECURSIVE);
}
