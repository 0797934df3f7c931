/* media/child_pool.c - one thread, the keeper, starts the children: a child dies with the thread
 * that started it, and callers' threads come and go.
 *
 * A place is empty (the keeper may start a child there), free, or busy (its caller alone touches
 * it). One child is always kept ready; callers that find none free wait, and the keeper starts more
 * while there are any. */
#include "media/child_pool.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include "base/clock.h"
#include "base/mem.h"

#define RESTART_DELAY_NS (200 * NS_PER_MS) /* where a child cannot be started */

enum place_state { PLACE_EMPTY, PLACE_FREE, PLACE_BUSY };

struct place {
    struct media_child child; /* first: callers hold its address */
    enum place_state state;
};

struct child_pool {
    char *program;
    uint64_t max_child_bytes;
    uint32_t n_places;
    pthread_mutex_t mutex;
    pthread_cond_t freed;  /* callers wait for a free child */
    pthread_cond_t needed; /* the keeper waits for callers */
    struct place places[CHILD_POOL_MAX_CHILDREN];
    uint32_t n_waiting;
    bool stopping;
    bool tried; /* to start the first; start_error says how it went */
    struct error start_error;
    pthread_t keeper;
};

static struct place *find_place(struct child_pool *pool, enum place_state state)
{
    for (uint32_t i = 0; i < pool->n_places; i++)
        if (pool->places[i].state == state)
            return &pool->places[i];
    return NULL;
}

static int wait_until(pthread_cond_t *cond, pthread_mutex_t *mutex, uint64_t end_ns)
{
    struct timespec end = {(time_t)(end_ns / NS_PER_S), (long)(end_ns % NS_PER_S)};
    return pthread_cond_timedwait(cond, mutex, &end);
}

static struct place *place_to_fill(struct child_pool *pool)
{
    bool free_one = find_place(pool, PLACE_FREE);
    bool wanted = !free_one && (pool->n_waiting > 0 || !find_place(pool, PLACE_BUSY));
    return wanted ? find_place(pool, PLACE_EMPTY) : NULL;
}

// With the mutex, which is open while the child starts.
static void fill(struct child_pool *pool, struct place *place)
{
    struct media_child child = {0};
    struct error err = {0};
    pthread_mutex_unlock(&pool->mutex);
    enum status st = media_child_start(pool->program, pool->max_child_bytes, &child, &err);
    pthread_mutex_lock(&pool->mutex);
    pool->tried = true;
    pool->start_error = err;
    if (st == STATUS_OK)
        *place = (struct place){child, PLACE_FREE};
    pthread_cond_broadcast(&pool->freed);
    if (st != STATUS_OK && !pool->stopping)
        wait_until(&pool->needed, &pool->mutex, clock_now_ns() + RESTART_DELAY_NS);
}

static void *keep(void *argument)
{
    struct child_pool *pool = argument;
    pthread_mutex_lock(&pool->mutex);
    while (!pool->stopping) {
        struct place *place = place_to_fill(pool);
        if (place)
            fill(pool, place);
        else
            pthread_cond_wait(&pool->needed, &pool->mutex);
    }
    for (uint32_t i = 0; i < pool->n_places; i++)
        media_child_kill(&pool->places[i].child);
    pthread_mutex_unlock(&pool->mutex);
    return NULL;
}

static void init_locks(struct child_pool *pool)
{
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_mutex_init(&pool->mutex, NULL);
    pthread_cond_init(&pool->freed, &monotonic);
    pthread_cond_init(&pool->needed, &monotonic);
    pthread_condattr_destroy(&monotonic);
}

enum status child_pool_create(const char *program, uint32_t n_children, uint64_t max_child_bytes,
                              struct child_pool **out, struct error *err)
{
    if (n_children < 1 || n_children > CHILD_POOL_MAX_CHILDREN)
        return error_set(err, STATUS_INVALID_ARGUMENT, "media: %u decoders: 1 to %d are possible",
                         n_children, CHILD_POOL_MAX_CHILDREN);
    struct child_pool *pool = mem_zeroed(1, sizeof *pool);
    pool->program = mem_strdup(program);
    pool->max_child_bytes = max_child_bytes;
    pool->n_places = n_children;
    init_locks(pool);
    CHECK(pthread_create(&pool->keeper, NULL, keep, pool) == 0);
    pthread_mutex_lock(&pool->mutex);
    while (!pool->tried)
        pthread_cond_wait(&pool->freed, &pool->mutex);
    struct error start_error = pool->start_error;
    pthread_mutex_unlock(&pool->mutex);
    if (start_error.status != STATUS_OK) {
        child_pool_destroy(pool);
        return error_set(err, start_error.status, "%s", start_error.message);
    }
    *out = pool;
    return STATUS_OK;
}

void child_pool_destroy(struct child_pool *pool)
{
    if (!pool)
        return;
    pthread_mutex_lock(&pool->mutex);
    pool->stopping = true;
    pthread_cond_signal(&pool->needed);
    pthread_mutex_unlock(&pool->mutex);
    pthread_join(pool->keeper, NULL);
    pthread_cond_destroy(&pool->freed);
    pthread_cond_destroy(&pool->needed);
    pthread_mutex_destroy(&pool->mutex);
    free(pool->program);
    free(pool);
}

enum status child_pool_take(struct child_pool *pool, uint64_t timeout_ns, struct media_child **out,
                            struct error *err)
{
    uint64_t end_ns = clock_now_ns() + timeout_ns;
    struct place *place;
    int failed = 0;
    pthread_mutex_lock(&pool->mutex);
    pool->n_waiting++;
    while (!(place = find_place(pool, PLACE_FREE)) && failed != ETIMEDOUT) {
        pthread_cond_signal(&pool->needed);
        failed = wait_until(&pool->freed, &pool->mutex, end_ns);
    }
    pool->n_waiting--;
    if (place)
        place->state = PLACE_BUSY;
    pthread_mutex_unlock(&pool->mutex);
    if (!place)
        return error_set(err, STATUS_RESOURCE_EXHAUSTED,
                         "no media decoder came free in %" PRIu64 " ms", timeout_ns / NS_PER_MS);
    *out = &place->child;
    return STATUS_OK;
}

void child_pool_give_back(struct child_pool *pool, struct media_child *child, bool usable)
{
    struct place *place = (struct place *)child;
    if (!usable)
        media_child_kill(child);
    pthread_mutex_lock(&pool->mutex);
    place->state = usable ? PLACE_FREE : PLACE_EMPTY;
    pthread_cond_signal(usable ? &pool->freed : &pool->needed);
    pthread_mutex_unlock(&pool->mutex);
}
