/* text/grammar/lark_lexer.c - what begins a word says which word it is; only brackets and slashes
 * differ between the dialects. */
#include "text/grammar/lark_lexer.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

void lark_words_finish(struct lark_words *words)
{
    free(words->items);
    *words = (struct lark_words){0};
}

enum status lark_refuse(const struct lark_words *words, size_t at, struct error *err,
                        const char *why)
{
    size_t line = 1, column = 1;
    for (size_t i = 0; i < at; i++) {
        if (words->text[i] == '\n') {
            line++;
            column = 1;
        } else {
            column += (words->text[i] & 0xC0) != 0x80;
        }
    }
    return error_set(err, STATUS_INVALID_ARGUMENT, "grammar, line %zu, column %zu: %s", line,
                     column, why);
}

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

// How many bytes from at on belong to a name.
static size_t name_length(const struct lark_words *words, size_t at)
{
    size_t end = at;
    for (; end < words->n_bytes; end++) {
        char c = words->text[end];
        bool more = words->gbnf && (c == '-' || c == '.');
        if (!is_letter(c) && !is_digit(c) && !more)
            break;
    }
    return end - at;
}

static bool starts(const struct lark_words *words, size_t at, const char *token)
{
    size_t n = strlen(token);
    return words->n_bytes - at >= n && memcmp(words->text + at, token, n) == 0;
}

// Behind blanks and comments; says whether a line began.
static size_t skip_blanks(const struct lark_words *words, size_t at, bool *out_new_line)
{
    while (at < words->n_bytes) {
        char c = words->text[at];
        if (c == '#' || (!words->gbnf && starts(words, at, "//"))) {
            const char *end = memchr(words->text + at, '\n', words->n_bytes - at);
            at = end ? (size_t)(end - words->text) : words->n_bytes;
        } else if (c == ' ' || c == '\t' || c == '\r' || c == '\n') {
            *out_new_line |= c == '\n';
            at++;
        } else {
            break;
        }
    }
    return at;
}

// GBNF if the first rule has "::=".
static bool is_gbnf(const char *text, size_t n)
{
    struct lark_words words = {.text = text, .n_bytes = n};
    bool new_line = false;
    size_t at = skip_blanks(&words, 0, &new_line);
    words.gbnf = true;
    at += name_length(&words, at);
    at = skip_blanks(&words, at, &new_line);
    return starts(&words, at, "::=");
}

// The end of what is quoted from at on: behind the first close that no backslash precedes. 0: none.
static size_t quoted_end(const struct lark_words *words, size_t at, char close)
{
    for (size_t i = at + 1; i < words->n_bytes && words->text[i] != '\n'; i++) {
        if (words->text[i] == '\\')
            i++;
        else if (words->text[i] == close)
            return i + 1;
    }
    return 0;
}

// The end of a JSON object or array; only its brackets and strings are looked at. 0: none.
static size_t json_end(const struct lark_words *words, size_t at)
{
    size_t depth = 0;
    for (size_t i = at; i < words->n_bytes; i++) {
        char c = words->text[i];
        if (c == '"') {
            i = quoted_end(words, i, '"');
            if (i-- == 0)
                return 0;
        } else if (c == '{' || c == '[') {
            depth++;
        } else if ((c == '}' || c == ']') && --depth == 0) {
            return i + 1;
        }
        if (depth == 0)
            return 0;
    }
    return 0;
}

static void add(struct lark_words *words, enum lark_word_kind kind, size_t at, size_t n,
                bool first_on_line)
{
    mem_reserve(&words->items, &words->capacity, words->n + 1, sizeof *words->items);
    words->items[words->n++] = (struct lark_word){kind, first_on_line, (uint32_t)at, (uint32_t)n};
}

// A string, regular expression or class, with the letters that follow as flags.
static size_t quoted_word(const struct lark_words *words, size_t at, enum lark_word_kind *out_kind)
{
    char open = words->text[at];
    *out_kind = open == '"' ? LARK_STRING : LARK_REGEX;
    size_t end = quoted_end(words, at, open == '[' ? ']' : open);
    if (!words->gbnf)
        while (end && end < words->n_bytes && is_letter(words->text[end]))
            end++;
    return end;
}

static size_t sign(const struct lark_words *words, size_t at, enum lark_word_kind *out_kind)
{
    static const struct {
        const char *text;
        enum lark_word_kind kind;
    } signs[] = {{"->", LARK_ARROW}, {"..", LARK_DOTS}};
    const char *define = words->gbnf ? "::=" : ":";
    *out_kind = LARK_DEFINE;
    if (starts(words, at, define))
        return at + strlen(define);
    for (size_t i = 0; i < sizeof signs / sizeof *signs; i++) {
        *out_kind = signs[i].kind;
        if (!words->gbnf && starts(words, at, signs[i].text))
            return at + 2;
    }
    *out_kind = LARK_SIGN;
    return words->text[at] && strchr("|?*+()[]{},~.!", words->text[at]) ? at + 1 : 0;
}

// The end of the word at at; 0: there is none.
static size_t word_end(const struct lark_words *words, size_t at, enum lark_word_kind *out_kind)
{
    char c = words->text[at];
    if (c == '"' || (words->gbnf ? c == '[' : c == '/'))
        return quoted_word(words, at, out_kind);
    if (c == '<') {
        const char *end = memchr(words->text + at, '>', words->n_bytes - at);
        *out_kind = LARK_SPECIAL;
        return end ? (size_t)(end - words->text) + 1 : 0;
    }
    if (c == '%') {
        *out_kind = LARK_DIRECTIVE;
        return at + 1 + name_length(words, at + 1);
    }
    if (is_digit(c)) {
        *out_kind = LARK_NUMBER;
        while (at < words->n_bytes && is_digit(words->text[at]))
            at++;
        return at;
    }
    if (is_letter(c)) {
        *out_kind = LARK_NAME;
        return at + name_length(words, at);
    }
    return sign(words, at, out_kind);
}

static const char *unfinished(char c)
{
    return c == '"'   ? "a string that does not end on its line"
           : c == '/' ? "a regular expression that does not end on its line"
           : c == '[' ? "a class that does not end on its line"
           : c == '<' ? "a special token without >"
                      : "a character that begins nothing";
}

enum status lark_words_init(struct lark_words *words, const char *text, size_t n, struct error *err)
{
    *words = (struct lark_words){.text = text, .n_bytes = n, .gbnf = is_gbnf(text, n)};
    for (size_t at = 0;;) {
        bool new_line = at == 0;
        enum lark_word_kind kind;
        at = skip_blanks(words, at, &new_line);
        if (at == n)
            break;
        size_t end = word_end(words, at, &kind);
        if (!end)
            return lark_refuse(words, at, err, unfinished(text[at]));
        add(words, kind, at, end - at, new_line);
        if (kind == LARK_DIRECTIVE && end - at == 5 && memcmp(text + at, "%json", 5) == 0) {
            at = skip_blanks(words, end, &new_line);
            end = at < n ? json_end(words, at) : 0;
            if (!end)
                return lark_refuse(words, at, err, "expected a JSON object behind %json");
            add(words, LARK_JSON, at, end - at, false);
        }
        at = end;
    }
    add(words, LARK_END, n, 0, true);
    return STATUS_OK;
}
