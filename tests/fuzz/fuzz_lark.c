/* tests/fuzz/fuzz_lark.c - a grammar in Lark or GBNF, a NUL, and choices on the way through it. */
#include <string.h>

#include "tests/fuzz/grammar_walk.h"
#include "text/grammar/lark.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static struct tokenizer *tokenizer;
    static struct vocabulary *vocabulary;
    if (!tokenizer) {
        tokenizer = walk_tokenizer();
        vocabulary = vocabulary_create(tokenizer, WALK_N_IDS);
    }
    const uint8_t *end = n ? memchr(data, 0, n) : NULL;
    size_t n_text = end ? (size_t)(end - data) : n;
    const struct grammar_limits limits = {.max_symbols = 1 << 12, .max_expressions = 1 << 14};
    const struct lark_options options = {.tokenizer = tokenizer};
    struct grammar_builder *builder = grammar_builder_create(&limits);
    struct grammar *grammar = NULL;
    struct error err = {0};
    grammar_symbol root;
    enum status st = lark_symbol(builder, (const char *)data, n_text, &options, &root, &err);
    if (st == STATUS_OK)
        st = grammar_build(builder, root, &grammar, &err);
    else
        grammar_builder_destroy(builder);
    CHECK(st == STATUS_OK || (st == STATUS_INVALID_ARGUMENT && err.message[0]));
    if (grammar && end)
        (void)walk_grammar(grammar, tokenizer, vocabulary, end + 1, n - n_text - 1, NULL);
    grammar_drop(grammar);
    return 0;
}
