/* tests/text/test_tool_answers.c - all that stands between masks and messages, in a row: answers
 * sampled at random under the grammar of a request's tools, thinking or not, forced tokens taken
 * as they come, are read back as calls that fit the tools. */
#include "tests/text/tokenizers.h"
#include "text/constraint.h"
#include "text/detokenizer.h"
#include "text/grammar/compile.h"
#include "text/tool_calls.h"

static const char tools[] =
    "[{\"type\":\"function\",\"function\":{\"name\":\"get_weather\",\"parameters\":{\"type\":"
    "\"object\",\"properties\":{\"city\":{\"type\":\"string\"},\"unit\":{\"enum\":[\"celsius\","
    "\"fahrenheit\"]},\"days\":{\"type\":\"array\",\"items\":{\"type\":\"integer\"}}},\"required\":"
    "[\"city\"]}}},{\"type\":\"function\",\"function\":{\"name\":\"list-files.v2\",\"parameters\":{"
    "\"type\":\"object\",\"properties\":{\"deep\":{\"type\":\"boolean\"}},\"required\":[\"deep\"]}}"
    "}]";

struct world {
    struct tokenizer *tokenizer;
    struct tokenizer_encoder *encoder;
    struct vocabulary *vocabulary;
    struct reasoning_tokens tokens;
    uint32_t stops[2], quote;
    uint32_t *bits;
    uint64_t seed;
    uint32_t n_forced;
};

struct answer {
    uint32_t ids[600];
    uint32_t n;
    bool ended;
};

static struct world new_world(void)
{
    struct world world = {.tokenizer = load_built_tokenizer("gemma4-tokenizer.json"), .seed = 17};
    world.encoder = tokenizer_encoder_create(world.tokenizer);
    world.vocabulary = vocabulary_create(world.tokenizer, tokenizer_n_tokens(world.tokenizer));
    reasoning_tokens_find(world.tokenizer, &world.tokens);
    world.stops[0] = world.tokens.turn_end;
    world.stops[1] = world.tokens.tool_response;
    world.quote = tokenizer_id(world.tokenizer, "<|\"|>", 5);
    world.bits = calloc(tokenizer_n_tokens(world.tokenizer) / 32 + 1, sizeof *world.bits);
    return world;
}

static void finish(struct world *world)
{
    free(world->bits);
    vocabulary_destroy(world->vocabulary);
    tokenizer_encoder_destroy(world->encoder);
    tokenizer_destroy(world->tokenizer);
}

static struct grammar *compile(const struct world *world, const char *choice, bool parallel)
{
    const struct grammar_request request = {
        .kind = GRAMMAR_ANY_TEXT,
        .tools = {tools, sizeof tools - 1},
        .tool_choice = {choice, strlen(choice)},
        .parallel_tool_calls = parallel,
    };
    struct grammar *grammar = NULL;
    struct error err = {0};
    ASSERT_OK_ERR(grammar_compile(&request, world->tokenizer, &grammar, &err), err);
    return grammar;
}

static bool mask_has(const struct world *world, const struct constraint_mask *mask, uint32_t token)
{
    if (mask->kind == CONSTRAINT_BITS)
        return world->bits[token / 32] >> (token % 32) & 1;
    if (mask->kind == CONSTRAINT_ONE)
        return token == mask->token;
    for (uint32_t i = 0; i < mask->n; i++) {
        if (mask->ids[i] == token)
            return false;
    }
    return mask->kind != CONSTRAINT_FAILED;
}

// A token of the mask: often one that ends something, so that answers end.
static uint32_t sample(struct world *world, struct constraint *constraint)
{
    const uint32_t likely[] = {world->quote, world->tokens.tool_call_end, world->tokens.channel_end,
                               world->stops[0], world->tokens.channel};
    struct constraint_mask mask;
    constraint_mask(constraint, &mask, world->bits);
    ASSERT(mask.kind != CONSTRAINT_FAILED);
    if (mask.kind == CONSTRAINT_ONE)
        return mask.token;
    for (int i = 0; i < 5; i++) {
        if (test_random_in(&world->seed, 0, 3) == 0 && mask_has(world, &mask, likely[i]))
            return likely[i];
    }
    uint32_t n_ids = tokenizer_n_tokens(world->tokenizer);
    for (uint32_t token = (uint32_t)test_random_in(&world->seed, 0, n_ids - 1);; token++) {
        if (mask_has(world, &mask, token % n_ids))
            return token % n_ids;
    }
}

static void take_forced(struct world *world, struct constraint *constraint, struct answer *answer)
{
    uint32_t forced[32];
    uint32_t n = constraint_forced(constraint, world->encoder, forced, 32);
    for (uint32_t i = 0; i < n; i++) {
        ASSERT(constraint_accept(constraint, forced[i]));
        answer->ids[answer->n++] = forced[i];
    }
    world->n_forced += n;
}

static void generate(struct world *world, struct grammar *grammar, enum reasoning_state start,
                     struct answer *answer)
{
    const struct constraint_config config = {
        .grammar = grammar,
        .vocabulary = world->vocabulary,
        .tokens = world->tokens,
        .start = start,
        .thinking_budget = 20,
        .stop_ids = world->stops,
        .n_stop_ids = 2,
        .n_ids = tokenizer_n_tokens(world->tokenizer),
    };
    struct constraint *constraint = constraint_create(&config);
    *answer = (struct answer){0};
    while (!answer->ended && answer->n < 500) {
        take_forced(world, constraint, answer);
        uint32_t token = sample(world, constraint);
        answer->ended = token == world->stops[0] || token == world->stops[1];
        if (answer->ended)
            break;
        ASSERT(constraint_accept(constraint, token));
        answer->ids[answer->n++] = token;
    }
    constraint_destroy(constraint);
}

static void assert_call(const struct tool_call *call)
{
    struct json_document *document = NULL;
    struct error err = {0};
    ASSERT_OK_ERR(json_parse(call->arguments.data, call->arguments.length, NULL, &document, &err),
                  err);
    const struct json_value *arguments = json_root(document);
    if (strcmp(call->name, "get_weather") == 0) {
        const struct json_value *unit = json_get(arguments, "unit");
        const struct json_value *days = json_get(arguments, "days");
        ASSERT_EQ(json_get(arguments, "city")->type, JSON_STRING);
        ASSERT(!unit || json_string_is(unit, "celsius") || json_string_is(unit, "fahrenheit"));
        for (uint32_t i = 0; days && i < days->n; i++)
            ASSERT_EQ(days->items[i].type, JSON_NUMBER);
    } else {
        bool deep;
        ASSERT_STR_EQ(call->name, "list-files.v2");
        ASSERT(json_bool(json_get(arguments, "deep"), &deep) && arguments->n == 1);
    }
    json_document_destroy(document);
}

// What the gateway does with an answer's tokens. Returns the number of calls.
static uint32_t read_answer(const struct world *world, enum reasoning_state state,
                            const struct answer *answer)
{
    struct tool_call_parser *parser = tool_call_parser_create();
    struct detokenizer detokenizer;
    struct text_buffer text = {0}, content = {0};
    detokenizer_init(&detokenizer, world->tokenizer, true);
    for (uint32_t i = 0; i < answer->n; i++) {
        if (reasoning_push(&world->tokens, &state, answer->ids[i]) != REASONING_CONTENT)
            continue;
        text_buffer_clear(&text);
        detokenizer_push(&detokenizer, answer->ids[i], &text);
        tool_call_parser_push(parser, text.data, text.length, &content);
        for (const struct tool_call *call; (call = tool_call_parser_take(parser));)
            assert_call(call);
    }
    text_buffer_clear(&text);
    detokenizer_flush(&detokenizer, &text);
    tool_call_parser_push(parser, text.data, text.length, &content);
    tool_call_parser_end(parser, &content);
    uint32_t n_calls = tool_call_parser_n_calls(parser);
    ASSERT(!answer->ended || !tool_call_parser_is_malformed(parser));
    tool_call_parser_destroy(parser);
    text_buffer_finish(&text);
    text_buffer_finish(&content);
    return n_calls;
}

TEST(answers_under_a_tool_grammar_are_read_back_as_calls_that_fit)
{
    static const char *const choices[] = {
        "\"required\"", "\"auto\"",
        "{\"type\":\"function\",\"function\":{\"name\":\"list-files.v2\"}}"};
    struct world world = new_world();
    for (int c = 0; c < 6; c++) {
        struct grammar *grammar = compile(&world, choices[c % 3], c < 3);
        uint32_t n_ended = 0;
        for (int round = 0; round < 15; round++) {
            struct answer answer;
            enum reasoning_state start = (enum reasoning_state)(round % 3);
            generate(&world, grammar, start, &answer);
            uint32_t n_calls = read_answer(&world, start, &answer);
            n_ended += answer.ended;
            if (answer.ended && c % 3 != 1)
                ASSERT(n_calls >= 1);
            if (c >= 3)
                ASSERT(n_calls <= 1);
        }
        ASSERT(n_ended >= 5);
        grammar_drop(grammar);
    }
    ASSERT(world.n_forced > 100);
    finish(&world);
}
