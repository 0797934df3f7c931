/* tests/engine/test_engine.c - requests in, events out, through the real thread. */
#include "tests/test.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "engine/engine.h"
#include "tests/engine/fake_backend.h"
#include "tests/text/tokenizers.h"

#define VOCAB 282 // 256 bytes, then "a".."z"
#define MAX_TOKENS 400

static struct kv_params kv;
static struct step_limits limits;
static struct fake_backend backend;
static struct engine *engine;
static struct tokenizer *tokenizer;
static const uint32_t prompt[] = {260, 261, 262, 263, 264, 265, 266, 267, 268, 269};
#define N_PROMPT 10

static void open_engine(uint32_t n_pages, uint32_t max_queued)
{
    log_set_level(LOG_ERROR);
    kv = (struct kv_params){.page_tokens = 8,
                            .element_bytes = 2,
                            .n_groups = 2,
                            .groups = {{.window = 20}, {.window = 0}},
                            .n_pages = {n_pages, n_pages}};
    limits = (struct step_limits){.max_slots = 8,
                                  .max_rows = 32,
                                  .max_positions = 500,
                                  .vocab_size = VOCAB,
                                  .n_groups = 2,
                                  .page_tokens = 8,
                                  .n_pages = {n_pages, n_pages},
                                  .max_blob_bytes = 256};
    fake_backend_init(&backend, &limits, &kv);
    const char *letters[26];
    static char texts[26][2];
    for (int i = 0; i < 26; i++) {
        texts[i][0] = (char)('a' + i);
        letters[i] = texts[i];
    }
    char *json = write_tokenizer(letters, 26, "", "");
    ASSERT_OK(tokenizer_parse(json, strlen(json), "letters", &tokenizer, NULL));
    free(json);
    struct engine_config config = {.limits = limits,
                                   .kv = kv,
                                   .backend = fake_backend_for_engine(&backend),
                                   .tokenizer = tokenizer,
                                   .max_queued = max_queued};
    struct error err = {0};
    ASSERT_OK_ERR(engine_create(&config, &engine, &err), err);
}

static void check_pages_are_whole(void)
{
    struct engine_stats stats;
    for (int i = 0; i < 2000; i++) { // the figures are published before the thread waits again
        engine_get_stats(engine, &stats);
        if (stats.n_running == 0 && stats.n_waiting == 0)
            break;
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
    ASSERT_EQ(stats.n_running, 0);
    for (uint32_t g = 0; g < 2; g++)
        ASSERT_EQ(stats.n_free_pages[g], stats.n_pages[g]);
}

static void close_engine(void)
{
    engine_destroy(engine);
    fake_backend_finish(&backend);
    tokenizer_destroy(tokenizer);
}

// What one request's events amount to. Events come on the engine thread.
struct choice_log {
    uint32_t ids[MAX_TOKENS];
    uint32_t n_ids;
    uint32_t n_logprobs;
    char text[4 * MAX_TOKENS];
    size_t text_length;
    uint32_t n_finishes;
    struct engine_event finish;
};

struct request_log {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct choice_log choices[8];
    uint32_t n_prompts, n_prompt_ids, n_prompt_logprobs;
    uint32_t n_deltas;
    uint32_t n_after_the_end;
    bool wrong_order, over, failed;
    struct error error;
};

static struct request_log *new_log(void)
{
    struct request_log *log = mem_zeroed(1, sizeof *log);
    pthread_mutex_init(&log->lock, NULL);
    pthread_cond_init(&log->changed, NULL);
    return log;
}

static void note_delta(struct request_log *log, const struct engine_event *event)
{
    struct choice_log *choice = &log->choices[event->index];
    log->n_deltas++;
    log->wrong_order |= choice->n_finishes > 0;
    if (event->n_token_ids)
        memcpy(choice->ids + choice->n_ids, event->token_ids,
               event->n_token_ids * sizeof *event->token_ids);
    choice->n_ids += (uint32_t)event->n_token_ids;
    choice->n_logprobs += (uint32_t)event->n_logprobs;
    if (event->text_length)
        memcpy(choice->text + choice->text_length, event->text, event->text_length);
    choice->text_length += event->text_length;
}

static void on_event(void *context, const struct engine_event *event)
{
    struct request_log *log = context;
    pthread_mutex_lock(&log->lock);
    log->n_after_the_end += log->over;
    switch (event->type) {
    case ENGINE_EVENT_PROMPT:
        log->wrong_order |= log->n_deltas > 0 || event->index != 0;
        log->n_prompts++;
        log->n_prompt_ids = (uint32_t)event->n_token_ids;
        log->n_prompt_logprobs = (uint32_t)event->n_logprobs;
        for (size_t i = 0; i < event->n_logprobs; i++)
            log->wrong_order |= event->logprobs[i].entries[0].token_id != prompt[i + 1];
        break;
    case ENGINE_EVENT_DELTA:
        note_delta(log, event);
        break;
    case ENGINE_EVENT_FINISH:
        log->choices[event->index].n_finishes++;
        log->choices[event->index].finish = *event;
        log->over = event->last;
        break;
    case ENGINE_EVENT_FAILED:
        log->over = true;
        log->failed = true;
        log->error = *event->error;
        break;
    }
    pthread_cond_broadcast(&log->changed);
    pthread_mutex_unlock(&log->lock);
}

static void wait_until_over(struct request_log *log)
{
    pthread_mutex_lock(&log->lock);
    while (!log->over)
        pthread_cond_wait(&log->changed, &log->lock);
    pthread_mutex_unlock(&log->lock);
    ASSERT_EQ(log->n_after_the_end, 0);
    ASSERT(!log->wrong_order);
}

static void wait_for_ids(struct request_log *log, uint32_t n)
{
    pthread_mutex_lock(&log->lock);
    while (log->choices[0].n_ids < n && !log->over)
        pthread_cond_wait(&log->changed, &log->lock);
    pthread_mutex_unlock(&log->lock);
}

static struct request request_of(const char *id, uint64_t seed, uint32_t max_tokens)
{
    return (struct request){
        .id = id,
        .prompt = prompt,
        .n_prompt = N_PROMPT,
        .sampling = {.seed = seed, .n_logprobs = -1, .n_prompt_logprobs = -1},
        .n = 1,
        .max_tokens = max_tokens,
        .want_token_ids = true,
    };
}

static struct request_log *submit(const struct request *request)
{
    struct request_log *log = new_log();
    struct error err = {0};
    ASSERT_OK_ERR(engine_submit(engine, request, on_event, log, &err), err);
    return log;
}

// The token at place i that the device gives for the request's choice.
static uint32_t expected(const struct request *request, uint32_t choice, uint32_t i)
{
    uint32_t tokens[N_PROMPT + MAX_TOKENS];
    struct sampling_params sampling = request->sampling;
    sampling.seed += choice;
    sampling.n_prompt_tokens = N_PROMPT;
    memcpy(tokens, prompt, sizeof prompt);
    for (uint32_t k = 0; k <= i; k++)
        tokens[N_PROMPT + k] = fake_token(&kv, VOCAB, &sampling, request->stop_ids,
                                          (uint32_t)request->n_stop_ids, tokens, N_PROMPT + k);
    return tokens[N_PROMPT + i];
}

static void check_series(const struct request *request, const struct request_log *log,
                         uint32_t choice, uint32_t n)
{
    ASSERT_EQ(log->choices[choice].n_ids, n);
    for (uint32_t i = 0; i < n; i++)
        ASSERT_EQ(log->choices[choice].ids[i], expected(request, choice, i));
}

TEST(a_request_gets_its_tokens_and_one_finish)
{
    open_engine(100, 10);
    struct request request = request_of("r", 7, 30);
    request.want_text = true;
    request.sampling.n_logprobs = 2;
    struct request_log *log = submit(&request);
    wait_until_over(log);
    check_series(&request, log, 0, 30);
    const struct choice_log *choice = &log->choices[0];
    ASSERT_EQ(choice->n_logprobs, 30);
    ASSERT_EQ(choice->n_finishes, 1);
    ASSERT_EQ(choice->finish.reason, FINISH_LENGTH);
    ASSERT_EQ(choice->finish.prompt_tokens, N_PROMPT);
    ASSERT_EQ(choice->finish.completion_tokens, 30);
    ASSERT_EQ(choice->finish.stop_string, -1);
    ASSERT_EQ(log->n_prompts, 0);
    ASSERT(choice->text_length >= 30);
    check_pages_are_whole();
    struct engine_stats stats;
    engine_get_stats(engine, &stats);
    ASSERT_EQ(stats.n_requests_total, 1);
    ASSERT_EQ(stats.n_prompt_tokens_total, N_PROMPT);
    ASSERT_EQ(stats.n_generated_tokens_total, 30);
    ASSERT_EQ(stats.n_steps_total, 30);
    close_engine();
    free(log);
}

TEST(the_choices_of_a_request_have_seeds_of_their_own_and_one_prompt_event)
{
    open_engine(100, 10);
    struct request request = request_of("r", 7, 12);
    request.n = 5;
    request.want_prompt_ids = true;
    request.sampling.n_prompt_logprobs = 1;
    struct request_log *log = submit(&request);
    wait_until_over(log);
    ASSERT_EQ(log->n_prompts, 1);
    ASSERT_EQ(log->n_prompt_ids, N_PROMPT);
    ASSERT_EQ(log->n_prompt_logprobs, N_PROMPT - 1);
    for (uint32_t i = 0; i < 5; i++) {
        check_series(&request, log, i, 12);
        ASSERT_EQ(log->choices[i].n_finishes, 1);
    }
    check_pages_are_whole();
    close_engine();
    free(log);
}

TEST(a_stop_id_ends_the_request_and_is_counted_but_not_shown)
{
    for (int include = 0; include < 2; include++) {
        open_engine(100, 10);
        struct request request = request_of("r", 7, 30);
        uint32_t stop_ids[] = {VOCAB + 5, expected(&request, 0, 4)};
        request.stop_ids = stop_ids;
        request.n_stop_ids = 2;
        request.include_stop = include;
        struct request_log *log = submit(&request);
        wait_until_over(log);
        check_series(&request, log, 0, include ? 5 : 4);
        const struct engine_event *finish = &log->choices[0].finish;
        ASSERT_EQ(finish->reason, FINISH_STOP);
        ASSERT(finish->matched_id);
        ASSERT_EQ(finish->stop_token_id, stop_ids[1]);
        ASSERT_EQ(finish->completion_tokens, 5);
        check_pages_are_whole();
        close_engine();
        free(log);
    }
}

TEST(stop_ids_are_masked_until_min_tokens)
{
    open_engine(100, 10);
    struct request request = request_of("r", 7, 30);
    uint32_t stop_id = expected(&request, 0, 4);
    request.stop_ids = &stop_id;
    request.n_stop_ids = 1;
    request.sampling.min_tokens = 20;
    struct request_log *log = submit(&request);
    wait_until_over(log);
    ASSERT(log->choices[0].finish.completion_tokens > 20);
    ASSERT(log->choices[0].ids[4] != stop_id);
    for (uint32_t i = 0; i < log->choices[0].n_ids; i++)
        ASSERT_EQ(log->choices[0].ids[i], expected(&request, 0, i));
    close_engine();
    free(log);
}

TEST(a_stop_string_cuts_the_text_and_all_its_tokens_are_delivered)
{
    open_engine(100, 10);
    struct request request = request_of("plain", 9, 40);
    request.want_text = true;
    struct request_log *plain = submit(&request);
    wait_until_over(plain);
    // A piece of the text, of whole characters, that occurs nowhere before.
    const struct choice_log *whole = &plain->choices[0];
    size_t at = whole->text_length / 2;
    while (((unsigned char)whole->text[at] & 0xC0) == 0x80)
        at++;
    size_t end = at + 4;
    while (((unsigned char)whole->text[end] & 0xC0) == 0x80)
        end++;
    struct stop_string stops[] = {{.bytes = "never in it", .n = 11},
                                  {.bytes = whole->text + at, .n = end - at}};
    ASSERT(memmem(whole->text, end - 1, stops[1].bytes, stops[1].n) == NULL);
    request.id = "stopped";
    request.stop_strings = stops;
    request.n_stop_strings = 2;
    struct request_log *log = submit(&request);
    wait_until_over(log);
    const struct choice_log *choice = &log->choices[0];
    ASSERT_EQ(choice->finish.reason, FINISH_STOP);
    ASSERT_EQ(choice->finish.stop_string, 1);
    ASSERT_EQ(choice->text_length, at);
    ASSERT(memcmp(choice->text, whole->text, at) == 0);
    check_series(&request, log, 0, choice->finish.completion_tokens);
    ASSERT(choice->finish.completion_tokens < 40);
    close_engine();
    free(plain);
    free(log);
}

TEST(an_id_is_in_use_until_the_last_event)
{
    open_engine(100, 10);
    fake_backend_hold(&backend);
    struct request request = request_of("same", 7, 5);
    struct request_log *first = submit(&request);
    struct error err = {0};
    ASSERT_EQ(engine_submit(engine, &request, on_event, first, &err), STATUS_ALREADY_EXISTS);
    ASSERT_CONTAINS(err.message, "same");
    fake_backend_go_on(&backend);
    wait_until_over(first);
    struct request_log *second = submit(&request);
    wait_until_over(second);
    check_series(&request, second, 0, 5);
    close_engine();
    free(first);
    free(second);
}

TEST(requests_that_cannot_be_served_are_refused_at_once)
{
    open_engine(10, 2);
    struct error err = {0};
#define REFUSED(status, part, change)                                             \
    do {                                                                          \
        struct request request = request_of("r", 1, 5);                           \
        change;                                                                   \
        ASSERT_EQ(engine_submit(engine, &request, on_event, NULL, &err), status); \
        ASSERT_CONTAINS(err.message, part);                                       \
    } while (0)
    uint32_t no_token[] = {1, VOCAB};
    struct logit_bias bias = {.token_id = 1, .bias = INFINITY};
    struct logit_bias no_bias = {.token_id = VOCAB};
    struct stop_string empty = {.bytes = "", .n = 0};
    REFUSED(STATUS_RESOURCE_EXHAUSTED, "pages", request.max_tokens = 100);
    REFUSED(STATUS_INVALID_ARGUMENT, "max_tokens=491", request.max_tokens = 491);
    REFUSED(STATUS_INVALID_ARGUMENT, "max_tokens=0", request.max_tokens = 0);
    REFUSED(STATUS_INVALID_ARGUMENT, "max_tokens=4294967295", request.max_tokens = UINT32_MAX);
    REFUSED(STATUS_INVALID_ARGUMENT, "a prompt of 0", request.n_prompt = 0);
    REFUSED(STATUS_INVALID_ARGUMENT, "a prompt of 4294967297",
            request.n_prompt = (UINT64_C(1) << 32) + 1);
    REFUSED(STATUS_INVALID_ARGUMENT, "prompt token 1",
            (request.prompt = no_token, request.n_prompt = 2));
    REFUSED(STATUS_INVALID_ARGUMENT, "n=0", request.n = 0);
    REFUSED(STATUS_INVALID_ARGUMENT, "n=129", request.n = 129);
    REFUSED(STATUS_INVALID_ARGUMENT, "not finite", request.sampling.temperature = NAN);
    REFUSED(STATUS_INVALID_ARGUMENT, "n_logprobs=21", request.sampling.n_logprobs = 21);
    REFUSED(STATUS_INVALID_ARGUMENT, "logit_bias", (request.biases = &bias, request.n_biases = 1));
    REFUSED(STATUS_INVALID_ARGUMENT, "logit_bias",
            (request.biases = &no_bias, request.n_biases = 1));
    REFUSED(STATUS_INVALID_ARGUMENT, "stop string",
            (request.stop_strings = &empty, request.n_stop_strings = 1));
    fake_backend_hold(&backend);
    struct request waiting[3];
    struct request_log *logs[2];
    const char *ids[] = {"a", "b", "c"};
    for (int i = 0; i < 3; i++)
        waiting[i] = request_of(ids[i], 1, 5);
    for (int i = 0; i < 2; i++)
        logs[i] = submit(&waiting[i]);
    ASSERT_EQ(engine_submit(engine, &waiting[2], on_event, NULL, &err), STATUS_RESOURCE_EXHAUSTED);
    ASSERT_CONTAINS(err.message, "waiting");
    fake_backend_go_on(&backend);
    for (int i = 0; i < 2; i++) {
        wait_until_over(logs[i]);
        free(logs[i]);
    }
    close_engine();
}

TEST(an_aborted_request_finishes_with_abort_at_any_moment)
{
    for (uint32_t n_before = 0; n_before < 6; n_before++) {
        open_engine(100, 100);
        fake_backend_hold(&backend);
        struct request request = request_of("r", n_before, 300);
        request.n = 3;
        request.want_prompt_ids = true;
        struct request_log *log = submit(&request);
        fake_backend_allow(&backend, n_before);
        if (n_before > 0)
            wait_for_ids(log, n_before);
        ASSERT(!engine_abort(engine, "nobody"));
        ASSERT(engine_abort(engine, "r"));
        wait_until_over(log);
        for (uint32_t i = 0; i < 3; i++) {
            ASSERT_EQ(log->choices[i].n_finishes, 1);
            ASSERT_EQ(log->choices[i].finish.reason, FINISH_ABORT);
            ASSERT_EQ(log->choices[i].finish.completion_tokens, n_before);
        }
        ASSERT_EQ(log->n_prompts, n_before > 0);
        ASSERT(!engine_abort(engine, "r"));
        fake_backend_go_on(&backend);
        check_pages_are_whole();
        close_engine();
        free(log);
    }
}

TEST(a_request_ends_at_its_time_limit_whether_it_runs_or_waits)
{
    open_engine(100, 100);
    fake_backend_hold(&backend);
    struct request request = request_of("r", 3, 300);
    request.n = 8; // all slots
    request.time_limit_ns = 20 * NS_PER_MS;
    struct request_log *log = submit(&request);
    struct request waiting = request_of("w", 3, 5);
    waiting.time_limit_ns = 10 * NS_PER_MS;
    struct request_log *waiting_log = submit(&waiting);
    wait_until_over(waiting_log);
    wait_until_over(log);
    for (uint32_t i = 0; i < 8; i++)
        ASSERT_EQ(log->choices[i].finish.reason, FINISH_TIME_LIMIT);
    ASSERT_EQ(waiting_log->choices[0].finish.reason, FINISH_TIME_LIMIT);
    ASSERT_EQ(waiting_log->choices[0].finish.completion_tokens, 0);
    fake_backend_go_on(&backend);
    check_pages_are_whole();
    close_engine();
    free(log);
    free(waiting_log);
}

TEST(bad_logits_fail_their_request_and_no_other)
{
    open_engine(100, 10);
    backend.device.bad_seed = 5;
    backend.device.has_bad_seed = true;
    fake_backend_hold(&backend);
    struct request good = request_of("good", 7, 10);
    struct request bad = request_of("bad", 4, 10);
    bad.n = 3; // the one in the middle
    struct request_log *good_log = submit(&good);
    struct request_log *bad_log = submit(&bad);
    fake_backend_go_on(&backend);
    wait_until_over(bad_log);
    wait_until_over(good_log);
    ASSERT(bad_log->failed);
    ASSERT_EQ(bad_log->error.status, STATUS_INTERNAL);
    check_series(&good, good_log, 0, 10);
    check_pages_are_whole();
    close_engine();
    free(good_log);
    free(bad_log);
}

static void note_drained(void *context)
{
    on_event(context, &(struct engine_event){.type = ENGINE_EVENT_FINISH, .last = true});
}

TEST(a_draining_engine_ends_what_it_has_and_takes_nothing_new)
{
    open_engine(100, 10);
    fake_backend_hold(&backend);
    struct request request = request_of("r", 7, 10);
    struct request_log *log = submit(&request);
    struct request_log *drained = new_log();
    engine_drain(engine, note_drained, drained);
    struct error err = {0};
    struct request late = request_of("late", 7, 10);
    ASSERT_EQ(engine_submit(engine, &late, on_event, NULL, &err), STATUS_UNAVAILABLE);
    ASSERT(!drained->over);
    fake_backend_go_on(&backend);
    wait_until_over(log);
    wait_until_over(drained);
    check_series(&request, log, 0, 10);
    close_engine();
    free(log);
    free(drained);
}

TEST(lost_workers_fail_what_ran_and_new_ones_serve_what_waited)
{
    open_engine(10, 100); // one request's pages
    struct request running = request_of("runs", 7, 60);
    struct request waiting = request_of("waits", 8, 60);
    fake_backend_hold(&backend);
    struct request_log *running_log = submit(&running);
    fake_backend_allow(&backend, 3);
    wait_for_ids(running_log, 3);
    struct request_log *waiting_log = submit(&waiting);
    struct error cause = {0};
    error_set(&cause, STATUS_UNAVAILABLE, "rank 1 died");
    engine_backend_lost(engine, &cause);
    wait_until_over(running_log);
    ASSERT(running_log->failed);
    ASSERT_STR_EQ(running_log->error.message, "rank 1 died");
    struct error err = {0};
    struct request late = request_of("late", 7, 10);
    ASSERT_EQ(engine_submit(engine, &late, on_event, NULL, &err), STATUS_UNAVAILABLE);
    ASSERT(!waiting_log->over);
    fake_backend_finish(&backend); // nobody uses it
    fake_backend_init(&backend, &limits, &kv);
    struct engine_backend again = fake_backend_for_engine(&backend);
    engine_backend_reset(engine, &again);
    wait_until_over(waiting_log);
    check_series(&waiting, waiting_log, 0, 60);
    check_pages_are_whole();
    close_engine();
    free(running_log);
    free(waiting_log);
}

TEST(a_backend_that_says_it_is_gone_is_lost)
{
    open_engine(100, 100);
    struct request request = request_of("r", 7, 300);
    fake_backend_hold(&backend);
    struct request_log *log = submit(&request);
    fake_backend_lose(&backend);
    wait_until_over(log);
    ASSERT(log->failed);
    ASSERT_EQ(log->error.status, STATUS_UNAVAILABLE);
    struct error cause = {0};
    engine_backend_lost(engine, &cause); // known already
    struct engine_stats stats;
    engine_get_stats(engine, &stats);
    ASSERT(!stats.backend_up);
    close_engine();
    free(log);
}

TEST(an_engine_that_is_destroyed_fails_what_is_left)
{
    open_engine(100, 100);
    struct request_log *logs[20];
    fake_backend_hold(&backend);
    for (uint32_t i = 0; i < 20; i++) {
        char id[8];
        snprintf(id, sizeof id, "r%u", i);
        struct request request = request_of(id, i, 30);
        logs[i] = submit(&request);
    }
    fake_backend_allow(&backend, 2);
    engine_destroy(engine);
    for (uint32_t i = 0; i < 20; i++) {
        ASSERT(logs[i]->over && logs[i]->failed);
        ASSERT_EQ(logs[i]->error.status, STATUS_UNAVAILABLE);
        free(logs[i]);
    }
    fake_backend_finish(&backend);
    tokenizer_destroy(tokenizer);
}

// One client of many: submits, aborts at random, waits.
static void *run_client(void *context)
{
    uint64_t number = (uintptr_t)context;
    uint64_t random = number;
    uint64_t n_wrong = 0;
    for (int i = 0; i < 30; i++) {
        char id[32];
        snprintf(id, sizeof id, "client%" PRIu64 "-%d", number, i);
        struct request request = request_of(id, test_random_in(&random, 0, 1000),
                                            (uint32_t)test_random_in(&random, 1, 60));
        request.n = (uint32_t)test_random_in(&random, 1, 3);
        request.priority = (int32_t)test_random_in(&random, 0, 2);
        request.want_text = test_random_in(&random, 0, 1);
        struct request_log *log = new_log();
        if (engine_submit(engine, &request, on_event, log, NULL) != STATUS_OK)
            n_wrong++;
        bool aborted = test_random_in(&random, 0, 2) == 0;
        if (aborted && test_random_in(&random, 0, 1))
            wait_for_ids(log, 1);
        if (aborted)
            engine_abort(engine, id);
        pthread_mutex_lock(&log->lock);
        while (!log->over)
            pthread_cond_wait(&log->changed, &log->lock);
        pthread_mutex_unlock(&log->lock);
        for (uint32_t c = 0; c < request.n; c++) {
            const struct choice_log *choice = &log->choices[c];
            n_wrong += choice->n_finishes != 1;
            n_wrong += !aborted && choice->n_ids != request.max_tokens;
            for (uint32_t k = 0; k < choice->n_ids; k++)
                n_wrong += choice->ids[k] != expected(&request, c, k);
        }
        free(log);
    }
    return (void *)(uintptr_t)n_wrong; // NOLINT
}

TEST(many_clients_at_once_get_what_they_would_get_alone)
{
    open_engine(24, 1000); // few pages: with preemptions
    pthread_t threads[8];
    for (uintptr_t i = 0; i < 8; i++)
        ASSERT_EQ(pthread_create(&threads[i], NULL, run_client, (void *)(i + 1)), 0); // NOLINT
    for (int i = 0; i < 8; i++) {
        void *n_wrong;
        pthread_join(threads[i], &n_wrong);
        ASSERT_EQ((uintptr_t)n_wrong, 0);
    }
    check_pages_are_whole();
    struct engine_stats stats;
    engine_get_stats(engine, &stats);
    ASSERT(stats.n_preemptions_total > 0);
    close_engine();
}
