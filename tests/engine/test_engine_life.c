/* tests/engine/test_engine_life.c - an engine among others: draining, lost workers, its end, and
 * many clients at once. */
#include "base/mem.h"
#include "tests/engine/engine_world.h"

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
    fake_backend_allow(&backend, 3);
    wait_for_ids(log, 3); // it runs: a request that only waited would go on waiting
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
    engine = NULL;
    close_engine();
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
            engine_abort(engine, id, NULL);
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
