/* gateway/http_thread.h - what http_server.c, http_call.c and http_pool.c share. Nothing else
 * includes this. */
#ifndef GEMMAD_GATEWAY_HTTP_THREAD_H
#define GEMMAD_GATEWAY_HTTP_THREAD_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>

#include "gateway/http_server.h"

struct MHD_Connection;
struct MHD_Daemon;
struct http_pool;

#define HTTP_MAX_REQUEST_ID_BYTES 128

struct http_call {
    atomic_uint n_refs;
    uint64_t id; /* of this process; never used twice */
    struct http_server *server;
    const struct http_route *route; /* NULL: refused before it was known */
    char *rest;                     /* http_call_rest */
    uint64_t began_ns;
    void *state;
    struct http_call *prev, *next; /* of the server's list, under its lock */
    struct http_call *next_job;    /* of the pool, under its lock */
    void **thread_state;           /* while a thread of the pool has it */
    char request_id[HTTP_MAX_REQUEST_ID_BYTES + 1];

    pthread_mutex_t lock;
    /* Under the lock. */
    struct MHD_Connection *connection; /* NULL: closed */
    int socket;
    bool suspended; /* the server's thread does not look at the connection */
    bool working;   /* a thread of the pool has it */
    bool woken;
    bool gone; /* the client went away, or is cut off */

    /* The server's thread's, or the pool's while it works. */
    bool begun, dispatched, watched, answered;
    atomic_bool whole, streaming; /* the watcher's to read, too; whole: the request is */
    bool ended;                   /* of a stream: next has said all */
    bool counted;                 /* among the heavy ones */
    bool misframed;               /* where its body ends is in doubt: the connection is closed */
    struct text_buffer body;
    size_t n_body; /* with what was thrown away */
    struct error refused;
    unsigned code;
    const char *content_type;
    const char *allow;        /* of a 405 */
    struct text_buffer reply; /* an answer, or what of a stream was not taken yet */
    size_t n_taken;
};

struct http_server {
    struct http_server_config config;
    struct MHD_Daemon *daemon;
    struct http_pool *pool;
    int socket;
    char *address;
    atomic_bool closing;
    atomic_size_t n_body_bytes; /* of all calls */
    atomic_uint n_heavy;

    pthread_mutex_t lock;
    pthread_cond_t changed; /* a call is closed, freed, or no longer suspended */
    /* Under the lock. */
    struct http_call *calls;
    uint32_t n_calls, n_open; /* not freed; not closed */
    uint64_t n_ever;
};

struct http_call *http_call_create(struct http_server *server, struct MHD_Connection *connection);
/* The connection is done with the call: the server's reference is dropped. */
void http_call_close(struct http_call *call);
/* Gives the call to a thread of the pool. False: the server is closing. */
bool http_call_begin_work(struct http_call *call);
enum http_pause {
    HTTP_PAUSED,
    HTTP_WOKEN, /* it was woken meanwhile, and looks again */
    HTTP_CUT,   /* it was cut off, or the server is closing: the connection is to be closed */
};
enum http_pause http_call_pause(struct http_call *call);
/* Has the connection closed as soon as the server's thread looks at it. Any thread. */
void http_call_cut(struct http_call *call);

/* Threads that run on_request of heavy routes, and one that looks for clients that went away. */
enum status http_pool_create(struct http_server *server, struct http_pool **out, struct error *err);
void http_pool_destroy(struct http_pool *pool);                        /* no call is left */
void http_pool_submit(struct http_pool *pool, struct http_call *call); /* takes a reference */
void http_pool_watch(struct http_pool *pool, struct http_call *call);
void http_pool_unwatch(struct http_pool *pool, struct http_call *call);

#endif
