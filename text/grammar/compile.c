/* text/grammar/compile.c - one front end for each kind, one builder for all. */
#include "text/grammar/compile.h"

#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/mem.h"
#include "base/utf8.h"
#include "text/grammar/json_schema.h"
#include "text/grammar/lark.h"
#include "text/grammar/regex.h"
#include "text/grammar/tool_grammar.h"

static enum status parse_json(const struct grammar_text *text, const char *name,
                              struct json_document **out, struct error *err)
{
    enum status st = json_parse(text->bytes, text->n, NULL, out, err);
    if (st != STATUS_OK)
        (void)error_prefix(err, "%s", name);
    return st;
}

static enum status schema_symbol(struct grammar_builder *builder,
                                 const struct grammar_request *request, grammar_symbol *out,
                                 struct error *err)
{
    const struct json_schema_options options = {.strict = request->strict,
                                                .compact = request->strict};
    struct json_document *document = NULL;
    enum status st = STATUS_OK;
    if (request->kind == GRAMMAR_JSON_SCHEMA)
        st = parse_json(&request->text, "json_schema", &document, err);
    if (st == STATUS_OK)
        st = json_schema_symbol(builder, document ? json_root(document) : NULL, &options, out, err);
    json_document_destroy(document);
    return st;
}

static enum status regex_symbol(struct grammar_builder *builder,
                                const struct grammar_request *request, grammar_symbol *out,
                                struct error *err)
{
    uint32_t expression;
    enum status st = regex_parse(grammar_builder_pool(builder), request->text.bytes,
                                 request->text.n, NULL, &expression, err);
    if (st == STATUS_OK)
        *out = grammar_terminal(builder, expression);
    return st;
}

static enum status choice_symbol(struct grammar_builder *builder,
                                 const struct grammar_request *request, grammar_symbol *out,
                                 struct error *err)
{
    size_t n = request->n_choices;
    if (n == 0)
        return error_set(err, STATUS_INVALID_ARGUMENT, "choice: there are none");
    for (size_t i = 0; i < n; i++)
        if (!utf8_valid(request->choices[i].bytes, request->choices[i].n, NULL))
            return error_set(err, STATUS_INVALID_ARGUMENT, "choice[%zu]: not UTF-8", i);
    struct expression_pool *pool = grammar_builder_pool(builder);
    uint32_t *texts = mem_zeroed(n, sizeof *texts);
    for (size_t i = 0; i < n; i++)
        texts[i] = expression_text(pool, request->choices[i].bytes, request->choices[i].n);
    *out = grammar_terminal(builder, expression_any_of(pool, texts, n));
    free(texts);
    return STATUS_OK;
}

static enum status symbol_of(struct grammar_builder *builder, const struct grammar_request *request,
                             const struct tokenizer *tokenizer, grammar_symbol *out,
                             struct error *err)
{
    const struct lark_options lark = {
        .tokenizer = tokenizer, .json = {.strict = request->strict, .compact = request->strict}};
    switch (request->kind) {
    case GRAMMAR_ANY_TEXT:
        break;
    case GRAMMAR_JSON_OBJECT:
    case GRAMMAR_JSON_SCHEMA:
        return schema_symbol(builder, request, out, err);
    case GRAMMAR_REGEX:
        return regex_symbol(builder, request, out, err);
    case GRAMMAR_CHOICE:
        return choice_symbol(builder, request, out, err);
    case GRAMMAR_EBNF:
        return lark_symbol(builder, request->text.bytes, request->text.n, &lark, out, err);
    }
    return error_set(err, STATUS_INVALID_ARGUMENT, "neither a form of the answer nor tools");
}

static bool find_token(const struct tokenizer *tokenizer, const char *entry, uint32_t *out)
{
    *out = tokenizer ? tokenizer_id(tokenizer, entry, strlen(entry)) : TOKEN_NONE;
    return *out != TOKEN_NONE;
}

static enum status calls_symbol(struct grammar_builder *builder,
                                const struct grammar_request *request,
                                const struct tokenizer *tokenizer, const grammar_symbol *answer,
                                grammar_symbol *out, struct error *err)
{
    struct tool_grammar_options options = {.parallel = request->parallel_tool_calls,
                                           .answer = answer};
    struct json_document *tools = NULL, *choice = NULL;
    if (!find_token(tokenizer, "<|tool_call>", &options.call_start) ||
        !find_token(tokenizer, "<tool_call|>", &options.call_end) ||
        !find_token(tokenizer, "<|\"|>", &options.quote))
        return error_set(err, STATUS_FAILED_PRECONDITION,
                         "tools: the tokenizer has no tokens for calls");
    enum status st = parse_json(&request->tools, "tools", &tools, err);
    if (st == STATUS_OK && request->tool_choice.n)
        st = parse_json(&request->tool_choice, "tool_choice", &choice, err);
    if (st == STATUS_OK) {
        options.tools = json_root(tools);
        options.tool_choice = choice ? json_root(choice) : NULL;
        st = tool_grammar_symbol(builder, &options, out, err);
    }
    json_document_destroy(tools);
    json_document_destroy(choice);
    return st;
}

static enum status root_of(struct grammar_builder *builder, const struct grammar_request *request,
                           const struct tokenizer *tokenizer, grammar_symbol *out,
                           struct error *err)
{
    bool has_answer = request->kind != GRAMMAR_ANY_TEXT;
    grammar_symbol answer = {0};
    if (!request->tools.n)
        return symbol_of(builder, request, tokenizer, out, err);
    enum status st = has_answer ? symbol_of(builder, request, tokenizer, &answer, err) : STATUS_OK;
    if (st != STATUS_OK)
        return st;
    return calls_symbol(builder, request, tokenizer, has_answer ? &answer : NULL, out, err);
}

enum status grammar_check_size(const struct grammar_request *request, struct error *err)
{
    size_t n = request->n_choices;
    if (n > GRAMMAR_MAX_CHOICES)
        return error_set(err, STATUS_INVALID_ARGUMENT, "choice: %zu texts, at most %u", n,
                         GRAMMAR_MAX_CHOICES);
    const struct grammar_text *texts[] = {&request->text, &request->tools, &request->tool_choice};
    size_t left = GRAMMAR_MAX_BYTES;
    bool fits = true;
    for (size_t i = 0; i < n + 3; i++) {
        size_t bytes = i < n ? request->choices[i].n : texts[i - n]->n;
        fits = fits && bytes <= left;
        left -= fits ? bytes : 0;
    }
    return fits ? STATUS_OK
                : error_set(err, STATUS_INVALID_ARGUMENT, "more than %u bytes of grammar",
                            GRAMMAR_MAX_BYTES);
}

enum status grammar_compile(const struct grammar_request *request,
                            const struct tokenizer *tokenizer, struct grammar **out,
                            struct error *err)
{
    enum status st = grammar_check_size(request, err);
    if (st != STATUS_OK)
        return st;
    struct grammar_builder *builder = grammar_builder_create(NULL);
    grammar_symbol root = {0};
    st = root_of(builder, request, tokenizer, &root, err);
    if (st == STATUS_OK)
        return grammar_build(builder, root, out, err);
    grammar_builder_destroy(builder);
    return st;
}
