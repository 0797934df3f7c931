/* gateway/http_server.h - HTTP/1.1 over libmicrohttpd: one thread for all connections, a few for
 * requests that compute for long, one that looks for clients that went away.
 *
 * Everything a client can make large has a limit: headers, bodies, bodies of all together, calls at
 * once, connections, the time in which nothing moves.
 * Thread: create, shutdown and destroy have one caller. */
#ifndef GEMMAD_GATEWAY_HTTP_SERVER_H
#define GEMMAD_GATEWAY_HTTP_SERVER_H

#include <stdint.h>

#include "gateway/auth.h"
#include "gateway/http_call.h"

#define HTTP_MAX_BODY_BYTES ((size_t)64 << 20) /* media in base64 are large */
#define HTTP_MAX_ALL_BODIES_BYTES ((size_t)256 << 20)
#define HTTP_MAX_HEADER_BYTES ((size_t)64 << 10) /* and what is on its way to the client */
#define HTTP_MAX_CONNECTIONS 4096U
#define HTTP_MAX_CALLS 1024U /* of heavy routes */
#define HTTP_IDLE_SECONDS 75U
#define HTTP_BODY_SECONDS 120U /* from a request's headers to its end */

struct http_server;

struct http_server_config {
    const char *listen;              /* "HOST:PORT", "[IPV6]:PORT"; port 0 picks a free one */
    uint32_t n_threads;              /* for heavy routes; 0: 4 */
    uint64_t body_ns;                /* instead of HTTP_BODY_SECONDS; 0: that */
    const struct http_route *routes; /* [n_routes], live as long as the server */
    size_t n_routes;
    const struct auth *auth; /* NULL: no keys */
    /* Frees a thread's http_call_thread_state. May be NULL. */
    void (*free_thread_state)(void *state);
};

/* Listens. UNAVAILABLE: the address cannot be bound. INVALID_ARGUMENT: it makes no sense. */
NODISCARD enum status http_server_create(const struct http_server_config *config,
                                         struct http_server **out, struct error *err);
const char *http_server_address(const struct http_server *server); /* "127.0.0.1:8432" */

/* Accepts no more, waits up to grace_ns for calls, cuts the rest off, waits until all are freed. */
void http_server_shutdown(struct http_server *server, uint64_t grace_ns);
void http_server_destroy(struct http_server *server); /* NULL is fine; shut down if it was not */

#endif
