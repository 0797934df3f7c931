/* text/grammar/grammar_graph.c - symbols to nodes.
 *
 * What is regular (no recursion, no special tokens) becomes one expression as a whole: its states
 * are then deterministic, and a schema without recursion is a single expression. Only the rest
 * becomes nodes and rules. A symbol that is used more than once becomes a rule, so that the graph
 * is not larger than the symbols; so does one below MAX_NESTED, so that recursion is bounded. */
#include "text/grammar/grammar_tables.h"

#include <stdlib.h>

#include "base/mem.h"

#define MAX_NESTED 64
#define NOT_REGULAR UINT32_MAX

enum visit { VISIT_NEW, VISIT_OPEN, VISIT_DONE };

struct symbol_info {
    uint32_t expression; // or NOT_REGULAR
    uint32_t n_uses;
    uint32_t rule; // number + 1
    uint8_t visit;
};

struct translation {
    struct grammar_builder *builder;
    struct graph *graph;
    struct symbol_info *info;
    uint32_t *rule_symbols; // rules whose nodes are still to be made, and those made: by number
    size_t rule_symbols_capacity;
    uint32_t *stack;
    size_t n_stack, stack_capacity;
};

uint32_t graph_add(struct graph *graph, struct node node)
{
    if (graph->n_nodes > graph->max_nodes)
        return END_NODE; // too large: grammar_build says so
    mem_reserve(&graph->nodes, &graph->nodes_capacity, graph->n_nodes + 1, sizeof *graph->nodes);
    graph->nodes[graph->n_nodes] = node;
    return (uint32_t)graph->n_nodes++;
}

void graph_set_alt(struct graph *graph, uint32_t node, const uint32_t *nodes, size_t n)
{
    if (graph->n_nodes > graph->max_nodes)
        return;
    mem_reserve(&graph->alternatives, &graph->alternatives_capacity, graph->n_alternatives + n,
                sizeof *graph->alternatives);
    graph->nodes[node] =
        (struct node){.kind = NODE_ALT, .a = (uint32_t)graph->n_alternatives, .count = (uint32_t)n};
    for (size_t i = 0; i < n; i++)
        graph->alternatives[graph->n_alternatives++] = nodes[i];
}

uint32_t graph_add_alt(struct graph *graph, const uint32_t *nodes, size_t n)
{
    uint32_t node = graph_add(graph, (struct node){.kind = NODE_ALT});
    graph_set_alt(graph, node, nodes, n);
    return node;
}

static void push(struct translation *t, uint32_t value)
{
    mem_reserve(&t->stack, &t->stack_capacity, t->n_stack + 1, sizeof *t->stack);
    t->stack[t->n_stack++] = value;
}

static const struct symbol *symbol_at(const struct translation *t, uint32_t id)
{
    return &t->builder->symbols[id];
}

// The symbols that a symbol is made of.
static const uint32_t *parts_of(const struct translation *t, const struct symbol *symbol,
                                uint32_t *out_n)
{
    switch (symbol->kind) {
    case SYMBOL_SEQUENCE:
    case SYMBOL_CHOICE:
        *out_n = symbol->count;
        return t->builder->parts + symbol->a;
    case SYMBOL_REPEAT:
    case SYMBOL_RULE:
        *out_n = 1;
        return &symbol->a;
    default:
        *out_n = 0;
        return NULL;
    }
}

// All parts have been visited, or are open: then the symbol is recursive.
static uint32_t regular_expression(struct translation *t, const struct symbol *symbol)
{
    struct expression_pool *pool = t->graph->pool;
    uint32_t n;
    const uint32_t *parts = parts_of(t, symbol, &n);
    for (uint32_t i = 0; i < n; i++)
        if (t->info[parts[i]].visit != VISIT_DONE || t->info[parts[i]].expression == NOT_REGULAR)
            return NOT_REGULAR;
    uint32_t expression = EXPRESSION_EMPTY;
    size_t from = pool->n_scratch;
    switch (symbol->kind) {
    case SYMBOL_TERMINAL:
        return symbol->a;
    case SYMBOL_TOKENS:
        return NOT_REGULAR;
    case SYMBOL_SEQUENCE:
        for (uint32_t i = n; i-- > 0;)
            expression = expression_concat(pool, t->info[parts[i]].expression, expression);
        return expression;
    case SYMBOL_CHOICE:
        for (uint32_t i = 0; i < n; i++)
            expression_scratch_push(pool, t->info[parts[i]].expression);
        return expression_any_of_scratch(pool, from);
    case SYMBOL_REPEAT:
        return expression_repeat(pool, t->info[symbol->a].expression, symbol->min, symbol->max);
    default: // SYMBOL_RULE
        return t->info[symbol->a].expression;
    }
}

// Depth first; a symbol stands on the stack until all of its parts are done.
static enum status find_regular(struct translation *t, uint32_t root, struct error *err)
{
    push(t, root);
    while (t->n_stack > 0) {
        uint32_t id = t->stack[t->n_stack - 1];
        const struct symbol *symbol = symbol_at(t, id);
        struct symbol_info *info = &t->info[id];
        if (symbol->kind == SYMBOL_RULE && symbol->count == 0)
            return error_set(err, STATUS_INVALID_ARGUMENT, "rule '%s' is used but not defined",
                             t->builder->names + symbol->min);
        if (info->visit == VISIT_NEW) {
            info->visit = VISIT_OPEN;
            uint32_t n;
            const uint32_t *parts = parts_of(t, symbol, &n);
            for (uint32_t i = 0; i < n; i++)
                if (t->info[parts[i]].visit == VISIT_NEW)
                    push(t, parts[i]);
            continue;
        }
        t->n_stack--;
        if (info->visit == VISIT_DONE)
            continue;
        info->expression = regular_expression(t, symbol);
        info->visit = VISIT_DONE;
    }
    return STATUS_OK;
}

// How often each symbol is used by those that are not regular.
static void count_uses(struct translation *t, uint32_t root)
{
    push(t, root);
    while (t->n_stack > 0) {
        uint32_t id = t->stack[--t->n_stack];
        if (t->info[id].n_uses++ > 0 || t->info[id].expression != NOT_REGULAR)
            continue;
        uint32_t n;
        const uint32_t *parts = parts_of(t, symbol_at(t, id), &n);
        for (uint32_t i = 0; i < n; i++)
            push(t, parts[i]);
    }
}

static uint32_t call(struct translation *t, uint32_t id, uint32_t next)
{
    struct graph *graph = t->graph;
    if (!t->info[id].rule) {
        mem_reserve(&graph->rules, &graph->rules_capacity, graph->n_rules + 1,
                    sizeof *graph->rules);
        mem_reserve(&t->rule_symbols, &t->rule_symbols_capacity, graph->n_rules + 1,
                    sizeof *t->rule_symbols);
        graph->rules[graph->n_rules] = (struct rule){0};
        t->rule_symbols[graph->n_rules] = id;
        t->info[id].rule = (uint32_t)++graph->n_rules;
    }
    return graph_add(graph,
                     (struct node){.kind = NODE_CALL, .a = t->info[id].rule - 1, .next = next});
}

static uint32_t term(struct translation *t, uint32_t expression, uint32_t next)
{
    if (expression == EXPRESSION_EMPTY)
        return next;
    return graph_add(t->graph, (struct node){.kind = NODE_TERM, .a = expression, .next = next});
}

static uint32_t translate(struct translation *t, uint32_t id, uint32_t next, int depth);

static uint32_t translate_sequence(struct translation *t, const struct symbol *symbol,
                                   uint32_t next, int depth)
{
    uint32_t expression = EXPRESSION_EMPTY; // regular neighbours are one terminal
    for (uint32_t i = symbol->count; i-- > 0;) {
        uint32_t part = t->builder->parts[symbol->a + i];
        if (t->info[part].expression != NOT_REGULAR) {
            expression = expression_concat(t->graph->pool, t->info[part].expression, expression);
            continue;
        }
        next = term(t, expression, next);
        expression = EXPRESSION_EMPTY;
        next = translate(t, part, next, depth);
    }
    return term(t, expression, next);
}

static uint32_t translate_choice(struct translation *t, const struct symbol *symbol, uint32_t next,
                                 int depth)
{
    struct expression_pool *pool = t->graph->pool;
    uint32_t *nodes = mem_zeroed(symbol->count + 1, sizeof *nodes);
    size_t n = 0, from = pool->n_scratch;
    for (uint32_t i = 0; i < symbol->count; i++) {
        uint32_t part = t->builder->parts[symbol->a + i];
        if (t->info[part].expression != NOT_REGULAR)
            expression_scratch_push(pool, t->info[part].expression);
    }
    if (pool->n_scratch > from)
        nodes[n++] = term(t, expression_any_of_scratch(pool, from), next);
    for (uint32_t i = 0; i < symbol->count; i++) {
        uint32_t part = t->builder->parts[symbol->a + i];
        if (t->info[part].expression == NOT_REGULAR)
            nodes[n++] = translate(t, part, next, depth);
    }
    uint32_t node = graph_add_alt(t->graph, nodes, n);
    free(nodes);
    return node;
}

// Counted repeats are written out: n copies of a call.
static uint32_t translate_repeat(struct translation *t, const struct symbol *symbol, uint32_t next)
{
    struct graph *graph = t->graph;
    uint32_t at = next;
    if (symbol->max == EXPRESSION_UNLIMITED) {
        at = graph_add(graph, (struct node){.kind = NODE_ALT});
        uint32_t again = call(t, symbol->a, at);
        graph_set_alt(graph, at, (uint32_t[]){next, again}, 2);
    } else {
        for (uint32_t i = symbol->min; i < symbol->max && graph->n_nodes <= graph->max_nodes; i++)
            at = graph_add_alt(graph, (uint32_t[]){next, call(t, symbol->a, at)}, 2);
    }
    for (uint32_t i = 0; i < symbol->min && graph->n_nodes <= graph->max_nodes; i++)
        at = call(t, symbol->a, at);
    return symbol->min > symbol->max ? graph_add_alt(graph, NULL, 0) : at;
}

// The node from where id leads to next.
static uint32_t translate_body(struct translation *t, uint32_t id, uint32_t next, int depth)
{
    const struct symbol *symbol = symbol_at(t, id);
    switch (symbol->kind) {
    case SYMBOL_TOKENS:
        return graph_add(t->graph, (struct node){.kind = NODE_TOKENS,
                                                 .a = symbol->a,
                                                 .count = symbol->count,
                                                 .next = next});
    case SYMBOL_SEQUENCE:
        return translate_sequence(t, symbol, next, depth);
    case SYMBOL_CHOICE:
        return translate_choice(t, symbol, next, depth);
    case SYMBOL_REPEAT:
        return translate_repeat(t, symbol, next);
    default: // SYMBOL_RULE
        return translate(t, symbol->a, next, depth);
    }
}

static uint32_t translate(struct translation *t, uint32_t id, uint32_t next, int depth)
{
    if (t->info[id].expression != NOT_REGULAR)
        return term(t, t->info[id].expression, next);
    bool is_tokens = symbol_at(t, id)->kind == SYMBOL_TOKENS;
    if (!is_tokens &&
        (t->info[id].n_uses > 1 || depth >= MAX_NESTED || symbol_at(t, id)->kind == SYMBOL_RULE))
        return call(t, id, next);
    return translate_body(t, id, next, depth + 1);
}

enum status graph_from_symbols(struct grammar_builder *builder, grammar_symbol root,
                               struct error *err)
{
    struct graph *graph = &builder->graph;
    struct translation t = {.builder = builder, .graph = graph};
    t.info = mem_zeroed(builder->n_symbols, sizeof *t.info);
    enum status st = find_regular(&t, root.id, err);
    if (st == STATUS_OK) {
        count_uses(&t, root.id);
        graph_add(graph, (struct node){.kind = NODE_END});
        graph->start = translate(&t, root.id, END_NODE, 0);
        for (size_t i = 0; i < graph->n_rules; i++) { // grows while it runs
            uint32_t id = t.rule_symbols[i];
            uint32_t start = t.info[id].expression != NOT_REGULAR
                                 ? term(&t, t.info[id].expression, END_NODE)
                                 : translate_body(&t, id, END_NODE, 0);
            graph->rules[i].start = start;
        }
    }
    free(t.info);
    free(t.rule_symbols);
    free(t.stack);
    return st;
}
