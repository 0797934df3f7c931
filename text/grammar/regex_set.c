/* text/grammar/regex_set.c - what stands for one code point: escapes and classes. */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/utf8.h"
#include "text/grammar/regex_parser.h"

#define SET_COST 8 /* of a class, in ranges, beside its ranges */

enum status regex_refuse(struct regex_parser *p, size_t at, const char *why)
{
    size_t character = 1;
    for (size_t i = 0; i < at; i++)
        character += (p->text[i] & 0xC0) != 0x80;
    return error_set(p->err, STATUS_INVALID_ARGUMENT, "regex, character %zu: %s", character, why);
}

bool regex_next_is(const struct regex_parser *p, char c)
{
    return p->at < p->n && p->text[p->at] == c;
}

bool regex_skip(struct regex_parser *p, const char *token)
{
    size_t n = strlen(token);
    if (p->n - p->at < n || memcmp(p->text + p->at, token, n) != 0)
        return false;
    p->at += n;
    return true;
}

struct regex_memo *regex_memo_create(void)
{
    return mem_zeroed(1, sizeof(struct regex_memo));
}

void regex_memo_destroy(struct regex_memo *memo)
{
    for (size_t i = 0; memo && i < REGEX_N_MADE; i++)
        code_point_set_finish(&memo->made[i].set);
    free(memo);
}

static bool same_set(const struct code_point_set *a, const struct code_point_set *b)
{
    return a->n == b->n &&
           (a->n == 0 || memcmp(a->ranges, b->ranges, a->n * sizeof *a->ranges) == 0);
}

static uint32_t make_set(struct regex_parser *p, const struct code_point_set *written, bool negated)
{
    struct code_point_set set = {0};
    code_point_set_add_all(&set, written->ranges, written->n);
    if (p->ignore_case)
        p->memo->cost += code_point_set_fold(&set) / 8;
    if (negated)
        code_point_set_negate(&set);
    p->memo->cost += set.n > 1 ? set.n + SET_COST : 1;
    uint32_t out = EXPRESSION_NOTHING;
    if (p->memo->cost <= p->max_cost)
        out = p->json_string ? regex_json_code_points(p->pool, set.ranges, set.n)
                             : expression_code_points(p->pool, set.ranges, set.n);
    code_point_set_finish(&set);
    return out;
}

// Patterns repeat their classes: the last ones are kept. What a class costs is counted, and beyond
// the limit nothing is made; the memo is of no use then.
struct regex_part regex_set_part(struct regex_parser *p, struct code_point_set *set, bool negated)
{
    p->memo->cost += set->n / 64;
    code_point_set_sort(set);
    struct regex_memo *memo = p->memo;
    for (size_t i = 0; i < memo->n_made && i < REGEX_N_MADE; i++) {
        const struct regex_made_set *made = &memo->made[i];
        if (made->json_string == p->json_string && made->ignore_case == p->ignore_case &&
            made->negated == negated && same_set(&made->set, set)) {
            code_point_set_finish(set);
            return regex_part_plain(made->expression);
        }
    }
    uint32_t expression = make_set(p, set, negated);
    struct regex_made_set *made = &memo->made[memo->n_made++ % REGEX_N_MADE];
    code_point_set_finish(&made->set);
    *made = (struct regex_made_set){*set, p->json_string, p->ignore_case, negated, expression};
    *set = (struct code_point_set){0};
    return regex_part_plain(expression);
}

// The rest of a hex escape behind its letter: exactly n digits, or any number in braces.
static enum status parse_hex(struct regex_parser *p, size_t start, uint32_t n, uint32_t *out)
{
    bool braces = regex_skip(p, "{");
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
    if (digits == 0 || (braces ? !regex_skip(p, "}") : digits < n))
        return regex_refuse(p, start, "an escape that lacks hex digits");
    if (value > 0x10FFFF)
        return regex_refuse(p, start, "beyond U+10FFFF");
    *out = value;
    return STATUS_OK;
}

// \uXXXX; two of them may be a pair of surrogates.
static enum status parse_unicode_escape(struct regex_parser *p, size_t start, uint32_t n,
                                        uint32_t *out)
{
    uint32_t high = 0, low = 0;
    enum status st = parse_hex(p, start, n, &high);
    if (st == STATUS_OK && high >= 0xD800 && high <= 0xDBFF && regex_skip(p, "\\u")) {
        st = parse_hex(p, start, 4, &low);
        if (st == STATUS_OK && low >= 0xDC00 && low <= 0xDFFF)
            high = 0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00);
    }
    if (st != STATUS_OK)
        return st;
    if (high >= 0xD800 && high <= 0xDFFF)
        return regex_refuse(p, start, "a lone surrogate");
    *out = high;
    return STATUS_OK;
}

// An escape that is one code point; p->at is behind the backslash.
static enum status parse_escaped_character(struct regex_parser *p, uint32_t *out)
{
    static const char letters[] = "tnrfvae0", values[] = "\t\n\r\f\v\a\x1B";
    size_t start = p->at - 1;
    if (p->at == p->n)
        return regex_refuse(p, start, "a backslash at the end");
    char c = p->text[p->at];
    const char *letter = c ? strchr(letters, c) : NULL;
    if (c == '0' && p->at + 1 < p->n && p->text[p->at + 1] >= '0' && p->text[p->at + 1] <= '9')
        return regex_refuse(p, start, "octal escapes are not supported, \\xHH is");
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
        return regex_refuse(p, start, "back references are not supported");
    if (c == 'k')
        return regex_refuse(p, start, "named back references are not supported");
    if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'))
        return regex_refuse(p, start, "an unknown escape");
    p->at += utf8_decode(p->text + p->at, p->n - p->at, out);
    return STATUS_OK;
}

// {Lu} or L; p->at is behind \p.
static enum status parse_category(struct regex_parser *p, struct code_point_set *set)
{
    size_t start = p->at - 2;
    size_t n = p->at < p->n;
    const char *name = p->text + p->at;
    if (regex_skip(p, "{")) {
        const char *end = memchr(++name, '}', p->n - p->at);
        n = end ? (size_t)(end - name) : 0;
        p->at++;
    }
    if (!code_point_set_add_category(set, name, n))
        return regex_refuse(p, start,
                            "\\p takes general categories alone, such as \\p{Lu} or \\p{L}");
    p->at += n;
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
    p->at++;
    if (lower == 'p') {
        enum status st = parse_category(p, &own);
        if (st != STATUS_OK)
            return st;
    } else {
        code_point_set_add_escape(&own, lower);
    }
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
    *out = regex_skip(p, "[:");
    while (*out && p->at < p->n && p->text[p->at] >= 'a' && p->text[p->at] <= 'z')
        p->at++;
    *out = *out && regex_skip(p, ":]");
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
        return regex_refuse(p, start + 2, "an unknown class [:...:]");
    }
    if (regex_skip(p, "&&"))
        return regex_refuse(p, p->at - 2, "intersections of classes are not supported");
    if (!regex_skip(p, "\\")) {
        p->at += utf8_decode(p->text + p->at, p->n - p->at, out);
        return STATUS_OK;
    }
    enum status st = parse_set_escape(p, set, out_is_set);
    if (st != STATUS_OK || *out_is_set)
        return st;
    if (regex_skip(p, "b")) {
        *out = '\b';
        return STATUS_OK;
    }
    return parse_escaped_character(p, out);
}

static enum status parse_class_items(struct regex_parser *p, struct code_point_set *set,
                                     size_t start)
{
    for (bool first = true; first || !regex_next_is(p, ']'); first = false) {
        uint32_t low = 0, high;
        bool is_set;
        size_t at = p->at;
        if (p->at == p->n)
            return regex_refuse(p, start, "[ without ]");
        enum status st = parse_class_item(p, set, &low, &is_set);
        if (st != STATUS_OK)
            return st;
        if (is_set)
            continue;
        high = low;
        bool range = regex_next_is(p, '-') && p->at + 1 < p->n && p->text[p->at + 1] != ']';
        if (range) {
            p->at++;
            st = parse_class_item(p, set, &high, &is_set);
            if (st != STATUS_OK)
                return st;
            if (is_set)
                return regex_refuse(p, at, "a range that ends in a class");
            if (high < low)
                return regex_refuse(p, at, "a range from high to low");
        }
        code_point_set_add(set, low, high);
    }
    p->at++;
    return STATUS_OK;
}

// p->at is behind the bracket.
enum status regex_parse_class(struct regex_parser *p, struct regex_part *out)
{
    struct code_point_set set = {0};
    size_t start = p->at - 1;
    bool negated = regex_skip(p, "^");
    enum status st = parse_class_items(p, &set, start);
    if (st == STATUS_OK)
        *out = regex_set_part(p, &set, negated);
    code_point_set_finish(&set);
    return st;
}

// p->at is behind the backslash.
enum status regex_parse_escape(struct regex_parser *p, struct regex_part *out, bool *out_is_anchor)
{
    struct code_point_set set = {0};
    bool is_set;
    if (regex_next_is(p, 'b') || regex_next_is(p, 'B'))
        return regex_refuse(p, p->at - 1, "word boundaries are not supported");
    if (regex_skip(p, "A")) {
        *out = regex_part_start();
        *out_is_anchor = true;
        return STATUS_OK;
    }
    if (regex_skip(p, "z") || regex_skip(p, "Z")) {
        *out = regex_part_end();
        *out_is_anchor = true;
        return STATUS_OK;
    }
    enum status st = parse_set_escape(p, &set, &is_set);
    if (st == STATUS_OK && !is_set) {
        uint32_t code_point = 0;
        st = parse_escaped_character(p, &code_point);
        if (st == STATUS_OK)
            code_point_set_add(&set, code_point, code_point);
    }
    if (st == STATUS_OK)
        *out = regex_set_part(p, &set, false);
    code_point_set_finish(&set);
    return st;
}
