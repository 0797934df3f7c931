/* gateway/rpc_server.c - accepts calls and runs the completion queues.
 *
 * The last thread takes "generic" calls: the path is looked up in a table, so that every method,
 * known or not, goes one way. Heavy methods are registered with gRPC instead, and accepted on the
 * other threads alone. A thread keeps an accept pending for each of its methods and puts the next
 * one in place before it begins the call. Shutting down is a matter of counting: accepts, calls not
 * closed, calls not freed; the queues are shut down when all are zero, because nothing may be
 * posted to them afterwards. Compression is off: what a client may inflate is not bounded by the
 * limit on messages. */
#include "gateway/rpc_server.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <grpc/grpc.h>
#include <grpc/grpc_security.h>
#include <grpc/slice.h>
#include <grpc/support/log.h>
#include <grpc/support/time.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "gateway/rpc_thread.h"

struct rpc_server {
    struct rpc_server_config c;
    grpc_server *server;
    char **addresses; // [c.n_listen]
    size_t n_addresses;
    struct rpc_thread *threads; // [c.n_threads]
    void **registered;          // [c.n_methods] gRPC's handle of a heavy method, else NULL
    uint32_t n_heavy;
    uint32_t n_started;
    struct rpc_tag shutdown_tag;

    pthread_mutex_t lock;
    pthread_cond_t changed;
    uint32_t n_accepts, n_awaited, n_calls;
    bool closing;   // nothing is accepted any more
    bool shut_down; // gRPC says so
};

// One pending accept of a thread; used again for each call. heavy: the number of its method, or
// NOT_HEAVY for all others.
#define NOT_HEAVY SIZE_MAX
struct accept {
    struct rpc_tag tag;
    struct rpc_thread *thread;
    size_t heavy;
    gpr_timespec deadline; // of a heavy call; the others' is in details
    grpc_call *call;
    grpc_call_details details;
    grpc_metadata_array metadata;
};

void rpc_server_call_begun(struct rpc_server *server, const struct rpc_method *method)
{
    pthread_mutex_lock(&server->lock);
    server->n_calls++;
    server->n_awaited += !(method && method->lasting);
    pthread_mutex_unlock(&server->lock);
}

void rpc_server_call_closed(struct rpc_server *server, const struct rpc_method *method)
{
    pthread_mutex_lock(&server->lock);
    server->n_awaited -= !(method && method->lasting);
    pthread_cond_broadcast(&server->changed);
    pthread_mutex_unlock(&server->lock);
}

void rpc_server_call_freed(struct rpc_server *server)
{
    pthread_mutex_lock(&server->lock);
    server->n_calls--;
    pthread_cond_broadcast(&server->changed);
    pthread_mutex_unlock(&server->lock);
}

static const struct rpc_method *find_method(const struct rpc_server *server, grpc_slice path)
{
    for (size_t i = 0; i < server->c.n_methods; i++)
        if (grpc_slice_str_cmp(path, server->c.methods[i].path) == 0)
            return &server->c.methods[i];
    return NULL;
}

static bool is_header(const grpc_metadata *entry, const char *key)
{
    return grpc_slice_str_cmp(entry->key, key) == 0; // gRPC has them in lower case
}

static enum status check_key(const struct auth *auth, const grpc_metadata_array *metadata,
                             struct error *err)
{
    struct auth_headers headers = {0};
    for (size_t i = 0; i < metadata->count; i++) {
        const grpc_metadata *entry = &metadata->metadata[i];
        const char *value = (const char *)GRPC_SLICE_START_PTR(entry->value);
        if (is_header(entry, "authorization")) {
            headers.authorization = value;
            headers.n_authorization = GRPC_SLICE_LENGTH(entry->value);
        } else if (is_header(entry, "x-api-key")) {
            headers.api_key = value;
            headers.n_api_key = GRPC_SLICE_LENGTH(entry->value);
        }
    }
    return auth_check(auth, &headers, err);
}

static bool ask_for_call(struct accept *accept)
{
    struct rpc_thread *thread = accept->thread;
    struct rpc_server *server = thread->server;
    if (accept->heavy != NOT_HEAVY)
        return grpc_server_request_registered_call(
                   server->server, server->registered[accept->heavy], &accept->call,
                   &accept->deadline, &accept->metadata, NULL, thread->queue, thread->queue,
                   &accept->tag) == GRPC_CALL_OK;
    return grpc_server_request_call(server->server, &accept->call, &accept->details,
                                    &accept->metadata, thread->queue, thread->queue,
                                    &accept->tag) == GRPC_CALL_OK;
}

// Never while gRPC shuts down: it looks whether it does before it takes an accept, without a lock
// (1.51), and one that comes in between would be neither answered nor failed.
static bool start_accept(struct accept *accept)
{
    struct rpc_server *server = accept->thread->server;
    grpc_call_details_init(&accept->details);
    grpc_metadata_array_init(&accept->metadata);
    pthread_mutex_lock(&server->lock);
    bool started = !server->closing && ask_for_call(accept);
    pthread_mutex_unlock(&server->lock);
    return started;
}

static void free_accept(struct accept *accept)
{
    struct rpc_server *server = accept->thread->server;
    free(accept);
    pthread_mutex_lock(&server->lock);
    server->n_accepts--;
    pthread_cond_broadcast(&server->changed);
    pthread_mutex_unlock(&server->lock);
}

// The method that is called, or NULL with why it is refused. What there is, is said to those alone
// who have a key.
static const struct rpc_method *admit(const struct accept *accept, struct error *refusal)
{
    const struct rpc_server *server = accept->thread->server;
    const struct rpc_method *method = accept->heavy == NOT_HEAVY
                                          ? find_method(server, accept->details.method)
                                          : &server->c.methods[accept->heavy];
    if (method && method->open)
        return method;
    if (check_key(server->c.auth, &accept->metadata, refusal) != STATUS_OK)
        return NULL;
    if (!method)
        error_set(refusal, STATUS_UNIMPLEMENTED, "no such method");
    return method;
}

static void on_accepted(struct rpc_tag *tag, bool ok)
{
    struct accept *accept = tag->owner;
    struct rpc_thread *thread = accept->thread;
    grpc_call *call = accept->call;
    const struct rpc_method *method = NULL;
    struct error refusal = {0};
    if (ok)
        method = admit(accept, &refusal);
    grpc_call_details_destroy(&accept->details);
    grpc_metadata_array_destroy(&accept->metadata);
    if (!ok) { // the server is shutting down
        free_accept(accept);
        return;
    }
    rpc_call_begin(thread, call, method, &refusal); // counted before the accept can go away
    if (!start_accept(accept))
        free_accept(accept);
}

static bool takes_generic_calls(const struct rpc_thread *thread)
{
    const struct rpc_server *server = thread->server;
    return thread == &server->threads[server->c.n_threads - 1];
}

static void accept_on(struct rpc_thread *thread, size_t heavy)
{
    struct accept *accept = mem_zeroed(1, sizeof *accept);
    accept->tag = (struct rpc_tag){on_accepted, accept};
    accept->thread = thread;
    accept->heavy = heavy;
    if (!start_accept(accept))
        free_accept(accept);
}

// False: the queue was shut down and is empty.
static bool run_one(struct rpc_thread *thread)
{
    gpr_timespec forever = gpr_inf_future(GPR_CLOCK_REALTIME);
    grpc_event event = grpc_completion_queue_next(thread->queue, forever, NULL);
    if (event.type == GRPC_QUEUE_SHUTDOWN)
        return false;
    struct rpc_tag *tag = event.tag;
    tag->done(tag, event.success);
    return true;
}

static void *run(void *context)
{
    struct rpc_thread *thread = context;
    struct rpc_server *server = thread->server;
    if (takes_generic_calls(thread))
        accept_on(thread, NOT_HEAVY);
    else
        for (size_t i = 0; i < server->c.n_methods; i++)
            if (server->c.methods[i].heavy)
                accept_on(thread, i);
    while (run_one(thread))
        ;
    if (thread->server->c.free_thread_state)
        thread->server->c.free_thread_state(thread->state);
    return NULL;
}

static void log_from_grpc(gpr_log_func_args *args)
{
    if (args->severity == GPR_LOG_SEVERITY_ERROR)
        log_warn("grpc", "message=\"%s\"", args->message);
    else
        log_debug("grpc", "message=\"%s\"", args->message);
}

static grpc_arg int_arg(const char *key, int value)
{
    grpc_arg arg = {.type = GRPC_ARG_INTEGER, .key = (char *)key};
    arg.value.integer = value;
    return arg;
}

static void create_grpc_server(struct rpc_server *server)
{
    grpc_arg args[] = {
        int_arg(GRPC_ARG_MAX_RECEIVE_MESSAGE_LENGTH, RPC_MAX_REQUEST_BYTES),
        int_arg(GRPC_ARG_MAX_CONCURRENT_STREAMS, (int)server->c.max_streams),
        int_arg(GRPC_ARG_ALLOW_REUSEPORT, 0), // two servers on one port would share its clients
        int_arg(GRPC_COMPRESSION_CHANNEL_ENABLED_ALGORITHMS_BITSET, 1 << GRPC_COMPRESS_NONE),
        // A client whose machine is gone says nothing: its requests are ended by a lost ping.
        int_arg(GRPC_ARG_KEEPALIVE_TIME_MS, 60000),
        int_arg(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 20000),
        // Clients may look whether a long answer is still coming.
        int_arg(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, 10000),
        int_arg(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1),
    };
    grpc_channel_args channel_args = {sizeof args / sizeof args[0], args};
    server->server = grpc_server_create(&channel_args, NULL);
    for (size_t i = 0; i < server->c.n_methods; i++) {
        if (!server->c.methods[i].heavy)
            continue;
        server->registered[i] = grpc_server_register_method(
            server->server, server->c.methods[i].path, NULL, GRPC_SRM_PAYLOAD_NONE, 0);
        server->n_heavy++;
    }
    for (uint32_t i = 0; i < server->c.n_threads; i++) {
        server->threads[i].server = server;
        server->threads[i].queue = grpc_completion_queue_create_for_next(NULL);
        grpc_server_register_completion_queue(server->server, server->threads[i].queue, NULL);
    }
}

static enum status bind_address(struct rpc_server *server, const char *address, struct error *err)
{
    bool is_unix = strncmp(address, "unix:", 5) == 0;
    const char *colon = strrchr(address, ':');
    if (!colon || colon[1] == '\0' || colon == address)
        return error_set(err, STATUS_INVALID_ARGUMENT,
                         "listen address \"%s\": want HOST:PORT or unix:PATH", address);
    grpc_server_credentials *credentials = grpc_insecure_server_credentials_create();
    int port = grpc_server_add_http2_port(server->server, address, credentials);
    grpc_server_credentials_release(credentials);
    if (port <= 0)
        return error_set(err, STATUS_UNAVAILABLE, "cannot listen on %s", address);
    struct text_buffer bound = {0};
    if (is_unix)
        text_buffer_append_text(&bound, address);
    else
        text_buffer_append_format(&bound, "%.*s:%d", (int)(colon - address), address, port);
    server->addresses[server->n_addresses++] = text_buffer_release(&bound);
    return STATUS_OK;
}

static void on_shut_down(struct rpc_tag *tag, bool ok)
{
    (void)ok;
    struct rpc_server *server = tag->owner;
    pthread_mutex_lock(&server->lock);
    server->shut_down = true;
    pthread_cond_broadcast(&server->changed);
    pthread_mutex_unlock(&server->lock);
}

static enum status start_threads(struct rpc_server *server, struct error *err)
{
    grpc_server_start(server->server);
    uint32_t n_threads = server->c.n_threads;
    // Before any of them runs: one accept of the last thread, one per heavy method of the others.
    server->n_accepts = 1 + (n_threads - 1) * server->n_heavy;
    for (uint32_t i = 0; i < n_threads; i++) {
        if (pthread_create(&server->threads[i].thread, NULL, run, &server->threads[i]) != 0) {
            pthread_mutex_lock(&server->lock);
            server->n_accepts -= 1 + (n_threads - 1 - i) * server->n_heavy;
            pthread_mutex_unlock(&server->lock);
            return error_set(err, STATUS_RESOURCE_EXHAUSTED, "cannot start a thread for gRPC");
        }
        server->n_started++;
    }
    return STATUS_OK;
}

enum status rpc_server_create(const struct rpc_server_config *config, struct rpc_server **out,
                              struct error *err)
{
    struct rpc_server *server = mem_zeroed(1, sizeof *server);
    server->c = *config;
    server->shutdown_tag = (struct rpc_tag){on_shut_down, server};
    server->addresses = mem_zeroed(config->n_listen, sizeof *server->addresses);
    CHECK(config->n_threads >= 2);
    server->threads = mem_zeroed(config->n_threads, sizeof *server->threads);
    server->registered = mem_zeroed(config->n_methods, sizeof *server->registered);
    pthread_mutex_init(&server->lock, NULL);
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&server->changed, &attributes);
    pthread_condattr_destroy(&attributes);
    gpr_set_log_function(log_from_grpc);
    grpc_init();
    create_grpc_server(server);
    enum status st = STATUS_OK;
    for (size_t i = 0; i < config->n_listen && st == STATUS_OK; i++)
        st = bind_address(server, config->listen[i], err);
    if (st == STATUS_OK)
        st = start_threads(server, err);
    if (st != STATUS_OK) {
        rpc_server_destroy(server);
        return st;
    }
    *out = server;
    return STATUS_OK;
}

size_t rpc_server_n_addresses(const struct rpc_server *server)
{
    return server->n_addresses;
}

const char *rpc_server_address(const struct rpc_server *server, size_t i)
{
    return server->addresses[i];
}

static void wait_for_awaited(struct rpc_server *server, uint64_t grace_ns)
{
    uint64_t deadline;
    if (__builtin_add_overflow(clock_now_ns(), grace_ns, &deadline))
        deadline = UINT64_MAX;
    struct timespec until = {(time_t)(deadline / NS_PER_S), (long)(deadline % NS_PER_S)};
    pthread_mutex_lock(&server->lock);
    int waited = 0;
    while (server->n_awaited > 0 && waited == 0)
        waited = pthread_cond_timedwait(&server->changed, &server->lock, &until);
    pthread_mutex_unlock(&server->lock);
}

static void wait_for_all(struct rpc_server *server)
{
    pthread_mutex_lock(&server->lock);
    while (!server->shut_down || server->n_accepts > 0 || server->n_calls > 0)
        pthread_cond_wait(&server->changed, &server->lock);
    pthread_mutex_unlock(&server->lock);
}

void rpc_server_shutdown(struct rpc_server *server, uint64_t grace_ns)
{
    if (!server->server)
        return;
    pthread_mutex_lock(&server->lock);
    server->closing = true;
    pthread_mutex_unlock(&server->lock);
    grpc_server_shutdown_and_notify(server->server, server->threads[0].queue,
                                    &server->shutdown_tag);
    if (server->n_started == 0)
        run_one(&server->threads[0]); // nobody else takes the tag
    wait_for_awaited(server, grace_ns);
    grpc_server_cancel_all_calls(server->server);
    wait_for_all(server);
    for (uint32_t i = 0; i < server->c.n_threads; i++) {
        grpc_completion_queue_shutdown(server->threads[i].queue);
        if (i < server->n_started)
            pthread_join(server->threads[i].thread, NULL);
        else
            while (run_one(&server->threads[i]))
                ;
        grpc_completion_queue_destroy(server->threads[i].queue);
    }
    grpc_server_destroy(server->server);
    server->server = NULL;
    grpc_shutdown();
}

void rpc_server_destroy(struct rpc_server *server)
{
    if (!server)
        return;
    rpc_server_shutdown(server, 0);
    for (size_t i = 0; i < server->n_addresses; i++)
        free(server->addresses[i]);
    free(server->addresses);
    free(server->threads);
    free(server->registered);
    pthread_cond_destroy(&server->changed);
    pthread_mutex_destroy(&server->lock);
    free(server);
}
