/* tests/daemon/test_backend.c - the engine's side of the rings, with this process as the workers.
 */
#include "daemon/backend.h"

#include <pthread.h>
#include <unistd.h>

#include "daemon/worker_files.h"
#include "engine/ring.h"
#include "tests/test.h"

struct group {
    int files[CONTROL_N_FILES];
    struct backend *backend;
    struct engine_backend engine;
    struct ring *steps[2]; // the ranks' ends
    struct ring *results;  // rank 0's end
};

static void open_group(struct group *g)
{
    static struct worker_load load = {
        .world_size = 2,
        .limits = {.max_slots = 4,
                   .max_rows = 8,
                   .max_positions = 64,
                   .vocab_size = 100,
                   .n_groups = 1,
                   .page_tokens = 16,
                   .n_pages = {9}},
        .n_ring_slots = BACKEND_RING_SLOTS,
        .collective_bytes = 4096,
    };
    size_t bytes[CONTROL_N_FILES];
    ASSERT_OK(worker_files_bytes(&load, bytes, NULL));
    for (int i = 0; i < CONTROL_N_FILES; i++)
        ASSERT_OK(control_create_file("test", bytes[i], &g->files[i], NULL));
    ASSERT_OK(backend_create(g->files, &load.limits, 2, &g->backend, NULL));
    g->engine = backend_for_engine(g->backend);
    for (int rank = 0; rank < 2; rank++)
        ASSERT_OK(ring_open(g->files[CONTROL_STEPS], BACKEND_RING_SLOTS,
                            step_max_bytes(&load.limits), 2, rank, &g->steps[rank], NULL));
    ASSERT_OK(ring_open(g->files[CONTROL_RESULTS], BACKEND_RING_SLOTS,
                        step_result_max_bytes(&load.limits), 1, -1, &g->results, NULL));
}

static void close_group(struct group *g)
{
    backend_destroy(g->backend);
    ring_destroy(g->steps[0]);
    ring_destroy(g->steps[1]);
    ring_destroy(g->results);
    for (int i = 0; i < CONTROL_N_FILES; i++)
        close(g->files[i]);
}

static void submit(struct group *g, char mark)
{
    char *memory = g->engine.begin_step(g->engine.context);
    ASSERT(memory);
    memory[0] = mark;
    g->engine.submit_step(g->engine.context, 1);
}

// What a rank does with a step: reads it, and rank 0 answers with the same byte.
static void run_step(struct group *g, char mark)
{
    const void *message;
    size_t n;
    for (int rank = 0; rank < 2; rank++) {
        ASSERT_OK(ring_read(g->steps[rank], 0, &message, &n));
        ASSERT_EQ(*(const char *)message, mark);
        ring_release(g->steps[rank]);
    }
    *(char *)ring_begin_write(g->results) = mark;
    ring_publish(g->results, 1);
}

static void take_result(struct group *g, char mark)
{
    const void *message;
    size_t n;
    ASSERT_OK(g->engine.read_result(g->engine.context, 0, &message, &n));
    ASSERT_EQ(*(const char *)message, mark);
    g->engine.release_result(g->engine.context);
}

TEST(two_steps_are_in_flight_and_not_three)
{
    struct group g;
    open_group(&g);
    for (char mark = 'a'; mark < 'z'; mark += 2) {
        submit(&g, mark);
        submit(&g, (char)(mark + 1));
        ASSERT(!g.engine.begin_step(g.engine.context));
        run_step(&g, mark);
        ASSERT(!g.engine.begin_step(g.engine.context)); // until its result is taken
        take_result(&g, mark);
        ASSERT(g.engine.begin_step(g.engine.context));
        run_step(&g, (char)(mark + 1));
        take_result(&g, (char)(mark + 1));
    }
    close_group(&g);
}

static void submit_masks(struct group *g, char mark)
{
    char *memory = g->engine.begin_masks(g->engine.context);
    ASSERT(memory);
    memory[0] = mark;
    g->engine.submit_masks(g->engine.context, 1);
}

TEST(masks_stand_behind_their_step_and_there_is_room_before_a_step_is_released)
{
    struct group g;
    open_group(&g);
    submit(&g, 'a');
    submit_masks(&g, 'A');
    for (int i = 0; i < 20; i++) {
        char mark = (char)('a' + i);
        submit(&g, (char)(mark + 1));
        submit_masks(&g, (char)(mark - 'a' + 'A' + 1));
        const void *step, *masks;
        size_t n;
        for (int rank = 0; rank < 2; rank++) {
            ASSERT_OK(ring_read(g.steps[rank], 0, &step, &n));
            ASSERT_OK(ring_read(g.steps[rank], 0, &masks, &n));
            ASSERT_EQ(*(const char *)step, mark);
            ASSERT_EQ(*(const char *)masks, mark - 'a' + 'A');
        }
        *(char *)ring_begin_write(g.results) = mark;
        ring_publish(g.results, 1);
        take_result(&g, mark);
        ASSERT(g.engine.begin_step(g.engine.context));
        for (int rank = 0; rank < 2; rank++) {
            ring_release(g.steps[rank]);
            ring_release(g.steps[rank]);
        }
    }
    close_group(&g);
}

static void *wake_engine(void *argument)
{
    struct group *g = argument;
    g->engine.wake(g->engine.context);
    return NULL;
}

TEST(a_wake_ends_a_wait_and_a_worker_that_closes_its_ring_all_of_them)
{
    struct group g;
    open_group(&g);
    const void *message;
    size_t n;
    pthread_t thread;
    ASSERT_EQ(pthread_create(&thread, NULL, wake_engine, &g), 0);
    ASSERT_EQ(g.engine.read_result(g.engine.context, UINT64_MAX, &message, &n),
              STATUS_DEADLINE_EXCEEDED);
    pthread_join(thread, NULL);
    ring_close(g.results);
    ASSERT_EQ(g.engine.read_result(g.engine.context, UINT64_MAX, &message, &n), STATUS_UNAVAILABLE);
    close_group(&g);
}
