/* text/grammar/lark_atom.c - strings and classes go the way of regular expressions, which know
 * escapes and case: a string is a pattern in which every sign is escaped. */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/text_buffer.h"
#include "base/utf8.h"
#include "text/grammar/lark_compiler.h"

static struct lark_part regular(uint32_t expression)
{
    return (struct lark_part){.is_regular = true, .expression = expression, .weight = 1};
}

static const struct lark_word *next(const struct lark_compiler *c)
{
    return &c->words.items[c->at];
}

// Reads the pattern that was made of the next word.
static enum status parse(struct lark_compiler *c, const char *pattern, size_t n,
                         struct regex_options options, struct lark_part *out)
{
    struct error err = {0};
    uint32_t expression;
    options.memo = c->memo;
    if (regex_parse(c->pool, pattern, n, &options, &expression, &err) != STATUS_OK)
        return lark_refuse_word(c, c->at, err.message);
    *out = regular(expression);
    c->at++;
    return STATUS_OK;
}

// The length of the character or escape at text[0..n), as a string of a grammar may hold it; 0: an
// escape that only patterns have.
static size_t character_length(const char *text, size_t n)
{
    if (text[0] != '\\' || n < 2) {
        uint32_t code_point;
        return utf8_decode(text, n, &code_point);
    }
    size_t digits = text[1] == 'x' ? 2 : text[1] == 'u' ? 4 : text[1] == 'U' ? 8 : 0;
    bool other = (text[1] >= '0' && text[1] <= '9') || (text[1] >= 'a' && text[1] <= 'z') ||
                 (text[1] >= 'A' && text[1] <= 'Z');
    if (digits && n > 2 && text[2] == '{') {
        const char *end = memchr(text, '}', n);
        return end ? (size_t)(end - text) + 1 : n;
    }
    if (digits)
        return n < 2 + digits ? n : 2 + digits;
    return other && !strchr("nrtfva", text[1]) ? 0 : 2;
}

// Appends the pattern of one character; text[0..n) is it.
static void append_character(struct text_buffer *pattern, const char *text, size_t n)
{
    bool is_sign = n == 1 && text[0] && strchr("\\.^$*+?()[]{}|/-&", text[0]);
    if (is_sign)
        text_buffer_append(pattern, "\\", 1);
    text_buffer_append(pattern, text, n);
}

static enum status append_string(struct lark_compiler *c, struct text_buffer *pattern,
                                 const char *text, size_t n)
{
    for (size_t i = 0; i < n;) {
        size_t length = character_length(text + i, n - i);
        if (length == 0)
            return lark_refuse_word(c, c->at, "an unknown escape in a string");
        append_character(pattern, text + i, length);
        i += length;
    }
    return STATUS_OK;
}

// What stands between the quotes (or slashes) of a word, and the flags behind them.
struct quoted {
    const char *text, *flags;
    size_t n, n_flags;
};

static struct quoted split_quoted(const struct lark_compiler *c, const struct lark_word *word)
{
    const char *text = c->words.text + word->at;
    size_t end = word->n;
    while (text[end - 1] != text[0])
        end--;
    return (struct quoted){text + 1, text + end, end - 2, word->n - end};
}

// "a".."z"; the next word is the first string.
static enum status range(struct lark_compiler *c, struct lark_part *out)
{
    struct text_buffer pattern = {0};
    text_buffer_append(&pattern, "[", 1);
    enum status st = STATUS_OK;
    for (int i = 0; i < 2 && st == STATUS_OK; i++) {
        struct quoted string = split_quoted(c, next(c));
        if (string.n_flags)
            st = lark_refuse_word(c, c->at, "flags do not go with a range");
        else if (string.n == 0 || character_length(string.text, string.n) != string.n)
            st = lark_refuse_word(c, c->at, "expected one character");
        else
            append_character(&pattern, string.text, string.n);
        text_buffer_append_text(&pattern, i == 0 ? "-" : "]");
        if (i == 0)
            c->at += 2;
    }
    if (st == STATUS_OK)
        st = parse(c, pattern.data, pattern.length, (struct regex_options){0}, out);
    text_buffer_finish(&pattern);
    return st;
}

enum status lark_string(struct lark_compiler *c, struct lark_part *out)
{
    if (c->at + 2 < c->end && next(c)[1].kind == LARK_DOTS && next(c)[2].kind == LARK_STRING)
        return range(c, out);
    struct quoted string = split_quoted(c, next(c));
    struct regex_options options = {.ignore_case = string.n_flags == 1 && string.flags[0] == 'i'};
    if (string.n_flags && !options.ignore_case)
        return lark_refuse_word(c, c->at, "a string's only flag is i");
    struct text_buffer pattern = {0};
    enum status st = append_string(c, &pattern, string.text, string.n);
    if (st == STATUS_OK)
        st = parse(c, pattern.data, pattern.length, options, out);
    text_buffer_finish(&pattern);
    return st;
}

enum status lark_regex(struct lark_compiler *c, struct lark_part *out)
{
    const struct lark_word *word = next(c);
    struct regex_options options = {0};
    if (c->words.gbnf)
        return parse(c, c->words.text + word->at, word->n, options, out);
    struct quoted regex = split_quoted(c, word);
    for (size_t i = 0; i < regex.n_flags; i++) {
        char flag = regex.flags[i];
        if (flag == 'i')
            options.ignore_case = true;
        else if (flag == 's')
            options.dot_all = true;
        else if (flag != 'u')
            return lark_refuse_word(c, c->at, "a regular expression's only flags are i, s and u");
    }
    return parse(c, regex.text, regex.n, options, out);
}

struct lark_part lark_any_code_point(struct lark_compiler *c)
{
    const struct code_point_range all = {0, 0x10FFFF};
    return regular(expression_code_points(c->pool, &all, 1));
}

static bool read_id(const char *text, size_t n, size_t *at, uint32_t *out)
{
    size_t start = *at;
    uint32_t id = 0;
    for (; *at < n && text[*at] >= '0' && text[*at] <= '9'; (*at)++)
        if (id < UINT32_MAX / 20)
            id = id * 10 + (uint32_t)(text[*at] - '0');
    *out = id;
    return *at > start;
}

// Adds one id of a list: a special token, or the text of another one.
static enum status add_token(struct lark_compiler *c, uint32_t id, uint32_t *specials,
                             size_t *n_specials, uint32_t *texts, size_t *n_texts)
{
    const struct tokenizer *tokenizer = c->options->tokenizer;
    size_t n;
    bool is_byte;
    if (!tokenizer || id >= tokenizer_n_tokens(tokenizer))
        return lark_refuse_word(c, c->at, "the tokenizer has no such token");
    if (*n_specials + *n_texts == LARK_MAX_TOKENS)
        return lark_refuse_word(c, c->at, "more than 4096 tokens");
    const char *bytes = tokenizer_token_bytes(tokenizer, id, &n, &is_byte);
    if (!bytes)
        return lark_refuse_word(c, c->at, "the tokenizer has no such token");
    if (tokenizer_is_special(tokenizer, id))
        specials[(*n_specials)++] = id;
    else
        texts[(*n_texts)++] = expression_text(c->pool, bytes, n);
    return STATUS_OK;
}

// [1,7-9]
static enum status parse_ids(struct lark_compiler *c, const char *text, size_t n,
                             uint32_t *specials, size_t *n_specials, uint32_t *texts,
                             size_t *n_texts)
{
    for (size_t at = 0; at == 0 || text[at - 1] == ',';) {
        uint32_t first, last;
        if (!read_id(text, n, &at, &first))
            return lark_refuse_word(c, c->at, "expected token ids: <[1,7-9]>");
        last = first;
        if (at < n && text[at] == '-') {
            at++;
            if (!read_id(text, n, &at, &last) || last < first)
                return lark_refuse_word(c, c->at, "expected a range of token ids: <[7-9]>");
        }
        for (uint32_t id = first; id <= last; id++) {
            enum status st = add_token(c, id, specials, n_specials, texts, n_texts);
            if (st != STATUS_OK)
                return st;
        }
        if (at == n)
            return STATUS_OK;
        if (text[at++] != ',' || at == n)
            return lark_refuse_word(c, c->at, "expected token ids: <[1,7-9]>");
    }
    return STATUS_OK;
}

// <[...]>; text[0..n) is what stands in the square brackets.
static enum status token_list(struct lark_compiler *c, const char *text, size_t n,
                              struct lark_part *out)
{
    uint32_t *specials = mem_zeroed(2 * LARK_MAX_TOKENS, sizeof *specials);
    uint32_t *texts = specials + LARK_MAX_TOKENS;
    size_t n_specials = 0, n_texts = 0;
    enum status st = parse_ids(c, text, n, specials, &n_specials, texts, &n_texts);
    if (st == STATUS_OK) {
        grammar_symbol symbols[2];
        size_t n_symbols = 0;
        if (n_specials)
            symbols[n_symbols++] = grammar_tokens(c->builder, specials, n_specials);
        if (n_texts)
            symbols[n_symbols++] = grammar_terminal(c->builder,
                                                    expression_any_of(c->pool, texts, n_texts));
        out->symbol = n_symbols == 1 ? symbols[0] : grammar_choice(c->builder, symbols, 2);
        c->at++;
    }
    free(specials);
    return st;
}

enum status lark_special(struct lark_compiler *c, struct lark_part *out)
{
    const char *text = c->words.text + next(c)->at;
    size_t n = next(c)->n;
    const struct tokenizer *tokenizer = c->options->tokenizer;
    *out = (struct lark_part){0};
    if (c->in_terminal)
        return lark_refuse_word(c, c->at, "a special token cannot be a part of a terminal");
    if (n >= 4 && text[1] == '[' && text[n - 2] == ']')
        return token_list(c, text + 2, n - 4, out);
    uint32_t id = tokenizer ? tokenizer_id(tokenizer, text, n) : TOKEN_NONE;
    if (id == TOKEN_NONE || !tokenizer_is_special(tokenizer, id))
        return lark_refuse_word(c, c->at, "the tokenizer has no special token of that name");
    out->symbol = grammar_tokens(c->builder, &id, 1);
    c->at++;
    return STATUS_OK;
}

enum status lark_json(struct lark_compiler *c, struct lark_part *out)
{
    const char *text = c->words.text + next(c)->at;
    struct json_document *document = NULL;
    struct error err = {0};
    *out = (struct lark_part){0};
    if (c->in_terminal)
        return lark_refuse_word(c, c->at, "%json cannot be a part of a terminal");
    if (c->n_schemas++ == LARK_MAX_SCHEMAS)
        return lark_refuse_word(c, c->at, "more than 64 %json");
    enum status st = json_parse(text, next(c)->n, NULL, &document, &err);
    if (st == STATUS_OK)
        st = json_schema_symbol(c->builder, json_root(document), &c->options->json, &out->symbol,
                                &err);
    json_document_destroy(document);
    if (st != STATUS_OK)
        return lark_refuse_word(c, c->at, err.message);
    c->at++;
    return STATUS_OK;
}
