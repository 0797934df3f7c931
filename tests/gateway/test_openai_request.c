/* tests/gateway/test_openai_request.c - what a body of the OpenAI API becomes, and what is refused,
 * by the name of its field. */
#include "tests/test.h"

#include "base/mem.h"
#include "gateway/openai_request.h"
#include "tests/text/tokenizers.h"

#define BOS 260
#define VOCAB 290
#define MAX_POSITIONS 400
#define USER "\"messages\":[{\"role\":\"user\",\"content\":\"ab\"}]"

static const uint32_t stop_ids[] = {259};

struct fixture {
    struct gateway_model model;
    struct tokenizer *tokenizer;
    struct tokenizer_encoder *encoder;
    struct template *template;
    struct openai_request out;
    struct error err;
};

static struct fixture *open_fixture(void)
{
    static const char *const entries[] = {"a", "b", "ab", "<eos>", "<bos>", "<image>"};
    static const char added[] =
        "{\"id\":259,\"content\":\"<eos>\",\"single_word\":false,\"lstrip\":false,\"rstrip\":false,"
        "\"normalized\":false,\"special\":true},"
        "{\"id\":260,\"content\":\"<bos>\",\"single_word\":false,\"lstrip\":false,\"rstrip\":false,"
        "\"normalized\":false,\"special\":true}";
    static const char source[] = "{{ bos_token }}{% for m in messages %}{{ m.role }}:{{ m.content "
                                 "}};{% endfor %}{{ tools }}{{ enable_thinking }}";
    struct fixture *f = mem_zeroed(1, sizeof *f);
    char *json = write_tokenizer(entries, 6, "\"a b\"", added);
    ASSERT_OK_ERR(tokenizer_parse(json, strlen(json), "test", &f->tokenizer, &f->err), f->err);
    free(json);
    ASSERT_OK_ERR(template_compile(source, sizeof source - 1, "test", &f->template, &f->err),
                  f->err);
    f->encoder = tokenizer_encoder_create(f->tokenizer);
    f->model = (struct gateway_model){.name = "m",
                                      .tokenizer = f->tokenizer,
                                      .chat_template = f->template,
                                      .grammars = grammar_cache_create(f->tokenizer, 0),
                                      .bos_id = BOS,
                                      .stop_ids = stop_ids,
                                      .n_stop_ids = 1,
                                      .vocab_size = VOCAB,
                                      .max_positions = MAX_POSITIONS};
    return f;
}

static void close_fixture(struct fixture *f)
{
    grammar_cache_destroy(f->model.grammars);
    tokenizer_encoder_destroy(f->encoder);
    template_destroy(f->template);
    tokenizer_destroy(f->tokenizer);
    free(f);
}

static enum status read_body(struct fixture *f, enum openai_api api, const char *body)
{
    f->err = (struct error){0};
    return openai_request_init(&f->out, api, body, strlen(body), &f->model, f->encoder, &f->err);
}

// A chat with these further members.
static enum status read_chat(struct fixture *f, const char *members)
{
    struct text_buffer body = {0};
    text_buffer_append_format(&body, "{" USER "%s%s}", members[0] ? "," : "", members);
    enum status st = read_body(f, OPENAI_CHAT, body.data);
    text_buffer_finish(&body);
    return st;
}

static const struct request *accept_chat(struct fixture *f, const char *members)
{
    ASSERT_OK_ERR(read_chat(f, members), f->err);
    ASSERT_EQ(f->out.n_parts, 1);
    return &f->out.parts[0].request;
}

static void refuse_chat(struct fixture *f, const char *members, const char *why)
{
    ASSERT_EQ(read_chat(f, members), STATUS_INVALID_ARGUMENT);
    if (strncmp(f->err.message, why, strlen(why)) != 0)
        ASSERT_STR_EQ(f->err.message, why);
}

TEST(what_a_chat_leaves_open_is_neutral)
{
    struct fixture *f = open_fixture();
    const struct request *r = accept_chat(f, "");
    ASSERT_EQ(r->n, 1);
    ASSERT(r->sampling.temperature == 1 && r->sampling.top_p == 1);
    ASSERT_EQ(r->max_tokens + r->n_prompt, MAX_POSITIONS);
    ASSERT(r->split_reasoning && r->want_text && !r->grammar);
    ASSERT_EQ(r->thinking_budget, REQUEST_NO_THINKING_BUDGET);
    ASSERT(!f->out.answer.stream && !f->out.answer.parse_tools && f->out.answer.include_reasoning);
    ASSERT_EQ(f->out.answer.n_logprobs, -1);
    openai_request_finish(&f->out);
    close_fixture(f);
}

TEST(every_member_of_a_chat_arrives)
{
    struct fixture *f = open_fixture();
    const struct request *r = accept_chat(
        f, "\"model\":\"m\",\"temperature\":0.5,\"top_p\":0.25,\"top_k\":7,\"min_p\":0.125,"
           "\"repetition_penalty\":1.5,\"frequency_penalty\":-1,\"presence_penalty\":2,\"seed\":-1,"
           "\"n\":3,\"max_completion_tokens\":9,\"min_tokens\":2,\"stop\":[\"x\",\"yy\"],"
           "\"stop_token_ids\":[5],\"ignore_eos\":true,\"logprobs\":true,\"top_logprobs\":4,"
           "\"logit_bias\":{\"7\":-100,\"3\":1.5},\"stream\":true,\"thinking_budget\":0,"
           "\"stream_options\":{\"include_usage\":true},\"priority\":-2,\"cache_salt\":\"s\","
           "\"include_reasoning\":false,\"request_id\":\"mine\",\"user\":1,\"metadata\":{},"
           "\"store\":null,\"include_stop_str_in_output\":true,\"skip_special_tokens\":false");
    const struct sampling_params *s = &r->sampling;
    ASSERT(s->temperature == 0.5F && s->top_p == 0.25F && s->top_k == 7 && s->min_p == 0.125F);
    ASSERT(s->repetition_penalty == 1.5F && s->frequency_penalty == -1 && s->presence_penalty == 2);
    ASSERT(s->seed == UINT64_MAX && s->min_tokens == 2 && s->n_logprobs == 4);
    ASSERT(r->n == 3 && r->max_tokens == 9 && r->priority == -2 && r->include_stop);
    ASSERT(!r->skip_special_tokens && r->thinking_budget == 0);
    ASSERT_EQ(r->n_stop_strings, 2);
    ASSERT_STR_EQ(r->stop_strings[1].bytes, "yy");
    ASSERT(r->n_stop_ids == 1 && r->stop_ids[0] == 5);
    ASSERT(r->n_biases == 2 && r->biases[0].token_id == 3 && r->biases[1].bias == -100);
    ASSERT_STR_EQ(r->id, "mine");
    ASSERT_STR_EQ(r->cache_salt, "s");
    ASSERT_STR_EQ(f->out.answer.id, "chatcmpl-mine");
    ASSERT(f->out.answer.stream && f->out.answer.include_usage && !f->out.answer.include_reasoning);
    ASSERT(f->out.answer.n == 3 && f->out.answer.n_logprobs == 4);
    openai_request_finish(&f->out);
    close_fixture(f);
}

TEST(what_is_wrong_is_refused_by_its_name)
{
    static const struct {
        const char *members, *why;
    } cases[] = {
        {"\"temperature\":2.5", "temperature=2.5: must be from 0 to 2"},
        {"\"temperature\":\"1\"", "temperature: must be a number"},
        {"\"temperature\":1e999", "temperature: must be a number"},
        {"\"top_k\":1.5", "top_k: must be an integer"},
        {"\"top_k\":-2", "top_k=-2: must be from"},
        {"\"n\":129", "n=129: must be from"},
        {"\"max_tokens\":0", "max_tokens=0: must be from 1"},
        {"\"max_tokens\":1,\"max_completion_tokens\":2", "max_tokens: differs"},
        {"\"max_tokens\":1,\"min_tokens\":2", "min_tokens=2: more than max_tokens"},
        {"\"stop\":7", "stop: must be a string"},
        {"\"stop\":\"\"", "stop[0]: empty"},
        {"\"stop_token_ids\":[null]", "stop_token_ids: must be integers"},
        {"\"logit_bias\":{\"01x\":1}", "logit_bias: \"01x\" is no token id"},
        {"\"logit_bias\":{\"\":1}", "logit_bias: \"\" is no token id"},
        {"\"logit_bias\":{\"1\":\"x\"}", "logit_bias: the bias of token 1 must be a number"},
        {"\"logit_bias\":{\"9999\":1}", "logit_bias: unknown token 9999"},
        {"\"logprobs\":5", "logprobs: must be true or false"},
        {"\"top_logprobs\":2", "top_logprobs: needs logprobs"},
        {"\"logprobs\":true,\"top_logprobs\":21", "top_logprobs=21: must be from 0 to 20"},
        {"\"stream\":1", "stream: must be true or false"},
        {"\"stream_options\":{}", "stream_options: needs stream"},
        {"\"stream\":true,\"stream_options\":{\"usage\":true}",
         "stream_options.usage: no such field"},
        {"\"functions\":[]", "functions: no such field, or not supported"},
        {"\"prompt\":\"x\"", "prompt: no such field, or not supported"},
        {"\"tools\":{}", "tools: must be an array"},
        {"\"tools\":[{\"type\":\"function\"}]", "tools[0].function: must be an object"},
        {"\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"\"}}]",
         "tools[0].function.name: 0 bytes"},
        {"\"tool_choice\":\"required\"", "tool_choice: there are no tools"},
        {"\"response_format\":{}", "response_format.type: must be"},
        {"\"response_format\":{\"type\":\"json_schema\"}", "response_format.json_schema.schema:"},
        {"\"guided_json\":{},\"guided_regex\":\"a\"",
         "guided_regex: only one of it and guided_json"},
        {"\"structured_outputs\":{\"regex\":\"a\",\"choice\":[\"a\"]}",
         "structured_outputs.choice: only one of it and structured_outputs.regex"},
        {"\"structured_outputs\":{\"x\":1}", "structured_outputs.x: no such field"},
        {"\"guided_regex\":\"(\"", "guided_regex: "},
        {"\"guided_json\":\"{\"", "guided_json: "},
        {"\"guided_choice\":[1]", "guided_choice[0]: must be a string"},
        {"\"thinking_budget\":-1", "thinking_budget=-1: must be from"},
        {"\"chat_template_kwargs\":{\"enable_thinking\":1}", "enable_thinking: no boolean"},
        {"\"request_id\":\"a\\nb\"", "request_id: control character"},
        {"\"request_id\":\"a\\u0000b\"", "request_id: control character"},
        {"\"stream\\u0000x\":true", "stream: no such field"},
    };
    struct fixture *f = open_fixture();
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        refuse_chat(f, cases[i].members, cases[i].why);
    close_fixture(f);
}

TEST(a_body_that_is_no_object_and_another_model_are_refused)
{
    struct fixture *f = open_fixture();
    ASSERT_EQ(read_body(f, OPENAI_CHAT, "[]"), STATUS_INVALID_ARGUMENT);
    ASSERT_EQ(read_body(f, OPENAI_CHAT, "{"), STATUS_INVALID_ARGUMENT);
    ASSERT_CONTAINS(f->err.message, "the body is no JSON");
    ASSERT_EQ(read_body(f, OPENAI_CHAT, "{}"), STATUS_INVALID_ARGUMENT);
    ASSERT_CONTAINS(f->err.message, "messages: at least one");
    ASSERT_EQ(read_chat(f, "\"model\":\"other\""), STATUS_NOT_FOUND);
    close_fixture(f);
}

#define PART_BEHIND_A_TEXT(part)                                         \
    "{\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\"," \
    "\"text\":\"a\"}," part "]}]}"

TEST(wrong_media_are_refused_by_their_place)
{
    struct fixture *f = open_fixture();
    ASSERT_EQ(
        read_body(f, OPENAI_CHAT, PART_BEHIND_A_TEXT("{\"type\":\"image_url\",\"image_url\":{}}")),
        STATUS_INVALID_ARGUMENT);
    ASSERT_CONTAINS(f->err.message, "messages[0].content[1].image_url: must be a string");
    ASSERT_EQ(read_body(f, OPENAI_CHAT,
                        PART_BEHIND_A_TEXT("{\"type\":\"image_url\",\"image_url\":\"data:x,a\"}")),
              STATUS_INVALID_ARGUMENT);
    ASSERT_CONTAINS(f->err.message, "a data URI must be data:TYPE;base64,DATA");
    ASSERT_EQ(read_body(f, OPENAI_CHAT, PART_BEHIND_A_TEXT("{\"type\":\"file\"}")),
              STATUS_UNIMPLEMENTED);
    ASSERT_CONTAINS(f->err.message, "messages[0].content[1]: file");
    close_fixture(f);
}

// The prompt as text again.
static char *prompt_text(const struct fixture *f)
{
    struct text_buffer text = {0};
    const struct request *r = &f->out.parts[0].request;
    for (size_t i = 0; i < r->n_prompt; i++) {
        size_t n;
        bool is_byte;
        const char *bytes = tokenizer_token_bytes(f->tokenizer, r->prompt[i], &n, &is_byte);
        text_buffer_append(&text, bytes, n);
    }
    return text_buffer_release(&text);
}

#define TOOL(parameters)                                                                        \
    "\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"f\",\"parameters\":" parameters \
    "}}]"

TEST(local_references_of_tools_stand_in_their_place)
{
    struct fixture *f = open_fixture();
    accept_chat(f, TOOL("{\"type\":\"object\",\"properties\":{\"p\":{\"$ref\":\"#/$defs/x~1y\","
                        "\"description\":\"own\"}},\"$defs\":{\"x/y\":{\"enum\":[\"deep\"],"
                        "\"description\":\"other\"}}}"));
    char *prompt = prompt_text(f);
    ASSERT_CONTAINS(prompt, "deep");
    ASSERT_CONTAINS(prompt, "own");
    ASSERT(!strstr(prompt, "$ref") && !strstr(prompt, "$defs") && !strstr(prompt, "other"));
    ASSERT(f->out.answer.parse_tools);
    free(prompt);
    openai_request_finish(&f->out);
    close_fixture(f);
}

TEST(a_schema_that_holds_itself_ends)
{
    struct fixture *f = open_fixture();
    accept_chat(f, TOOL("{\"type\":\"object\",\"properties\":{\"p\":{\"$ref\":\"#\"}}}"));
    openai_request_finish(&f->out);
    close_fixture(f);
}

TEST(references_that_multiply_are_refused)
{
    struct fixture *f = open_fixture();
    struct text_buffer tool = {0};
    text_buffer_append_text(&tool, "\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"f\","
                                   "\"parameters\":{\"properties\":{\"p\":{\"$ref\":\"#/$defs/d0\"}"
                                   "},\"$defs\":{");
    for (int i = 0; i < 9; i++) {
        text_buffer_append_format(&tool, "%s\"d%d\":{\"anyOf\":[", i ? "," : "", i);
        for (int k = 0; k < 10; k++)
            text_buffer_append_format(&tool, "%s{\"$ref\":\"#/$defs/d%d\"}", k ? "," : "", i + 1);
        text_buffer_append_text(&tool, "]}");
    }
    text_buffer_append_text(&tool, "}}}}]");
    refuse_chat(f, tool.data, "tools: with their references in place");
    text_buffer_finish(&tool);
    close_fixture(f);
}

TEST(an_effort_switches_thinking)
{
    struct fixture *f = open_fixture();
    accept_chat(f, "\"reasoning_effort\":\"low\"");
    char *prompt = prompt_text(f);
    ASSERT_CONTAINS(prompt, "True");
    free(prompt);
    openai_request_finish(&f->out);
    close_fixture(f);
}

TEST(a_form_of_the_answer_is_a_grammar)
{
    static const char *const forms[] = {
        "\"response_format\":{\"type\":\"json_object\"}",
        ("\"response_format\":{\"type\":\"json_schema\",\"json_schema\":{\"schema\":{\"enum\":[1]}}"
         "}"),
        "\"guided_choice\":[\"a\",\"b\"]",
        "\"guided_regex\":\"a+\"",
        "\"guided_json\":\"{}\"",
        "\"structured_outputs\":{\"grammar\":\"root ::= \\\"a\\\"\"}",
        "\"json_schema\":{\"type\":\"integer\"}",
    };
    struct fixture *f = open_fixture();
    for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++) {
        ASSERT(accept_chat(f, forms[i])->grammar);
        openai_request_finish(&f->out);
    }
    ASSERT(!accept_chat(f, "\"response_format\":{\"type\":\"text\"}")->grammar);
    openai_request_finish(&f->out);
    close_fixture(f);
}

TEST(prompts_of_a_completion_are_requests_of_their_own)
{
    static const struct {
        const char *prompt;
        size_t n_parts, n_tokens; // of the first
    } cases[] = {
        {"\"ab\"", 1, 2},          {"[\"ab\",\"a\"]", 2, 2}, {"[5,6,7]", 1, 3},
        {"[[5,6],[7],[8]]", 3, 2}, {"\"<bos>ab\"", 1, 2},
    };
    struct fixture *f = open_fixture();
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct text_buffer body = {0};
        text_buffer_append_format(&body, "{\"prompt\":%s,\"logprobs\":0}", cases[i].prompt);
        ASSERT_OK_ERR(read_body(f, OPENAI_COMPLETION, body.data), f->err);
        ASSERT_EQ(f->out.n_parts, cases[i].n_parts);
        ASSERT_EQ(f->out.answer.n_prompts, cases[i].n_parts);
        ASSERT_EQ(f->out.parts[0].request.n_prompt, cases[i].n_tokens);
        ASSERT(!f->out.parts[0].request.split_reasoning && f->out.answer.n_logprobs == 0);
        openai_request_finish(&f->out);
        text_buffer_finish(&body);
    }
    close_fixture(f);
}

TEST(a_completion_without_a_prompt_is_refused)
{
    static const struct {
        const char *body, *why;
    } cases[] = {
        {"{}", "prompt: missing"},
        {"{\"prompt\":[]}", "prompt: must be"},
        {"{\"prompt\":[1,\"a\"]}", "prompt: must be"},
        {"{\"prompt\":[\"a\",1]}", "prompt: must be"},
        {"{\"prompt\":[[1],2]}", "prompt: must be"},
        {"{\"prompt\":[-1]}", "prompt: -1 is no token id"},
        {"{\"prompt\":\"\"}", "prompt: empty"},
        {"{\"prompt\":[9999]}", "prompt: token 0 is 9999"},
        {"{\"prompt\":\"a\",\"suffix\":\"b\"}", "suffix: not supported"},
        {"{\"prompt\":\"a\",\"best_of\":3}", "best_of: must be n"},
        {"{\"prompt\":\"a\",\"logprobs\":6}", "logprobs=6: must be from 0 to 5"},
        {"{\"prompt\":\"a\",\"messages\":[]}", "messages: no such field"},
    };
    struct fixture *f = open_fixture();
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        ASSERT_EQ(read_body(f, OPENAI_COMPLETION, cases[i].body), STATUS_INVALID_ARGUMENT);
        if (strncmp(f->err.message, cases[i].why, strlen(cases[i].why)) != 0)
            ASSERT_STR_EQ(f->err.message, cases[i].why);
    }
    close_fixture(f);
}

TEST(the_items_of_a_response_become_messages)
{
    struct fixture *f = open_fixture();
    ASSERT_OK_ERR(
        read_body(
            f, OPENAI_RESPONSES,
            "{\"instructions\":\"be\",\"max_output_tokens\":5,\"input\":["
            "{\"role\":\"user\",\"content\":[{\"type\":\"input_text\",\"text\":\"q\"}]},"
            "{\"type\":\"reasoning\",\"content\":[{\"type\":\"reasoning_text\",\"text\":\"t\"}]},"
            "{\"type\":\"function_call\",\"call_id\":\"1\",\"name\":\"f\",\"arguments\":\"{}\"},"
            "{\"type\":\"function_call\",\"call_id\":\"2\",\"name\":\"f\",\"arguments\":\"{}\"},"
            "{\"type\":\"function_call_output\",\"call_id\":\"1\",\"output\":\"o\"},"
            "{\"type\":\"message\",\"role\":\"assistant\",\"content\":[{\"type\":\"output_text\","
            "\"text\":\"a\"}]}]}"),
        f->err);
    char *prompt = prompt_text(f);
    ASSERT_CONTAINS(prompt, "system:be;user:");
    ASSERT_CONTAINS(prompt, "assistant:None;tool:o;assistant:");
    ASSERT_EQ(f->out.parts[0].request.max_tokens, 5);
    free(prompt);
    openai_request_finish(&f->out);
    ASSERT_EQ(read_body(f, OPENAI_RESPONSES, "{\"input\":[{\"type\":\"x\"}]}"),
              STATUS_INVALID_ARGUMENT);
    ASSERT_CONTAINS(f->err.message, "input[0].type: must be");
    ASSERT_EQ(read_body(f, OPENAI_RESPONSES, "{\"input\":\"a\",\"max_output_tokens\":0}"),
              STATUS_INVALID_ARGUMENT);
    ASSERT_CONTAINS(f->err.message, "max_output_tokens=0");
    ASSERT_EQ(read_body(f, OPENAI_RESPONSES, "{\"input\":\"a\",\"text\":{\"format\":{}}}"),
              STATUS_INVALID_ARGUMENT);
    ASSERT_CONTAINS(f->err.message, "text.format.type");
    ASSERT_EQ(read_body(f, OPENAI_RESPONSES, "{\"input\":\"a\",\"text\":7}"),
              STATUS_INVALID_ARGUMENT);
    ASSERT_CONTAINS(f->err.message, "text: must be an object");
    ASSERT_EQ(read_body(f, OPENAI_RESPONSES, "{\"input\":\"a\",\"reasoning\":{\"effort\":7}}"),
              STATUS_INVALID_ARGUMENT);
    ASSERT_CONTAINS(f->err.message, "reasoning.effort: must be a string");
    ASSERT_EQ(read_body(f, OPENAI_RESPONSES, "{\"input\":\"a\",\"reasoning\":{\"x\":7}}"),
              STATUS_INVALID_ARGUMENT);
    ASSERT_CONTAINS(f->err.message, "reasoning.x: no such field");
    ASSERT_EQ(read_body(f, OPENAI_RESPONSES, "{\"input\":\"a\",\"text\":{\"x\":7}}"),
              STATUS_INVALID_ARGUMENT);
    ASSERT_CONTAINS(f->err.message, "text.x: no such field");
    ASSERT_EQ(read_body(f, OPENAI_RESPONSES, "{\"input\":\"a\",\"background\":true}"),
              STATUS_UNIMPLEMENTED);
    close_fixture(f);
}
