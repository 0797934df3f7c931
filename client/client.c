/* client/client.c - there is one way to make a call: it is started on a queue, and whoever waits at
 * the queue gets its messages and its end. A blocking call has a queue of its own; a load generator
 * drives all its calls from one queue, with one thread, so that many streams cost it little.
 *
 * A call is two operations: its exchange, which is over with the status, and the receiving of the
 * next message. It always ends by its status: a cancel, a deadline and a lost connection come back
 * as one, too. Messages are pulled one at a time, so a slow reader slows the server down and
 * nothing piles up.
 * Proxies from the environment and service configurations from DNS are switched off: the address
 * is the server. */
#include "client/client.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include <grpc/byte_buffer.h>
#include <grpc/byte_buffer_reader.h>
#include <grpc/grpc.h>
#include <grpc/grpc_security.h>
#include <grpc/support/alloc.h>
#include <grpc/support/time.h>

#include "base/mem.h"
#include "base/text_buffer.h"

struct client {
    char *address;
    grpc_metadata authorization; // with has_key
    bool has_key;
    grpc_channel *channel;
    pthread_mutex_t lock;
    struct call *calls; // in flight; under lock
};

struct client_queue {
    struct client *client;
    grpc_completion_queue *events;
};

// What a queue's event is about: its tag.
struct operation {
    struct call *call;
    void (*done)(struct call *call);
};

struct call {
    struct client *client;
    struct call *next; // of the client's
    grpc_call *call;
    const ProtobufCMessageDescriptor *answer;
    struct client_handlers handlers;
    struct operation exchange, receiving;
    int n_operations; // not yet done
    bool unwanted;    // on_message said so: what still comes is dropped
    bool broken;      // a message was not well-formed
    // what gRPC reads from and writes to
    grpc_byte_buffer *request, *received;
    grpc_metadata_array initial, trailing;
    grpc_status_code status;
    grpc_slice details;
};

// UINT64_MAX: never.
static gpr_timespec deadline_after(uint64_t timeout_ns)
{
    if (timeout_ns > INT64_MAX)
        return gpr_inf_future(GPR_CLOCK_MONOTONIC);
    return gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC),
                        gpr_time_from_nanos((int64_t)timeout_ns, GPR_TIMESPAN));
}

static bool is_port(const char *text)
{
    size_t n = strspn(text, "0123456789");
    return n > 0 && n <= 5 && !text[n] && strtol(text, NULL, 10) <= 65535;
}

static bool is_address(const char *address)
{
    if (strncmp(address, "unix:", 5) == 0)
        return address[5] != '\0';
    const char *colon = strrchr(address, ':');
    if (!colon || colon == address || !is_port(colon + 1) || strpbrk(address, "/ \t\n"))
        return false;
    bool bracketed = address[0] == '[' && colon[-1] == ']';
    return bracketed || strchr(address, ':') == colon;
}

static bool is_key(const char *key)
{
    for (const char *c = key; *c; c++)
        if (*c <= ' ' || *c > '~')
            return false;
    return *key != '\0';
}

static void set_key(struct client *client, const char *key)
{
    struct text_buffer value = {0};
    text_buffer_append_format(&value, "Bearer %s", key);
    client->authorization.key = grpc_slice_from_static_string("authorization");
    client->authorization.value = grpc_slice_from_copied_buffer(value.data, value.length);
    client->has_key = true;
    text_buffer_finish(&value);
}

enum status client_create(const char *address, const char *api_key, struct client **out,
                          struct error *err)
{
    if (api_key && !is_key(api_key))
        return error_set(err, STATUS_INVALID_ARGUMENT,
                         "the API key: expected visible ASCII characters");
    if (!is_address(address))
        return error_set(err, STATUS_INVALID_ARGUMENT,
                         "address \"%.80s\": expected HOST:PORT, [IPV6]:PORT or unix:PATH",
                         address);
    grpc_arg options[] = {
        {.type = GRPC_ARG_INTEGER, .key = "grpc.enable_http_proxy", .value.integer = 0},
        {.type = GRPC_ARG_INTEGER,
         .key = GRPC_ARG_SERVICE_CONFIG_DISABLE_RESOLUTION,
         .value.integer = 1},
        {.type = GRPC_ARG_INTEGER,
         .key = GRPC_ARG_MAX_RECEIVE_MESSAGE_LENGTH,
         .value.integer = CLIENT_MAX_ANSWER_BYTES},
        {.type = GRPC_ARG_INTEGER,
         .key = GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS,
         .value.integer = 200},
        {.type = GRPC_ARG_INTEGER, .key = GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, .value.integer = 1000},
    };
    grpc_channel_args args = {sizeof options / sizeof *options, options};
    grpc_init();
    struct client *client = mem_zeroed(1, sizeof *client);
    client->address = mem_strdup(address);
    CHECK(pthread_mutex_init(&client->lock, NULL) == 0);
    if (api_key)
        set_key(client, api_key);
    grpc_channel_credentials *plain = grpc_insecure_credentials_create();
    client->channel = grpc_channel_create(address, plain, &args);
    grpc_channel_credentials_release(plain);
    *out = client;
    return STATUS_OK;
}

void client_destroy(struct client *client)
{
    if (!client)
        return;
    CHECK(!client->calls);
    grpc_channel_destroy(client->channel);
    if (client->has_key)
        grpc_slice_unref(client->authorization.value);
    grpc_shutdown_blocking();
    pthread_mutex_destroy(&client->lock);
    free(client->address);
    free(client);
}

enum status client_connect(struct client *client, uint64_t timeout_ns, struct error *err)
{
    grpc_completion_queue *queue = grpc_completion_queue_create_for_pluck(NULL);
    gpr_timespec deadline = deadline_after(timeout_ns ? timeout_ns : UINT64_MAX);
    grpc_connectivity_state state = grpc_channel_check_connectivity_state(client->channel, 1);
    bool began = false; // a failure of an earlier attempt does not count
    bool in_time = true;
    while (in_time && state != GRPC_CHANNEL_READY && state != GRPC_CHANNEL_SHUTDOWN &&
           !(began && state == GRPC_CHANNEL_TRANSIENT_FAILURE)) {
        grpc_channel_watch_connectivity_state(client->channel, state, deadline, queue, queue);
        gpr_timespec never = gpr_inf_future(GPR_CLOCK_MONOTONIC);
        in_time = grpc_completion_queue_pluck(queue, queue, never, NULL).success;
        began = true;
        state = grpc_channel_check_connectivity_state(client->channel, 1);
    }
    grpc_completion_queue_shutdown(queue);
    grpc_completion_queue_destroy(queue);
    if (state == GRPC_CHANNEL_READY)
        return STATUS_OK;
    return error_set(err, STATUS_UNAVAILABLE, "cannot connect to %s%s", client->address,
                     in_time ? "" : " in time");
}

static void add_live(struct client *client, struct call *call)
{
    pthread_mutex_lock(&client->lock);
    call->next = client->calls;
    client->calls = call;
    pthread_mutex_unlock(&client->lock);
}

static void remove_live(struct client *client, struct call *call)
{
    pthread_mutex_lock(&client->lock);
    struct call **at = &client->calls;
    while (*at != call)
        at = &(*at)->next;
    *at = call->next;
    pthread_mutex_unlock(&client->lock);
}

size_t client_cancel_calls(struct client *client)
{
    size_t n = 0;
    pthread_mutex_lock(&client->lock);
    for (struct call *call = client->calls; call; call = call->next) {
        grpc_call_cancel(call->call, NULL);
        n++;
    }
    pthread_mutex_unlock(&client->lock);
    return n;
}

struct client_queue *client_queue_create(struct client *client)
{
    struct client_queue *queue = mem_zeroed(1, sizeof *queue);
    queue->client = client;
    queue->events = grpc_completion_queue_create_for_next(NULL);
    return queue;
}

void client_queue_destroy(struct client_queue *queue)
{
    if (!queue)
        return;
    grpc_completion_queue_shutdown(queue->events);
    gpr_timespec never = gpr_inf_future(GPR_CLOCK_MONOTONIC);
    CHECK(grpc_completion_queue_next(queue->events, never, NULL).type == GRPC_QUEUE_SHUTDOWN);
    grpc_completion_queue_destroy(queue->events);
    free(queue);
}

bool client_queue_wait(struct client_queue *queue, uint64_t timeout_ns)
{
    grpc_event event = grpc_completion_queue_next(queue->events, deadline_after(timeout_ns), NULL);
    if (event.type != GRPC_OP_COMPLETE)
        return false;
    const struct operation *operation = event.tag;
    operation->done(operation->call);
    return true;
}

static void start(struct call *call, const grpc_op *ops, size_t n_ops, struct operation *operation)
{
    call->n_operations++;
    CHECK(grpc_call_start_batch(call->call, ops, n_ops, operation, NULL) == GRPC_CALL_OK);
}

static void receive(struct call *call)
{
    grpc_op op = {.op = GRPC_OP_RECV_MESSAGE};
    op.data.recv_message.recv_message = &call->received;
    start(call, &op, 1, &call->receiving);
}

static void end(struct call *call)
{
    remove_live(call->client, call);
    struct error err = {0};
    if (call->broken)
        error_set(&err, STATUS_INTERNAL, "the server sent no well-formed %s", call->answer->name);
    else if (!call->unwanted && call->status != GRPC_STATUS_OK)
        error_set(&err, (enum status)call->status, "%.*s", (int)GRPC_SLICE_LENGTH(call->details),
                  (const char *)GRPC_SLICE_START_PTR(call->details));
    call->handlers.on_end(call->handlers.context, &err);
    grpc_slice_unref(call->details);
    grpc_metadata_array_destroy(&call->initial);
    grpc_metadata_array_destroy(&call->trailing);
    grpc_byte_buffer_destroy(call->request);
    grpc_call_unref(call->call);
    free(call);
}

static void exchange_done(struct call *call)
{
    if (--call->n_operations == 0)
        end(call);
}

// NULL: not well-formed.
static ProtobufCMessage *unpack(grpc_byte_buffer *buffer,
                                const ProtobufCMessageDescriptor *descriptor)
{
    grpc_byte_buffer_reader reader;
    if (!grpc_byte_buffer_reader_init(&reader, buffer))
        return NULL;
    grpc_slice slice = grpc_byte_buffer_reader_readall(&reader);
    grpc_byte_buffer_reader_destroy(&reader);
    ProtobufCMessage *message = protobuf_c_message_unpack(
        descriptor, NULL, GRPC_SLICE_LENGTH(slice), GRPC_SLICE_START_PTR(slice));
    grpc_slice_unref(slice);
    return message;
}

// Hands the message over, unless nobody wants it; whoever wants no more ends the call.
static void deliver(struct call *call)
{
    if (call->unwanted || call->broken)
        return;
    ProtobufCMessage *message = unpack(call->received, call->answer);
    call->broken = !message;
    if (message)
        call->unwanted = !call->handlers.on_message(call->handlers.context, message);
    if (call->unwanted || call->broken)
        grpc_call_cancel(call->call, NULL);
}

static void receiving_done(struct call *call)
{
    if (call->received) { // NULL: no message will come any more
        deliver(call);
        grpc_byte_buffer_destroy(call->received);
        receive(call);
    }
    if (--call->n_operations == 0)
        end(call);
}

static grpc_byte_buffer *pack(const ProtobufCMessage *message)
{
    grpc_slice bytes = grpc_slice_malloc(protobuf_c_message_get_packed_size(message));
    protobuf_c_message_pack(message, GRPC_SLICE_START_PTR(bytes));
    grpc_byte_buffer *buffer = grpc_raw_byte_buffer_create(&bytes, 1);
    grpc_slice_unref(bytes);
    return buffer;
}

static grpc_call *create_call(const struct client_queue *queue, struct client_method method,
                              uint64_t timeout_ns)
{
    struct text_buffer path = {0};
    text_buffer_append_format(&path, "/%s/%s", method.service->name, method.name);
    grpc_slice slice = grpc_slice_from_copied_buffer(path.data, path.length);
    text_buffer_finish(&path);
    gpr_timespec deadline = deadline_after(timeout_ns ? timeout_ns : UINT64_MAX);
    grpc_call *call = grpc_channel_create_call(queue->client->channel, NULL,
                                               GRPC_PROPAGATE_DEFAULTS, queue->events, slice, NULL,
                                               deadline, NULL);
    grpc_slice_unref(slice);
    return call;
}

void client_start(struct client_queue *queue, struct client_method method,
                  const ProtobufCMessage *request, uint64_t timeout_ns,
                  struct client_handlers handlers)
{
    const ProtobufCMethodDescriptor *described =
        protobuf_c_service_descriptor_get_method_by_name(method.service, method.name);
    CHECK(described && described->input == request->descriptor);

    struct call *call = mem_zeroed(1, sizeof *call);
    call->client = queue->client;
    call->answer = described->output;
    call->handlers = handlers;
    call->exchange = (struct operation){call, exchange_done};
    call->receiving = (struct operation){call, receiving_done};
    call->request = pack(request);
    grpc_metadata_array_init(&call->initial);
    grpc_metadata_array_init(&call->trailing);
    call->call = create_call(queue, method, timeout_ns);
    add_live(queue->client, call);

    grpc_op ops[5] = {
        {.op = GRPC_OP_SEND_INITIAL_METADATA},  {.op = GRPC_OP_SEND_MESSAGE},
        {.op = GRPC_OP_SEND_CLOSE_FROM_CLIENT}, {.op = GRPC_OP_RECV_INITIAL_METADATA},
        {.op = GRPC_OP_RECV_STATUS_ON_CLIENT},
    };
    ops[0].data.send_initial_metadata.count = queue->client->has_key;
    ops[0].data.send_initial_metadata.metadata = &queue->client->authorization;
    ops[1].data.send_message.send_message = call->request;
    ops[3].data.recv_initial_metadata.recv_initial_metadata = &call->initial;
    ops[4].data.recv_status_on_client.trailing_metadata = &call->trailing;
    ops[4].data.recv_status_on_client.status = &call->status;
    ops[4].data.recv_status_on_client.status_details = &call->details;
    start(call, ops, 5, &call->exchange);
    receive(call);
}

// A call that its caller waits for.
struct blocking_call {
    client_message_fn *on_message;
    void *context;
    bool over;
    struct error result;
};

static bool pass_message(void *context, ProtobufCMessage *message)
{
    struct blocking_call *call = context;
    return call->on_message(call->context, message);
}

static void keep_result(void *context, const struct error *result)
{
    struct blocking_call *call = context;
    call->result = *result;
    call->over = true;
}

enum status client_stream(struct client *client, struct client_method method,
                          const ProtobufCMessage *request, uint64_t timeout_ns,
                          client_message_fn *on_message, void *context, struct error *err)
{
    struct blocking_call call = {.on_message = on_message, .context = context};
    struct client_queue *queue = client_queue_create(client);
    client_start(queue, method, request, timeout_ns,
                 (struct client_handlers){pass_message, keep_result, &call});
    while (!call.over)
        (void)client_queue_wait(queue, UINT64_MAX);
    client_queue_destroy(queue);
    if (call.result.status != STATUS_OK && err)
        *err = call.result;
    return call.result.status;
}

static bool keep_answer(void *context, ProtobufCMessage *message)
{
    ProtobufCMessage **answer = context;
    client_free_message(*answer); // of several, which breaks the contract, the last one counts
    *answer = message;
    return true;
}

enum status client_call(struct client *client, struct client_method method,
                        const ProtobufCMessage *request, uint64_t timeout_ns,
                        ProtobufCMessage **out, struct error *err)
{
    ProtobufCMessage *answer = NULL;
    enum status st = client_stream(client, method, request, timeout_ns, keep_answer, &answer, err);
    if (st == STATUS_OK && !answer)
        st = error_set(err, STATUS_INTERNAL, "%s: the server sent no answer", method.name);
    if (st != STATUS_OK) {
        client_free_message(answer);
        return st;
    }
    *out = answer;
    return STATUS_OK;
}

void client_free_message(ProtobufCMessage *message)
{
    if (message)
        protobuf_c_message_free_unpacked(message, NULL);
}
