/* text/grammar/regex.c - a recursive descent, at most REGEX_MAX_DEPTH deep, that makes expressions
 * as it reads; no tree in between.
 * Anything that a client writes ends in an error or within a time linear in its length, times the
 * size of its classes. */
#include "text/grammar/regex.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/utf8.h"
#include "text/grammar/regex_parser.h"

static void push(struct regex_parser *p, struct regex_part part)
{
    mem_reserve(&p->parts, &p->capacity, p->n_parts + 1, sizeof *p->parts);
    p->parts[p->n_parts++] = part;
}

static enum status parse_alternation(struct regex_parser *p, struct regex_part *out);

// (?i) and the like; p->at is behind the question mark. *out_scoped: (?i:, a group follows.
static enum status parse_flags(struct regex_parser *p, size_t start, bool *out_scoped)
{
    bool on = true;
    for (; p->at < p->n && p->text[p->at] != ')' && p->text[p->at] != ':'; p->at++) {
        char c = p->text[p->at];
        if (c == '-' && on)
            on = false;
        else if (c == 'i')
            p->ignore_case = on;
        else if (c == 's')
            p->dot_all = on;
        else if (c == 'm' || c == 'x')
            return regex_refuse(p, p->at, "the flags m and x are not supported");
        else if (c != 'u' && c != 'a')
            return regex_refuse(p, start, "an unknown group (?");
    }
    *out_scoped = regex_next_is(p, ':');
    if (p->at++ == p->n)
        return regex_refuse(p, start, "( without )");
    return STATUS_OK;
}

static enum status skip_group_name(struct regex_parser *p, size_t start)
{
    const char *name = p->text + p->at, *end = memchr(name, '>', p->n - p->at);
    if (!end || end == name)
        return regex_refuse(p, start, "a group without a name");
    p->at += (size_t)(end - name) + 1;
    return STATUS_OK;
}

// What stands behind "(?", up to the pattern of the group. *out_group false: flags alone.
static enum status parse_group_kind(struct regex_parser *p, size_t start, bool *out_group)
{
    *out_group = true;
    if (regex_skip(p, "=") || regex_skip(p, "!") || regex_skip(p, "<=") || regex_skip(p, "<!"))
        return regex_refuse(p, start, "look-around is not supported");
    if (regex_skip(p, "P="))
        return regex_refuse(p, start, "named back references are not supported");
    if (regex_skip(p, ">"))
        return regex_refuse(p, start, "atomic groups are not supported");
    if (regex_skip(p, "("))
        return regex_refuse(p, start, "conditions are not supported");
    if (regex_skip(p, ":"))
        return STATUS_OK;
    if (regex_skip(p, "P<") || regex_skip(p, "<"))
        return skip_group_name(p, start);
    return parse_flags(p, start, out_group);
}

// p->at is behind the bracket.
static enum status parse_group(struct regex_parser *p, struct regex_part *out)
{
    size_t start = p->at - 1;
    bool ignore_case = p->ignore_case, dot_all = p->dot_all, group = true;
    if (regex_skip(p, "?")) {
        enum status st = parse_group_kind(p, start, &group);
        if (st != STATUS_OK)
            return st;
    }
    *out = regex_part_plain(EXPRESSION_EMPTY);
    if (!group)
        return STATUS_OK;
    enum status st = parse_alternation(p, out);
    if (st != STATUS_OK)
        return st;
    p->ignore_case = ignore_case;
    p->dot_all = dot_all;
    return regex_skip(p, ")") ? STATUS_OK : regex_refuse(p, start, "( without )");
}

static enum status parse_atom(struct regex_parser *p, struct regex_part *out, bool *out_is_anchor)
{
    struct code_point_set set = {0};
    uint32_t code_point;
    *out_is_anchor = false;
    if (regex_skip(p, "("))
        return parse_group(p, out);
    if (regex_skip(p, "["))
        return regex_parse_class(p, out);
    if (regex_skip(p, "\\"))
        return regex_parse_escape(p, out, out_is_anchor);
    if (regex_next_is(p, '*') || regex_next_is(p, '+') || regex_next_is(p, '?'))
        return regex_refuse(p, p->at, "nothing to repeat");
    if (regex_next_is(p, '^') || regex_next_is(p, '$')) {
        *out = regex_next_is(p, '^') ? regex_part_start() : regex_part_end();
        *out_is_anchor = true;
        p->at++;
        return STATUS_OK;
    }
    if (regex_skip(p, ".")) {
        if (!p->dot_all)
            code_point_set_add(&set, '\n', '\n');
        code_point_set_sort(&set);
        code_point_set_negate(&set);
    } else {
        p->at += utf8_decode(p->text + p->at, p->n - p->at, &code_point);
        code_point_set_add(&set, code_point, code_point);
    }
    *out = regex_set_part(p, &set, false);
    return STATUS_OK;
}

static bool read_count(struct regex_parser *p, uint32_t *out)
{
    size_t start = p->at;
    uint32_t value = 0;
    for (; p->at < p->n && p->text[p->at] >= '0' && p->text[p->at] <= '9'; p->at++)
        if (value <= REGEX_MAX_REPEAT)
            value = value * 10 + (uint32_t)(p->text[p->at] - '0');
    *out = value;
    return p->at > start;
}

// {m}, {m,}, {m,n}, {,n}. False, and nothing read: braces that are themselves.
static bool read_braces(struct regex_parser *p, uint32_t *out_min, uint32_t *out_max)
{
    size_t start = p->at++;
    bool has_min = read_count(p, out_min), has_max = false;
    *out_max = *out_min;
    if (regex_skip(p, ",")) {
        has_max = read_count(p, out_max);
        if (!has_max)
            *out_max = EXPRESSION_UNLIMITED;
    }
    if ((has_min || has_max) && regex_skip(p, "}"))
        return true;
    p->at = start;
    return false;
}

// One repeat behind an atom, if there is one.
static enum status parse_repeat(struct regex_parser *p, struct regex_part *part, bool is_anchor)
{
    size_t start = p->at;
    uint32_t min = 0, max = EXPRESSION_UNLIMITED;
    if (regex_skip(p, "?"))
        max = 1;
    else if (regex_skip(p, "+"))
        min = 1;
    else if (!regex_skip(p, "*") && !(regex_next_is(p, '{') && read_braces(p, &min, &max)))
        return STATUS_OK;
    if (is_anchor)
        return regex_refuse(p, start, "an anchor cannot be repeated");
    if (min > REGEX_MAX_REPEAT || (max > REGEX_MAX_REPEAT && max != EXPRESSION_UNLIMITED))
        return regex_refuse(p, start, "more than 65535 repeats");
    if (min > max)
        return regex_refuse(p, start, "a repeat whose least is beyond its most");
    if (!regex_skip(p, "?") && regex_next_is(p, '+'))
        return regex_refuse(p, p->at, "possessive repeats are not supported");
    uint32_t min2, max2;
    if (regex_next_is(p, '*') || regex_next_is(p, '+') || regex_next_is(p, '?') ||
        (regex_next_is(p, '{') && read_braces(p, &min2, &max2)))
        return regex_refuse(p, p->at, "a repeat of a repeat");
    *part = regex_part_repeat(p->pool, *part, min, max);
    return STATUS_OK;
}

static enum status refuse_classes(struct regex_parser *p)
{
    return regex_refuse(p, p->at, "too many and too large classes");
}

static enum status parse_sequence(struct regex_parser *p, struct regex_part *out)
{
    size_t base = p->n_parts;
    while (p->at < p->n && !regex_next_is(p, '|') && !regex_next_is(p, ')')) {
        struct regex_part part = regex_part_plain(EXPRESSION_NOTHING);
        bool is_anchor;
        enum status st = parse_atom(p, &part, &is_anchor);
        if (st == STATUS_OK)
            st = parse_repeat(p, &part, is_anchor);
        if (st != STATUS_OK)
            return st;
        push(p, part);
    }
    if (p->memo->cost > p->max_cost)
        return refuse_classes(p);
    // from the end, so that a long sequence is a list and not a list of lists
    struct regex_part all = regex_part_plain(EXPRESSION_EMPTY);
    while (p->n_parts > base && p->n_unions <= REGEX_MAX_UNIONS)
        all = regex_part_join(p->pool, p->parts[--p->n_parts], all, &p->n_unions);
    *out = all;
    return p->n_unions <= REGEX_MAX_UNIONS ? STATUS_OK : regex_refuse(p, p->at, "too many anchors");
}

static struct regex_part any_of(struct regex_parser *p, size_t base)
{
    size_t n = p->n_parts - base;
    struct regex_part out = p->parts[base];
    if (n == 1)
        return out;
    uint32_t *expressions = mem_zeroed(n, sizeof *expressions);
    for (int i = 0; i < 4; i++) {
        for (size_t j = 0; j < n; j++)
            expressions[j] = p->parts[base + j].in[i / 2][i % 2];
        out.in[i / 2][i % 2] = expression_any_of(p->pool, expressions, n);
    }
    free(expressions);
    return out;
}

static enum status parse_alternation(struct regex_parser *p, struct regex_part *out)
{
    size_t base = p->n_parts;
    if (p->depth == REGEX_MAX_DEPTH)
        return regex_refuse(p, p->at, "groups are nested too deep");
    p->depth++;
    do {
        struct regex_part part = regex_part_plain(EXPRESSION_NOTHING);
        enum status st = parse_sequence(p, &part);
        if (st != STATUS_OK)
            return st;
        push(p, part);
    } while (regex_skip(p, "|"));
    *out = any_of(p, base);
    p->n_parts = base;
    p->depth--;
    return STATUS_OK;
}

// A match anywhere: any text before, and any behind.
static struct regex_part unanchored(struct regex_parser *p, struct regex_part part)
{
    struct code_point_set all = {0};
    code_point_set_add(&all, 0, 0x10FFFF);
    struct regex_part any = regex_part_repeat(p->pool, regex_set_part(p, &all, false), 0,
                                              EXPRESSION_UNLIMITED);
    return regex_part_join(p->pool, any, regex_part_join(p->pool, part, any, &p->n_unions),
                           &p->n_unions);
}

enum status regex_parse(struct expression_pool *pool, const char *pattern, size_t n,
                        const struct regex_options *options, uint32_t *out, struct error *err)
{
    static const struct regex_options defaults;
    const struct regex_options *o = options ? options : &defaults;
    struct regex_parser p = {.pool = pool, .text = pattern, .n = n, .err = err};
    p.json_string = o->json_string;
    p.ignore_case = o->ignore_case;
    p.dot_all = o->dot_all;
    struct regex_part all = regex_part_plain(EXPRESSION_NOTHING);
    if (n > REGEX_MAX_BYTES)
        return error_set(err, STATUS_INVALID_ARGUMENT, "regex: %zu bytes, at most %u", n,
                         REGEX_MAX_BYTES);
    if (!utf8_valid(pattern, n, NULL))
        return error_set(err, STATUS_INVALID_ARGUMENT, "regex: not UTF-8");
    p.memo = o->memo ? o->memo : regex_memo_create();
    p.max_cost = p.memo->cost + REGEX_MAX_RANGES;
    if (p.max_cost > REGEX_MAX_MEMO_RANGES)
        p.max_cost = REGEX_MAX_MEMO_RANGES;
    enum status st = parse_alternation(&p, &all);
    if (st == STATUS_OK && p.at < n)
        st = regex_refuse(&p, p.at, ") without (");
    if (st == STATUS_OK && o->search) {
        p.ignore_case = false;
        all = unanchored(&p, all);
        st = p.memo->cost > p.max_cost ? refuse_classes(&p) : STATUS_OK;
    }
    if (st == STATUS_OK && expression_pool_overflowed(pool))
        st = error_set(err, STATUS_INVALID_ARGUMENT, "regex: too large");
    if (!o->memo)
        regex_memo_destroy(p.memo);
    free(p.parts);
    if (st == STATUS_OK)
        *out = all.in[1][1];
    return st;
}
