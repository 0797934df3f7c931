/* text/grammar/lark.c - the bodies of rules, by recursive descent.
 *
 * Descents go at most LARK_MAX_DEPTH deep in groups and terminals, and MAX_INLINED_DEPTH deep in
 * rules; rules beyond that wait in the table until those at work are done. */
#include "text/grammar/lark.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/utf8.h"
#include "text/grammar/lark_compiler.h"

#define MAX_INLINED_WEIGHT 32U
#define MAX_INLINED_DEPTH 32U

static enum status parse_choice(struct lark_compiler *c, struct lark_part *out);

// ---- parts ----

static grammar_symbol as_symbol(struct lark_compiler *c, const struct lark_part *part)
{
    return part->is_regular ? grammar_terminal(c->builder, part->expression) : part->symbol;
}

static void push(struct lark_compiler *c, struct lark_part part)
{
    mem_reserve(&c->parts, &c->parts_capacity, c->n_parts + 1, sizeof *c->parts);
    c->parts[c->n_parts++] = part;
}

static struct lark_part regular(uint32_t expression, uint32_t weight)
{
    return (struct lark_part){.is_regular = true, .expression = expression, .weight = weight};
}

// The parts on the stack from base on, in a row; regular neighbours become one.
static struct lark_part take_sequence(struct lark_compiler *c, size_t base)
{
    size_t first = c->n_parts; // of what is already joined
    for (size_t i = c->n_parts; i-- > base;) {
        struct lark_part part = c->parts[i], *next = &c->parts[first];
        if (part.is_regular && first < c->n_parts && next->is_regular)
            *next = regular(expression_concat(c->pool, part.expression, next->expression),
                            part.weight + next->weight);
        else
            c->parts[--first] = part;
    }
    size_t n = c->n_parts - first;
    struct lark_part out = n ? c->parts[first] : regular(EXPRESSION_EMPTY, 0);
    if (n > 1) {
        grammar_symbol *symbols = mem_zeroed(n, sizeof *symbols);
        for (size_t i = 0; i < n; i++)
            symbols[i] = as_symbol(c, &c->parts[first + i]);
        out = (struct lark_part){.symbol = grammar_sequence(c->builder, symbols, n)};
        free(symbols);
    }
    c->n_parts = base;
    return out;
}

// One of the parts on the stack from base on (there is one); the regular ones become one.
static struct lark_part take_choice(struct lark_compiler *c, size_t base)
{
    size_t n = c->n_parts - base, n_regular = 0, n_symbols = 0;
    struct lark_part out = c->parts[base];
    uint32_t *expressions = mem_zeroed(n, sizeof *expressions), weight = 0;
    grammar_symbol *symbols = mem_zeroed(n + 1, sizeof *symbols);
    for (size_t i = base; i < c->n_parts && n > 1; i++) {
        if (c->parts[i].is_regular) {
            expressions[n_regular++] = c->parts[i].expression;
            weight += c->parts[i].weight;
        } else {
            symbols[n_symbols++] = c->parts[i].symbol;
        }
    }
    if (n_regular)
        out = regular(expression_any_of(c->pool, expressions, n_regular), weight);
    if (n_symbols) {
        if (n_regular)
            symbols[n_symbols++] = as_symbol(c, &out);
        out = (struct lark_part){.symbol = grammar_choice(c->builder, symbols, n_symbols)};
    }
    free(expressions);
    free(symbols);
    c->n_parts = base;
    return out;
}

static struct lark_part repeat(struct lark_compiler *c, struct lark_part part, uint32_t min,
                               uint32_t max)
{
    if (part.is_regular)
        return regular(expression_repeat(c->pool, part.expression, min, max), part.weight);
    return (struct lark_part){.symbol = grammar_repeat(c->builder, part.symbol, min, max)};
}

// ---- rules ----

static grammar_symbol rule_symbol(struct lark_compiler *c, struct lark_rule *rule)
{
    if (!rule->has_symbol) {
        char *name = mem_copy(rule->name, rule->n);
        rule->symbol = grammar_rule(c->builder, name);
        rule->has_symbol = true;
        free(name);
    }
    return rule->symbol;
}

static enum status compile_rule(struct lark_compiler *c, struct lark_rule *rule)
{
    size_t at = c->at, end = c->end;
    bool in_terminal = c->in_terminal;
    c->at = rule->body;
    c->end = rule->end;
    c->in_terminal = rule->is_terminal;
    c->rule_depth++;
    rule->state = LARK_RULE_ACTIVE;
    enum status st = parse_choice(c, &rule->part);
    if (st == STATUS_OK && c->at < c->end)
        st = lark_refuse_word(c, c->at, "a bracket that was not opened");
    if (st != STATUS_OK)
        return st;
    rule->state = LARK_RULE_DONE;
    if (rule->has_symbol) {
        grammar_define(c->builder, rule->symbol, as_symbol(c, &rule->part));
        rule->part = (struct lark_part){.symbol = rule->symbol};
    }
    c->rule_depth--;
    c->at = at;
    c->end = end;
    c->in_terminal = in_terminal;
    return STATUS_OK;
}

// What stands behind a terminal of a rule.
static struct lark_part with_ignored(struct lark_compiler *c, struct lark_part part)
{
    if (part.is_regular && !c->in_terminal)
        part.expression = expression_concat(c->pool, part.expression, c->ignored);
    return part;
}

// The part of a rule that is done, for a rule that refers to it.
static struct lark_part shared(struct lark_compiler *c, struct lark_part part)
{
    if (part.is_regular && part.weight > MAX_INLINED_WEIGHT && !c->in_terminal)
        return (struct lark_part){.symbol = as_symbol(c, &part)};
    return part;
}

static enum status parse_reference(struct lark_compiler *c, struct lark_part *out)
{
    const struct lark_word *word = &c->words.items[c->at];
    size_t at = c->at++;
    struct lark_rule *rule = lark_find_rule(c, c->words.text + word->at, word->n);
    if (!rule)
        return lark_refuse_word(c, at, "a rule that is not defined");
    if (c->in_terminal && !rule->is_terminal)
        return lark_refuse_word(c, at, "a rule cannot be a part of a terminal");
    if (rule->is_terminal && rule->state == LARK_RULE_ACTIVE)
        return lark_refuse_word(c, at, "a terminal cannot be a part of itself");
    bool waits = rule->state == LARK_RULE_ACTIVE ||
                 (rule->state == LARK_RULE_NEW && c->rule_depth >= MAX_INLINED_DEPTH);
    if (waits && !rule->is_terminal) {
        *out = (struct lark_part){.symbol = rule_symbol(c, rule)};
        return STATUS_OK;
    }
    if (rule->state == LARK_RULE_NEW) {
        if (c->depth == LARK_MAX_DEPTH)
            return lark_refuse_word(c, at, "terminals are nested too deep");
        c->depth++;
        enum status st = compile_rule(c, rule);
        if (st != STATUS_OK)
            return st;
        c->depth--;
    }
    *out = shared(c, rule->is_terminal ? with_ignored(c, rule->part) : rule->part);
    return STATUS_OK;
}

// ---- bodies ----

static enum status parse_group(struct lark_compiler *c, char close, struct lark_part *out)
{
    size_t open = c->at++;
    if (c->depth == LARK_MAX_DEPTH)
        return lark_refuse_word(c, open, "groups are nested too deep");
    c->depth++;
    enum status st = parse_choice(c, out);
    if (st != STATUS_OK)
        return st;
    c->depth--;
    if (!lark_skip_sign(c, close))
        return lark_refuse_word(c, open, "a bracket that is not closed");
    if (close == ']')
        *out = repeat(c, *out, 0, 1);
    return STATUS_OK;
}

static enum status parse_atom(struct lark_compiler *c, struct lark_part *out)
{
    enum lark_word_kind kind = c->words.items[c->at].kind;
    enum status st;
    if (kind == LARK_NAME)
        return parse_reference(c, out);
    if (lark_is_sign(c, c->at, '('))
        return parse_group(c, ')', out);
    if (lark_is_sign(c, c->at, '['))
        return parse_group(c, ']', out);
    if (kind == LARK_SPECIAL)
        return lark_special(c, out);
    if (lark_word_is(c, c->at, "%json")) {
        c->at++;
        return lark_json(c, out);
    }
    if (kind == LARK_STRING) {
        st = lark_string(c, out);
    } else if (kind == LARK_REGEX) {
        st = lark_regex(c, out);
    } else if (c->words.gbnf && lark_skip_sign(c, '.')) {
        *out = lark_any_code_point(c);
        st = STATUS_OK;
    } else {
        return lark_refuse_word(c, c->at, "expected a name, a text, a pattern or a group");
    }
    if (st == STATUS_OK)
        *out = with_ignored(c, *out);
    return st;
}

static bool read_number(struct lark_compiler *c, uint32_t *out)
{
    if (c->at >= c->end || !lark_is_kind(c, c->at, LARK_NUMBER))
        return false;
    const struct lark_word *word = &c->words.items[c->at++];
    uint32_t value = 0;
    for (uint32_t i = 0; i < word->n; i++)
        if (value <= LARK_MAX_REPEAT)
            value = value * 10 + (uint32_t)(c->words.text[word->at + i] - '0');
    *out = value;
    return true;
}

// {m}, {m,}, {m,n}, {,n}; ~ m, ~ m..n. c->at is behind the first sign.
static enum status read_counts(struct lark_compiler *c, size_t start, bool braces,
                               uint32_t *out_min, uint32_t *out_max)
{
    *out_min = 0;
    bool has_min = read_number(c, out_min), has_max = false, comma = false;
    *out_max = *out_min;
    if (braces && lark_skip_sign(c, ',')) {
        comma = true;
        *out_max = EXPRESSION_UNLIMITED;
        has_max = read_number(c, out_max);
    } else if (!braces && c->at < c->end && lark_is_kind(c, c->at, LARK_DOTS)) {
        c->at++;
        comma = true;
        has_max = read_number(c, out_max);
    }
    bool fits = braces ? has_min || has_max : has_min && comma == has_max;
    if (braces && !has_min && !comma)
        return lark_refuse_word(c, start, "templates are not supported");
    if (!fits || (braces && !lark_skip_sign(c, '}')))
        return lark_refuse_word(c, start, "expected a number of repeats");
    if (*out_min > LARK_MAX_REPEAT ||
        (*out_max > LARK_MAX_REPEAT && *out_max != EXPRESSION_UNLIMITED))
        return lark_refuse_word(c, start, "more than 65535 repeats");
    if (*out_min > *out_max)
        return lark_refuse_word(c, start, "a repeat whose least is beyond its most");
    return STATUS_OK;
}

static enum status parse_repeats(struct lark_compiler *c, struct lark_part *part)
{
    while (c->at < c->end) {
        size_t start = c->at;
        uint32_t min = 0, max = EXPRESSION_UNLIMITED;
        if (lark_skip_sign(c, '?')) {
            max = 1;
        } else if (lark_skip_sign(c, '+')) {
            min = 1;
        } else if (lark_skip_sign(c, '{') || (!c->words.gbnf && lark_skip_sign(c, '~'))) {
            enum status st = read_counts(c, start, lark_is_sign(c, start, '{'), &min, &max);
            if (st != STATUS_OK)
                return st;
        } else if (!lark_skip_sign(c, '*')) {
            return STATUS_OK;
        }
        *part = repeat(c, *part, min, max);
    }
    return STATUS_OK;
}

// -> alias: a name for trees, which are not made here.
static enum status skip_alias(struct lark_compiler *c)
{
    if (c->at >= c->end || !lark_is_kind(c, c->at, LARK_ARROW))
        return STATUS_OK;
    c->at++;
    if (c->at >= c->end || !lark_is_kind(c, c->at, LARK_NAME))
        return lark_refuse_word(c, c->at, "expected a name behind ->");
    c->at++;
    return STATUS_OK;
}

static enum status parse_sequence(struct lark_compiler *c, struct lark_part *out)
{
    size_t base = c->n_parts;
    while (c->at < c->end && !lark_is_kind(c, c->at, LARK_ARROW) && !lark_is_sign(c, c->at, '|') &&
           !lark_is_sign(c, c->at, ')') && !lark_is_sign(c, c->at, ']')) {
        struct lark_part part;
        enum status st = parse_atom(c, &part);
        if (st == STATUS_OK)
            st = parse_repeats(c, &part);
        if (st != STATUS_OK)
            return st;
        push(c, part);
    }
    *out = take_sequence(c, base);
    return skip_alias(c);
}

static enum status parse_choice(struct lark_compiler *c, struct lark_part *out)
{
    size_t base = c->n_parts;
    do {
        struct lark_part part;
        enum status st = parse_sequence(c, &part);
        if (st != STATUS_OK)
            return st;
        push(c, part);
    } while (lark_skip_sign(c, '|'));
    *out = take_choice(c, base);
    return STATUS_OK;
}

// ---- all of it ----

static enum status compile_ignored(struct lark_compiler *c)
{
    c->in_terminal = true;
    for (size_t i = 0; i + 1 < c->words.n; i++) {
        if (!lark_is_kind(c, i, LARK_DIRECTIVE) || !lark_word_is(c, i, "%ignore"))
            continue;
        struct lark_part part;
        c->at = i + 1;
        c->end = lark_body_end(c, c->at);
        if (c->at == c->end)
            return lark_refuse_word(c, i, "%ignore of nothing");
        enum status st = parse_choice(c, &part);
        if (st == STATUS_OK && c->at < c->end)
            st = lark_refuse_word(c, c->at, "a bracket that was not opened");
        if (st != STATUS_OK)
            return st;
        const uint32_t both[] = {c->ignored, part.expression};
        c->ignored = expression_any_of(c->pool, both, 2);
    }
    c->in_terminal = false;
    c->ignored = expression_repeat(c->pool, c->ignored, 0, EXPRESSION_UNLIMITED);
    return STATUS_OK;
}

static enum status compile_all(struct lark_compiler *c, grammar_symbol *out)
{
    const char *root = c->words.gbnf ? "root" : "start";
    enum status st = lark_collect_rules(c);
    if (st == STATUS_OK)
        st = compile_ignored(c);
    struct lark_rule *start = st == STATUS_OK ? lark_find_rule(c, root, strlen(root)) : NULL;
    if (st == STATUS_OK && !start)
        return error_set(c->err, STATUS_INVALID_ARGUMENT, "grammar: no rule named %s", root);
    if (st == STATUS_OK)
        st = compile_rule(c, start);
    for (size_t i = 0; i < c->n_rules && st == STATUS_OK; i++)
        if (c->rules[i].state == LARK_RULE_NEW)
            st = compile_rule(c, &c->rules[i]);
    if (st == STATUS_OK && expression_pool_overflowed(c->pool))
        return error_set(c->err, STATUS_INVALID_ARGUMENT, "grammar: too large");
    if (st != STATUS_OK)
        return st;
    push(c, regular(c->ignored, 1));
    push(c, start->part);
    struct lark_part all = take_sequence(c, 0);
    *out = as_symbol(c, &all);
    return STATUS_OK;
}

enum status lark_symbol(struct grammar_builder *builder, const char *text, size_t n,
                        const struct lark_options *options, grammar_symbol *out, struct error *err)
{
    struct lark_compiler c = {.builder = builder,
                              .pool = grammar_builder_pool(builder),
                              .options = options,
                              .ignored = EXPRESSION_EMPTY,
                              .err = err};
    if (n > LARK_MAX_BYTES)
        return error_set(err, STATUS_INVALID_ARGUMENT, "grammar: %zu bytes, at most %u", n,
                         LARK_MAX_BYTES);
    if (!utf8_valid(text, n, NULL))
        return error_set(err, STATUS_INVALID_ARGUMENT, "grammar: not UTF-8");
    c.memo = regex_memo_create();
    enum status st = lark_words_init(&c.words, text, n, err);
    if (st == STATUS_OK)
        st = compile_all(&c, out);
    regex_memo_destroy(c.memo);
    lark_words_finish(&c.words);
    free(c.rules);
    free(c.by_name);
    free(c.parts);
    return st;
}
