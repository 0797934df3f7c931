/* client/client.h - calls to a gemmad server: one channel, calls on it that block, or that run at
 * once and are driven through a queue by one thread.
 *
 * Owns the channel and knows the calls in flight, so that they can be cancelled from outside. A
 * method is named by protobuf-c's service descriptor and its name in the .proto file.
 * Thread: calls may be made from any number of threads, a queue is one thread's; create, connect
 * and destroy from one. */
#ifndef GEMMAD_CLIENT_CLIENT_H
#define GEMMAD_CLIENT_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <protobuf-c/protobuf-c.h>

#include "base/status.h"

#define CLIENT_MAX_ANSWER_BYTES (256 << 20) /* of one message */

struct client;

/* address: HOST:PORT, [IPV6]:PORT or unix:PATH. api_key goes with every call; NULL: none. Nothing
 * is connected yet. INVALID_ARGUMENT: no such form; a key of other than visible ASCII characters.
 */
NODISCARD enum status client_create(const char *address, const char *api_key, struct client **out,
                                    struct error *err);
void client_destroy(struct client *client); /* NULL is fine; no call is in flight */

/* Connects now. UNAVAILABLE: the first attempt failed, or timeout_ns (not 0) is over. */
NODISCARD enum status client_connect(struct client *client, uint64_t timeout_ns, struct error *err);

struct client_method {
    const ProtobufCServiceDescriptor *service;
    const char *name; /* "Generate" */
};

/* One request, one answer. timeout_ns 0: none. *out is the caller's: client_free_message. On
 * failure the status and the message are the server's, or gRPC's own. */
NODISCARD enum status client_call(struct client *client, struct client_method method,
                                  const ProtobufCMessage *request, uint64_t timeout_ns,
                                  ProtobufCMessage **out, struct error *err);
void client_free_message(ProtobufCMessage *message); /* NULL is fine */

/* Takes one message of a stream over (client_free_message); false ends the stream, which then
 * counts as OK. */
typedef bool client_message_fn(void *context, ProtobufCMessage *message);

/* One request, a stream of answers: returns when it is over. */
NODISCARD enum status client_stream(struct client *client, struct client_method method,
                                    const ProtobufCMessage *request, uint64_t timeout_ns,
                                    client_message_fn *on_message, void *context,
                                    struct error *err);

/* Many calls at once: each is started, then client_queue_wait calls their handlers. */
struct client_queue;
struct client_queue *client_queue_create(struct client *client);
void client_queue_destroy(struct client_queue *queue); /* NULL is fine; no call is in flight */

struct client_handlers {
    client_message_fn *on_message;
    /* The last of the call; result's status is OK if it went well. May start another call. */
    void (*on_end)(void *context, const struct error *result);
    void *context;
};
/* request is packed before this returns. timeout_ns 0: none. */
void client_start(struct client_queue *queue, struct client_method method,
                  const ProtobufCMessage *request, uint64_t timeout_ns,
                  struct client_handlers handlers);
/* Waits for the next thing that happens to one of the queue's calls, and handles it. false: nothing
 * did in timeout_ns (UINT64_MAX: no limit; then a call must be in flight). */
bool client_queue_wait(struct client_queue *queue, uint64_t timeout_ns);

/* Ends the calls in flight with CANCELLED; returns how many there were. Any thread. */
size_t client_cancel_calls(struct client *client);

#endif
