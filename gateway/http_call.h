/* gateway/http_call.h - one HTTP request, as its route sees it; gateway/rpc_call.h's counterpart.
 *
 * The functions of a route run one at a time: on_request of a heavy route on a thread that may
 * compute for long, everything else on the server's own thread, which must not. Answers of a
 * stream are pulled: next is asked when the client can take more, so a slow client costs a piece
 * here and what its route keeps for it. */
#ifndef GEMMAD_GATEWAY_HTTP_CALL_H
#define GEMMAD_GATEWAY_HTTP_CALL_H

#include <stdbool.h>
#include <stddef.h>

#include "base/status.h"
#include "base/text_buffer.h"

struct http_call;

struct http_route {
    const char *method; /* "GET", with which HEAD goes, or "POST" */
    const char *path;   /* exactly; or, where it ends in "/" and below is true, its beginning */
    bool below;
    bool open; /* asks for no API key */
    bool heavy;
    void *service; /* http_call_service */
    /* The request is whole; body lives during the call. Must answer or begin a stream, or see to it
     * that on_wake does later. */
    void (*on_request)(struct http_call *call, const char *body, size_t n);
    /* http_call_wake was called and there is no answer yet. */
    void (*on_wake)(struct http_call *call);
    /* Of a stream: appends what there is to say (maybe nothing; http_call_wake makes it be asked
     * again). False: that was the last. */
    bool (*next)(struct http_call *call, struct text_buffer *out);
    /* Of a stream, on any thread: the client does not read, and is to be cut off. */
    bool (*is_stuck)(struct http_call *call);
    /* Nothing reaches the client any more. Once. May be NULL. */
    void (*on_closed)(struct http_call *call);
    /* The last reference is gone: frees the state, which may be NULL. Any thread. */
    void (*free_state)(void *state);
};

void *http_call_service(const struct http_call *call);
/* What of the path stands below the route's ("" if nothing); lives as long as the call. */
const char *http_call_rest(const struct http_call *call);
void http_call_set_state(struct http_call *call, void *state); /* NULL until set */
void *http_call_state(const struct http_call *call);
/* In on_request of a heavy route: what the routes keep for its thread. */
void **http_call_thread_state(const struct http_call *call);

/* The answer, once: takes the body, which is empty then. */
void http_call_answer(struct http_call *call, unsigned code, const char *content_type,
                      struct text_buffer *body);
/* The same, as the OpenAI API says an error. */
void http_call_fail(struct http_call *call, const struct error *err);
/* The answer is a stream of this type: next is asked from now on. */
void http_call_stream(struct http_call *call, const char *content_type);

/* Any thread, with a reference: has on_wake, or next, run soon. */
void http_call_wake(struct http_call *call);
/* Any thread. A call lives while there is a reference; the server holds one until it is closed. */
void http_call_ref(struct http_call *call);
void http_call_drop(struct http_call *call);

#endif
