/* tests/engine/test_constraints.c - requests with grammars and budgets, against a reference that
 * takes one token after another: the constraint's mask, the device's choice, again. So what comes
 * may not depend on chunks, preemption, other requests, or how many forced tokens a step took. */
#include "tests/engine/engine_world.h"

#include "engine/choice_constraint.h"
#include "text/grammar/compile.h"

// Grammars belong to the thread that matches them, so the reference has its own.
static struct grammar *compile(enum grammar_kind kind, const char *text)
{
    struct grammar *grammar = NULL;
    struct error err = {0};
    const struct grammar_request request = {
        .kind = kind, .text = {text, strlen(text)}, .strict = true};
    ASSERT_OK_ERR(grammar_compile(&request, letters_tokenizer, &grammar, &err), err);
    return grammar;
}

struct reference {
    uint32_t ids[N_PROMPT + MAX_TOKENS]; // the prompt, then what follows
    uint32_t n;                          // of what follows
    uint32_t n_reasoning, n_forced;
    bool stopped; // by a stop id, which is not counted
};

static uint32_t next_token(const struct request *request, const struct sampling_params *sampling,
                           struct constraint *constraint, struct reference *r)
{
    static uint32_t bits[10];
    struct constraint_mask mask;
    constraint_mask(constraint, &mask, bits);
    ASSERT(mask.kind != CONSTRAINT_FAILED);
    static const enum step_mask_kind kinds[] = {STEP_MASK_ALL, STEP_MASK_ONE, STEP_MASK_NOT,
                                                STEP_MASK_BITS};
    struct fake_mask fake = {.kind = kinds[mask.kind], .n_ids = N_TEXT_IDS, .words = mask.ids};
    fake.n_words = mask.kind == CONSTRAINT_NOT ? mask.n : 0;
    if (mask.kind == CONSTRAINT_ONE)
        fake = (struct fake_mask){STEP_MASK_ONE, N_TEXT_IDS, &mask.token, 1};
    if (mask.kind == CONSTRAINT_BITS)
        fake.words = bits;
    return fake_token(&kv, VOCAB, sampling, request->stop_ids, (uint32_t)request->n_stop_ids, &fake,
                      r->ids, N_PROMPT + r->n);
}

static void take_forced(const struct request *request, struct constraint *constraint,
                        struct tokenizer_encoder *encoder, struct reference *r)
{
    uint32_t forced[MAX_TOKENS];
    uint32_t n = constraint_forced(constraint, encoder, forced, request->max_tokens - r->n);
    for (uint32_t i = 0; i < n; i++) {
        ASSERT(constraint_accept(constraint, forced[i]));
        r->ids[N_PROMPT + r->n++] = forced[i];
        r->n_forced++;
    }
}

static void make_reference(const struct request *request, struct grammar *grammar, uint32_t choice,
                           struct reference *r)
{
    struct constraint_config config = {
        .grammar = grammar,
        .vocabulary = letters_vocabulary,
        .thinking_budget = request->split_reasoning ? request->thinking_budget
                                                    : CONSTRAINT_NO_BUDGET,
        .stop_ids = request->stop_ids,
        .n_stop_ids = request->n_stop_ids,
        .n_ids = VOCAB,
    };
    reasoning_tokens_find(letters_tokenizer, &config.tokens);
    config.start = reasoning_start(&config.tokens, request->prompt, request->n_prompt);
    enum reasoning_state state = config.start;
    struct constraint *constraint = constraint_create(&config);
    struct tokenizer_encoder *encoder = tokenizer_encoder_create(letters_tokenizer);
    struct sampling_params sampling = request->sampling;
    sampling.seed += choice;
    sampling.n_prompt_tokens = N_PROMPT;
    *r = (struct reference){.n = 0};
    memcpy(r->ids, request->prompt, N_PROMPT * sizeof *r->ids);
    while (r->n < request->max_tokens && !r->stopped) {
        take_forced(request, constraint, encoder, r);
        if (r->n == request->max_tokens)
            break;
        uint32_t token = next_token(request, &sampling, constraint, r);
        for (size_t i = 0; i < request->n_stop_ids; i++)
            r->stopped |= request->stop_ids[i] == token;
        if (r->stopped)
            break;
        ASSERT(constraint_accept(constraint, token));
        r->ids[N_PROMPT + r->n++] = token;
        r->n_reasoning += reasoning_push(&config.tokens, &state, token) == REASONING_TEXT;
    }
    tokenizer_encoder_destroy(encoder);
    constraint_destroy(constraint);
}

static const uint32_t stop_ids[] = {TURN_END};

static struct request constrained(const char *id, uint64_t seed, struct grammar *grammar)
{
    struct request request = request_of(id, seed, 60);
    request.stop_ids = stop_ids;
    request.n_stop_ids = 1;
    request.want_text = true;
    request.skip_special_tokens = true;
    request.thinking_budget = REQUEST_NO_THINKING_BUDGET;
    request.grammar = grammar;
    return request;
}

static uint32_t check_log(const struct request *request, struct grammar *grammar,
                          const struct request_log *log)
{
    uint32_t n_forced = 0;
    ASSERT(!log->failed);
    for (uint32_t c = 0; c < request->n; c++) {
        static struct reference r;
        make_reference(request, grammar, c, &r);
        ASSERT_EQ(log->choices[c].n_ids, r.n);
        for (uint32_t i = 0; i < r.n; i++)
            ASSERT_EQ(log->choices[c].ids[i], r.ids[N_PROMPT + i]);
        ASSERT_EQ(log->choices[c].finish.reason, r.stopped ? FINISH_STOP : FINISH_LENGTH);
        ASSERT_EQ(log->choices[c].finish.completion_tokens, r.n + r.stopped);
        if (request->split_reasoning)
            ASSERT_EQ(log->choices[c].finish.reasoning_tokens, r.n_reasoning);
        n_forced += r.n_forced;
    }
    return n_forced;
}

static const struct {
    enum grammar_kind kind;
    const char *text;
} grammars[] = {
    {GRAMMAR_REGEX, "[a-c]{5}"},
    {GRAMMAR_REGEX, "(foo|bar)+[0-9]{2,9}"},
    {GRAMMAR_REGEX, "abcdefghijkl[xyz]mnopqrstuvwxyz"},
    {GRAMMAR_REGEX, "\xC3\xA9\xE2\x82\xAC[a-z]*"},
    {GRAMMAR_JSON_SCHEMA,
     "{\"type\":\"object\",\"properties\":{\"name\":{\"enum\":[\"ab\",\"xy\"]},"
     "\"n\":{\"type\":\"boolean\"}},\"required\":[\"name\",\"n\"],"
     "\"additionalProperties\":false}"},
};

TEST(what_comes_is_what_one_token_after_another_gives)
{
    for (size_t g = 0; g < sizeof grammars / sizeof *grammars; g++) {
        for (uint64_t seed = 1; seed < 6; seed++) {
            open_engine(100, 100);
            struct grammar *grammar = compile(grammars[g].kind, grammars[g].text);
            struct grammar *own = compile(grammars[g].kind, grammars[g].text);
            struct request request = constrained("r", seed * 10, grammar);
            request.n = 3;
            struct request_log *log = submit(&request);
            grammar_drop(grammar); // the engine has its own reference
            wait_until_over(log);
            check_log(&request, own, log);
            check_pages_are_whole();
            close_engine();
            grammar_drop(own);
            free(log);
        }
    }
}

TEST(preempted_and_chunked_among_others_it_is_the_same)
{
    open_engine(18, 100); // far from enough for all
    struct grammar *all[12];
    struct grammar *own[12];
    struct request requests[12];
    struct request_log *logs[12];
    static char ids[12][4];
    fake_backend_hold(&backend);
    for (int i = 0; i < 12; i++) {
        size_t g = (size_t)i % 5;
        snprintf(ids[i], sizeof ids[i], "r%d", i);
        all[i] = compile(grammars[g].kind, grammars[g].text);
        own[i] = compile(grammars[g].kind, grammars[g].text);
        requests[i] = constrained(ids[i], (uint64_t)i * 100, i % 4 == 3 ? NULL : all[i]);
        requests[i].n = 1 + (uint32_t)i % 3;
        if (i % 4 == 3)
            requests[i] = request_of(ids[i], (uint64_t)i * 100, 60);
        logs[i] = submit(&requests[i]);
    }
    fake_backend_go_on(&backend);
    for (int i = 0; i < 12; i++) {
        wait_until_over(logs[i]);
        if (requests[i].grammar)
            check_log(&requests[i], own[i], logs[i]);
        else
            check_series(&requests[i], logs[i], 0, 60);
        grammar_drop(all[i]);
        grammar_drop(own[i]);
        free(logs[i]);
    }
    struct engine_stats stats;
    engine_get_stats(engine, &stats);
    ASSERT(stats.n_preemptions_total > 0);
    check_pages_are_whole();
    close_engine();
}

TEST(forced_tokens_take_one_step_together_and_have_logprob_0)
{
    open_engine(100, 100);
    struct grammar *grammar = compile(GRAMMAR_REGEX, "abcdefghijkl[xyz]mnopqrstuvwxyz");
    struct grammar *own = compile(GRAMMAR_REGEX, "abcdefghijkl[xyz]mnopqrstuvwxyz");
    struct request request = constrained("r", 5, grammar);
    request.sampling.n_logprobs = 2;
    struct request_log *log = submit(&request);
    wait_until_over(log);
    uint32_t n_forced = check_log(&request, own, log);
    ASSERT_EQ(n_forced, 26);
    ASSERT_EQ(log->n_forced_logprobs, 26);
    ASSERT_EQ(log->choices[0].n_logprobs, 27);
    ASSERT(backend.n_submitted < 10);
    ASSERT_EQ(log->choices[0].text_length, 27);
    close_engine();
    grammar_drop(grammar);
    grammar_drop(own);
    free(log);
}

TEST(max_tokens_and_stop_strings_cut_a_forced_run)
{
    for (uint32_t max_tokens = 1; max_tokens < 13; max_tokens++) {
        open_engine(100, 100);
        struct grammar *grammar = compile(GRAMMAR_REGEX, "abcdefghijkl[xyz]");
        struct grammar *own = compile(GRAMMAR_REGEX, "abcdefghijkl[xyz]");
        struct request request = constrained("r", 5, grammar);
        request.max_tokens = max_tokens;
        struct request_log *log = submit(&request);
        wait_until_over(log);
        check_log(&request, own, log);
        free(log);
        struct stop_string stop = {.bytes = &"abcdefghijkl"[max_tokens - 1], .n = 1};
        request = constrained("r", 5, grammar);
        request.stop_strings = &stop;
        request.n_stop_strings = 1;
        log = submit(&request);
        wait_until_over(log);
        ASSERT_EQ(log->choices[0].finish.reason, FINISH_STOP);
        ASSERT_EQ(log->choices[0].finish.completion_tokens, max_tokens);
        ASSERT_EQ(log->choices[0].text_length, max_tokens - 1);
        check_pages_are_whole();
        close_engine();
        grammar_drop(grammar);
        grammar_drop(own);
        free(log);
    }
}

// Generation begins inside a channel, or where it may be opened.
static const uint32_t inside[N_PROMPT] = {260, 261, 262, 263, 264, 265, 266, 267, 268, CHANNEL};
static const uint32_t expect[N_PROMPT] = {260, THINK, 262, 263, 264, 265, 266, 267, 268, 269};

TEST(thinking_is_free_and_ends_at_its_budget_and_the_grammar_binds_the_rest)
{
    const uint32_t *prompts[] = {inside, expect};
    uint32_t n_thinking = 0;
    for (uint32_t i = 0; i < 40; i++) {
        open_engine(100, 100);
        struct grammar *grammar = compile(GRAMMAR_REGEX, "[a-c]{5}");
        struct grammar *own = compile(GRAMMAR_REGEX, "[a-c]{5}");
        struct request request = constrained("r", i, grammar);
        request.prompt = prompts[i % 2];
        request.split_reasoning = true;
        request.thinking_budget = i % 10;
        struct request_log *log = submit(&request);
        wait_until_over(log);
        check_log(&request, own, log);
        n_thinking += log->choices[0].finish.reasoning_tokens;
        ASSERT(log->choices[0].finish.reasoning_tokens <= i % 10);
        ASSERT(log->n_reasoning_ids >= log->choices[0].finish.reasoning_tokens);
        close_engine();
        grammar_drop(grammar);
        grammar_drop(own);
        free(log);
    }
    ASSERT(n_thinking > 20);
}

TEST(a_budget_alone_binds_thinking_and_nothing_else)
{
    open_engine(100, 100);
    struct request request = constrained("r", 5, NULL);
    request.prompt = inside;
    request.split_reasoning = true;
    request.thinking_budget = 4;
    struct request_log *log = submit(&request);
    wait_until_over(log);
    check_log(&request, NULL, log);
    ASSERT_EQ(log->choices[0].finish.reasoning_tokens, 4);
    ASSERT_EQ(log->choices[0].ids[4], CHANNEL_END);
    close_engine();
    free(log);
}

TEST(a_complete_grammar_ends_the_answer_also_without_stop_ids)
{
    open_engine(100, 100);
    struct grammar *grammar = compile(GRAMMAR_REGEX, "[a-c]{5}");
    struct request request = constrained("r", 5, grammar);
    request.n_stop_ids = 0;
    struct request_log *log = submit(&request);
    wait_until_over(log);
    ASSERT(!log->failed);
    ASSERT_EQ(log->choices[0].finish.reason, FINISH_STOP);
    ASSERT_EQ(log->choices[0].text_length, 5);
    check_pages_are_whole();
    close_engine();
    grammar_drop(grammar);
    free(log);
}

TEST(a_grammar_that_allows_no_token_fails_its_request_and_no_other)
{
    open_engine(100, 100);
    struct grammar_builder *builder = grammar_builder_create(NULL);
    const uint32_t beyond = VOCAB + 5;
    grammar_symbol parts[] = {grammar_text(builder, "ab", 2), grammar_tokens(builder, &beyond, 1)};
    struct grammar *grammar = NULL;
    struct error err = {0};
    ASSERT_OK_ERR(grammar_build(builder, grammar_sequence(builder, parts, 2), &grammar, &err), err);
    fake_backend_hold(&backend);
    struct request good = request_of("good", 7, 20);
    struct request bad = constrained("bad", 4, grammar);
    bad.n = 3;
    struct request_log *good_log = submit(&good);
    struct request_log *bad_log = submit(&bad);
    fake_backend_go_on(&backend);
    wait_until_over(bad_log);
    wait_until_over(good_log);
    ASSERT(bad_log->failed);
    ASSERT_EQ(bad_log->error.status, STATUS_INVALID_ARGUMENT);
    ASSERT_CONTAINS(bad_log->error.message, "grammar");
    check_series(&good, good_log, 0, 20);
    check_pages_are_whole();
    close_engine();
    grammar_drop(grammar);
    free(good_log);
    free(bad_log);
}

TEST(a_token_that_the_tokenizer_lacks_is_never_allowed)
{
    open_engine(100, 100);
    struct grammar_builder *builder = grammar_builder_create(NULL);
    const uint32_t beyond = N_TEXT_IDS;
    struct grammar *grammar = NULL;
    ASSERT_OK(grammar_build(builder, grammar_tokens(builder, &beyond, 1), &grammar, NULL));
    struct request request = constrained("r", 4, grammar);
    struct request_log *log = submit(&request);
    wait_until_over(log);
    ASSERT(log->failed);
    close_engine();
    grammar_drop(grammar);
    free(log);
}

TEST(constrained_requests_are_aborted_at_any_moment)
{
    for (uint32_t n_before = 0; n_before < 8; n_before++) {
        open_engine(100, 100);
        fake_backend_hold(&backend);
        struct grammar *grammar = compile(GRAMMAR_REGEX, "([a-c]{3}defgh)*");
        struct grammar *own = compile(GRAMMAR_REGEX, "([a-c]{3}defgh)*");
        struct request request = constrained("r", 6, grammar);
        struct request other = constrained("other", 8, grammar);
        request.n = 2;
        struct request_log *log = submit(&request);
        struct request_log *other_log = submit(&other);
        fake_backend_allow(&backend, n_before);
        if (n_before > 0)
            wait_for_ids(log, n_before);
        ASSERT(engine_abort(engine, "r", NULL));
        wait_until_over(log);
        ASSERT_EQ(log->choices[1].finish.reason, FINISH_ABORT);
        fake_backend_go_on(&backend);
        wait_until_over(other_log);
        check_log(&other, own, other_log);
        check_pages_are_whole();
        close_engine();
        grammar_drop(grammar);
        grammar_drop(own);
        free(log);
        free(other_log);
    }
}

TEST(without_constraints_there_are_no_mask_messages)
{
    open_engine(100, 100);
    struct request request = request_of("r", 7, 50);
    struct request_log *log = submit(&request);
    wait_until_over(log);
    ASSERT_EQ(backend.n_masks, 0);
    close_engine();
    free(log);
}
