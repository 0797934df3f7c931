/* text/template_lexer.c - Jinja's lexer, with its rules for white space around tags.
 *
 * Between tags is data. '-' inside a tag's brackets takes all white space on that side; a statement
 * or comment also takes the blanks before it on its line (lstrip_blocks) and the line break behind
 * it (trim_blocks), unless '+' says otherwise; a print takes neither. Line ends become "\n" and the
 * last one is dropped, as Jinja does. White space is Python's, which includes Unicode's. */
#include "text/template_syntax.h"

#include <string.h>

#include "base/utf8.h"
#include "text/unicode.h"

struct lexer {
    struct budget *budget;
    const char *text; // line ends are "\n"
    size_t at, n;
    bool line_starting; // the last match ended with a line break, or there was none
    struct template_token *tokens;
    size_t n_tokens, capacity;
    char brackets[256]; // open ones inside a tag
    size_t n_brackets;
};

static bool here(const struct lexer *l, size_t at, const char *text)
{
    size_t n = strlen(text);
    return l->n - at >= n && memcmp(l->text + at, text, n) == 0;
}

static void add_token(struct lexer *l, enum token_kind kind, const char *bytes, size_t n)
{
    if (l->n_tokens == l->capacity) {
        l->capacity = l->capacity ? l->capacity * 2 : 64;
        struct template_token *tokens = budget_take(l->budget, l->capacity, sizeof *tokens);
        if (l->n_tokens)
            memcpy(tokens, l->tokens, l->n_tokens * sizeof *tokens);
        l->tokens = tokens;
    }
    char *copy = budget_take(l->budget, n + 1, 1);
    if (n)
        memcpy(copy, bytes, n);
    l->tokens[l->n_tokens++] =
        (struct template_token){.kind = kind, .line = l->budget->line, .text = {copy, n}};
}

static void advance(struct lexer *l, size_t to)
{
    for (; l->at < to; l->at++)
        l->budget->line += l->text[l->at] == '\n';
}

static size_t space_end(const struct lexer *l, size_t at)
{
    while (at < l->n) {
        uint32_t c;
        size_t length = utf8_decode(l->text + at, l->n - at, &c);
        if (!unicode_is_space(c))
            break;
        at += length;
    }
    return at;
}

// The start of the white space at the end of text[start..end).
static size_t trailing_space(const struct lexer *l, size_t start, size_t end)
{
    size_t last = start;
    for (size_t at = start; at < end;) {
        uint32_t c;
        at += utf8_decode(l->text + at, end - at, &c);
        if (!unicode_is_space(c))
            last = at;
    }
    return last;
}

// Adds the data before a tag at `tag`, whose sign ('-', '+' or 0) follows its bracket.
static void add_data(struct lexer *l, size_t tag, char sign, bool is_print)
{
    size_t start = l->at;
    size_t end = tag;
    if (sign == '-') {
        end = trailing_space(l, start, tag);
    } else if (sign != '+' && !is_print) {
        const char *newline = tag > start ? memrchr(l->text + start, '\n', tag - start) : NULL;
        size_t line = newline ? (size_t)(newline - l->text) + 1 : start;
        if ((newline || l->line_starting) && space_end(l, line) >= tag)
            end = line;
    }
    if (end > start)
        add_token(l, TOKEN_DATA, l->text + start, end - start);
    advance(l, tag);
}

static char sign_at(const struct lexer *l, size_t at)
{
    return at < l->n && (l->text[at] == '-' || l->text[at] == '+') ? l->text[at] : 0;
}

// If text[at..) closes a tag with `close` ("%}" and so on), where what it takes ends; else 0.
static size_t close_end(const struct lexer *l, size_t at, const char *close, bool is_print)
{
    if (at < l->n && l->text[at] == '-' && here(l, at + 1, close))
        return space_end(l, at + 1 + strlen(close));
    if (!is_print && at < l->n && l->text[at] == '+' && here(l, at + 1, close))
        return at + 1 + strlen(close);
    if (!here(l, at, close))
        return 0;
    at += strlen(close);
    return !is_print && at < l->n && l->text[at] == '\n' ? at + 1 : at;
}

static void finish_tag(struct lexer *l, size_t end)
{
    l->line_starting = end > 0 && l->text[end - 1] == '\n';
    advance(l, end);
}

static void skip_comment(struct lexer *l)
{
    for (size_t at = l->at; at < l->n; at++) {
        size_t end = close_end(l, at, "#}", false);
        if (end) {
            finish_tag(l, end);
            return;
        }
    }
    budget_fail(l->budget, STATUS_INVALID_ARGUMENT, "missing end of comment tag");
}

static size_t word_here(const struct lexer *l, size_t at, const char *word)
{
    at = space_end(l, at);
    return here(l, at, word) ? space_end(l, at + strlen(word)) : 0;
}

// `{% raw %}` at a "{%": everything up to `{% endraw %}` is data. False: some other tag.
static bool lex_raw(struct lexer *l, size_t tag, char sign)
{
    size_t at = word_here(l, tag + 2 + (sign != 0), "raw");
    if (!at || (!here(l, at, "%}") && !here(l, at, "-%}")))
        return false;
    add_data(l, tag, sign, false);
    finish_tag(l, here(l, at, "-%}") ? space_end(l, at + 3) : at + 2);
    for (size_t end = l->at; end < l->n; end++) {
        if (!here(l, end, "{%"))
            continue;
        char end_sign = sign_at(l, end + 2);
        size_t closing = word_here(l, end + 2 + (end_sign != 0), "endraw");
        size_t behind = closing ? close_end(l, closing, "%}", false) : 0;
        if (!behind)
            continue;
        add_data(l, end, end_sign, false);
        finish_tag(l, behind);
        return true;
    }
    budget_fail(l->budget, STATUS_INVALID_ARGUMENT, "missing end of raw directive");
}

static bool is_word(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

static bool is_digit(const struct lexer *l, size_t at)
{
    return at < l->n && l->text[at] >= '0' && l->text[at] <= '9';
}

// (\d+_)*\d+ from at; at if there is none.
static size_t digits_end(const struct lexer *l, size_t at)
{
    while (is_digit(l, at) || (at < l->n && l->text[at] == '_' && is_digit(l, at + 1) && at > 0 &&
                               is_digit(l, at - 1)))
        at++;
    return at;
}

static void add_number(struct lexer *l, enum token_kind kind, size_t end)
{
    char *digits = budget_take(l->budget, end - l->at + 1, 1);
    size_t n = 0;
    for (size_t i = l->at; i < end; i++)
        if (l->text[i] != '_')
            digits[n++] = l->text[i];
    bool is_plain = kind == TOKEN_FLOAT || n == 1 || digits[0] != '0' || strspn(digits, "0") == n;
    if (!is_plain || (end < l->n && is_word(l->text[end])))
        budget_fail(l->budget, STATUS_INVALID_ARGUMENT, "unsupported number '%.40s'", digits);
    add_token(l, kind, digits, n);
    advance(l, end);
}

static void lex_number(struct lexer *l)
{
    size_t end = digits_end(l, l->at);
    bool is_float = false;
    if (l->at == 0 || l->text[l->at - 1] != '.') {
        if (end < l->n && l->text[end] == '.' && is_digit(l, end + 1)) {
            end = digits_end(l, end + 1);
            is_float = true;
        }
        if (end < l->n && (l->text[end] == 'e' || l->text[end] == 'E')) {
            size_t exponent = end + 1 + (sign_at(l, end + 1) != 0);
            if (is_digit(l, exponent)) {
                end = digits_end(l, exponent);
                is_float = true;
            }
        }
    }
    add_number(l, is_float ? TOKEN_FLOAT : TOKEN_INTEGER, end);
}

// Reads n hexadecimal digits, or up to 3 octal ones if n is 0.
static uint32_t read_code(struct lexer *l, size_t *at, size_t n, size_t end)
{
    uint32_t code = 0;
    unsigned base = n ? 16 : 8;
    size_t max = n ? n : 3;
    size_t i = 0;
    for (; i < max && *at < end; i++, (*at)++) {
        const char *all = "0123456789abcdef";
        char c = l->text[*at];
        const char *digit = c ? memchr(all, c >= 'A' && c <= 'F' ? c + 32 : c, base) : NULL;
        if (!digit)
            break;
        code = code * base + (uint32_t)(digit - all);
    }
    if (n && i < n)
        budget_fail(l->budget, STATUS_INVALID_ARGUMENT, "a truncated escape in a string");
    if (code > 0x10FFFF || (code >= 0xD800 && code < 0xE000))
        budget_fail(l->budget, STATUS_INVALID_ARGUMENT, "an escape that is no character");
    return code;
}

// Python's unicode-escape: unknown escapes stay as written.
static size_t unescape(struct lexer *l, size_t *at, size_t end, char out[UTF8_MAX_BYTES])
{
    static const char names[] = "ntr\\'\"abfv";
    static const char codes[] = "\n\t\r\\'\"\a\b\f\v";
    char c = l->text[(*at)++];
    const char *name = c ? strchr(names, c) : NULL;
    if (name) {
        out[0] = codes[name - names];
        return 1;
    }
    if (c == '\n')
        return 0;
    if (c == 'x' || c == 'u' || c == 'U')
        return utf8_encode(read_code(l, at, c == 'x' ? 2 : c == 'u' ? 4 : 8, end), out);
    if (c >= '0' && c <= '7') {
        (*at)--;
        return utf8_encode(read_code(l, at, 0, end), out);
    }
    if (c == 'N')
        budget_fail(l->budget, STATUS_INVALID_ARGUMENT, "unsupported escape '\\N' in a string");
    (*at)--; // may be the start of a longer character, which is copied as it is
    out[0] = '\\';
    return 1;
}

static void lex_string(struct lexer *l)
{
    char quote = l->text[l->at];
    size_t end = l->at + 1;
    while (end < l->n && l->text[end] != quote)
        end += l->text[end] == '\\' ? 2 : 1;
    if (end >= l->n)
        budget_fail(l->budget, STATUS_INVALID_ARGUMENT, "a string without an end");
    char *bytes = budget_take(l->budget, end - l->at + UTF8_MAX_BYTES, 1);
    size_t n = 0;
    for (size_t at = l->at + 1; at < end;) {
        if (l->text[at] != '\\')
            bytes[n++] = l->text[at++];
        else {
            at++;
            n += unescape(l, &at, end, bytes + n);
        }
    }
    add_token(l, TOKEN_STRING, bytes, n);
    advance(l, end + 1);
}

static void balance(struct lexer *l, char c)
{
    const char *pair = strchr("(){}[]", c);
    if (!pair || !c)
        return;
    bool opens = c == '(' || c == '[' || c == '{';
    if (opens) {
        if (l->n_brackets == sizeof l->brackets)
            budget_fail(l->budget, STATUS_INVALID_ARGUMENT, "brackets are nested too deeply");
        l->brackets[l->n_brackets++] = pair[1];
        return;
    }
    if (l->n_brackets == 0 || l->brackets[--l->n_brackets] != c)
        budget_fail(l->budget, STATUS_INVALID_ARGUMENT, "unexpected '%c'", c);
}

static void lex_operator(struct lexer *l)
{
    static const char *const operators[] = {"//", "**", "==", "!=", ">=", "<="};
    for (size_t i = 0; i < sizeof operators / sizeof *operators; i++)
        if (here(l, l->at, operators[i])) {
            add_token(l, TOKEN_OPERATOR, operators[i], 2);
            advance(l, l->at + 2);
            return;
        }
    char c = l->text[l->at];
    if (!c || !strchr("+-/*%~[](){}><=.:|,;", c))
        budget_fail(l->budget, STATUS_INVALID_ARGUMENT, "unexpected character '%c'",
                    c >= 0x20 && c < 0x7F ? c : '?');
    balance(l, c);
    add_token(l, TOKEN_OPERATOR, &c, 1);
    advance(l, l->at + 1);
}

// The inside of a tag, up to and including its end.
static void lex_tag(struct lexer *l, const char *close, bool is_print)
{
    l->n_brackets = 0;
    while (l->at < l->n) {
        size_t end = l->n_brackets ? 0 : close_end(l, l->at, close, is_print);
        if (end) {
            add_token(l, is_print ? TOKEN_PRINT_END : TOKEN_BLOCK_END, close, 2);
            finish_tag(l, end);
            return;
        }
        size_t space = space_end(l, l->at);
        char c = l->text[l->at];
        if (space > l->at) {
            advance(l, space);
        } else if (c >= '0' && c <= '9') {
            lex_number(l);
        } else if (is_word(c)) {
            for (end = l->at; end < l->n && is_word(l->text[end]);)
                end++;
            add_token(l, TOKEN_NAME, l->text + l->at, end - l->at);
            advance(l, end);
        } else if (c == '\'' || c == '"') {
            lex_string(l);
        } else {
            lex_operator(l);
        }
    }
}

static void lex_from_data(struct lexer *l)
{
    size_t tag = l->at;
    while (tag < l->n && !here(l, tag, "{{") && !here(l, tag, "{%") && !here(l, tag, "{#"))
        tag++;
    if (tag == l->n) {
        add_token(l, TOKEN_DATA, l->text + l->at, l->n - l->at);
        advance(l, l->n);
        return;
    }
    char kind = l->text[tag + 1];
    char sign = sign_at(l, tag + 2);
    if (kind == '%' && lex_raw(l, tag, sign))
        return;
    add_data(l, tag, sign, kind == '{');
    advance(l, tag + 2 + (sign != 0));
    if (kind == '#') {
        skip_comment(l);
        return;
    }
    add_token(l, kind == '{' ? TOKEN_PRINT_BEGIN : TOKEN_BLOCK_BEGIN, l->text + tag, 2);
    lex_tag(l, kind == '{' ? "}}" : "%}", kind == '{');
}

struct template_token *template_lex(struct budget *budget, const char *source, size_t n)
{
    char *text = budget_take(budget, n + 1, 1);
    size_t length = 0;
    for (size_t i = 0; i < n; i++) {
        bool is_pair = source[i] == '\r' && i + 1 < n && source[i + 1] == '\n';
        if (!is_pair)
            text[length++] = source[i];
        if (source[i] == '\r' && !is_pair)
            text[length - 1] = '\n';
    }
    if (length && text[length - 1] == '\n')
        length--;
    struct lexer lexer = {.budget = budget, .text = text, .n = length, .line_starting = true};
    budget->line = 1;
    while (lexer.at < lexer.n)
        lex_from_data(&lexer);
    add_token(&lexer, TOKEN_END, "", 0);
    return lexer.tokens;
}
