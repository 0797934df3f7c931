/* text/template_eval.c - the value of an expression. */
#include <string.h>

#include "text/template_render.h"

#define FEW_ARGUMENTS 4 /* these need no memory from the budget */

static void evaluate_arguments(struct render *r, const struct expression *call,
                               struct value few[FEW_ARGUMENTS], struct arguments *out)
{
    struct value *items = few;
    if (call->n_arguments > FEW_ARGUMENTS)
        items = budget_take(&r->budget, call->n_arguments, sizeof *items);
    for (uint32_t i = 0; i < call->n_arguments; i++)
        items[i] = evaluate(r, call->arguments[i]);
    *out = (struct arguments){.n = call->n_arguments, .items = items};
    if (call->n_keywords == 0)
        return;
    const char **names = budget_take(&r->budget, call->n_keywords, sizeof *names);
    struct value *named = budget_take(&r->budget, call->n_keywords, sizeof *named);
    for (uint32_t i = 0; i < call->n_keywords; i++) {
        names[i] = call->keywords[i].name;
        named[i] = evaluate(r, call->keywords[i].value);
    }
    out->n_keywords = call->n_keywords;
    out->names = names;
    out->named = named;
}

static struct value call_method(struct render *r, const struct method *method,
                                const struct arguments *arguments)
{
    const struct method_entry *entry = method->entry;
    if (!entry)
        budget_fail(&r->budget, STATUS_INVALID_ARGUMENT, "unsupported method '%.60s'",
                    method->name);
    const char *problem = parameters_problem(entry->parameters, arguments->n, arguments->names,
                                             arguments->n_keywords);
    if (!problem && arguments->n < entry->n_required)
        problem = "too few arguments";
    if (problem)
        budget_fail(&r->budget, STATUS_INVALID_ARGUMENT, "%s(): %s", entry->name, problem);
    return entry->call(&r->budget, method->object, arguments);
}

static struct value evaluate_call(struct render *r, const struct expression *expression)
{
    struct value few[FEW_ARGUMENTS];
    struct arguments arguments;
    struct value callee = evaluate(r, expression->items[0]);
    if (callee.type == VALUE_UNDEFINED)
        budget_fail(&r->budget, STATUS_INVALID_ARGUMENT, "'%.80s' is undefined", callee.missing);
    evaluate_arguments(r, expression, few, &arguments);
    r->budget.line = expression->line;
    switch (callee.type) {
    case VALUE_MACRO:
        return render_macro(r, callee.macro, &arguments);
    case VALUE_METHOD:
        return call_method(r, callee.method, &arguments);
    case VALUE_FUNCTION:
        return function_call(&r->budget, callee.symbol, &arguments);
    default:
        budget_fail(&r->budget, STATUS_INVALID_ARGUMENT, "'%s' object is not callable",
                    value_type_name(callee));
    }
}

static struct value evaluate_filter(struct render *r, const struct expression *expression)
{
    struct value few[FEW_ARGUMENTS];
    struct arguments arguments;
    struct value subject = expression->items[0] ? evaluate(r, expression->items[0]) : r->block_text;
    evaluate_arguments(r, expression, few, &arguments);
    r->budget.line = expression->line;
    return expression->filter->apply(&r->budget, subject, &arguments);
}

static struct value evaluate_test(struct render *r, const struct expression *expression)
{
    struct value few[FEW_ARGUMENTS];
    struct arguments arguments;
    struct value subject = evaluate(r, expression->items[0]);
    evaluate_arguments(r, expression, few, &arguments);
    return value_bool(expression->test->holds(&r->budget, subject, &arguments));
}

static bool compare(struct budget *budget, enum operation operation, struct value a, struct value b)
{
    switch (operation) {
    case OPERATION_EQUAL:
        return value_equal(budget, a, b);
    case OPERATION_NOT_EQUAL:
        return !value_equal(budget, a, b);
    case OPERATION_IN:
        return value_contains(budget, b, a);
    case OPERATION_NOT_IN:
        return !value_contains(budget, b, a);
    case OPERATION_LESS:
        return value_compare(budget, a, b) < 0;
    case OPERATION_LESS_EQUAL:
        return value_compare(budget, a, b) <= 0;
    case OPERATION_GREATER:
        return value_compare(budget, a, b) > 0;
    default:
        return value_compare(budget, a, b) >= 0;
    }
}

static struct value evaluate_compare(struct render *r, const struct expression *expression)
{
    struct value left = evaluate(r, expression->items[0]);
    for (uint32_t i = 1; i < expression->n_items; i++) {
        struct value right = evaluate(r, expression->items[i]);
        if (!compare(&r->budget, expression->operations[i - 1], left, right))
            return value_bool(false);
        left = right;
    }
    return value_bool(true);
}

// `and` gives the first false operand, `or` the first true one, else both the last.
static struct value evaluate_logic(struct render *r, const struct expression *expression)
{
    bool stops_at = expression->kind == EXPRESSION_OR;
    struct value value = evaluate(r, expression->items[0]);
    for (uint32_t i = 1; i < expression->n_items && value_truth(value) != stops_at; i++)
        value = evaluate(r, expression->items[i]);
    return value;
}

static struct value evaluate_concat(struct render *r, const struct expression *expression)
{
    struct cord *text = cord_text(&r->budget, "");
    for (uint32_t i = 0; i < expression->n_items; i++) {
        struct value item = evaluate(r, expression->items[i]);
        text = cord_join(&r->budget, text, value_str(&r->budget, item));
    }
    return value_string(text);
}

static struct value evaluate_list(struct render *r, const struct expression *expression)
{
    bool is_tuple = expression->kind == EXPRESSION_TUPLE;
    struct list *list = list_new(&r->budget, is_tuple ? LIST_TUPLE : LIST_PLAIN,
                                 expression->n_items);
    for (uint32_t i = 0; i < expression->n_items; i++)
        list_append(&r->budget, list, evaluate(r, expression->items[i]));
    return value_list(list);
}

static struct value evaluate_dict(struct render *r, const struct expression *expression)
{
    struct dict *dict = dict_new(&r->budget, expression->n_items / 2);
    for (uint32_t i = 0; i + 1 < expression->n_items; i += 2) {
        struct value key = evaluate(r, expression->items[i]);
        dict_set(&r->budget, dict, key, evaluate(r, expression->items[i + 1]));
    }
    return value_dict(dict);
}

static struct value evaluate_slice(struct render *r, const struct expression *expression)
{
    struct value object = evaluate(r, expression->items[0]);
    struct value bounds[3];
    for (int i = 0; i < 3; i++)
        bounds[i] = expression->items[i + 1] ? evaluate(r, expression->items[i + 1]) : value_none();
    return value_slice(&r->budget, object, bounds[0], bounds[1], bounds[2]);
}

static struct value evaluate_sign(struct render *r, const struct expression *expression)
{
    struct value item = evaluate(r, expression->items[0]);
    enum operation operation = expression->kind == EXPRESSION_NEGATE ? OPERATION_SUBTRACT
                                                                     : OPERATION_ADD;
    if (item.type == VALUE_FLOAT) // 0 - 0.0 would lose the sign
        return value_float(expression->kind == EXPRESSION_NEGATE ? -item.number : item.number);
    if (!value_is_number(item))
        budget_fail(&r->budget, STATUS_INVALID_ARGUMENT, "a '%s' has no sign",
                    value_type_name(item));
    return value_arithmetic(&r->budget, operation, value_integer(0), item);
}

static struct value evaluate_choice(struct render *r, const struct expression *expression)
{
    bool holds = value_truth(evaluate(r, expression->items[0]));
    const struct expression *chosen = expression->items[holds ? 1 : 2];
    return chosen ? evaluate(r, chosen) : value_undefined("an else branch");
}

static struct value evaluate_kind(struct render *r, const struct expression *expression)
{
    switch (expression->kind) {
    case EXPRESSION_CONSTANT:
        return expression->constant;
    case EXPRESSION_NAME:
        return render_lookup(r, expression->symbol);
    case EXPRESSION_ATTRIBUTE:
        return value_attribute(&r->budget, evaluate(r, expression->items[0]),
                               expression->text.bytes);
    case EXPRESSION_SLICE:
        return evaluate_slice(r, expression);
    case EXPRESSION_CALL:
        return evaluate_call(r, expression);
    case EXPRESSION_FILTER:
        return evaluate_filter(r, expression);
    case EXPRESSION_TEST:
        return evaluate_test(r, expression);
    case EXPRESSION_NOT:
        return value_bool(!value_truth(evaluate(r, expression->items[0])));
    case EXPRESSION_NEGATE:
    case EXPRESSION_PLUS:
        return evaluate_sign(r, expression);
    case EXPRESSION_AND:
    case EXPRESSION_OR:
        return evaluate_logic(r, expression);
    case EXPRESSION_COMPARE:
        return evaluate_compare(r, expression);
    case EXPRESSION_CONCAT:
        return evaluate_concat(r, expression);
    case EXPRESSION_CHOICE:
        return evaluate_choice(r, expression);
    case EXPRESSION_LIST:
    case EXPRESSION_TUPLE:
        return evaluate_list(r, expression);
    case EXPRESSION_DICT:
        return evaluate_dict(r, expression);
    case EXPRESSION_ITEM:
    case EXPRESSION_ARITHMETIC:
        break;
    }
    struct value left = evaluate(r, expression->items[0]);
    struct value right = evaluate(r, expression->items[1]);
    if (expression->kind == EXPRESSION_ITEM)
        return value_item(&r->budget, left, right);
    return value_arithmetic(&r->budget, expression->operation, left, right);
}

struct value evaluate(struct render *r, const struct expression *expression)
{
    budget_charge(&r->budget, 1);
    budget_enter(&r->budget);
    struct value value = evaluate_kind(r, expression);
    budget_leave(&r->budget);
    return value;
}
