/* gateway/http_pool.c - jobs wait in one list; there are no more of them than calls that the server
 * admits.
 *
 * The watcher looks at the sockets of calls that were suspended, because the library does not: a
 * client that hangs up during a long answer would be found only by writing to it. It knows calls by
 * their number, since a call may be gone when the news of its socket is read. */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "gateway/http_thread.h"

#define LOOK_MS 500 // for clients that do not read
#define MAX_NEWS 64

struct pool_thread {
    struct http_pool *pool;
    pthread_t thread;
    void *state;
};

struct http_pool {
    struct http_server *server;
    struct pool_thread *threads;
    uint32_t n_threads;
    pthread_t watcher;
    int news; // epoll
    int stop; // eventfd

    pthread_mutex_t lock;
    pthread_cond_t changed;
    // Under the lock.
    struct http_call *first, **last;
    bool stopping;
};

static struct http_call *take_job(struct http_pool *pool)
{
    pthread_mutex_lock(&pool->lock);
    while (!pool->first && !pool->stopping)
        pthread_cond_wait(&pool->changed, &pool->lock);
    struct http_call *call = pool->first;
    if (call) {
        pool->first = call->next_job;
        if (!pool->first)
            pool->last = &pool->first;
    }
    pthread_mutex_unlock(&pool->lock);
    return call;
}

static void run_job(struct pool_thread *thread, struct http_call *call)
{
    pthread_mutex_lock(&call->lock);
    bool gone = call->gone;
    pthread_mutex_unlock(&call->lock);
    call->thread_state = &thread->state;
    if (!gone)
        call->route->on_request(call, call->body.data ? call->body.data : "", call->body.length);
    call->thread_state = NULL;
    pthread_mutex_lock(&call->lock);
    call->working = false;
    pthread_mutex_unlock(&call->lock);
    http_call_wake(call);
    http_call_drop(call);
}

static void *run_thread(void *argument)
{
    struct pool_thread *thread = argument;
    struct http_call *call;
    while ((call = take_job(thread->pool)))
        run_job(thread, call);
    return NULL;
}

void http_pool_submit(struct http_pool *pool, struct http_call *call)
{
    http_call_ref(call);
    pthread_mutex_lock(&pool->lock);
    call->next_job = NULL;
    *pool->last = call;
    pool->last = &call->next_job;
    pthread_cond_signal(&pool->changed);
    pthread_mutex_unlock(&pool->lock);
}

void http_pool_watch(struct http_pool *pool, struct http_call *call)
{
    struct epoll_event event = {.events = EPOLLRDHUP | EPOLLONESHOT, .data.u64 = call->id};
    epoll_ctl(pool->news, EPOLL_CTL_ADD, call->socket, &event);
}

void http_pool_unwatch(struct http_pool *pool, struct http_call *call)
{
    epoll_ctl(pool->news, EPOLL_CTL_DEL, call->socket, NULL);
}

// With a reference, or NULL.
static struct http_call *find_call(struct http_server *server, uint64_t id)
{
    pthread_mutex_lock(&server->lock);
    struct http_call *call = server->calls;
    while (call && call->id != id)
        call = call->next;
    if (call)
        http_call_ref(call);
    pthread_mutex_unlock(&server->lock);
    return call;
}

static bool is_stuck(struct http_call *call, uint64_t now_ns)
{
    if (atomic_load(&call->streaming))
        return call->route->is_stuck(call);
    return !atomic_load(&call->whole) && now_ns - call->began_ns > call->server->config.body_ns;
}

// Clients that do not read what they asked for, or never end to ask. No lock is held meanwhile.
static void cut_stuck(struct http_server *server)
{
    pthread_mutex_lock(&server->lock);
    struct http_call **calls = mem_zeroed(server->n_open, sizeof(struct http_call *));
    uint32_t n = 0;
    uint64_t now_ns = clock_now_ns();
    for (struct http_call *call = server->calls; call; call = call->next) {
        if (atomic_load(&call->whole) && !atomic_load(&call->streaming))
            continue;
        http_call_ref(call);
        calls[n++] = call;
    }
    pthread_mutex_unlock(&server->lock);
    for (uint32_t i = 0; i < n; i++) {
        if (is_stuck(calls[i], now_ns))
            http_call_cut(calls[i]);
        http_call_drop(calls[i]);
    }
    free(calls);
}

static void *run_watcher(void *argument)
{
    struct http_pool *pool = argument;
    struct epoll_event events[MAX_NEWS];
    uint64_t looked_ns = clock_now_ns();
    for (;;) {
        int n = epoll_wait(pool->news, events, MAX_NEWS, LOOK_MS);
        CHECK(n >= 0 || errno == EINTR);
        for (int i = 0; i < n; i++) {
            if (events[i].data.u64 == 0) // no call: the end
                return NULL;
            struct http_call *call = find_call(pool->server, events[i].data.u64);
            if (!call)
                continue;
            http_call_cut(call);
            http_call_drop(call);
        }
        if (clock_now_ns() - looked_ns < LOOK_MS * NS_PER_MS)
            continue;
        looked_ns = clock_now_ns();
        cut_stuck(pool->server);
    }
}

static void start_threads(struct http_pool *pool)
{
    // Signals are the main thread's.
    sigset_t all;
    sigset_t before;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &before);
    for (uint32_t i = 0; i < pool->n_threads; i++) {
        pool->threads[i].pool = pool;
        CHECK(pthread_create(&pool->threads[i].thread, NULL, run_thread, &pool->threads[i]) == 0);
    }
    CHECK(pthread_create(&pool->watcher, NULL, run_watcher, pool) == 0);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

enum status http_pool_create(struct http_server *server, struct http_pool **out, struct error *err)
{
    int news = epoll_create1(EPOLL_CLOEXEC);
    int stop = eventfd(0, EFD_CLOEXEC);
    struct epoll_event event = {.events = EPOLLIN};
    if (news < 0 || stop < 0 || epoll_ctl(news, EPOLL_CTL_ADD, stop, &event) != 0) {
        close(news);
        close(stop);
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "HTTP: no file descriptors are left");
    }
    struct http_pool *pool = mem_zeroed(1, sizeof *pool);
    pool->server = server;
    pool->news = news;
    pool->stop = stop;
    pool->last = &pool->first;
    pool->n_threads = server->config.n_threads;
    pool->threads = mem_zeroed(pool->n_threads, sizeof *pool->threads);
    pthread_mutex_init(&pool->lock, NULL);
    pthread_cond_init(&pool->changed, NULL);
    start_threads(pool);
    *out = pool;
    return STATUS_OK;
}

void http_pool_destroy(struct http_pool *pool)
{
    if (!pool)
        return;
    uint64_t one = 1;
    CHECK(write(pool->stop, &one, sizeof one) == sizeof one);
    pthread_mutex_lock(&pool->lock);
    pool->stopping = true;
    pthread_cond_broadcast(&pool->changed);
    pthread_mutex_unlock(&pool->lock);
    pthread_join(pool->watcher, NULL);
    for (uint32_t i = 0; i < pool->n_threads; i++) {
        pthread_join(pool->threads[i].thread, NULL);
        if (pool->server->config.free_thread_state)
            pool->server->config.free_thread_state(pool->threads[i].state);
    }
    close(pool->news);
    close(pool->stop);
    pthread_cond_destroy(&pool->changed);
    pthread_mutex_destroy(&pool->lock);
    free(pool->threads);
    free(pool);
}
