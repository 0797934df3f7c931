/* tests/fuzz/fuzz_json_schema.c - a byte of options, a schema, a NUL, and choices on the way
 * through its grammar. What may end must be JSON. */
#include <string.h>

#include "tests/fuzz/grammar_walk.h"
#include "text/grammar/json_schema.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static struct grammar *compile(const struct json_value *schema,
                               const struct json_schema_options *options)
{
    const struct grammar_limits limits = {.max_symbols = 1 << 14, .max_expressions = 1 << 15};
    struct grammar_builder *builder = grammar_builder_create(&limits);
    struct grammar *grammar = NULL;
    struct error err = {0};
    grammar_symbol root;
    enum status st = json_schema_symbol(builder, schema, options, &root, &err);
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
    const struct json_schema_options options = {.strict = data[0] & 1,
                                                .compact = data[0] & 2,
                                                .call_form = data[0] & 4,
                                                .quote_token = 260};
    struct grammar *grammar = compile(json_root(document), &options);
    struct text_buffer out = {0};
    if (grammar && end &&
        walk_grammar(grammar, tokenizer, vocabulary, end + 1, n - n_text - 2, &out) &&
        !options.call_form)
        check_json(&out);
    text_buffer_finish(&out);
    grammar_drop(grammar);
    json_document_destroy(document);
    return 0;
}
