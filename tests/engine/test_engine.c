/* tests/engine/test_engine.c - requests in, events out, through the real thread. */
#include "base/clock.h"
#include "tests/engine/engine_world.h"

TEST(a_request_gets_its_tokens_and_one_finish)
{
    open_engine(100, 10);
    struct request request = request_of("r", 7, 30);
    request.want_text = true;
    request.sampling.n_logprobs = 2;
    uint64_t submitted_ns = clock_now_ns();
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
    ASSERT(choice->finish.queue_ns > 0 && choice->finish.queue_ns < clock_now_ns() - submitted_ns);
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
        ASSERT(!engine_abort(engine, "nobody", NULL));
        ASSERT(!engine_abort(engine, "r", &request)); // of another owner
        ASSERT(engine_abort(engine, "r", NULL));
        wait_until_over(log);
        for (uint32_t i = 0; i < 3; i++) {
            ASSERT_EQ(log->choices[i].n_finishes, 1);
            ASSERT_EQ(log->choices[i].finish.reason, FINISH_ABORT);
            ASSERT_EQ(log->choices[i].finish.completion_tokens, n_before);
        }
        ASSERT_EQ(log->n_prompts, n_before > 0);
        ASSERT(!engine_abort(engine, "r", NULL));
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
