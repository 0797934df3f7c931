/* gateway/http_server.c - the library's callbacks: a request comes in pieces, is dispatched when it
 * is whole, and its answer goes out.
 *
 * What is wrong with a request's head (path, method, key, type, size) is answered without reading
 * its body where that is huge; else the body is read and thrown away first, because a client that
 * still sends would see its connection reset instead of the answer. */
#include "gateway/http_server.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/random.h>
#include <unistd.h>

#include <microhttpd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "gateway/http_listen.h"
#include "gateway/http_thread.h"

#define DEFAULT_THREADS 4
#define STREAM_BLOCK_BYTES ((size_t)32 << 10)
/* A body that is refused is read up to here; the connection of a longer one is closed. */
#define MAX_SKIPPED_BYTES (2 * HTTP_MAX_BODY_BYTES)

static const char *header(struct MHD_Connection *connection, const char *name)
{
    return MHD_lookup_connection_value(connection, MHD_HEADER_KIND, name);
}

static void refuse(struct http_call *call, enum status status, unsigned code, const char *why)
{
    if (call->code)
        return;
    error_set(&call->refused, status, "%s", why);
    call->code = code;
}

// HEAD goes where GET goes; the library leaves the body out.
static void find_route(struct http_call *call, const char *method, const char *path)
{
    const struct http_server_config *config = &call->server->config;
    if (strcmp(method, "HEAD") == 0)
        method = "GET";
    for (size_t i = 0; i < config->n_routes; i++) {
        const struct http_route *route = &config->routes[i];
        size_t n = strlen(route->path);
        if (route->below ? strncmp(route->path, path, n) != 0 : strcmp(route->path, path) != 0)
            continue;
        if (strcmp(route->method, method) == 0) {
            call->route = route;
            free(call->rest);
            call->rest = mem_strdup(path + n);
        } else
            call->allow = strcmp(route->method, "GET") == 0 ? "GET, HEAD" : route->method;
    }
}

// The client's own, if it is short and printable; else a random one.
static void choose_request_id(struct http_call *call)
{
    const char *own = header(call->connection, "X-Request-Id");
    size_t n = own ? strlen(own) : 0;
    bool printable = n > 0 && n <= HTTP_MAX_REQUEST_ID_BYTES;
    for (size_t i = 0; printable && i < n; i++)
        printable = own[i] > ' ' && own[i] < 0x7F;
    uint64_t random[2];
    CHECK(getrandom(random, sizeof random, 0) == sizeof random);
    if (printable)
        memcpy(call->request_id, own, n + 1);
    else
        snprintf(call->request_id, sizeof call->request_id, "req_%016llx%016llx",
                 (unsigned long long)random[0], (unsigned long long)random[1]);
}

static void check_key(struct http_call *call)
{
    const char *authorization = header(call->connection, "Authorization");
    const char *api_key = header(call->connection, "X-Api-Key");
    const struct auth_headers headers = {
        .authorization = authorization,
        .n_authorization = authorization ? strlen(authorization) : 0,
        .api_key = api_key,
        .n_api_key = api_key ? strlen(api_key) : 0,
    };
    struct error err = {0};
    if (call->route && call->route->open)
        return;
    if (auth_check(call->server->config.auth, &headers, &err) != STATUS_OK)
        refuse(call, err.status, MHD_HTTP_UNAUTHORIZED, err.message);
}

static uint64_t content_length(struct http_call *call)
{
    const char *length = header(call->connection, "Content-Length");
    return length ? strtoull(length, NULL, 10) : 0;
}

static enum MHD_Result count_framing(void *n, enum MHD_ValueKind kind, const char *key,
                                     const char *value)
{
    (void)kind;
    (void)value;
    if (strcasecmp(key, "Content-Length") == 0 || strcasecmp(key, "Transfer-Encoding") == 0)
        ++*(unsigned *)n;
    return MHD_YES;
}

// A proxy before us may have read a body with two lengths the other way, and take what we answer
// to its rest for the answer to somebody else's request (RFC 9112, section 11.2).
static void check_framing(struct http_call *call)
{
    unsigned n = 0;
    MHD_get_connection_values(call->connection, MHD_HEADER_KIND, count_framing, &n);
    call->misframed = n > 1;
    if (call->misframed)
        refuse(call, STATUS_INVALID_ARGUMENT, MHD_HTTP_BAD_REQUEST,
               "more than one of Content-Length and Transfer-Encoding");
}

static void check_body(struct http_call *call)
{
    const char *type = header(call->connection, "Content-Type");
    static const char json[] = "application/json";
    size_t n = sizeof json - 1;
    if (call->route && strcmp(call->route->method, "POST") == 0 && type &&
        (strncasecmp(type, json, n) != 0 || (type[n] && !strchr("; \t", type[n]))))
        refuse(call, STATUS_INVALID_ARGUMENT, MHD_HTTP_UNSUPPORTED_MEDIA_TYPE,
               "Content-Type: must be application/json");
    if (content_length(call) > HTTP_MAX_BODY_BYTES)
        refuse(call, STATUS_INVALID_ARGUMENT, MHD_HTTP_CONTENT_TOO_LARGE,
               "the body is larger than 64 MiB");
}

// Keys come before paths: which paths exist is for those to know who may call.
static void take_head(struct http_call *call, const char *method, const char *path)
{
    choose_request_id(call);
    check_framing(call);
    find_route(call, method, path);
    check_key(call);
    if (!call->route && call->allow)
        refuse(call, STATUS_INVALID_ARGUMENT, MHD_HTTP_METHOD_NOT_ALLOWED,
               "the path has no such method");
    else if (!call->route)
        refuse(call, STATUS_NOT_FOUND, MHD_HTTP_NOT_FOUND, "there is no such path");
    check_body(call);
    if (atomic_load(&call->server->closing))
        refuse(call, STATUS_UNAVAILABLE, MHD_HTTP_SERVICE_UNAVAILABLE, "the server is stopping");
}

static enum MHD_Result take_body(struct http_call *call, const char *bytes, size_t n)
{
    struct http_server *server = call->server;
    call->n_body += n;
    if (call->n_body > HTTP_MAX_BODY_BYTES)
        refuse(call, STATUS_INVALID_ARGUMENT, MHD_HTTP_CONTENT_TOO_LARGE,
               "the body is larger than 64 MiB");
    if (call->n_body > MAX_SKIPPED_BYTES)
        return MHD_NO;
    if (call->code)
        return MHD_YES;
    if (atomic_fetch_add(&server->n_body_bytes, n) + n > HTTP_MAX_ALL_BODIES_BYTES) {
        atomic_fetch_sub(&server->n_body_bytes, n);
        refuse(call, STATUS_UNAVAILABLE, MHD_HTTP_SERVICE_UNAVAILABLE,
               "too many large requests at once");
        return MHD_YES;
    }
    text_buffer_append(&call->body, bytes, n);
    return MHD_YES;
}

static void add_headers(const struct http_call *call, struct MHD_Response *response)
{
    MHD_add_response_header(response, "Content-Type", call->content_type);
    MHD_add_response_header(response, "X-Request-Id", call->request_id);
    MHD_add_response_header(response, "X-Content-Type-Options", "nosniff");
    // The rest of the page's policy stands in the page; this part only a header may say.
    MHD_add_response_header(response, "Content-Security-Policy", "frame-ancestors 'none'");
    if (atomic_load(&call->streaming))
        MHD_add_response_header(response, "Cache-Control", "no-cache");
    if (call->code == MHD_HTTP_METHOD_NOT_ALLOWED)
        MHD_add_response_header(response, "Allow", call->allow);
    if (call->code == MHD_HTTP_UNAUTHORIZED)
        MHD_add_response_header(response, "WWW-Authenticate", "Bearer");
    if (call->code == MHD_HTTP_SERVICE_UNAVAILABLE || call->code == MHD_HTTP_TOO_MANY_REQUESTS)
        MHD_add_response_header(response, "Retry-After", "1");
    if (call->misframed)
        MHD_add_response_header(response, "Connection", "close");
}

// The reader of a stream: what was said and not taken, then what next says.
static ssize_t read_stream(void *context, uint64_t position, char *out, size_t max)
{
    (void)position;
    struct http_call *call = context;
    while (call->n_taken == call->reply.length) {
        text_buffer_clear(&call->reply);
        call->n_taken = 0;
        if (call->ended)
            return MHD_CONTENT_READER_END_OF_STREAM;
        pthread_mutex_lock(&call->lock);
        call->woken = false;
        bool gone = call->gone;
        pthread_mutex_unlock(&call->lock);
        if (gone)
            return MHD_CONTENT_READER_END_WITH_ERROR;
        call->ended = !call->route->next(call, &call->reply);
        if (call->reply.length > 0 || call->ended)
            continue;
        enum http_pause pause = http_call_pause(call);
        if (pause == HTTP_CUT)
            return MHD_CONTENT_READER_END_WITH_ERROR;
        if (pause == HTTP_PAUSED)
            return 0;
    }
    size_t n = call->reply.length - call->n_taken;
    n = n < max ? n : max;
    memcpy(out, call->reply.data + call->n_taken, n);
    call->n_taken += n;
    return (ssize_t)n;
}

static void free_stream(void *context)
{
    http_call_drop(context);
}

static struct MHD_Response *make_response(struct http_call *call)
{
    if (atomic_load(&call->streaming)) {
        http_call_ref(call);
        return MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, STREAM_BLOCK_BYTES, read_stream,
                                                 call, free_stream);
    }
    size_t n = call->reply.length;
    return MHD_create_response_from_buffer(n, text_buffer_release(&call->reply),
                                           MHD_RESPMEM_MUST_FREE);
}

static enum MHD_Result send_response(struct http_call *call)
{
    struct MHD_Response *response = make_response(call);
    CHECK(response); // no memory, otherwise
    add_headers(call, response);
    enum MHD_Result result = MHD_queue_response(call->connection, call->code, response);
    MHD_destroy_response(response);
    return result;
}

static enum MHD_Result send_refusal(struct http_call *call)
{
    unsigned code = call->code;
    http_call_fail(call, &call->refused);
    call->code = code;
    return send_response(call);
}

static void dispatch(struct http_call *call)
{
    struct http_server *server = call->server;
    call->dispatched = true;
    if (!call->route->heavy) {
        call->route->on_request(call, call->body.data ? call->body.data : "", call->body.length);
        return;
    }
    struct error err = {0};
    call->counted = true;
    if (atomic_fetch_add(&server->n_heavy, 1) >= HTTP_MAX_CALLS)
        error_set(&err, STATUS_RESOURCE_EXHAUSTED, "too many requests at once");
    else if (!http_call_begin_work(call))
        error_set(&err, STATUS_UNAVAILABLE, "the server is stopping");
    if (err.status != STATUS_OK)
        http_call_fail(call, &err);
}

// The request is whole: goes on as far as it goes now.
static enum MHD_Result advance(struct http_call *call)
{
    atomic_store(&call->whole, true);
    if (call->code && !call->dispatched)
        return send_refusal(call);
    if (!call->dispatched)
        dispatch(call);
    for (;;) {
        pthread_mutex_lock(&call->lock);
        bool working = call->working;
        bool woken = call->woken && !working;
        if (woken)
            call->woken = false;
        bool gone = call->gone && !working;
        pthread_mutex_unlock(&call->lock);
        if (gone)
            return MHD_NO;
        if (!working && (call->answered || atomic_load(&call->streaming)))
            return send_response(call);
        if (woken) {
            call->route->on_wake(call);
            continue;
        }
        enum http_pause pause = http_call_pause(call);
        if (pause != HTTP_WOKEN)
            return pause == HTTP_PAUSED ? MHD_YES : MHD_NO;
    }
}

static enum MHD_Result on_access(void *context, struct MHD_Connection *connection, const char *url,
                                 const char *method, const char *version, const char *bytes,
                                 size_t *n_bytes, void **slot)
{
    (void)version;
    struct http_server *server = context;
    struct http_call *call = *slot;
    if (!call) {
        call = http_call_create(server, connection);
        *slot = call;
        take_head(call, method, url);
        bool close = call->misframed || content_length(call) > MAX_SKIPPED_BYTES;
        return close ? send_refusal(call) : MHD_YES;
    }
    if (*n_bytes > 0) {
        enum MHD_Result result = take_body(call, bytes, *n_bytes);
        *n_bytes = 0;
        return result;
    }
    return advance(call);
}

static void on_completed(void *context, struct MHD_Connection *connection, void **slot,
                         enum MHD_RequestTerminationCode how)
{
    (void)context;
    (void)connection;
    (void)how;
    if (*slot)
        http_call_close(*slot);
    *slot = NULL;
}

static void on_library_log(void *context, const char *format, va_list arguments)
{
    (void)context;
    char line[256];
    vsnprintf(line, sizeof line, format, arguments);
    line[strcspn(line, "\n")] = '\0';
    log_debug("http", "%s", line);
}

static enum status start_daemon(struct http_server *server, struct error *err)
{
    server->daemon = MHD_start_daemon(
        MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG, 0, NULL, NULL,
        on_access, server, MHD_OPTION_EXTERNAL_LOGGER, on_library_log, NULL,
        MHD_OPTION_LISTEN_SOCKET, server->socket, MHD_OPTION_NOTIFY_COMPLETED, on_completed, NULL,
        MHD_OPTION_CONNECTION_LIMIT, HTTP_MAX_CONNECTIONS, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
        HTTP_MAX_HEADER_BYTES, MHD_OPTION_CONNECTION_TIMEOUT, HTTP_IDLE_SECONDS,
        MHD_OPTION_STRICT_FOR_CLIENT, 1, MHD_OPTION_END);
    if (!server->daemon)
        return error_set(err, STATUS_UNAVAILABLE, "HTTP address %s: the server does not start",
                         server->address);
    server->socket = -1; // the daemon's
    return STATUS_OK;
}

enum status http_server_create(const struct http_server_config *config, struct http_server **out,
                               struct error *err)
{
    struct http_server *server = mem_zeroed(1, sizeof *server);
    server->config = *config;
    if (!server->config.n_threads)
        server->config.n_threads = DEFAULT_THREADS;
    if (!server->config.body_ns)
        server->config.body_ns = HTTP_BODY_SECONDS * NS_PER_S;
    server->socket = -1;
    pthread_mutex_init(&server->lock, NULL);
    pthread_cond_init(&server->changed, NULL);
    enum status st = http_listen(config->listen, &server->socket, &server->address, err);
    if (st == STATUS_OK)
        st = http_pool_create(server, &server->pool, err);
    if (st == STATUS_OK)
        st = start_daemon(server, err);
    if (st == STATUS_OK)
        *out = server;
    else
        http_server_destroy(server);
    return st;
}

const char *http_server_address(const struct http_server *server)
{
    return server->address;
}

// Under the server's lock: until no call is open, or the time is over.
static void wait_for_calls(struct http_server *server, uint64_t grace_ns)
{
    struct timespec end;
    clock_gettime(CLOCK_REALTIME, &end);
    end.tv_sec += (time_t)(grace_ns / NS_PER_S);
    end.tv_nsec += (long)(grace_ns % NS_PER_S);
    if (end.tv_nsec >= (long)NS_PER_S) {
        end.tv_sec++;
        end.tv_nsec -= (long)NS_PER_S;
    }
    while (server->n_open > 0 &&
           pthread_cond_timedwait(&server->changed, &server->lock, &end) == 0) {
    }
}

// A connection that is suspended cannot be closed, so each is resumed, once the pool let go of it.
static void cut_calls(struct http_server *server)
{
    for (bool suspended = true; suspended;) {
        suspended = false;
        pthread_mutex_lock(&server->lock);
        for (struct http_call *call = server->calls; call; call = call->next) {
            http_call_cut(call);
            pthread_mutex_lock(&call->lock);
            suspended |= call->suspended || call->working;
            pthread_mutex_unlock(&call->lock);
        }
        pthread_mutex_unlock(&server->lock);
        if (suspended)
            nanosleep(&(struct timespec){.tv_nsec = (long)NS_PER_MS}, NULL);
    }
}

void http_server_shutdown(struct http_server *server, uint64_t grace_ns)
{
    if (!server->daemon)
        return;
    int socket = MHD_quiesce_daemon(server->daemon);
    if (socket >= 0)
        close(socket);
    pthread_mutex_lock(&server->lock);
    wait_for_calls(server, grace_ns);
    pthread_mutex_unlock(&server->lock);
    atomic_store(&server->closing, true);
    cut_calls(server);
    MHD_stop_daemon(server->daemon);
    server->daemon = NULL;
    pthread_mutex_lock(&server->lock);
    while (server->n_calls > 0)
        pthread_cond_wait(&server->changed, &server->lock);
    pthread_mutex_unlock(&server->lock);
}

void http_server_destroy(struct http_server *server)
{
    if (!server)
        return;
    http_server_shutdown(server, 0);
    http_pool_destroy(server->pool);
    if (server->socket >= 0)
        close(server->socket);
    pthread_cond_destroy(&server->changed);
    pthread_mutex_destroy(&server->lock);
    free(server->address);
    free(server);
}
