/* text/grammar/regex.c - a recursive descent, at most REGEX_MAX_DEPTH deep, that makes expressions
 * as it reads; no tree in between.
 * Anything that a client writes ends in an error or within a time linear in its length, times the
 * size of its classes. */
#include "text/grammar/regex.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/utf8.h"
#include "text/grammar/regex_class.h"
#include "text/grammar/regex_part.h"

struct regex_parser {
    struct expression_pool *pool;
    const char *text;
    size_t n, at;
    bool json_string, ignore_case, dot_all;
    uint32_t depth, n_unions;
    struct regex_part *parts; // of sequences and alternations that are being read
    size_t n_parts, capacity;
    struct error *err;
};

static enum status refuse(struct regex_parser *p, size_t at, const char *why)
{
    size_t character = 1;
    for (size_t i = 0; i < at; i++)
        character += (p->text[i] & 0xC0) != 0x80;
    return error_set(p->err, STATUS_INVALID_ARGUMENT, "regex, character %zu: %s", character, why);
}

static bool next_is(const struct regex_parser *p, char c)
{
    return p->at < p->n && p->text[p->at] == c;
}

static bool skip(struct regex_parser *p, const char *token)
{
    size_t n = strlen(token);
    if (p->n - p->at < n || memcmp(p->text + p->at, token, n) != 0)
        return false;
    p->at += n;
    return true;
}

static void push(struct regex_parser *p, struct regex_part part)
{
    mem_reserve(&p->parts, &p->capacity, p->n_parts + 1, sizeof *p->parts);
    p->parts[p->n_parts++] = part;
}

static struct regex_part set_part(struct regex_parser *p, struct code_point_set *set, bool negated)
{
    code_point_set_sort(set);
    if (p->ignore_case)
        code_point_set_fold(set);
    if (negated)
        code_point_set_negate(set);
    uint32_t out = p->json_string ? regex_json_code_points(p->pool, set->ranges, set->n)
                                  : expression_code_points(p->pool, set->ranges, set->n);
    code_point_set_finish(set);
    return regex_part_plain(out);
}

// The rest of a hex escape behind its letter: exactly n digits, or any number in braces.
static enum status parse_hex(struct regex_parser *p, size_t start, uint32_t n, uint32_t *out)
{
    bool braces = skip(p, "{");
    uint32_t value = 0, digits = 0;
    for (; p->at < p->n && (braces || digits < n); p->at++, digits++) {
        char c = p->text[p->at];
        uint32_t digit = c >= '0' && c <= '9'   ? (uint32_t)(c - '0')
                         : c >= 'a' && c <= 'f' ? (uint32_t)(c - 'a' + 10)
                         : c >= 'A' && c <= 'F' ? (uint32_t)(c - 'A' + 10)
                                                : 16;
        if (digit == 16 || value > 0x10FFFF)
            break;
        value = value * 16 + digit;
    }
    if (digits == 0 || (braces ? !skip(p, "}") : digits < n))
        return refuse(p, start, "an escape that lacks hex digits");
    if (value > 0x10FFFF)
        return refuse(p, start, "beyond U+10FFFF");
    *out = value;
    return STATUS_OK;
}

// \uXXXX; two of them may be a pair of surrogates.
static enum status parse_unicode_escape(struct regex_parser *p, size_t start, uint32_t n,
                                        uint32_t *out)
{
    uint32_t high, low;
    enum status st = parse_hex(p, start, n, &high);
    if (st == STATUS_OK && high >= 0xD800 && high <= 0xDBFF && skip(p, "\\u")) {
        st = parse_hex(p, start, 4, &low);
        if (st == STATUS_OK && low >= 0xDC00 && low <= 0xDFFF)
            high = 0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00);
    }
    if (st != STATUS_OK)
        return st;
    if (high >= 0xD800 && high <= 0xDFFF)
        return refuse(p, start, "a lone surrogate");
    *out = high;
    return STATUS_OK;
}

// An escape that is one code point; p->at is behind the backslash.
static enum status parse_escaped_character(struct regex_parser *p, uint32_t *out)
{
    static const char letters[] = "tnrfvae0", values[] = "\t\n\r\f\v\a\x1B";
    size_t start = p->at - 1;
    if (p->at == p->n)
        return refuse(p, start, "a backslash at the end");
    char c = p->text[p->at];
    const char *letter = c ? strchr(letters, c) : NULL;
    if (c == '0' && p->at + 1 < p->n && p->text[p->at + 1] >= '0' && p->text[p->at + 1] <= '9')
        return refuse(p, start, "octal escapes are not supported, \\xHH is");
    if (letter) {
        p->at++;
        *out = (uint8_t)values[letter - letters];
        return STATUS_OK;
    }
    if (c == 'x' || c == 'u' || c == 'U') {
        p->at++;
        return parse_unicode_escape(p, start, c == 'x' ? 2 : c == 'u' ? 4 : 8, out);
    }
    if (c == 'c' && p->at + 1 < p->n) {
        char of = p->text[p->at + 1];
        if ((of >= 'a' && of <= 'z') || (of >= 'A' && of <= 'Z')) {
            p->at += 2;
            *out = (uint32_t)of & 31;
            return STATUS_OK;
        }
    }
    if (c >= '1' && c <= '9')
        return refuse(p, start, "back references are not supported");
    if (c == 'k')
        return refuse(p, start, "named back references are not supported");
    if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'))
        return refuse(p, start, "an unknown escape");
    p->at += utf8_decode(p->text + p->at, p->n - p->at, out);
    return STATUS_OK;
}

// \d \W \p{..}: adds what it stands for. *out_is_set false: it is another escape, nothing was read.
static enum status parse_set_escape(struct regex_parser *p, struct code_point_set *set,
                                    bool *out_is_set)
{
    char c = p->at < p->n ? p->text[p->at] : 0;
    char lower = (char)(c | 0x20);
    *out_is_set = c && strchr("dDwWsSpP", c);
    if (!*out_is_set)
        return STATUS_OK;
    struct code_point_set own = {0};
    if (lower == 'p')
        return refuse(p, p->at - 1, "\\p is not supported");
    code_point_set_add_escape(&own, lower);
    p->at++;
    code_point_set_sort(&own);
    if (c != lower)
        code_point_set_negate(&own);
    code_point_set_add_all(set, own.ranges, own.n);
    code_point_set_finish(&own);
    return STATUS_OK;
}

// [:name:]; any other bracket is itself.
static bool skip_posix_class(struct regex_parser *p, bool *out)
{
    size_t start = p->at;
    *out = skip(p, "[:");
    while (*out && p->at < p->n && p->text[p->at] >= 'a' && p->text[p->at] <= 'z')
        p->at++;
    *out = *out && skip(p, ":]");
    if (!*out)
        p->at = start;
    return *out;
}

// One end of a range in a class, or a whole set (*out_is_set).
static enum status parse_class_item(struct regex_parser *p, struct code_point_set *set,
                                    uint32_t *out, bool *out_is_set)
{
    size_t start = p->at;
    if (skip_posix_class(p, out_is_set)) {
        if (code_point_set_add_posix(set, p->text + start + 2, p->at - start - 4))
            return STATUS_OK;
        return refuse(p, start + 2, "an unknown class [:...:]");
    }
    if (skip(p, "&&"))
        return refuse(p, p->at - 2, "intersections of classes are not supported");
    if (!skip(p, "\\")) {
        p->at += utf8_decode(p->text + p->at, p->n - p->at, out);
        return STATUS_OK;
    }
    enum status st = parse_set_escape(p, set, out_is_set);
    if (st != STATUS_OK || *out_is_set)
        return st;
    if (skip(p, "b")) {
        *out = '\b';
        return STATUS_OK;
    }
    return parse_escaped_character(p, out);
}

static enum status parse_class_items(struct regex_parser *p, struct code_point_set *set,
                                     size_t start)
{
    for (bool first = true; first || !next_is(p, ']'); first = false) {
        uint32_t low, high;
        bool is_set;
        size_t at = p->at;
        if (p->at == p->n)
            return refuse(p, start, "[ without ]");
        enum status st = parse_class_item(p, set, &low, &is_set);
        if (st != STATUS_OK)
            return st;
        if (is_set)
            continue;
        high = low;
        bool range = next_is(p, '-') && p->at + 1 < p->n && p->text[p->at + 1] != ']';
        if (range) {
            p->at++;
            st = parse_class_item(p, set, &high, &is_set);
            if (st != STATUS_OK)
                return st;
            if (is_set)
                return refuse(p, at, "a range that ends in a class");
            if (high < low)
                return refuse(p, at, "a range from high to low");
        }
        code_point_set_add(set, low, high);
    }
    p->at++;
    return STATUS_OK;
}

// p->at is behind the bracket.
static enum status parse_class(struct regex_parser *p, struct regex_part *out)
{
    struct code_point_set set = {0};
    size_t start = p->at - 1;
    bool negated = skip(p, "^");
    enum status st = parse_class_items(p, &set, start);
    if (st == STATUS_OK)
        *out = set_part(p, &set, negated);
    code_point_set_finish(&set);
    return st;
}

// p->at is behind the backslash.
static enum status parse_escape(struct regex_parser *p, struct regex_part *out, bool *out_is_anchor)
{
    struct code_point_set set = {0};
    bool is_set;
    if (next_is(p, 'b') || next_is(p, 'B'))
        return refuse(p, p->at - 1, "word boundaries are not supported");
    if (skip(p, "A")) {
        *out = regex_part_start();
        *out_is_anchor = true;
        return STATUS_OK;
    }
    if (skip(p, "z") || skip(p, "Z")) {
        *out = regex_part_end();
        *out_is_anchor = true;
        return STATUS_OK;
    }
    enum status st = parse_set_escape(p, &set, &is_set);
    if (st == STATUS_OK && !is_set) {
        uint32_t code_point;
        st = parse_escaped_character(p, &code_point);
        if (st == STATUS_OK)
            code_point_set_add(&set, code_point, code_point);
    }
    if (st == STATUS_OK)
        *out = set_part(p, &set, false);
    code_point_set_finish(&set);
    return st;
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
            return refuse(p, p->at, "the flags m and x are not supported");
        else if (c != 'u' && c != 'a')
            return refuse(p, start, "an unknown group (?");
    }
    *out_scoped = next_is(p, ':');
    if (p->at++ == p->n)
        return refuse(p, start, "( without )");
    return STATUS_OK;
}

static enum status skip_group_name(struct regex_parser *p, size_t start)
{
    const char *name = p->text + p->at, *end = memchr(name, '>', p->n - p->at);
    if (!end || end == name)
        return refuse(p, start, "a group without a name");
    p->at += (size_t)(end - name) + 1;
    return STATUS_OK;
}

// What stands behind "(?", up to the pattern of the group. *out_group false: flags alone.
static enum status parse_group_kind(struct regex_parser *p, size_t start, bool *out_group)
{
    *out_group = true;
    if (skip(p, "=") || skip(p, "!") || skip(p, "<=") || skip(p, "<!"))
        return refuse(p, start, "look-around is not supported");
    if (skip(p, "P="))
        return refuse(p, start, "named back references are not supported");
    if (skip(p, ">"))
        return refuse(p, start, "atomic groups are not supported");
    if (skip(p, "("))
        return refuse(p, start, "conditions are not supported");
    if (skip(p, ":"))
        return STATUS_OK;
    if (skip(p, "P<") || skip(p, "<"))
        return skip_group_name(p, start);
    return parse_flags(p, start, out_group);
}

// p->at is behind the bracket.
static enum status parse_group(struct regex_parser *p, struct regex_part *out)
{
    size_t start = p->at - 1;
    bool ignore_case = p->ignore_case, dot_all = p->dot_all, group = true;
    if (skip(p, "?")) {
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
    return skip(p, ")") ? STATUS_OK : refuse(p, start, "( without )");
}

static enum status parse_atom(struct regex_parser *p, struct regex_part *out, bool *out_is_anchor)
{
    struct code_point_set set = {0};
    uint32_t code_point;
    *out_is_anchor = false;
    if (skip(p, "("))
        return parse_group(p, out);
    if (skip(p, "["))
        return parse_class(p, out);
    if (skip(p, "\\"))
        return parse_escape(p, out, out_is_anchor);
    if (next_is(p, '*') || next_is(p, '+') || next_is(p, '?'))
        return refuse(p, p->at, "nothing to repeat");
    if (next_is(p, '^') || next_is(p, '$')) {
        *out = next_is(p, '^') ? regex_part_start() : regex_part_end();
        *out_is_anchor = true;
        p->at++;
        return STATUS_OK;
    }
    if (skip(p, ".")) {
        if (!p->dot_all)
            code_point_set_add(&set, '\n', '\n');
        code_point_set_sort(&set);
        code_point_set_negate(&set);
    } else {
        p->at += utf8_decode(p->text + p->at, p->n - p->at, &code_point);
        code_point_set_add(&set, code_point, code_point);
    }
    *out = set_part(p, &set, false);
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
    if (skip(p, ",")) {
        has_max = read_count(p, out_max);
        if (!has_max)
            *out_max = EXPRESSION_UNLIMITED;
    }
    if ((has_min || has_max) && skip(p, "}"))
        return true;
    p->at = start;
    return false;
}

// One repeat behind an atom, if there is one.
static enum status parse_repeat(struct regex_parser *p, struct regex_part *part, bool is_anchor)
{
    size_t start = p->at;
    uint32_t min = 0, max = EXPRESSION_UNLIMITED;
    if (skip(p, "?"))
        max = 1;
    else if (skip(p, "+"))
        min = 1;
    else if (!skip(p, "*") && !(next_is(p, '{') && read_braces(p, &min, &max)))
        return STATUS_OK;
    if (is_anchor)
        return refuse(p, start, "an anchor cannot be repeated");
    if (min > REGEX_MAX_REPEAT || (max > REGEX_MAX_REPEAT && max != EXPRESSION_UNLIMITED))
        return refuse(p, start, "more than 65535 repeats");
    if (min > max)
        return refuse(p, start, "a repeat whose least is beyond its most");
    if (!skip(p, "?") && next_is(p, '+'))
        return refuse(p, p->at, "possessive repeats are not supported");
    uint32_t min2, max2;
    if (next_is(p, '*') || next_is(p, '+') || next_is(p, '?') ||
        (next_is(p, '{') && read_braces(p, &min2, &max2)))
        return refuse(p, p->at, "a repeat of a repeat");
    *part = regex_part_repeat(p->pool, *part, min, max);
    return STATUS_OK;
}

static enum status parse_sequence(struct regex_parser *p, struct regex_part *out)
{
    size_t base = p->n_parts;
    while (p->at < p->n && !next_is(p, '|') && !next_is(p, ')')) {
        struct regex_part part;
        bool is_anchor;
        enum status st = parse_atom(p, &part, &is_anchor);
        if (st == STATUS_OK)
            st = parse_repeat(p, &part, is_anchor);
        if (st != STATUS_OK)
            return st;
        push(p, part);
    }
    // from the end, so that a long sequence is a list and not a list of lists
    struct regex_part all = regex_part_plain(EXPRESSION_EMPTY);
    while (p->n_parts > base && p->n_unions <= REGEX_MAX_UNIONS)
        all = regex_part_join(p->pool, p->parts[--p->n_parts], all, &p->n_unions);
    *out = all;
    return p->n_unions <= REGEX_MAX_UNIONS ? STATUS_OK : refuse(p, p->at, "too many anchors");
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
        return refuse(p, p->at, "groups are nested too deep");
    p->depth++;
    do {
        struct regex_part part;
        enum status st = parse_sequence(p, &part);
        if (st != STATUS_OK)
            return st;
        push(p, part);
    } while (skip(p, "|"));
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
    struct regex_part any = regex_part_repeat(p->pool, set_part(p, &all, false), 0,
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
    struct regex_part all;
    if (n > REGEX_MAX_BYTES)
        return error_set(err, STATUS_INVALID_ARGUMENT, "regex: %zu bytes, at most %u", n,
                         REGEX_MAX_BYTES);
    if (!utf8_valid(pattern, n, NULL))
        return error_set(err, STATUS_INVALID_ARGUMENT, "regex: not UTF-8");
    enum status st = parse_alternation(&p, &all);
    if (st == STATUS_OK && p.at < n)
        st = refuse(&p, p.at, ") without (");
    if (st == STATUS_OK && o->search) {
        p.ignore_case = false;
        all = unanchored(&p, all);
    }
    if (st == STATUS_OK && expression_pool_overflowed(pool))
        st = error_set(err, STATUS_INVALID_ARGUMENT, "regex: too large");
    free(p.parts);
    if (st == STATUS_OK)
        *out = all.in[1][1];
    return st;
}
