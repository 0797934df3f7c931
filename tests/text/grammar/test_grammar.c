/* tests/text/grammar/test_grammar.c - what cannot be built is refused, with a reason. */
#include "tests/test.h"
#include "text/grammar/grammar.h"

static enum status refused(struct grammar_builder *b, grammar_symbol root, struct error *err)
{
    struct grammar *grammar = NULL;
    enum status st = grammar_build(b, root, &grammar, err);
    ASSERT(grammar == NULL);
    return st;
}

TEST(a_rule_without_a_definition_is_named)
{
    struct grammar_builder *b = grammar_builder_create(NULL);
    grammar_symbol parts[] = {grammar_text(b, "a", 1), grammar_rule(b, "city")};
    struct error err = {0};
    ASSERT_EQ(refused(b, grammar_sequence(b, parts, 2), &err), STATUS_INVALID_ARGUMENT);
    ASSERT_CONTAINS(err.message, "'city'");
}

TEST(a_grammar_that_no_text_satisfies_is_refused)
{
    struct error err = {0};
    struct grammar_builder *b = grammar_builder_create(NULL);
    ASSERT_EQ(refused(b, grammar_choice(b, NULL, 0), &err), STATUS_INVALID_ARGUMENT);
    b = grammar_builder_create(NULL);
    grammar_symbol endless = grammar_rule(b, "endless");
    grammar_symbol parts[] = {grammar_text(b, "a", 1), endless};
    grammar_define(b, endless, grammar_sequence(b, parts, 2));
    ASSERT_EQ(refused(b, endless, &err), STATUS_INVALID_ARGUMENT);
    ASSERT_CONTAINS(err.message, "no text");
    b = grammar_builder_create(NULL);
    ASSERT_EQ(refused(b, grammar_tokens(b, NULL, 0), &err), STATUS_INVALID_ARGUMENT);
}

TEST(a_grammar_beyond_its_limits_is_refused)
{
    struct error err = {0};
    struct grammar_builder *b = grammar_builder_create(&(struct grammar_limits){.max_symbols = 50});
    grammar_symbol deep = grammar_text(b, "a", 1);
    for (int i = 0; i < 100; i++)
        deep = grammar_sequence(b, &deep, 1);
    ASSERT_EQ(refused(b, deep, &err), STATUS_INVALID_ARGUMENT);
    ASSERT_CONTAINS(err.message, "too large");
    b = grammar_builder_create(&(struct grammar_limits){.max_expressions = 50});
    char bytes[100] = {0};
    ASSERT_EQ(refused(b, grammar_text(b, bytes, sizeof bytes), &err), STATUS_INVALID_ARGUMENT);
    b = grammar_builder_create(NULL);
    grammar_symbol nested = grammar_rule(b, "nested");
    grammar_symbol parts[] = {grammar_text(b, "(", 1),
                              grammar_repeat(b, nested, 0, UINT32_MAX - 1)};
    grammar_define(b, nested, grammar_sequence(b, parts, 2));
    ASSERT_EQ(refused(b, nested, &err), STATUS_INVALID_ARGUMENT);
}

TEST(deep_nesting_of_symbols_is_no_recursion)
{
    struct grammar_builder *b = grammar_builder_create(NULL);
    grammar_symbol loop = grammar_rule(b, "loop"), deep = loop;
    for (int i = 0; i < 60000; i++)
        deep = grammar_sequence(b, &deep, 1);
    grammar_symbol choices[] = {grammar_text(b, "a", 1), deep};
    grammar_define(b, loop, grammar_choice(b, choices, 2));
    struct grammar *grammar = NULL;
    struct error err = {0};
    ASSERT_EQ(grammar_build(b, loop, &grammar, &err), STATUS_INVALID_ARGUMENT); // left-recursive
    ASSERT_CONTAINS(err.message, "left-recursive");
    b = grammar_builder_create(NULL);
    grammar_symbol nest = grammar_rule(b, "nest");
    grammar_symbol parts[] = {grammar_text(b, "(", 1), nest, grammar_text(b, ")", 1)};
    deep = grammar_sequence(b, parts, 3);
    for (int i = 0; i < 60000; i++)
        deep = grammar_sequence(b, &deep, 1);
    grammar_symbol ways[] = {grammar_text(b, "a", 1), deep};
    grammar_define(b, nest, grammar_choice(b, ways, 2));
    ASSERT_OK_ERR(grammar_build(b, nest, &grammar, &err), err);
    ASSERT(grammar_n_bytes(grammar) > 0);
    ASSERT(grammar_ref(grammar) == grammar);
    grammar_drop(grammar);
    grammar_drop(grammar);
}
