/* text/template_expression.c - expressions: one function per level of Jinja's precedence, the
 * loosest first. */
#include "text/template_parser.h"

#include <string.h>

#include "text/template_builtins.h"

#define MAX_ITEMS 256 /* in a list, a call or a chain */

struct call_check {
    struct call_check *next;
    const struct expression *callee;
};

// Collects the items of an expression on the C stack until their number is known.
struct collected {
    const struct expression *items[MAX_ITEMS];
    uint32_t n;
};

static void collect(struct parser *parser, struct collected *list, const struct expression *item)
{
    if (list->n == MAX_ITEMS)
        parser_fail(parser, "more than %d items in an expression", MAX_ITEMS);
    list->items[list->n++] = item;
}

static struct expression *new_expression(struct parser *parser, enum expression_kind kind,
                                         uint32_t n_items)
{
    struct expression *expression = budget_take(parser->budget, 1, sizeof *expression);
    expression->kind = kind;
    expression->line = parser->token->line;
    expression->n_items = n_items;
    expression->items = budget_take(parser->budget, n_items, sizeof *expression->items);
    return expression;
}

static struct expression *with_items(struct parser *parser, enum expression_kind kind,
                                     const struct collected *list)
{
    struct expression *expression = new_expression(parser, kind, list->n);
    if (list->n)
        memcpy(expression->items, list->items, list->n * sizeof *list->items);
    return expression;
}

static struct expression *unary(struct parser *parser, enum expression_kind kind,
                                const struct expression *item)
{
    struct expression *expression = new_expression(parser, kind, 1);
    expression->items[0] = item;
    return expression;
}

static struct expression *binary(struct parser *parser, enum expression_kind kind,
                                 const struct expression *left, const struct expression *right)
{
    struct expression *expression = new_expression(parser, kind, 2);
    expression->items[0] = left;
    expression->items[1] = right;
    return expression;
}

static struct expression *constant(struct parser *parser, struct value value)
{
    struct expression *expression = new_expression(parser, EXPRESSION_CONSTANT, 0);
    expression->constant = value;
    return expression;
}

static const struct expression *parse_choice_free(struct parser *parser);

// Items separated by commas, up to the closing bracket, which is stepped over.
static void parse_items(struct parser *parser, const char *close, struct collected *out)
{
    while (!parser_skip_operator(parser, close)) {
        if (out->n)
            parser_expect_operator(parser, ",");
        if (parser_skip_operator(parser, close))
            return;
        collect(parser, out, parse_expression(parser));
    }
}

static const struct expression *parse_dict(struct parser *parser)
{
    struct collected list = {.n = 0};
    while (!parser_skip_operator(parser, "}")) {
        if (list.n)
            parser_expect_operator(parser, ",");
        if (parser_skip_operator(parser, "}"))
            break;
        collect(parser, &list, parse_expression(parser));
        parser_expect_operator(parser, ":");
        collect(parser, &list, parse_expression(parser));
    }
    return with_items(parser, EXPRESSION_DICT, &list);
}

static const struct expression *parse_list(struct parser *parser)
{
    struct collected list = {.n = 0};
    parse_items(parser, "]", &list);
    return with_items(parser, EXPRESSION_LIST, &list);
}

static bool at_tuple_end(const struct parser *parser)
{
    return parser->token->kind == TOKEN_PRINT_END || parser->token->kind == TOKEN_BLOCK_END ||
           parser_at_operator(parser, ")");
}

static const struct expression *parse_tuple_of(struct parser *parser,
                                               const struct expression *(*parse)(struct parser *),
                                               bool may_be_empty)
{
    struct collected list = {.n = 0};
    bool is_tuple = may_be_empty && at_tuple_end(parser);
    while (!at_tuple_end(parser) || (!is_tuple && list.n == 0)) {
        collect(parser, &list, parse(parser));
        if (!parser_skip_operator(parser, ","))
            break;
        is_tuple = true;
    }
    return is_tuple ? with_items(parser, EXPRESSION_TUPLE, &list) : list.items[0];
}

const struct expression *parse_tuple(struct parser *parser)
{
    return parse_tuple_of(parser, parse_expression, false);
}

const struct expression *parse_tuple_without_choice(struct parser *parser)
{
    return parse_tuple_of(parser, parse_choice_free, false);
}

static const struct expression *parse_string(struct parser *parser)
{
    struct cord *text = cord_text(parser->budget, "");
    for (; parser->token->kind == TOKEN_STRING; parser->token++)
        text = cord_join(
            parser->budget, text,
            cord_of(parser->budget, parser->token->text.bytes, parser->token->text.n, false));
    cord_flatten(parser->budget, text);
    return constant(parser, value_string(text));
}

static const struct expression *parse_number(struct parser *parser)
{
    // A literal is a JSON number but for leading zeros, which only zero itself has here.
    const struct token_text *text = &parser->token->text;
    struct json_value json = {.type = JSON_NUMBER, .length = text->n, .text = text->bytes};
    if (parser->token->kind == TOKEN_INTEGER && strspn(text->bytes, "0") == text->n)
        json = (struct json_value){.type = JSON_NUMBER, .length = 1, .text = "0"};
    parser->token++;
    return constant(parser, value_from_json(parser->budget, &json, false, 1));
}

static const struct expression *parse_name(struct parser *parser)
{
    const struct template_token *name = parser->token++;
    const char *text = name->text.bytes;
    if (strcmp(text, "true") == 0 || strcmp(text, "True") == 0)
        return constant(parser, value_bool(true));
    if (strcmp(text, "false") == 0 || strcmp(text, "False") == 0)
        return constant(parser, value_bool(false));
    if (strcmp(text, "none") == 0 || strcmp(text, "None") == 0)
        return constant(parser, value_none());
    static const char *const unsupported[] = {"caller", "varargs", "kwargs", "self", "super"};
    for (size_t i = 0; i < sizeof unsupported / sizeof *unsupported; i++)
        if (strcmp(text, unsupported[i]) == 0) {
            parser->token--;
            parser_fail(parser, "unsupported name '%s'", text);
        }
    struct expression *expression = new_expression(parser, EXPRESSION_NAME, 0);
    expression->line = name->line;
    expression->text = name->text;
    expression->symbol = parser_symbol(parser, name->text);
    return expression;
}

static const struct expression *parse_primary(struct parser *parser)
{
    switch (parser->token->kind) {
    case TOKEN_NAME:
        return parse_name(parser);
    case TOKEN_STRING:
        return parse_string(parser);
    case TOKEN_INTEGER:
    case TOKEN_FLOAT:
        return parse_number(parser);
    default:
        break;
    }
    const struct expression *expression;
    parser_enter(parser);
    if (parser_skip_operator(parser, "(")) {
        expression = parse_tuple_of(parser, parse_expression, true);
        parser_expect_operator(parser, ")");
    } else if (parser_skip_operator(parser, "[")) {
        expression = parse_list(parser);
    } else if (parser_skip_operator(parser, "{")) {
        expression = parse_dict(parser);
    } else if (parser->token->kind == TOKEN_OPERATOR) {
        parser_fail(parser, "unexpected '%s'", parser->token->text.bytes);
    } else {
        parser_fail(parser, "expected an expression");
    }
    parser_leave(parser);
    return expression;
}

// An index, or a slice with its colons; items[1..3] of a slice may be NULL.
static const struct expression *parse_subscript(struct parser *parser,
                                                const struct expression *object)
{
    const struct expression *parts[3] = {NULL};
    int n_colons = 0;
    for (int part = 0; part < 3; part++) {
        if (!parser_at_operator(parser, ":") && !parser_at_operator(parser, "]"))
            parts[part] = parse_expression(parser);
        if (part == 2 || !parser_skip_operator(parser, ":"))
            break;
        n_colons++;
    }
    if (n_colons == 0 && !parts[0])
        parser_fail(parser, "expected an index");
    parser_expect_operator(parser, "]");
    if (n_colons == 0)
        return binary(parser, EXPRESSION_ITEM, object, parts[0]);
    struct expression *slice = new_expression(parser, EXPRESSION_SLICE, 4);
    slice->items[0] = object;
    memcpy(slice->items + 1, parts, sizeof parts);
    return slice;
}

static const struct expression *parse_attribute(struct parser *parser,
                                                const struct expression *object)
{
    if (parser->token->kind == TOKEN_INTEGER)
        return binary(parser, EXPRESSION_ITEM, object, parse_number(parser));
    const struct template_token *name = parser_expect_name(parser);
    struct expression *expression = unary(parser, EXPRESSION_ATTRIBUTE, object);
    expression->line = name->line;
    expression->text = name->text;
    return expression;
}

// "(1, key=2)", stepped over.
static void parse_arguments(struct parser *parser, struct expression *call)
{
    struct collected positional = {.n = 0};
    struct keyword_argument keywords[MAX_PARAMETERS * 8];
    uint32_t n_keywords = 0;
    parser_expect_operator(parser, "(");
    while (!parser_skip_operator(parser, ")")) {
        if (positional.n + n_keywords)
            parser_expect_operator(parser, ",");
        if (parser_skip_operator(parser, ")"))
            break;
        if (parser_at_operator(parser, "*") || parser_at_operator(parser, "**"))
            parser_fail(parser, "unsupported: '%s' in a call", parser->token->text.bytes);
        if (parser->token->kind == TOKEN_NAME && parser->token[1].kind == TOKEN_OPERATOR &&
            strcmp(parser->token[1].text.bytes, "=") == 0) {
            if (n_keywords == sizeof keywords / sizeof *keywords)
                parser_fail(parser, "too many keyword arguments");
            keywords[n_keywords].name = parser->token->text.bytes;
            parser->token += 2;
            keywords[n_keywords++].value = parse_expression(parser);
            continue;
        }
        if (n_keywords)
            parser_fail(parser, "a positional argument follows a keyword argument");
        collect(parser, &positional, parse_expression(parser));
    }
    call->n_arguments = positional.n;
    call->arguments = budget_take(parser->budget, positional.n, sizeof *call->arguments);
    if (positional.n)
        memcpy(call->arguments, positional.items, positional.n * sizeof *positional.items);
    struct keyword_argument *kept = budget_take(parser->budget, n_keywords, sizeof *kept);
    if (n_keywords)
        memcpy(kept, keywords, n_keywords * sizeof *keywords);
    call->n_keywords = n_keywords;
    call->keywords = kept;
}

static const struct expression *parse_call(struct parser *parser, const struct expression *callee)
{
    if (callee->kind == EXPRESSION_ATTRIBUTE && !method_is_known(callee->text.bytes))
        parser_fail(parser, "unsupported method '%.60s'", callee->text.bytes);
    if (callee->kind == EXPRESSION_NAME) {
        struct call_check *check = budget_take(parser->budget, 1, sizeof *check);
        *check = (struct call_check){parser->calls, callee};
        parser->calls = check;
    }
    struct expression *call = unary(parser, EXPRESSION_CALL, callee);
    parse_arguments(parser, call);
    return call;
}

void parser_check_calls(struct parser *parser)
{
    for (const struct call_check *check = parser->calls; check; check = check->next) {
        uint32_t symbol = check->callee->symbol;
        bool is_function = symbol < N_KNOWN_SYMBOLS && symbol != SYMBOL_LOOP;
        if (is_function || parser->symbols.assigned[symbol])
            continue;
        parser->budget->line = check->callee->line;
        budget_fail(parser->budget, STATUS_INVALID_ARGUMENT, "unknown function '%.60s'",
                    check->callee->text.bytes);
    }
}

static const struct expression *parse_postfix(struct parser *parser, const struct expression *item)
{
    for (unsigned n = 0;; n++) {
        if (n > PARSER_MAX_NESTING)
            parser_fail(parser, "nested too deeply");
        if (parser_skip_operator(parser, "."))
            item = parse_attribute(parser, item);
        else if (parser_skip_operator(parser, "["))
            item = parse_subscript(parser, item);
        else if (parser_at_operator(parser, "("))
            item = parse_call(parser, item);
        else
            return item;
    }
}

// Filters and tests that are given the name of another one: it must exist as well.
static void check_inner_name(struct parser *parser, const struct expression *filter)
{
    static const struct {
        const char *filter;
        uint32_t position;
        bool is_test;
    } inner[] = {{"map", 0, false},
                 {"select", 0, true},
                 {"reject", 0, true},
                 {"selectattr", 1, true},
                 {"rejectattr", 1, true}};
    for (size_t i = 0; i < sizeof inner / sizeof *inner; i++) {
        if (strcmp(filter->filter->name, inner[i].filter) != 0 ||
            filter->n_arguments <= inner[i].position)
            continue;
        const struct expression *name = filter->arguments[inner[i].position];
        if (name->kind != EXPRESSION_CONSTANT || name->constant.type != VALUE_STRING)
            continue;
        const char *text = name->constant.text->bytes;
        if (inner[i].is_test ? !test_find(text) : !filter_find(text))
            parser_fail(parser, "unknown %s '%.60s'", inner[i].is_test ? "test" : "filter", text);
    }
}

static void check_parameters(struct parser *parser, const struct expression *filter)
{
    const char *names[MAX_PARAMETERS * 8];
    for (uint32_t i = 0; i < filter->n_keywords; i++)
        names[i] = filter->keywords[i].name;
    const char *problem = parameters_problem(filter->filter->parameters, filter->n_arguments, names,
                                             filter->n_keywords);
    if (!problem && filter->n_arguments + filter->n_keywords < filter->filter->n_required)
        problem = "too few arguments";
    if (problem)
        parser_fail(parser, "filter '%s': %s", filter->filter->name, problem);
}

const struct expression *parse_filter(struct parser *parser, const struct expression *item)
{
    const struct template_token *name = parser_expect_name(parser);
    struct expression *filter = unary(parser, EXPRESSION_FILTER, item);
    filter->line = name->line;
    filter->filter = filter_find(name->text.bytes);
    if (!filter->filter) {
        parser->token = name;
        parser_fail(parser, "unknown filter '%.60s'", name->text.bytes);
    }
    if (parser_at_operator(parser, "("))
        parse_arguments(parser, filter);
    check_parameters(parser, filter);
    check_inner_name(parser, filter);
    return filter;
}

const struct expression *parse_filters(struct parser *parser, const struct expression *item)
{
    for (unsigned n = 0; parser_skip_operator(parser, "|"); n++) {
        if (n > PARSER_MAX_NESTING)
            parser_fail(parser, "nested too deeply");
        item = parse_filter(parser, item);
    }
    return item;
}

static bool at_test_argument(const struct parser *parser)
{
    if (parser->token->kind == TOKEN_NAME)
        return !parser_at_name(parser, "else") && !parser_at_name(parser, "or") &&
               !parser_at_name(parser, "and") && !parser_at_name(parser, "is");
    return (parser->token->kind >= TOKEN_STRING && parser->token->kind <= TOKEN_FLOAT) ||
           parser_at_operator(parser, "[") || parser_at_operator(parser, "{");
}

static const struct expression *parse_test(struct parser *parser, const struct expression *item)
{
    bool negated = parser_skip_name(parser, "not");
    const struct template_token *name = parser_expect_name(parser);
    struct expression *test = unary(parser, EXPRESSION_TEST, item);
    test->line = name->line;
    test->test = test_find(name->text.bytes);
    if (!test->test) {
        parser->token = name;
        parser_fail(parser, "unknown test '%.60s'", name->text.bytes);
    }
    if (parser_at_operator(parser, "(")) {
        parse_arguments(parser, test);
    } else if (at_test_argument(parser)) {
        test->arguments = budget_take(parser->budget, 1, sizeof *test->arguments);
        test->arguments[0] = parse_postfix(parser, parse_primary(parser));
        test->n_arguments = 1;
    } else if (parser_at_name(parser, "is")) {
        parser_fail(parser, "tests cannot be chained with 'is'");
    }
    if (test->n_keywords || test->n_arguments != test->test->n_arguments)
        parser_fail(parser, "test '%s' takes %u argument(s)", test->test->name,
                    test->test->n_arguments);
    return negated ? unary(parser, EXPRESSION_NOT, test) : test;
}

static const struct expression *parse_unary(struct parser *parser, bool with_filters)
{
    const struct expression *item;
    parser_enter(parser);
    if (parser_skip_operator(parser, "-"))
        item = unary(parser, EXPRESSION_NEGATE, parse_unary(parser, false));
    else if (parser_skip_operator(parser, "+"))
        item = unary(parser, EXPRESSION_PLUS, parse_unary(parser, false));
    else
        item = parse_primary(parser);
    item = parse_postfix(parser, item);
    for (unsigned n = 0; with_filters; n++) {
        if (n > PARSER_MAX_NESTING)
            parser_fail(parser, "nested too deeply");
        if (parser_at_operator(parser, "|"))
            item = parse_filters(parser, item);
        else if (parser_skip_name(parser, "is"))
            item = parse_test(parser, item);
        else if (parser_at_operator(parser, "("))
            item = parse_call(parser, item);
        else
            break;
    }
    parser_leave(parser);
    return item;
}

static bool skip_operation(struct parser *parser, const char *const *texts, size_t n,
                           enum operation first, enum operation *out)
{
    for (size_t i = 0; i < n; i++)
        if (parser_skip_operator(parser, texts[i])) {
            *out = (enum operation)(first + i);
            return true;
        }
    return false;
}

// left op right op right ..., leaning left. Each level nests the tree once more.
static const struct expression *parse_chain(struct parser *parser, const char *const *texts,
                                            size_t n, enum operation first,
                                            const struct expression *(*parse)(struct parser *))
{
    const struct expression *left = parse(parser);
    enum operation operation;
    for (unsigned depth = 0; skip_operation(parser, texts, n, first, &operation); depth++) {
        if (depth > PARSER_MAX_NESTING)
            parser_fail(parser, "nested too deeply");
        struct expression *node = binary(parser, EXPRESSION_ARITHMETIC, left, parse(parser));
        node->operation = operation;
        left = node;
    }
    return left;
}

static const struct expression *parse_factor(struct parser *parser)
{
    const struct expression *factor = parse_unary(parser, true);
    if (parser_at_operator(parser, "**"))
        parser_fail(parser, "unsupported operator '**'");
    return factor;
}

static const struct expression *parse_product(struct parser *parser)
{
    static const char *const texts[] = {"*", "/", "//", "%"};
    return parse_chain(parser, texts, 4, OPERATION_MULTIPLY, parse_factor);
}

static const struct expression *parse_concat(struct parser *parser)
{
    struct collected list = {.n = 0};
    do
        collect(parser, &list, parse_product(parser));
    while (parser_skip_operator(parser, "~"));
    return list.n == 1 ? list.items[0] : with_items(parser, EXPRESSION_CONCAT, &list);
}

static const struct expression *parse_sum(struct parser *parser)
{
    static const char *const texts[] = {"+", "-"};
    return parse_chain(parser, texts, 2, OPERATION_ADD, parse_concat);
}

static bool skip_comparison(struct parser *parser, enum operation *out)
{
    static const char *const texts[] = {"==", "!=", "<", "<=", ">", ">="};
    if (skip_operation(parser, texts, 6, OPERATION_EQUAL, out))
        return true;
    if (parser_skip_name(parser, "in")) {
        *out = OPERATION_IN;
        return true;
    }
    if (!parser_at_name(parser, "not") || parser->token[1].kind != TOKEN_NAME ||
        strcmp(parser->token[1].text.bytes, "in") != 0)
        return false;
    parser->token += 2;
    *out = OPERATION_NOT_IN;
    return true;
}

static const struct expression *parse_compare(struct parser *parser)
{
    struct collected list = {.n = 0};
    enum operation operations[MAX_ITEMS];
    do
        collect(parser, &list, parse_sum(parser));
    while (skip_comparison(parser, &operations[list.n - 1]));
    if (list.n == 1)
        return list.items[0];
    struct expression *compare = with_items(parser, EXPRESSION_COMPARE, &list);
    enum operation *kept = budget_take(parser->budget, list.n, sizeof *kept);
    memcpy(kept, operations, (list.n - 1) * sizeof *kept);
    compare->operations = kept;
    return compare;
}

static const struct expression *parse_not(struct parser *parser)
{
    if (!parser_skip_name(parser, "not"))
        return parse_compare(parser);
    parser_enter(parser);
    const struct expression *item = unary(parser, EXPRESSION_NOT, parse_not(parser));
    parser_leave(parser);
    return item;
}

static const struct expression *parse_and(struct parser *parser)
{
    struct collected list = {.n = 0};
    do
        collect(parser, &list, parse_not(parser));
    while (parser_skip_name(parser, "and"));
    return list.n == 1 ? list.items[0] : with_items(parser, EXPRESSION_AND, &list);
}

static const struct expression *parse_choice_free(struct parser *parser)
{
    struct collected list = {.n = 0};
    do
        collect(parser, &list, parse_and(parser));
    while (parser_skip_name(parser, "or"));
    return list.n == 1 ? list.items[0] : with_items(parser, EXPRESSION_OR, &list);
}

const struct expression *parse_expression(struct parser *parser)
{
    parser_enter(parser);
    const struct expression *value = parse_choice_free(parser);
    for (unsigned n = 0; parser_skip_name(parser, "if"); n++) {
        if (n > PARSER_MAX_NESTING)
            parser_fail(parser, "nested too deeply");
        struct expression *choice = new_expression(parser, EXPRESSION_CHOICE, 3);
        choice->items[0] = parse_choice_free(parser);
        choice->items[1] = value;
        if (parser_skip_name(parser, "else"))
            choice->items[2] = parse_expression(parser);
        value = choice;
    }
    parser_leave(parser);
    return value;
}
