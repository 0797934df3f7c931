/* text/template_render.c - runs statements, and keeps scopes as Jinja does: a loop's body, a
 * macro, a set or filter block have a scope of their own, an if has not. */
#include "text/template_render.h"

#include <string.h>

#include "base/mem.h"

enum flow { FLOW_ON, FLOW_BREAK, FLOW_CONTINUE };

static enum flow run_list(struct render *r, const struct statement_list *list);

static void add_span(struct rendered *output, size_t n, bool from_client)
{
    if (n == 0)
        return;
    if (output->n_spans && output->spans[output->n_spans - 1].from_client == from_client) {
        output->spans[output->n_spans - 1].length += n;
        return;
    }
    mem_reserve(&output->spans, &output->capacity, output->n_spans + 1, sizeof *output->spans);
    output->spans[output->n_spans++] = (struct template_span){n, from_client};
}

static void write_leaf(void *context, const struct cord *leaf)
{
    struct render *r = context;
    struct rendered *output = &r->output;
    if (leaf->length > output->max_bytes - output->text.length)
        budget_fail(&r->budget, STATUS_RESOURCE_EXHAUSTED, "more than %zu bytes of output",
                    output->max_bytes);
    budget_charge(&r->budget, leaf->length / 64);
    if (leaf->length)
        text_buffer_append(&output->text, leaf->bytes, leaf->length);
    if (!leaf->origins) {
        add_span(output, leaf->length, leaf->from_client);
        return;
    }
    for (size_t at = 0; at < leaf->length;) {
        size_t end = at + 1;
        while (end < leaf->length && leaf->origins[end] == leaf->origins[at])
            end++;
        add_span(output, end - at, leaf->origins[at]);
        at = end;
    }
}

void render_print(struct render *r, struct cord *text)
{
    if (r->capture)
        *r->capture = cord_join(&r->budget, *r->capture, text);
    else
        cord_walk(&r->budget, text, write_leaf, r);
}

struct value render_lookup(const struct render *r, uint32_t symbol)
{
    for (const struct scope *scope = r->scope; scope; scope = scope->parent)
        for (size_t i = 0; i < scope->n; i++)
            if (scope->bindings[i].symbol == symbol)
                return scope->bindings[i].value;
    return r->globals[symbol];
}

static void bind(struct render *r, uint32_t symbol, struct value value)
{
    struct scope *scope = r->scope;
    if (!scope) {
        r->globals[symbol] = value;
        return;
    }
    for (size_t i = 0; i < scope->n; i++)
        if (scope->bindings[i].symbol == symbol) {
            scope->bindings[i].value = value;
            return;
        }
    if (scope->n == scope->capacity) {
        size_t capacity = scope->capacity ? scope->capacity * 2 : 4;
        struct binding *bindings = budget_take(&r->budget, capacity, sizeof *bindings);
        if (scope->n)
            memcpy(bindings, scope->bindings, scope->n * sizeof *bindings);
        scope->bindings = bindings;
        scope->capacity = capacity;
    }
    scope->bindings[scope->n++] = (struct binding){symbol, value};
}

static struct scope *push_scope(struct render *r, struct scope *parent)
{
    struct scope *scope = budget_take(&r->budget, 1, sizeof *scope);
    scope->parent = parent;
    r->scope = scope;
    return scope;
}

static void assign(struct render *r, const struct assign_target *target, struct value value)
{
    if (target->is_tuple) {
        const struct list *items = value_items(&r->budget, value);
        if (items->n != target->n_parts)
            budget_fail(&r->budget, STATUS_INVALID_ARGUMENT, "%zu values for %u names", items->n,
                        target->n_parts);
        for (size_t i = 0; i < items->n; i++)
            assign(r, &target->parts[i], items->items[i]);
        return;
    }
    if (!target->attribute) {
        bind(r, target->symbol, value);
        return;
    }
    struct value object = render_lookup(r, target->symbol);
    if (object.type != VALUE_NAMESPACE)
        budget_fail(&r->budget, STATUS_INVALID_ARGUMENT,
                    "an attribute of a '%s' cannot be set, only one of a namespace",
                    value_type_name(object));
    dict_set(&r->budget, object.dict, value_text(&r->budget, target->attribute), value);
}

// The items for which the loop's condition holds.
static const struct list *filter_items(struct render *r, const struct statement *statement,
                                       const struct list *items)
{
    struct scope *outer = r->scope;
    struct list *kept = list_new(&r->budget, LIST_PLAIN, 0);
    for (size_t i = 0; i < items->n; i++) {
        push_scope(r, outer);
        assign(r, statement->target, items->items[i]);
        if (value_truth(evaluate(r, statement->condition)))
            list_append(&r->budget, kept, items->items[i]);
    }
    r->scope = outer;
    return kept;
}

static struct loop *begin_loop(struct render *r, const struct statement *statement)
{
    struct value series = evaluate(r, statement->expression);
    struct loop *loop = budget_take(&r->budget, 1, sizeof *loop);
    if (series.type == VALUE_RANGE && !statement->condition) {
        loop->range = series.range;
        loop->n = series.range->n;
        return loop;
    }
    const struct list *items = value_items(&r->budget, series);
    loop->items = statement->condition ? filter_items(r, statement, items) : items;
    loop->n = loop->items->n;
    return loop;
}

static void run_for(struct render *r, const struct statement *statement)
{
    struct scope *outer = r->scope;
    struct loop *loop = begin_loop(r, statement);
    struct scope *body = NULL;
    bool completed = false; // else runs unless a body reached its end, as Jinja has it
    for (size_t i = 0; i < loop->n; i++) {
        budget_charge(&r->budget, 1);
        loop->index0 = i;
        if (!body || body->captured)
            body = push_scope(r, outer);
        body->n = 0;
        r->scope = body;
        bind(r, SYMBOL_LOOP, (struct value){.type = VALUE_LOOP, .loop = loop});
        assign(r, statement->target, loop_item(loop, i));
        enum flow flow = run_list(r, &statement->body);
        completed = completed || flow == FLOW_ON;
        if (flow == FLOW_BREAK)
            break;
    }
    r->scope = outer;
    if (!completed)
        run_list(r, &statement->otherwise);
}

// Runs a body with its output kept, in a scope of its own.
static struct cord *run_captured(struct render *r, const struct statement_list *body,
                                 struct scope *parent)
{
    struct scope *outer = r->scope;
    struct cord **outer_capture = r->capture;
    struct cord *text = cord_text(&r->budget, "");
    if (parent == outer)
        push_scope(r, outer);
    r->capture = &text;
    run_list(r, body);
    r->capture = outer_capture;
    r->scope = outer;
    return text;
}

static struct value run_block(struct render *r, const struct statement *statement)
{
    struct value text = value_string(run_captured(r, &statement->body, r->scope));
    if (!statement->expression)
        return text;
    struct value outer = r->block_text;
    r->block_text = text;
    text = evaluate(r, statement->expression);
    r->block_text = outer;
    return text;
}

static void define_macro(struct render *r, const struct statement *statement)
{
    struct macro *macro = budget_take(&r->budget, 1, sizeof *macro);
    *macro = (struct macro){statement, r->scope};
    for (struct scope *scope = r->scope; scope; scope = scope->parent)
        scope->captured = true;
    bind(r, statement->symbol, (struct value){.type = VALUE_MACRO, .macro = macro});
}

static struct value parameter_value(struct render *r, const struct macro_parameter *parameter,
                                    const struct value *argument)
{
    if (argument)
        return *argument;
    return parameter->fallback ? evaluate(r, parameter->fallback)
                               : value_undefined(parameter->name);
}

static void check_macro_arguments(struct render *r, const struct statement *definition,
                                  const struct arguments *arguments)
{
    if (arguments->n > definition->n_parameters)
        budget_fail(&r->budget, STATUS_INVALID_ARGUMENT, "macro '%.60s' takes %u argument(s)",
                    definition->name, definition->n_parameters);
    for (uint32_t i = 0; i < arguments->n_keywords; i++) {
        uint32_t at = 0;
        while (at < definition->n_parameters &&
               strcmp(definition->parameters[at].name, arguments->names[i]) != 0)
            at++;
        if (at < arguments->n || at == definition->n_parameters)
            budget_fail(&r->budget, STATUS_INVALID_ARGUMENT,
                        "macro '%.60s' takes no keyword argument '%.60s' here", definition->name,
                        arguments->names[i]);
    }
}

struct value render_macro(struct render *r, const struct macro *macro,
                          const struct arguments *arguments)
{
    const struct statement *definition = macro->definition;
    check_macro_arguments(r, definition, arguments);
    if (r->n_macros == r->max_macros)
        budget_fail(&r->budget, STATUS_RESOURCE_EXHAUSTED,
                    "more than %u macro calls inside "
                    "each other",
                    r->max_macros);
    r->n_macros++;
    struct scope *outer = r->scope;
    struct scope *frame = push_scope(r, macro->closure);
    for (uint32_t i = 0; i < definition->n_parameters; i++) {
        const struct macro_parameter *parameter = &definition->parameters[i];
        const struct value *argument = argument_get(arguments, i, parameter->name);
        bind(r, parameter->symbol, parameter_value(r, parameter, argument));
    }
    struct cord *text = run_captured(r, &definition->body, frame->parent);
    r->scope = outer;
    r->n_macros--;
    return value_string(text);
}

static enum flow run_statement(struct render *r, const struct statement *statement)
{
    switch (statement->kind) {
    case STATEMENT_DATA:
        render_print(r, statement->data);
        break;
    case STATEMENT_PRINT:
        render_print(r, value_str(&r->budget, evaluate(r, statement->expression)));
        break;
    case STATEMENT_IF:
        return run_list(r, value_truth(evaluate(r, statement->expression)) ? &statement->body
                                                                           : &statement->otherwise);
    case STATEMENT_FOR:
        run_for(r, statement);
        break;
    case STATEMENT_SET:
        assign(r, statement->target, evaluate(r, statement->expression));
        break;
    case STATEMENT_SET_BLOCK:
        assign(r, statement->target, run_block(r, statement));
        break;
    case STATEMENT_FILTER:
        render_print(r, value_str(&r->budget, run_block(r, statement)));
        break;
    case STATEMENT_MACRO:
        define_macro(r, statement);
        break;
    case STATEMENT_GENERATION:
        render_print(r, run_captured(r, &statement->body, r->scope));
        break;
    case STATEMENT_BREAK:
        return FLOW_BREAK;
    case STATEMENT_CONTINUE:
        return FLOW_CONTINUE;
    }
    return FLOW_ON;
}

static enum flow run_list(struct render *r, const struct statement_list *list)
{
    enum flow flow = FLOW_ON;
    budget_enter(&r->budget);
    for (uint32_t i = 0; i < list->n && flow == FLOW_ON; i++) {
        budget_charge(&r->budget, 1);
        r->budget.line = list->items[i].line;
        flow = run_statement(r, &list->items[i]);
    }
    budget_leave(&r->budget);
    return flow;
}

void render_template(struct render *r)
{
    run_list(r, &r->tree->body);
}
