/* gateway/rpc_call.c - the life of a call: a request is read, answers are pulled and written one at
 * a time, a status ends it; a cancel may come in between at any moment.
 *
 * Lifetime: everything that was started on the completion queue (read, write, close notice, wake)
 * holds a reference until its tag comes back, and tags always come back. State is touched by the
 * call's thread alone, so it needs no lock: other threads reach a call only through rpc_call_wake,
 * which posts an empty batch to the queue and so costs no I/O on the caller's thread.
 * A queue is shut down only when all its calls are freed (rpc_server.c), so posting cannot fail. */
#include "gateway/rpc_call.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include <grpc/byte_buffer.h>
#include <grpc/byte_buffer_reader.h>
#include <grpc/grpc.h>
#include <grpc/slice.h>

#include "base/mem.h"
#include "gateway/rpc_thread.h"

struct rpc_call {
    atomic_uint n_refs;
    atomic_bool wake_posted;
    grpc_call *call;
    struct rpc_thread *thread;
    const struct rpc_method *method; // NULL: unknown
    void *state;

    struct rpc_tag read_tag, write_tag, close_tag, wake_tag;
    grpc_byte_buffer *received, *sending;
    int cancelled; // filled in by the close notice, which needs a place
    bool got_request, reading, writing, metadata_sent, status_sent, closed;
    bool has_reply, ended;
    struct text_buffer reply;
    struct error end; // with ended
};

void *rpc_call_service(const struct rpc_call *call)
{
    return call->method->service;
}

void rpc_call_set_state(struct rpc_call *call, void *state)
{
    call->state = state;
}

void *rpc_call_state(const struct rpc_call *call)
{
    return call->state;
}

void **rpc_call_thread_state(const struct rpc_call *call)
{
    return &call->thread->state;
}

bool rpc_call_closed(const struct rpc_call *call)
{
    return call->closed;
}

void rpc_call_reply(struct rpc_call *call, struct text_buffer *message)
{
    CHECK(!call->has_reply && !call->ended);
    call->has_reply = true;
    call->reply = *message;
    *message = (struct text_buffer){0};
}

void rpc_call_end(struct rpc_call *call, enum status status, const char *message)
{
    if (call->ended)
        return;
    call->ended = true;
    error_set(&call->end, status, "%s", message);
}

void rpc_call_cancel(struct rpc_call *call, enum status status, const char *message)
{
    rpc_call_end(call, status, message);
    call->status_sent = true; // by the cancellation; nothing else may follow
    grpc_call_cancel_with_status(call->call, (grpc_status_code)status, message, NULL);
}

void rpc_call_ref(struct rpc_call *call)
{
    atomic_fetch_add_explicit(&call->n_refs, 1, memory_order_relaxed);
}

void rpc_call_drop(struct rpc_call *call)
{
    if (atomic_fetch_sub_explicit(&call->n_refs, 1, memory_order_acq_rel) != 1)
        return;
    if (call->method && call->method->free_state)
        call->method->free_state(call->state);
    text_buffer_finish(&call->reply);
    grpc_call_unref(call->call);
    struct rpc_server *server = call->thread->server;
    free(call);
    rpc_server_call_freed(server);
}

// The tag holds a reference until it comes back.
static void start(struct rpc_call *call, const grpc_op *ops, size_t n_ops, struct rpc_tag *tag)
{
    rpc_call_ref(call);
    CHECK(grpc_call_start_batch(call->call, ops, n_ops, tag, NULL) == GRPC_CALL_OK);
}

void rpc_call_wake(struct rpc_call *call)
{
    if (!atomic_exchange(&call->wake_posted, true))
        start(call, NULL, 0, &call->wake_tag);
}

static void start_read(struct rpc_call *call)
{
    call->reading = true;
    grpc_op op = {.op = GRPC_OP_RECV_MESSAGE};
    op.data.recv_message.recv_message = &call->received;
    start(call, &op, 1, &call->read_tag);
}

// What there is to say goes out in one batch: metadata the first time, the message, the status.
static void start_write(struct rpc_call *call)
{
    grpc_op ops[3] = {0};
    size_t n_ops = 0;
    if (!call->metadata_sent)
        ops[n_ops++].op = GRPC_OP_SEND_INITIAL_METADATA;
    call->metadata_sent = true;
    if (call->has_reply) {
        size_t n = call->reply.length;
        grpc_slice slice = grpc_slice_new(text_buffer_release(&call->reply), n, free);
        call->has_reply = false;
        call->sending = grpc_raw_byte_buffer_create(&slice, 1);
        grpc_slice_unref(slice);
        ops[n_ops].op = GRPC_OP_SEND_MESSAGE;
        ops[n_ops++].data.send_message.send_message = call->sending;
    }
    grpc_slice details = grpc_empty_slice();
    if (call->ended) {
        call->status_sent = true;
        if (call->end.message[0])
            details = grpc_slice_from_copied_string(call->end.message);
        ops[n_ops].op = GRPC_OP_SEND_STATUS_FROM_SERVER;
        ops[n_ops].data.send_status_from_server.status = (grpc_status_code)call->end.status;
        ops[n_ops++].data.send_status_from_server.status_details = &details;
    }
    call->writing = true;
    start(call, ops, n_ops, &call->write_tag);
    grpc_slice_unref(details);
}

// Moves the call on as far as it goes now.
static void pump(struct rpc_call *call)
{
    if (call->writing || call->closed || call->status_sent)
        return;
    if (call->got_request && !call->has_reply && !call->ended && call->method->next)
        call->method->next(call);
    if (call->status_sent) // next cancelled it
        return;
    if (call->has_reply || call->ended)
        start_write(call);
    else if (call->method->many_requests && !call->reading)
        start_read(call);
}

static void on_read(struct rpc_tag *tag, bool ok)
{
    struct rpc_call *call = tag->owner;
    call->reading = false;
    if (ok && call->received) {
        grpc_byte_buffer_reader reader;
        CHECK(grpc_byte_buffer_reader_init(&reader, call->received));
        grpc_slice slice = grpc_byte_buffer_reader_readall(&reader);
        grpc_byte_buffer_reader_destroy(&reader);
        grpc_byte_buffer_destroy(call->received);
        call->received = NULL;
        call->got_request = true;
        if (!call->closed)
            call->method->on_request(call, GRPC_SLICE_START_PTR(slice), GRPC_SLICE_LENGTH(slice));
        grpc_slice_unref(slice);
    } else if (call->method->many_requests) {
        rpc_call_end(call, STATUS_OK, "");
    } else {
        rpc_call_end(call, STATUS_INVALID_ARGUMENT, "the request message is missing");
    }
    pump(call);
    rpc_call_drop(call);
}

static void on_written(struct rpc_tag *tag, bool ok)
{
    struct rpc_call *call = tag->owner;
    call->writing = false;
    if (call->sending)
        grpc_byte_buffer_destroy(call->sending);
    call->sending = NULL;
    if (ok) // else the close notice follows
        pump(call);
    rpc_call_drop(call);
}

static void on_wake(struct rpc_tag *tag, bool ok)
{
    (void)ok;
    struct rpc_call *call = tag->owner;
    atomic_store(&call->wake_posted, false);
    if (!call->closed) {
        if (call->method->on_wake)
            call->method->on_wake(call);
        pump(call);
    }
    rpc_call_drop(call);
}

static void on_closed(struct rpc_tag *tag, bool ok)
{
    (void)ok;
    struct rpc_call *call = tag->owner;
    call->closed = true;
    if (call->method && call->method->on_closed)
        call->method->on_closed(call);
    rpc_server_call_closed(call->thread->server, call->method);
    rpc_call_drop(call);
}

void rpc_call_begin(struct rpc_thread *thread, grpc_call *grpc_call,
                    const struct rpc_method *method, const struct error *refusal)
{
    struct rpc_call *call = mem_zeroed(1, sizeof *call);
    call->n_refs = 1; // this function's
    call->call = grpc_call;
    call->thread = thread;
    call->method = method;
    call->read_tag = (struct rpc_tag){on_read, call};
    call->write_tag = (struct rpc_tag){on_written, call};
    call->close_tag = (struct rpc_tag){on_closed, call};
    call->wake_tag = (struct rpc_tag){on_wake, call};
    rpc_server_call_begun(thread->server, method);

    grpc_op op = {.op = GRPC_OP_RECV_CLOSE_ON_SERVER};
    op.data.recv_close_on_server.cancelled = &call->cancelled;
    start(call, &op, 1, &call->close_tag);
    if (method) {
        start_read(call);
    } else {
        rpc_call_end(call, refusal->status, refusal->message);
        pump(call);
    }
    rpc_call_drop(call);
}
