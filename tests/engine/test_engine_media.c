/* tests/engine/test_engine_media.c - requests with media through the real thread; their expected
 * tokens depend on every soft token (engine_world.c). */
#include "tests/engine/engine_world.h"

#define MEDIA_PROMPT 60

static uint32_t media_prompt[MEDIA_PROMPT];

static struct request media_request(const char *id, const struct request_part *parts,
                                    size_t n_parts)
{
    struct request request = request_of(id, 7, 20);
    request.prompt = media_prompt;
    request.n_prompt = MEDIA_PROMPT;
    request.parts = parts;
    request.n_parts = n_parts;
    return request;
}

static struct engine_stats stats_now(void)
{
    struct engine_stats stats;
    check_pages_are_whole(); // waits until nothing runs
    engine_get_stats(engine, &stats);
    return stats;
}

TEST(a_request_with_media_is_encoded_once_and_gets_its_tokens)
{
    open_engine(100, 10);
    struct media *image = fake_media(MEDIA_IMAGE, 5, 1, 20);
    struct media *clip = fake_media(MEDIA_AUDIO, 6, 1, 17);
    struct request_part parts[] = {{.media = image, .first = 2}, {.media = clip, .first = 30}};
    struct request request = media_request("a", parts, 2);
    request.n = 3;
    struct request_log *log = submit(&request);
    wait_until_over(log);
    for (uint32_t i = 0; i < 3; i++)
        check_series(&request, log, i, 20);
    struct engine_stats stats = stats_now();
    ASSERT_EQ(stats.n_encoded_parts_total, 2);
    ASSERT_EQ(stats.n_cache_misses_total, 2);
    ASSERT_EQ(stats.n_cache_hits_total, 4);
    ASSERT_EQ(stats.n_cache_rows, 128);
    ASSERT_EQ(stats.n_used_cache_rows, 64);
    ASSERT_EQ(stats.n_held_cache_rows, 0);
    free(log);
    request.id = "b";
    log = submit(&request);
    wait_until_over(log);
    check_series(&request, log, 2, 20);
    ASSERT_EQ(stats_now().n_encoded_parts_total, 2);
    close_engine();
    media_drop(image);
    media_drop(clip);
    free(log);
}

TEST(a_request_keeps_its_media_and_lets_them_go)
{
    open_engine(100, 10);
    fake_backend_hold(&backend);
    struct media *image = fake_media(MEDIA_IMAGE, 5, 1, 20);
    struct request_part part = {.media = image, .first = 2};
    struct request request = media_request("a", &part, 1);
    struct request_log *log = submit(&request);
    uint32_t last = expected(&request, 0, 19);
    media_drop(image); // the client's reference; a leak would show under the address sanitizer
    fake_backend_go_on(&backend);
    wait_until_over(log);
    ASSERT_EQ(log->choices[0].ids[19], last);
    check_pages_are_whole();
    close_engine();
    free(log);
}

TEST(an_abort_while_its_media_are_encoded_ends_a_request)
{
    open_engine(100, 10);
    struct media *image = fake_media(MEDIA_IMAGE, 5, 1, 38);
    struct request_part part = {.media = image, .first = 0};
    for (int allowed = 0; allowed < 6; allowed++) {
        image->parts[0].key[1]++; // not found encoded
        fake_backend_hold(&backend);
        struct request request = media_request("a", &part, 1);
        struct request_log *log = submit(&request);
        fake_backend_allow(&backend, (uint64_t)allowed);
        ASSERT(engine_abort(engine, "a", NULL));
        fake_backend_go_on(&backend);
        wait_until_over(log);
        ASSERT_EQ(log->choices[0].finish.reason, FINISH_ABORT);
        free(log);
    }
    struct request request = media_request("b", &part, 1);
    struct request_log *log = submit(&request);
    wait_until_over(log);
    check_series(&request, log, 0, 20);
    ASSERT_EQ(stats_now().n_held_cache_rows, 0);
    close_engine();
    media_drop(image);
    free(log);
}

TEST(new_workers_are_given_the_media_of_those_that_waited)
{
    open_engine(100, 10);
    struct media *image = fake_media(MEDIA_IMAGE, 5, 1, 30);
    struct request_part part = {.media = image, .first = 0};
    struct request request = media_request("a", &part, 1);
    fake_backend_hold(&backend);
    struct request_log *log = submit(&request);
    struct error cause = {0};
    error_set(&cause, STATUS_UNAVAILABLE, "a worker died");
    engine_backend_lost(engine, &cause);
    fake_backend_finish(&backend);
    fake_backend_init(&backend, &limits, &kv);
    struct engine_backend again = fake_backend_for_engine(&backend);
    engine_backend_reset(engine, &again);
    wait_until_over(log);
    ASSERT(!log->failed);
    check_series(&request, log, 0, 20);
    check_pages_are_whole();
    close_engine();
    media_drop(image);
    free(log);
}

TEST(parts_that_are_none_are_refused_when_they_are_submitted)
{
    open_engine(100, 10);
    struct media *image = fake_media(MEDIA_IMAGE, 5, 1, 30);
    struct request_part parts[MEDIA_PROMPT + 1] = {{.media = image, .first = 31}};
    struct request request = media_request("a", parts, 1);
    struct error err = {0};
    ASSERT_EQ(engine_submit(engine, &request, on_event, NULL, &err), STATUS_INVALID_ARGUMENT);
    ASSERT(strstr(err.message, "media part 0"));
    request.n_parts = 2;
    ASSERT_EQ(engine_submit(engine, &request, on_event, NULL, &err), STATUS_INVALID_ARGUMENT);
    request.n_parts = MEDIA_PROMPT + 1;
    ASSERT_EQ(engine_submit(engine, &request, on_event, NULL, &err), STATUS_INVALID_ARGUMENT);
    ASSERT(strstr(err.message, "61 media parts"));
    close_engine();
    media_drop(image);
}
