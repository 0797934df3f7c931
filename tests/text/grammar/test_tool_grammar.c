/* tests/text/grammar/test_tool_grammar.c - which calls a request's tools and tool_choice allow,
 * with the real tokenizer's special tokens: texts are encoded with their markers as tokens. */
#include "text/grammar/tool_grammar.h"

#include "tests/text/grammar/follow.h"
#include "text/grammar/json_schema.h"

#define CALL "<|tool_call>call:"
#define END "<tool_call|>"
#define Q "<|\"|>"
#define TOOL(name, parameters) \
    "{\"type\":\"function\",\"function\":{\"name\":\"" name "\",\"parameters\":" parameters "}}"
#define WEATHER                                                                                 \
    TOOL("get_weather",                                                                         \
         "{\"type\":\"object\",\"properties\":{\"city\":{\"type\":\"string\",\"minLength\":1}," \
         "\"unit\":{\"type\":\"string\",\"enum\":[\"celsius\",\"fahrenheit\"]},"                \
         "\"days\":{\"type\":\"integer\",\"minimum\":1,\"maximum\":10}},\"required\":[\"city\"]}")
#define TEXTS(...) ((const char *const[]){__VA_ARGS__, NULL})

static struct tokenizer *tokenizer; // one for all tests
static struct tokenizer_encoder *encoder;
static struct vocabulary *vocabulary;

static void load(void)
{
    if (tokenizer)
        return;
    tokenizer = bytes_tokenizer();
    encoder = tokenizer_encoder_create(tokenizer);
    vocabulary = vocabulary_create(tokenizer, tokenizer_n_tokens(tokenizer));
}

static uint32_t id_of(const char *entry)
{
    uint32_t id = tokenizer_id(tokenizer, entry, strlen(entry));
    ASSERT(id != TOKEN_NONE);
    return id;
}

struct request {
    const char *tools, *choice;
    bool one_call, has_answer;
};

static enum status compile(const struct request *request, struct grammar **out, struct error *err)
{
    load();
    struct json_document *tools = NULL, *choice = NULL;
    ASSERT_OK(json_parse(request->tools, strlen(request->tools), NULL, &tools, NULL));
    if (request->choice)
        ASSERT_OK(json_parse(request->choice, strlen(request->choice), NULL, &choice, NULL));
    struct grammar_builder *builder = grammar_builder_create(NULL);
    const struct json_schema_options compact = {.compact = true};
    grammar_symbol answer, root;
    ASSERT_OK(json_schema_symbol(builder, NULL, &compact, &answer, NULL));
    const struct tool_grammar_options options = {
        .tools = json_root(tools),
        .tool_choice = choice ? json_root(choice) : NULL,
        .parallel = !request->one_call,
        .call_start = id_of("<|tool_call>"),
        .call_end = id_of("<tool_call|>"),
        .quote = id_of(Q),
        .answer = request->has_answer ? &answer : NULL,
    };
    enum status st = tool_grammar_symbol(builder, &options, &root, err);
    if (st == STATUS_OK)
        st = grammar_build(builder, root, out, err);
    else
        grammar_builder_destroy(builder);
    json_document_destroy(tools);
    json_document_destroy(choice);
    return st;
}

static bool accepts(struct grammar *grammar, const char *text, bool parse_special)
{
    struct id_list ids = {0};
    encode_with(encoder, text, strlen(text), parse_special, &ids);
    struct matcher *matcher = matcher_create(grammar, vocabulary);
    bool accepted = true;
    for (size_t i = 0; accepted && i < ids.n; i++)
        accepted = matcher_accept(matcher, ids.ids[i]);
    accepted = accepted && matcher_is_complete(matcher);
    matcher_destroy(matcher);
    free(ids.ids);
    return accepted;
}

static void assert_texts(struct request request, const char *const *texts, bool want)
{
    struct grammar *grammar = NULL;
    struct error err = {0};
    ASSERT_OK_ERR(compile(&request, &grammar, &err), err);
    for (; *texts; texts++) {
        if (accepts(grammar, *texts, true) != want)
            test_fail(__FILE__, __LINE__, "%s with %s", *texts, request.tools);
    }
    grammar_drop(grammar);
}

static void assert_arguments(const char *schema, const char *const *arguments, bool want)
{
    struct text_buffer tools = {0};
    text_buffer_append_format(&tools, "[" TOOL("f", "%s") "]", schema);
    for (; *arguments; arguments++) {
        struct text_buffer text = {0};
        text_buffer_append_format(&text, CALL "f%s" END, *arguments);
        assert_texts((struct request){.tools = tools.data, .choice = "\"required\""},
                     TEXTS(text.data), want);
        text_buffer_finish(&text);
    }
    text_buffer_finish(&tools);
}

static const struct request required = {.tools = "[" WEATHER "," TOOL("now", "{}") "]",
                                        .choice = "\"required\""};

TEST(required_means_one_call_or_several)
{
    assert_texts(required,
                 TEXTS(CALL "get_weather{city:" Q "Paris" Q "}" END,
                       CALL "get_weather{city:" Q "x" Q ",unit:" Q "celsius" Q ",days:3}" END,
                       CALL "get_weather{city:" Q "x" Q ",days:10}" END CALL "now{}" END),
                 true);
    assert_texts(required,
                 TEXTS("", "Paris", CALL "get_weather{}" END, CALL "get_weather{city:Paris}" END,
                       CALL "get_weather{city:" Q Q "}" END,
                       CALL "get_weather{city:" Q "x" Q ",unit:" Q "kelvin" Q "}" END,
                       CALL "get_weather{city:" Q "x" Q ",days:11}" END,
                       CALL "get_weather{city:" Q "x" Q ",days:1,unit:" Q "celsius" Q "}" END,
                       CALL "get_weather{city:" Q "x" Q ", days:1}" END,
                       CALL "get_weather{city:" Q "x" Q ",other:1}" END, CALL "other{}" END,
                       "call:now{}" END, CALL "now{}"),
                 false);
}

TEST(without_parallel_calls_there_is_exactly_one)
{
    struct request request = required;
    request.one_call = true;
    assert_texts(request, TEXTS(CALL "now{}" END), true);
    assert_texts(request, TEXTS(CALL "now{}" END CALL "now{}" END), false);
}

TEST(a_named_choice_is_that_tool_alone)
{
    struct request request = required;
    request.choice = "{\"type\":\"function\",\"function\":{\"name\":\"now\"}}";
    assert_texts(request, TEXTS(CALL "now{}" END), true);
    assert_texts(request, TEXTS(CALL "get_weather{city:" Q "x" Q "}" END, "now"), false);
}

TEST(auto_allows_an_answer_or_text_instead)
{
    struct request request = required;
    request.choice = "\"auto\"";
    assert_texts(request, TEXTS("", "It is noon.\n", CALL "now{}" END, "Wait." CALL "now{}" END),
                 true);
    assert_texts(request, TEXTS(CALL "now{}" END "noon", "<eos>"), false);
    request.has_answer = true;
    assert_texts(request, TEXTS("{\"noon\": true}", CALL "now{}" END CALL "now{}" END), true);
    assert_texts(request, TEXTS("noon", "", "{}" CALL "now{}" END), false);
}

TEST(strings_are_raw_and_swallow_no_marker)
{
    const char *schema = "{\"type\":\"object\",\"properties\":{\"s\":{\"type\":\"string\"}}}";
    assert_arguments(schema,
                     TEXTS("{s:" Q "C:\\new \"x\" {[,]}\n" Q "}", "{s:" Q Q "}",
                           "{s:" Q "\xF0\x9F\x98\x80<|<tool_call>" Q "}", "{}"),
                     true);
    assert_arguments(schema,
                     TEXTS("{s:" Q "a" END Q "}", "{s:" Q "a<eos>" Q "}",
                           "{s:" Q "<|tool_call>" Q "}", "{s:" Q "a" Q "b" Q "}", "{s:\"a\"}",
                           "{s:" Q "a}"),
                     false);
    // and none that is spelled by ordinary tokens
    struct grammar *grammar = NULL;
    const struct request request = {.tools = "[" TOOL("f", "{\"properties\":{\"s\":{}}}") "]",
                                    .choice = "\"auto\""};
    ASSERT_OK(compile(&request, &grammar, NULL));
    ASSERT(accepts(grammar, "a <|tool_call > b", false));
    ASSERT(!accepts(grammar, "a <|tool_call>", false));
    grammar_drop(grammar);
}

TEST(arguments_follow_the_schema)
{
    assert_arguments("{\"type\":\"object\",\"properties\":{\"l\":{\"type\":\"array\",\"items\":"
                     "{\"type\":\"string\",\"pattern\":\"^[a-z]+$\"},\"maxItems\":2},"
                     "\"o\":{\"type\":\"object\"},\"n\":{\"type\":[\"number\",\"null\"]}}}",
                     TEXTS("{l:[" Q "a" Q "," Q "b" Q "],o:{x:{y_1:[true,null]},z.b-c:" Q Q
                           "},n:1e-5}",
                           "{l:[],n:null}", "{o:{}}"),
                     true);
    assert_arguments("{\"type\":\"object\",\"properties\":{\"l\":{\"type\":\"array\",\"items\":"
                     "{\"type\":\"string\",\"pattern\":\"^[a-z]+$\"},\"maxItems\":2},"
                     "\"o\":{\"type\":\"object\"}}}",
                     TEXTS("{l:[" Q "A" Q "]}", "{l:[" Q "a" Q "," Q "a" Q "," Q "a" Q "]}",
                           "{o:{1x:1}}", "{o:[]}", "{l:{}}", "[]"),
                     false);
    // recursion, a choice, and keys that cannot be bare
    assert_arguments("{\"type\":\"object\",\"properties\":{\"a:b\":{\"oneOf\":[{\"$ref\":\"#\"},"
                     "{\"const\":[1,{\"k\":\"v\"}]}]}},\"required\":[\"a:b\"]}",
                     TEXTS("{" Q "a:b" Q ":{" Q "a:b" Q ":[1,{k:" Q "v" Q "}]}}"), true);
}

TEST(objects_with_properties_are_closed_unless_they_say_otherwise)
{
    assert_arguments("{\"type\":\"object\",\"properties\":{\"a\":{}}}", TEXTS("{b:1}", "{a:1,b:1}"),
                     false);
    assert_arguments("{\"properties\":{\"a\":{}},\"additionalProperties\":{\"type\":\"null\"}}",
                     TEXTS("{b:null}", "{a:1,b:null,c:null}"), true);
    assert_arguments("{\"properties\":{\"a\":{}},\"additionalProperties\":{\"type\":\"null\"}}",
                     TEXTS("{b:1}", "{a:1,a:null}"), false);
    assert_arguments("{\"properties\":{\"a\":{}},\"required\":[\"b\"]}", TEXTS("{a:1,b:2}"), true);
    assert_arguments("{}", TEXTS("{}", "{x:1,y:" Q Q "}"), true);
    assert_arguments("{\"type\":\"object\",\"additionalProperties\":false}", TEXTS("{x:1}"), false);
}

static void assert_refused(struct request request, const char *why)
{
    struct grammar *grammar = NULL;
    struct error err = {0};
    ASSERT_EQ(compile(&request, &grammar, &err), STATUS_INVALID_ARGUMENT);
    ASSERT_CONTAINS(err.message, why);
}

TEST(malformed_tools_are_refused_and_named)
{
    assert_refused((struct request){.tools = "[]"}, "tools must be a list");
    assert_refused((struct request){.tools = "[{\"type\":\"retrieval\"}]"}, "tools[0] must be");
    assert_refused((struct request){.tools = "[" TOOL("a b", "{}") "]"}, "tools[0].function.name");
    assert_refused((struct request){.tools = "[" TOOL("a", "{}") "," TOOL("a", "{}") "]"},
                   "tools[1].function.name: \"a\" is there twice");
    assert_refused((struct request){.tools = "[" TOOL("a", "{\"type\":\"x\"}") "]"},
                   "tools[0].function.parameters: schema, #/type");
    assert_refused((struct request){.tools = "[" TOOL("a", "{\"type\":\"array\"}") "]"},
                   "no value is valid");
    assert_refused((struct request){.tools = "[" TOOL("a", "{}") "]", .choice = "\"any\""},
                   "tool_choice must be");
    assert_refused(
        (struct request){.tools = "[" TOOL("a", "{}") "]",
                         .choice = "{\"type\":\"function\",\"function\":{\"name\":\"b\"}}"},
        "tool_choice: no tool is named \"b\"");
}

TEST(strict_tools_refuse_what_cannot_be_enforced)
{
    const char *loose = "[{\"type\":\"function\",\"function\":{\"name\":\"f\",\"parameters\":"
                        "{\"properties\":{\"a\":{\"uniqueItems\":true}}}}}]";
    const char *strict = "[{\"type\":\"function\",\"function\":{\"name\":\"f\",\"strict\":true,"
                         "\"parameters\":{\"properties\":{\"a\":{\"uniqueItems\":true}}}}}]";
    assert_refused((struct request){.tools = strict},
                   "tools[0].function.parameters: schema, #/properties/a: uniqueItems");
    assert_texts((struct request){.tools = loose, .choice = "\"required\""},
                 TEXTS(CALL "f{a:[1,1]}" END), true);
}
