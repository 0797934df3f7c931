/* gateway/rpc_thread.h - what rpc_server.c and rpc_call.c share: a thread with its completion
 * queue, and the tags that come out of it. Nothing else includes this. */
#ifndef GEMMAD_GATEWAY_RPC_THREAD_H
#define GEMMAD_GATEWAY_RPC_THREAD_H

#include <pthread.h>

#include "gateway/rpc_call.h"

struct grpc_call;
struct grpc_completion_queue;
struct rpc_server;

/* Something that was started; done runs on the queue's thread when it is over. */
struct rpc_tag {
    void (*done)(struct rpc_tag *tag, bool ok);
    void *owner;
};

struct rpc_thread {
    struct rpc_server *server;
    struct grpc_completion_queue *queue;
    pthread_t thread;
    void *state; /* rpc_call_thread_state */
};

/* A call that was accepted on thread: takes over grpc_call. method NULL: it is ended with refusal,
 * and nothing that the client sends is read. */
void rpc_call_begin(struct rpc_thread *thread, struct grpc_call *grpc_call,
                    const struct rpc_method *method, const struct error *refusal);

/* A call began; reached its client for the last time; is freed. Any thread. */
void rpc_server_call_begun(struct rpc_server *server, const struct rpc_method *method);
void rpc_server_call_closed(struct rpc_server *server, const struct rpc_method *method);
void rpc_server_call_freed(struct rpc_server *server);

#endif
