/* gateway/http_call.c - the life of a call: the connection is suspended while there is nothing to
 * say, and resumed by whoever has something.
 *
 * A wake-up that comes before the connection is suspended is remembered, so none is lost: suspend
 * and wake decide under the call's lock. While a thread of the pool has the call, a wake-up only
 * leaves its mark; the thread resumes the connection when it is done.
 * Invariant: suspended implies that the library knows the connection as suspended. */
#include "gateway/http_call.h"

#include <stdlib.h>
#include <sys/socket.h>

#include <microhttpd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "gateway/http_thread.h"
#include "gateway/openai_error.h"

void *http_call_service(const struct http_call *call)
{
    return call->route->service;
}

const char *http_call_rest(const struct http_call *call)
{
    return call->rest;
}

void http_call_set_state(struct http_call *call, void *state)
{
    call->state = state;
}

void *http_call_state(const struct http_call *call)
{
    return call->state;
}

void **http_call_thread_state(const struct http_call *call)
{
    return call->thread_state;
}

void http_call_answer(struct http_call *call, unsigned code, const char *content_type,
                      struct text_buffer *body)
{
    CHECK(!call->answered && !call->streaming);
    call->answered = true;
    call->code = code;
    call->content_type = content_type;
    call->reply = *body;
    *body = (struct text_buffer){0};
}

void http_call_fail(struct http_call *call, const struct error *err)
{
    struct text_buffer body = {0};
    openai_error_write(&body, err);
    http_call_answer(call, openai_error_http_code(err->status), "application/json", &body);
}

void http_call_stream(struct http_call *call, const char *content_type)
{
    CHECK(!call->answered && !call->streaming);
    call->streaming = true;
    call->code = MHD_HTTP_OK;
    call->content_type = content_type;
}

struct http_call *http_call_create(struct http_server *server, struct MHD_Connection *connection)
{
    struct http_call *call = mem_zeroed(1, sizeof *call);
    call->n_refs = 1; // the server's, until it is closed
    call->server = server;
    call->began_ns = clock_now_ns();
    call->connection = connection;
    call->socket =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd;
    pthread_mutex_init(&call->lock, NULL);
    pthread_mutex_lock(&server->lock);
    call->id = ++server->n_ever;
    call->next = server->calls;
    if (call->next)
        call->next->prev = call;
    server->calls = call;
    server->n_calls++;
    server->n_open++;
    pthread_mutex_unlock(&server->lock);
    return call;
}

void http_call_ref(struct http_call *call)
{
    atomic_fetch_add_explicit(&call->n_refs, 1, memory_order_relaxed);
}

void http_call_drop(struct http_call *call)
{
    if (atomic_fetch_sub_explicit(&call->n_refs, 1, memory_order_acq_rel) != 1)
        return;
    struct http_server *server = call->server;
    if (call->route && call->route->free_state)
        call->route->free_state(call->state);
    atomic_fetch_sub(&server->n_body_bytes, call->body.length);
    text_buffer_finish(&call->body);
    text_buffer_finish(&call->reply);
    free(call->rest);
    pthread_mutex_destroy(&call->lock);
    free(call);
    pthread_mutex_lock(&server->lock);
    server->n_calls--;
    pthread_cond_broadcast(&server->changed);
    pthread_mutex_unlock(&server->lock);
}

void http_call_close(struct http_call *call)
{
    struct http_server *server = call->server;
    if (call->watched)
        http_pool_unwatch(server->pool, call);
    pthread_mutex_lock(&call->lock);
    call->connection = NULL;
    call->gone = true;
    pthread_mutex_unlock(&call->lock);
    if (call->route && call->route->on_closed)
        call->route->on_closed(call);
    if (call->counted)
        atomic_fetch_sub(&server->n_heavy, 1);
    pthread_mutex_lock(&server->lock);
    if (call->prev)
        call->prev->next = call->next;
    else
        server->calls = call->next;
    if (call->next)
        call->next->prev = call->prev;
    server->n_open--;
    pthread_cond_broadcast(&server->changed);
    pthread_mutex_unlock(&server->lock);
    http_call_drop(call);
}

bool http_call_begin_work(struct http_call *call)
{
    pthread_mutex_lock(&call->lock);
    call->working = !atomic_load(&call->server->closing);
    bool working = call->working;
    pthread_mutex_unlock(&call->lock);
    if (working)
        http_pool_submit(call->server->pool, call);
    return working;
}

enum http_pause http_call_pause(struct http_call *call)
{
    if (!call->watched)
        http_pool_watch(call->server->pool, call);
    call->watched = true;
    enum http_pause pause = HTTP_PAUSED;
    pthread_mutex_lock(&call->lock);
    if (!call->working && (call->gone || atomic_load(&call->server->closing)))
        pause = HTTP_CUT;
    else if (!call->working && call->woken)
        pause = HTTP_WOKEN;
    call->suspended = pause == HTTP_PAUSED;
    if (call->suspended)
        MHD_suspend_connection(call->connection);
    pthread_mutex_unlock(&call->lock);
    return pause;
}

// Under the lock.
static void resume(struct http_call *call)
{
    if (!call->suspended || call->working)
        return;
    call->suspended = false;
    MHD_resume_connection(call->connection);
}

void http_call_wake(struct http_call *call)
{
    pthread_mutex_lock(&call->lock);
    call->woken = true;
    resume(call);
    pthread_mutex_unlock(&call->lock);
}

void http_call_cut(struct http_call *call)
{
    pthread_mutex_lock(&call->lock);
    call->gone = call->woken = true;
    if (call->connection)
        shutdown(call->socket, SHUT_RDWR);
    resume(call);
    pthread_mutex_unlock(&call->lock);
}
