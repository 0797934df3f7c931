/* text/grammar/lark_rules.c - the table of rules: where each begins and ends, and what was
 * imported.
 *
 * The end of a line means nothing, except that the ? and ! of a rule and directives begin one: a
 * rule ends where a name with a colon (or ::=) follows. */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "text/grammar/lark_compiler.h"

enum status lark_refuse_word(const struct lark_compiler *c, size_t word, const char *why)
{
    return lark_refuse(&c->words, c->words.items[word].at, c->err, why);
}

bool lark_is_kind(const struct lark_compiler *c, size_t word, enum lark_word_kind kind)
{
    return word < c->words.n && c->words.items[word].kind == kind;
}

bool lark_is_sign(const struct lark_compiler *c, size_t word, char sign)
{
    return lark_is_kind(c, word, LARK_SIGN) && c->words.text[c->words.items[word].at] == sign;
}

bool lark_word_is(const struct lark_compiler *c, size_t word, const char *text)
{
    const struct lark_word *w = &c->words.items[word];
    return w->n == strlen(text) && memcmp(c->words.text + w->at, text, w->n) == 0;
}

bool lark_skip_sign(struct lark_compiler *c, char sign)
{
    if (c->at >= c->end || !lark_is_sign(c, c->at, sign))
        return false;
    c->at++;
    return true;
}

// Does a rule or a directive begin here, or does the text end?
static bool is_head(const struct lark_compiler *c, size_t word)
{
    const struct lark_word *w = &c->words.items[word];
    if (w->kind == LARK_END || (w->kind == LARK_DIRECTIVE && !lark_word_is(c, word, "%json")))
        return true;
    if (w->first_on_line && (lark_is_sign(c, word, '?') || lark_is_sign(c, word, '!')))
        word++;
    return lark_is_kind(c, word, LARK_NAME) &&
           (lark_is_kind(c, word + 1, LARK_DEFINE) ||
            (lark_is_sign(c, word + 1, '.') && lark_is_kind(c, word + 2, LARK_NUMBER)));
}

size_t lark_body_end(const struct lark_compiler *c, size_t word)
{
    while (!is_head(c, word))
        word++;
    return word;
}

static int compare_names(const char *a, size_t n_a, const char *b, size_t n_b)
{
    int order = memcmp(a, b, n_a < n_b ? n_a : n_b);
    return order ? order : (n_a > n_b) - (n_a < n_b);
}

struct lark_rule *lark_find_rule(const struct lark_compiler *c, const char *name, size_t n)
{
    size_t low = 0, high = c->n_rules;
    while (low < high) {
        size_t middle = (low + high) / 2;
        struct lark_rule *rule = &c->rules[c->by_name[middle]];
        int order = compare_names(rule->name, rule->n, name, n);
        if (order == 0)
            return rule;
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

static struct lark_rule *add_rule(struct lark_compiler *c, size_t name_word)
{
    const struct lark_word *word = &c->words.items[name_word];
    mem_reserve(&c->rules, &c->rules_capacity, c->n_rules + 1, sizeof *c->rules);
    struct lark_rule *rule = &c->rules[c->n_rules++];
    *rule = (struct lark_rule){.name = c->words.text + word->at, .n = word->n};
    size_t letter = 0;
    while (letter + 1 < word->n && rule->name[letter] == '_')
        letter++;
    rule->is_terminal = !c->words.gbnf && rule->name[letter] >= 'A' && rule->name[letter] <= 'Z';
    return rule;
}

static enum status import_one(struct lark_compiler *c, size_t name, size_t alias)
{
    const struct lark_word *word = &c->words.items[name];
    const char *pattern = lark_is_kind(c, name, LARK_NAME)
                              ? lark_common(c->words.text + word->at, word->n)
                              : NULL;
    uint32_t expression;
    if (!pattern)
        return lark_refuse_word(c, name, "the common library has no such terminal");
    enum status st = regex_parse(c->pool, pattern, strlen(pattern), NULL, &expression, c->err);
    if (st != STATUS_OK)
        return st;
    struct lark_rule *rule = add_rule(c, alias);
    rule->is_terminal = true;
    rule->state = LARK_RULE_DONE;
    rule->part = (struct lark_part){.is_regular = true, .expression = expression, .weight = 1};
    return STATUS_OK;
}

// %import common.X, %import common.X -> Y, %import common (X, Y); c->at is behind %import.
static enum status parse_import(struct lark_compiler *c)
{
    enum status st = STATUS_OK;
    if (!lark_word_is(c, c->at, "common"))
        return lark_refuse_word(c, c->at, "only common can be imported from");
    c->at++;
    if (lark_skip_sign(c, '(')) {
        do {
            st = import_one(c, c->at, c->at);
            c->at++;
        } while (st == STATUS_OK && lark_skip_sign(c, ','));
        if (st == STATUS_OK && !lark_skip_sign(c, ')'))
            return lark_refuse_word(c, c->at, "expected )");
        return st;
    }
    if (!lark_skip_sign(c, '.'))
        return lark_refuse_word(c, c->at, "expected common.NAME");
    size_t name = c->at++;
    if (lark_is_kind(c, name, LARK_NAME) && lark_is_kind(c, c->at, LARK_ARROW)) {
        c->at += 2;
        if (!lark_is_kind(c, c->at - 1, LARK_NAME))
            return lark_refuse_word(c, c->at - 1, "expected a name behind ->");
    }
    return import_one(c, name, c->at - 1);
}

static enum status collect_directive(struct lark_compiler *c)
{
    size_t directive = c->at++;
    if (lark_word_is(c, directive, "%ignore")) {
        c->at = lark_body_end(c, c->at); // compiled when all rules are known
        return STATUS_OK;
    }
    if (lark_word_is(c, directive, "%import"))
        return parse_import(c);
    if (lark_word_is(c, directive, "%llguidance")) {
        bool empty = lark_skip_sign(c, '{') && lark_skip_sign(c, '}');
        return empty ? STATUS_OK
                     : lark_refuse_word(c, directive, "only %llguidance {} is supported");
    }
    return lark_refuse_word(c, directive, "only %import, %ignore and %json are supported");
}

static enum status collect_rule(struct lark_compiler *c)
{
    if (!lark_is_kind(c, c->at, LARK_NAME))
        c->at += lark_is_sign(c, c->at, '?') || lark_is_sign(c, c->at, '!');
    if (!lark_is_kind(c, c->at, LARK_NAME))
        return lark_refuse_word(c, c->at, "expected a rule");
    if (lark_is_sign(c, c->at + 1, '.'))
        return lark_refuse_word(c, c->at + 1, "priorities are not supported");
    if (lark_is_sign(c, c->at + 1, '{'))
        return lark_refuse_word(c, c->at + 1, "templates are not supported");
    if (lark_is_sign(c, c->at + 1, '['))
        return lark_refuse_word(c, c->at + 1, "attributes of rules are not supported");
    if (!lark_is_kind(c, c->at + 1, LARK_DEFINE))
        return lark_refuse_word(c, c->at + 1, "expected a definition behind the name");
    struct lark_rule *rule = add_rule(c, c->at);
    rule->body = (uint32_t)c->at + 2;
    rule->end = (uint32_t)lark_body_end(c, c->at + 2);
    c->at = rule->end;
    return STATUS_OK;
}

struct named_rule {
    const struct lark_rule *rule;
    uint32_t index;
};

static int compare_rules(const void *a, const void *b)
{
    const struct lark_rule *x = ((const struct named_rule *)a)->rule;
    const struct lark_rule *y = ((const struct named_rule *)b)->rule;
    int order = compare_names(x->name, x->n, y->name, y->n);
    return order ? order : (x > y) - (x < y);
}

static enum status sort_rules(struct lark_compiler *c)
{
    struct named_rule *named = mem_zeroed(c->n_rules, sizeof *named);
    for (size_t i = 0; i < c->n_rules; i++)
        named[i] = (struct named_rule){&c->rules[i], (uint32_t)i};
    qsort(named, c->n_rules, sizeof *named, compare_rules);
    c->by_name = mem_zeroed(c->n_rules, sizeof *c->by_name);
    enum status st = STATUS_OK;
    for (size_t i = 0; i < c->n_rules; i++) {
        const struct lark_rule *rule = named[i].rule;
        c->by_name[i] = named[i].index;
        if (st == STATUS_OK && i > 0 &&
            compare_names(rule->name, rule->n, named[i - 1].rule->name, named[i - 1].rule->n) == 0)
            st = lark_refuse(&c->words, (size_t)(rule->name - c->words.text), c->err,
                             "a rule that is already defined");
    }
    free(named);
    return st;
}

enum status lark_collect_rules(struct lark_compiler *c)
{
    c->end = c->words.n - 1;
    while (c->at < c->end) {
        enum status st = c->words.items[c->at].kind == LARK_DIRECTIVE ? collect_directive(c)
                                                                      : collect_rule(c);
        if (st != STATUS_OK)
            return st;
    }
    return sort_rules(c);
}
