/* tests/text/grammar/test_lark.c - grammars in Lark and GBNF: texts that belong to them, texts that
 * do not, and what is refused where. */
#include "base/mem.h"
#include "tests/text/grammar/follow.h"
#include "text/grammar/lark.h"

static enum status compile(const struct tokenizer *tokenizer, const char *text, size_t n,
                           struct grammar **out, struct error *err)
{
    const struct lark_options options = {.tokenizer = tokenizer};
    struct grammar_builder *builder = grammar_builder_create(NULL);
    grammar_symbol root;
    enum status st = lark_symbol(builder, text, n, &options, &root, err);
    if (st == STATUS_OK)
        return grammar_build(builder, root, out, err);
    grammar_builder_destroy(builder);
    return st;
}

struct texts {
    const char *grammar;
    const char *yes[8], *no[8];
};

static void check(const struct texts *cases, size_t n)
{
    struct tokenizer *tokenizer = bytes_tokenizer();
    for (size_t i = 0; i < n; i++) {
        struct grammar *grammar = NULL;
        struct error err = {0};
        const char *text = cases[i].grammar;
        if (compile(tokenizer, text, strlen(text), &grammar, &err) != STATUS_OK)
            test_fail(__FILE__, __LINE__, "%s: %s", text, err.message);
        for (size_t j = 0; j < 8; j++) {
            if (cases[i].yes[j] && !grammar_takes(grammar, tokenizer, cases[i].yes[j]))
                test_fail(__FILE__, __LINE__, "%s does not take %s", text, cases[i].yes[j]);
            if (cases[i].no[j] && grammar_takes(grammar, tokenizer, cases[i].no[j]))
                test_fail(__FILE__, __LINE__, "%s takes %s", text, cases[i].no[j]);
        }
        grammar_drop(grammar);
    }
    tokenizer_destroy(tokenizer);
}

#define CHECK_ALL(cases) check(cases, sizeof cases / sizeof *cases)

TEST(lark_rules_say_which_texts_belong)
{
    static const struct texts cases[] = {
        {"start: \"a\"", {"a"}, {"", "b", "aa"}},
        {"// c\nstart: a b? # d\n  | c+\na: \"a\"i\n?b: \"b\"\n!c: /[c-e]/\n",
         {"a", "A", "ab", "cde"},
         {"", "abb", "ac"}},
        {"start: \"a\" ~ 2 | \"b\" ~ 1..3 | \"c\"{2,} | \"d\"{,2}\"e\" | \"f\"{1}",
         {"aa", "b", "bbb", "ccc", "e", "dde", "f"},
         {"a", "bbbb", "c", "ddde", "ff"}},
        {"start: [\"-\"] (\"0\"..\"9\")+ [\".\" \"0\"..\"9\"]", {"1", "-12", "1.5"}, {"-", "1."}},
        {"start: A B -> pair\nA: \"x\" | \"y\"\nB: A A?", {"xy", "yxx"}, {"x", "xyxy"}},
        {"start: \"\\n\\t\\\\\\\"\\x41\\u00e9\\U0001F600.*+[\"",
         {"\n\t\\\"A\xC3\xA9\xF0\x9F\x98\x80.*+["},
         {"\n\t\\\"A\xC3\xA9\xF0\x9F\x98\x80xx["}},
        {"start: /a\\/b.c/s | /[\\/x]+/i", {"a/b\nc", "X/x"}, {"a\\/bxc"}},
        {"start: \"\" | \"x\" start", {"", "x", "xxx"}, {"y"}},
        {"start:", {""}, {"x"}},
        {"%llguidance {}\nstart: \"a\"", {"a"}, {"b"}},
        {"start: | \"x\" |", {"", "x"}, {"xx"}},
    };
    CHECK_ALL(cases);
}

TEST(rules_may_be_recursive_also_to_the_left)
{
    static const struct texts cases[] = {
        {"start: sum\nsum: sum \"+\" product | product\nproduct: product \"*\" atom | atom\n"
         "atom: /[0-9]+/ | \"(\" sum \")\"",
         {"1", "1+2*3", "(1+2)*3", "((1))"},
         {"", "1+", "(1", "1)", "+1"}},
        {"start: \"a\" start \"b\" |", {"", "ab", "aaabbb"}, {"a", "aab", "ba"}},
        {"root ::= \"(\" root \")\" root | \"\"", {"", "()", "(())()"}, {"(", ")(", "(()"}},
    };
    CHECK_ALL(cases);
}

TEST(ignored_texts_may_stand_behind_terminals_and_in_front)
{
    static const struct texts cases[] = {
        {"%ignore WS\n%import common.WS\nstart: \"a\" B+\nB: \"b\" \"c\"",
         {"abc", " a  bc\nbc ", "a bcbc"},
         {"ab c", " ", "a"}},
        {"start: \"a\" \"b\"\n%ignore \" \"\n%ignore /#[^\\n]*\\n/", {"a #x\n b", "ab"}, {"a #b"}},
    };
    CHECK_ALL(cases);
}

TEST(the_common_library_is_there)
{
    static const struct texts cases[] = {
        {"%import common.NUMBER\nstart: NUMBER", {"1", "1.5", ".5", "1e-3", "1."}, {"-1", "."}},
        {"%import common.SIGNED_INT -> N\nstart: N", {"-1", "+12"}, {"1.0"}},
        {"%import common (ESCAPED_STRING, CNAME)\nstart: CNAME \"=\" ESCAPED_STRING",
         {"a_1=\"x\\\"y\""},
         {"1a=\"\"", "a=\"x"}},
        {"%import common.C_COMMENT\nstart: C_COMMENT", {"/* a * / **/"}, {"/* */ */"}},
    };
    CHECK_ALL(cases);
}

TEST(special_tokens_are_no_text)
{
    static const struct texts cases[] = {
        {"start: <|tool_call> /[a-z]+/ <[257]>", {"<|tool_call>abc<tool_call|>"}, {"abc"}},
        {"start: <[256,258-259]> \"x\"", {"<|tool_call>x", "<|\"|>x", "<eos>x"}, {"<tool_call|>x"}},
        {"start: <[97]> <[260]>", {"aab"}, {"ab"}},
        {"start: /.+/ <|\"|>", {"a<|\"|>"}, {"<|\"|><|\"|>"}},
        {"root ::= <|tool_call> [a-c]*", {"<|tool_call>abc"}, {"abc"}},
    };
    CHECK_ALL(cases);
}

TEST(a_schema_may_stand_in_a_grammar)
{
    static const struct texts cases[] = {
        {"start: \"x=\" %json {\"type\":\"array\",\"items\":{\"enum\":[\"}\",1]}} \";\"",
         {"x=[\"}\",1];", "x=[];"},
         {"x=[2];", "x=[1]"}},
    };
    CHECK_ALL(cases);
}

TEST(gbnf_is_known_by_its_sign)
{
    static const struct texts cases[] = {
        {"# a list\nroot ::= \"[\" ws (item (\",\" ws item)*)? \"]\"\n"
         "item ::=\n  [a-z]+ |\n  [0-9]{1,3}\nws ::= [ \\t\\n]*\n",
         {"[]", "[a, 12]", "[ a]"},
         {"[", "[1234]", "[a,]"}},
        {"root ::= my-rule my_rule my.rule\nmy-rule ::= \"a\"\nmy_rule ::= .\nmy.rule ::= [^a]",
         {"a\nb", "aab"},
         {"aaa"}},
        {"root ::= \"\\x41\\u00e9\\\"\\\\\" [\\]\\-\\[] [\\x30-\\x39]", {"A\xC3\xA9\"\\-5"}, {"A"}},
    };
    CHECK_ALL(cases);
}

TEST(published_grammars_are_taken_as_they_are)
{
    static const char json[] =
        "root   ::= object\n"
        "value  ::= object | array | string | number | (\"true\" | \"false\" | \"null\") ws\n\n"
        "object ::=\n  \"{\" ws (\n            string \":\" ws value\n"
        "    (\",\" ws string \":\" ws value)*\n  )? \"}\" ws\n\n"
        "array  ::=\n  \"[\" ws (\n            value\n    (\",\" ws value)*\n  )? \"]\" ws\n\n"
        "string ::=\n  \"\\\"\" (\n    [^\"\\\\\\x7F\\x00-\\x1F] |\n"
        "    \"\\\\\" ([\"\\\\bfnrt] | \"u\" [0-9a-fA-F]{4}) # escapes\n  )* \"\\\"\" ws\n\n"
        "number ::= (\"-\"? ([0-9] | [1-9] [0-9]{0,15})) (\".\" [0-9]+)? "
        "([eE] [-+]? [0-9] [1-9]{0,15})? ws\n\n"
        "# Optional space: by convention, after literal characters\n"
        "ws ::= | \" \" | \"\\n\" [ \\t]{0,20}\n";
    static const char calls[] =
        "start: tool_calls\n"
        "tool_calls: tool_call+ <eos>\n"
        "tool_call: <[256]> \"call:\" \"get_weather\" \"{\" tc_sfx_0 \"}\" <[257]>\n"
        "tc_city: \"city\" \":\" string_val\n"
        "tc_unit_enum: <[258]> \"celsius\" <[258]> | <[258]> \"fahrenheit\" <[258]>\n"
        "tc_unit: \"unit\" \":\" tc_unit_enum\n"
        "tc_sfx_1: tc_unit\n"
        "tc_sfx_0: tc_city (\",\" tc_sfx_1)?\n"
        "string_val: <[258]> STRING_CONTENT <[258]>\n"
        "args_body: (arg (\",\" arg)*)?\narg: KEY \":\" value\n"
        "value: string_val | NUMBER | BOOL | \"{\" args_body \"}\" | \"[\" (value (\",\" value)*)? "
        "\"]\"\n"
        "STRING_CONTENT: /[\\s\\S]*/\nKEY: /[a-zA-Z_][-a-zA-Z0-9_.]*/\nBOOL: \"true\" | \"false\"\n"
        "NUMBER: /\\-?[0-9]+(\\.[0-9]+)?([eE][\\+\\-]?[0-9]+)?/\n";
    static const struct texts cases[] = {
        {json,
         {"{}", "{\"a\": [1.5e-3, \"\\n\\u00e9\", {}], \"b\":\n  null}"},
         {"[]", "{\"a\":\"\\x\"}", "{\"a\":1,}"}},
        {calls,
         {"<|tool_call>call:get_weather{city:<|\"|>Rome, {\"<|\"|>}<tool_call|><eos>",
          "<|tool_call>call:get_weather{city:<|\"|><|\"|>,unit:<|\"|>celsius<|\"|>}<tool_call|><"
          "eos>"},
         {"<|tool_call>call:get_weather{}<tool_call|><eos>",
          "<|tool_call>call:get_weather{city:<|\"|>a<|\"|>}<tool_call|>"}},
        {"root ::= move+\nmove ::= (pawn | castle) [+#]? \" \"\n"
         "pawn ::= ([a-h] \"x\")? [a-h] [1-8] (\"=\" [NBKQR])?\ncastle ::= \"O-O\" \"-O\"?\n",
         {"e4 exd5+ O-O-O# "},
         {"e9 ", "e4"}},
        {"root ::= jp-char+ ([ \\t\\n] jp-char+)*\njp-char ::= [\xE3\x81\x81-\xE3\x82\x9F] | "
         "[\xE4\xB8\x80-\xE9\xBE\xAF]\n",
         {"\xE6\x97\xA5 \xE3\x81\x82"},
         {"a"}},
    };
    CHECK_ALL(cases);
}

TEST(a_mistake_is_refused_with_its_place)
{
    static const struct {
        const char *text, *message;
    } cases[] = {
        {"", "grammar: no rule named start"},
        {"a: \"b\"", "grammar: no rule named start"},
        {"a ::= \"b\"", "grammar: no rule named root"},
        {"start: b", "grammar, line 1, column 8: a rule that is not defined"},
        {"start: \"a\"\nunused: (b)", "grammar, line 2, column 10: a rule that is not defined"},
        {"start: \"a", "grammar, line 1, column 8: a string that does not end on its line"},
        {"start: /a", "grammar, line 1, column 8: a regular expression that does not end"},
        {"root ::= [a", "grammar, line 1, column 10: a class that does not end on its line"},
        {"start: <a", "grammar, line 1, column 8: a special token without >"},
        {"start: \"a\" $", "grammar, line 1, column 12: a character that begins nothing"},
        {"start: (\"a\"", "grammar, line 1, column 8: a bracket that is not closed"},
        {"start: \"a\")", "grammar, line 1, column 11: a bracket that was not opened"},
        {"start: [\"a\")", "grammar, line 1, column 8: a bracket that is not closed"},
        {"start: | * \"a\"", "grammar, line 1, column 10: expected a name, a text"},
        {"\"b\"", "grammar, line 1, column 1: expected a rule"},
        {"start \"b\"", "grammar, line 1, column 7: expected a definition"},
        {"start: a\na: \"x\"\na: \"y\"",
         "grammar, line 3, column 1: a rule that is already defined"},
        {"start: A\nA: B\nB: A", "a terminal cannot be a part of itself"},
        {"start: A\nA: b\nb: \"x\"",
         "grammar, line 2, column 4: a rule cannot be a part of a term"},
        {"start: A\nA: <|tool_call>",
         "grammar, line 2, column 4: a special token cannot be a part"},
        {"start: <|nope|>", "grammar, line 1, column 8: the tokenizer has no special token of"},
        {"start: <[1000]>", "grammar, line 1, column 8: the tokenizer has no such token"},
        {"start: <[]>", "grammar, line 1, column 8: "},
        {"start: <[5-3]>", "grammar, line 1, column 8: expected a range of token ids"},
        {"start: <[1,]>", "grammar, line 1, column 8: expected token ids"},
        {"start: A\nA.2: \"x\"", "grammar, line 2, column 2: priorities are not supported"},
        {"_sep{x, y}: x (y x)*", "grammar, line 1, column 5: templates are not supported"},
        {"start: _sep{\"a\", \",\"}\n_sep: \"x\"", "grammar, line 1, column 12: templates are not"},
        {"start[capture]: \"x\"", "grammar, line 1, column 6: attributes of rules are not"},
        {"%llguidance {\"no_forcing\": true}\nstart: \"a\"", "only %llguidance {} is"},
        {"%declare A\nstart: A", "grammar, line 1, column 1: only %import, %ignore and %json"},
        {"%import common.NOPE\nstart: NOPE", "grammar, line 1, column 16: the common library has"},
        {"%import python.NAME\nstart: NAME", "grammar, line 1, column 9: only common can be"},
        {"%ignore\nstart: \"a\"", "grammar, line 1, column 1: %ignore of nothing"},
        {"start: %json 1", "grammar, line 1, column 14: expected a JSON object behind %json"},
        {"start: %json {\"type\":1}", "grammar, line 1, column 14: "},
        {"start: /(?=a)/", "column 8: regex, character 1: look-around is not supported"},
        {"start: /a/m", "grammar, line 1, column 8: a regular expression's only flags are"},
        {"start: \"a\"x", "grammar, line 1, column 8: a string's only flag is i"},
        {"start: \"\\d\"", "grammar, line 1, column 8: an unknown escape in a string"},
        {"start: \"ab\"..\"c\"", "grammar, line 1, column 8: expected one character"},
        {"start: \"a\"{3,2}",
         "grammar, line 1, column 11: a repeat whose least is beyond its most"},
        {"start: \"a\"~99999", "grammar, line 1, column 11: more than 65535 repeats"},
        {"start: \"a\"~1..", "grammar, line 1, column 11: expected a number of repeats"},
        {"start: \"a\" ->", "grammar, line 1, column 14: expected a name behind ->"},
        {"start: start", "no text"},
        {"start: \"\xFF\"", "grammar: not UTF-8"},
    };
    struct tokenizer *tokenizer = bytes_tokenizer();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct grammar *grammar = NULL;
        struct error err = {0};
        enum status st = compile(tokenizer, cases[i].text, strlen(cases[i].text), &grammar, &err);
        if (st != STATUS_INVALID_ARGUMENT)
            test_fail(__FILE__, __LINE__, "%s: %s", cases[i].text, status_name(st));
        ASSERT_CONTAINS(err.message, cases[i].message);
    }
    tokenizer_destroy(tokenizer);
}

TEST(the_cost_of_patterns_and_schemas_is_limited)
{
    static const char schema[] = "%json {\"pattern\": \"^\\\\p{L}$\"} ";
    static const char *const messages[] = {"more than 64 %json", "too many and too large classes"};
    for (int i = 0; i < 2; i++) {
        struct text_buffer text = {0};
        struct grammar *grammar = NULL;
        struct error err = {0};
        text_buffer_append_text(&text, "start: ");
        for (int j = 0; j < 6000; j++) {
            char piece[64];
            snprintf(piece, sizeof piece, "/[\\p{L}\\x{%x}]/ ", 0x2000 + j);
            text_buffer_append_text(&text, i == 0 ? schema : piece);
        }
        ASSERT_EQ(compile(NULL, text.data, text.length, &grammar, &err), STATUS_INVALID_ARGUMENT);
        ASSERT_CONTAINS(err.message, messages[i]);
        text_buffer_finish(&text);
    }
}
