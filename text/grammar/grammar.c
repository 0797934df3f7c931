/* text/grammar/grammar.c - the builder, which keeps what it is told, and the counted grammar. */
#include "text/grammar/grammar_tables.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "text/grammar/grammar_states.h"
#include "text/grammar/matcher_mask.h"

#define DEFAULT_MAX_SYMBOLS (1U << 17)
#define PARTS_PER_SYMBOL 16 /* on average, at most */

struct grammar_builder *grammar_builder_create(const struct grammar_limits *limits)
{
    static const struct grammar_limits none;
    limits = limits ? limits : &none;
    struct grammar_builder *builder = mem_zeroed(1, sizeof *builder);
    builder->max_symbols = limits->max_symbols ? limits->max_symbols : DEFAULT_MAX_SYMBOLS;
    builder->graph.pool = expression_pool_create(limits->max_expressions);
    builder->graph.max_nodes = (size_t)builder->max_symbols * 4 + 16;
    return builder;
}

void graph_finish(struct graph *graph)
{
    free(graph->nodes);
    free(graph->alternatives);
    free(graph->rules);
    free(graph->token_ids);
    expression_pool_destroy(graph->pool);
}

void grammar_builder_destroy(struct grammar_builder *builder)
{
    if (!builder)
        return;
    graph_finish(&builder->graph);
    free(builder->symbols);
    free(builder->parts);
    free(builder->names);
    free(builder);
}

struct expression_pool *grammar_builder_pool(struct grammar_builder *builder)
{
    return builder->graph.pool;
}

// Symbols that are too many all become symbol 0.
static grammar_symbol add(struct grammar_builder *builder, struct symbol symbol)
{
    if (builder->n_symbols >= builder->max_symbols ||
        builder->n_parts > (size_t)builder->max_symbols * PARTS_PER_SYMBOL) {
        builder->overflowed = true;
        return (grammar_symbol){0};
    }
    mem_reserve(&builder->symbols, &builder->symbols_capacity, builder->n_symbols + 1,
                sizeof *builder->symbols);
    builder->symbols[builder->n_symbols] = symbol;
    return (grammar_symbol){(uint32_t)builder->n_symbols++};
}

grammar_symbol grammar_terminal(struct grammar_builder *builder, uint32_t expression)
{
    return add(builder, (struct symbol){.kind = SYMBOL_TERMINAL, .a = expression});
}

grammar_symbol grammar_text(struct grammar_builder *builder, const char *bytes, size_t n)
{
    return grammar_terminal(builder, expression_text(builder->graph.pool, bytes, n));
}

static int by_id(const void *x, const void *y)
{
    uint32_t a = *(const uint32_t *)x, b = *(const uint32_t *)y;
    return (a > b) - (a < b);
}

grammar_symbol grammar_tokens(struct grammar_builder *builder, const uint32_t *ids, size_t n)
{
    struct graph *graph = &builder->graph;
    struct symbol symbol = {.kind = SYMBOL_TOKENS, .a = (uint32_t)graph->n_token_ids};
    if (graph->n_token_ids + n > (size_t)builder->max_symbols * PARTS_PER_SYMBOL) {
        builder->overflowed = true;
        n = 0;
    }
    mem_reserve(&graph->token_ids, &graph->token_ids_capacity, graph->n_token_ids + n,
                sizeof *graph->token_ids);
    uint32_t *list = graph->token_ids + graph->n_token_ids;
    if (n > 0) {
        memcpy(list, ids, n * sizeof *ids);
        qsort(list, n, sizeof *list, by_id);
    }
    for (size_t i = 0; i < n; i++)
        if (symbol.count == 0 || list[symbol.count - 1] != list[i])
            list[symbol.count++] = list[i];
    graph->n_token_ids += symbol.count;
    return add(builder, symbol);
}

static grammar_symbol add_parts(struct grammar_builder *builder, enum symbol_kind kind,
                                const grammar_symbol *symbols, size_t n)
{
    struct symbol symbol = {.kind = kind, .a = (uint32_t)builder->n_parts, .count = (uint32_t)n};
    if (builder->n_parts + n > (size_t)builder->max_symbols * PARTS_PER_SYMBOL) {
        builder->overflowed = true;
        return (grammar_symbol){0};
    }
    mem_reserve(&builder->parts, &builder->parts_capacity, builder->n_parts + n,
                sizeof *builder->parts);
    for (size_t i = 0; i < n; i++)
        builder->parts[builder->n_parts++] = symbols[i].id;
    return add(builder, symbol);
}

grammar_symbol grammar_sequence(struct grammar_builder *builder, const grammar_symbol *symbols,
                                size_t n)
{
    return add_parts(builder, SYMBOL_SEQUENCE, symbols, n);
}

grammar_symbol grammar_choice(struct grammar_builder *builder, const grammar_symbol *symbols,
                              size_t n)
{
    return add_parts(builder, SYMBOL_CHOICE, symbols, n);
}

grammar_symbol grammar_repeat(struct grammar_builder *builder, grammar_symbol symbol, uint32_t min,
                              uint32_t max)
{
    return add(builder,
               (struct symbol){.kind = SYMBOL_REPEAT, .a = symbol.id, .min = min, .max = max});
}

grammar_symbol grammar_rule(struct grammar_builder *builder, const char *name)
{
    struct symbol symbol = {.kind = SYMBOL_RULE, .min = (uint32_t)builder->n_names};
    size_t n = strnlen(name, 64);
    if (!builder->overflowed) {
        mem_reserve(&builder->names, &builder->names_capacity, builder->n_names + n + 1, 1);
        memcpy(builder->names + builder->n_names, name, n);
        builder->names[builder->n_names + n] = '\0';
        builder->n_names += n + 1;
    }
    return add(builder, symbol);
}

void grammar_define(struct grammar_builder *builder, grammar_symbol rule, grammar_symbol body)
{
    if (builder->overflowed)
        return; // rule may not be the one that was meant
    struct symbol *symbol = &builder->symbols[rule.id];
    CHECK(symbol->kind == SYMBOL_RULE && symbol->count == 0);
    symbol->a = body.id;
    symbol->count = 1;
}

uint32_t grammar_builder_n_symbols(const struct grammar_builder *builder)
{
    return (uint32_t)builder->n_symbols;
}

static enum status build(struct grammar_builder *builder, grammar_symbol root, struct error *err)
{
    struct graph *graph = &builder->graph;
    if (!builder->overflowed && !expression_pool_overflowed(graph->pool)) {
        enum status st = graph_from_symbols(builder, root, err);
        if (st == STATUS_OK)
            st = graph_normalise(graph, err);
        if (st != STATUS_OK)
            return st;
    }
    if (builder->overflowed || expression_pool_overflowed(graph->pool) ||
        graph->n_nodes > graph->max_nodes)
        return error_set(err, STATUS_INVALID_ARGUMENT, "the grammar is too large or too deep");
    return STATUS_OK;
}

enum status grammar_build(struct grammar_builder *builder, grammar_symbol root,
                          struct grammar **out, struct error *err)
{
    enum status st = build(builder, root, err);
    if (st == STATUS_OK) {
        struct grammar *grammar = mem_zeroed(1, sizeof *grammar);
        grammar->n_refs = 1;
        grammar->graph = builder->graph;
        builder->graph = (struct graph){0};
        grammar_measure(grammar);
        *out = grammar;
    }
    grammar_builder_destroy(builder);
    return st;
}

struct grammar *grammar_ref(struct grammar *grammar)
{
    __atomic_add_fetch(&grammar->n_refs, 1, __ATOMIC_RELAXED);
    return grammar;
}

void grammar_drop(struct grammar *grammar)
{
    if (!grammar || __atomic_sub_fetch(&grammar->n_refs, 1, __ATOMIC_ACQ_REL) > 0)
        return;
    mask_table_destroy(grammar->masks);
    grammar_states_destroy(grammar->states);
    graph_finish(&grammar->graph);
    free(grammar);
}

void grammar_measure(struct grammar *grammar)
{
    const struct graph *graph = &grammar->graph;
    size_t n_bytes = sizeof *grammar + graph->nodes_capacity * sizeof *graph->nodes +
                     (graph->alternatives_capacity + graph->token_ids_capacity) * sizeof(uint32_t) +
                     graph->rules_capacity * sizeof *graph->rules +
                     expression_pool_n_bytes(graph->pool) +
                     grammar_states_n_bytes(grammar->states) + mask_table_n_bytes(grammar->masks);
    __atomic_store_n(&grammar->n_bytes, n_bytes, __ATOMIC_RELAXED);
}

size_t grammar_n_bytes(const struct grammar *grammar)
{
    return __atomic_load_n(&grammar->n_bytes, __ATOMIC_RELAXED);
}
