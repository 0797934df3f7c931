/* tests/fuzz/fuzz_json_schema.c - a byte of options, a schema, a NUL, and choices on the way
 * through its grammar. What may end must be JSON. */
#include <string.h>

#include "tests/fuzz/grammar_walk.h"
#include "text/grammar/json_schema.h"
#include "text/grammar/tool_grammar.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

enum { STRICT = 1, COMPACT = 2, CALL_FORM = 4, TOOLS = 8, REQUIRED = 16, PARALLEL = 32 };

static enum status make_symbol(struct grammar_builder *builder, const struct json_value *value,
                               uint8_t flags, grammar_symbol *out, struct error *err)
{
    static const struct json_value required = {
        .type = JSON_STRING, .length = 8, .text = "required"};
    const struct json_schema_options schema = {.strict = flags & STRICT,
                                               .compact = flags & COMPACT,
                                               .call_form = flags & CALL_FORM,
                                               .quote_token = 260};
    const struct tool_grammar_options tools = {.tools = value,
                                               .tool_choice = flags & REQUIRED ? &required : NULL,
                                               .parallel = flags & PARALLEL,
                                               .call_start = 258,
                                               .call_end = 259,
                                               .quote = 260};
    return flags & TOOLS ? tool_grammar_symbol(builder, &tools, out, err)
                         : json_schema_symbol(builder, value, &schema, out, err);
}

static struct grammar *compile(const struct json_value *value, uint8_t flags)
{
    const struct grammar_limits limits = {.max_symbols = 1 << 14, .max_expressions = 1 << 15};
    struct grammar_builder *builder = grammar_builder_create(&limits);
    struct grammar *grammar = NULL;
    struct error err = {0};
    grammar_symbol root;
    enum status st = make_symbol(builder, value, flags, &root, &err);
    if (st == STATUS_OK)
        st = grammar_build(builder, root, &grammar, &err);
    else
        grammar_builder_destroy(builder);
    CHECK(st == STATUS_OK || (st == STATUS_INVALID_ARGUMENT && err.message[0]));
    return grammar;
}

static void check_json(const struct text_buffer *text)
{
    struct json_document *document = NULL;
    struct error err = {0};
    if (json_parse(text->data, text->length, NULL, &document, &err) != STATUS_OK)
        CHECK(strstr(err.message, "deep"));
    json_document_destroy(document);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static struct tokenizer *tokenizer;
    static struct vocabulary *vocabulary;
    if (!tokenizer) {
        tokenizer = walk_tokenizer();
        vocabulary = vocabulary_create(tokenizer, WALK_N_IDS);
    }
    if (n == 0)
        return 0;
    const uint8_t *text = data + 1, *end = memchr(text, 0, n - 1);
    size_t n_text = end ? (size_t)(end - text) : n - 1;
    struct json_document *document = NULL;
    if (json_parse((const char *)text, n_text, NULL, &document, NULL) != STATUS_OK)
        return 0;
    struct grammar *grammar = compile(json_root(document), data[0]);
    struct text_buffer out = {0};
    if (grammar && end &&
        walk_grammar(grammar, tokenizer, vocabulary, end + 1, n - n_text - 2, &out) &&
        !(data[0] & (CALL_FORM | TOOLS)))
        check_json(&out);
    text_buffer_finish(&out);
    grammar_drop(grammar);
    json_document_destroy(document);
    return 0;
}
