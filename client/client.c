/* client/client.c - each call has a completion queue of its own and is driven by the thread that
 * makes it, so a call needs no lock and answers arrive without a change of thread.
 *
 * A call always ends by its status: a cancel, a deadline and a lost connection come back as one,
 * too. The status batch is started first and plucked last; in between, messages are pulled one at a
 * time, so a slow reader slows the server down and nothing piles up.
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

// A call in flight, on the stack of the thread that makes it.
struct live_call {
    grpc_call *call;
    struct live_call *next;
};

struct client {
    char *address;
    grpc_channel *channel;
    pthread_mutex_t lock;
    struct live_call *calls; // under lock
};

static gpr_timespec deadline_after(uint64_t timeout_ns)
{
    if (timeout_ns == 0)
        return gpr_inf_future(GPR_CLOCK_MONOTONIC);
    uint64_t most = INT64_MAX;
    int64_t span = (int64_t)(timeout_ns < most ? timeout_ns : most);
    return gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC), gpr_time_from_nanos(span, GPR_TIMESPAN));
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

enum status client_create(const char *address, struct client **out, struct error *err)
{
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
    grpc_shutdown_blocking();
    pthread_mutex_destroy(&client->lock);
    free(client->address);
    free(client);
}

static void destroy_queue(grpc_completion_queue *queue)
{
    grpc_completion_queue_shutdown(queue);
    grpc_completion_queue_destroy(queue);
}

enum status client_connect(struct client *client, uint64_t timeout_ns, struct error *err)
{
    grpc_completion_queue *queue = grpc_completion_queue_create_for_pluck(NULL);
    gpr_timespec deadline = deadline_after(timeout_ns);
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
    destroy_queue(queue);
    if (state == GRPC_CHANNEL_READY)
        return STATUS_OK;
    return error_set(err, STATUS_UNAVAILABLE, "cannot connect to %s%s", client->address,
                     in_time ? "" : " in time");
}

static void add_live(struct client *client, struct live_call *live)
{
    pthread_mutex_lock(&client->lock);
    live->next = client->calls;
    client->calls = live;
    pthread_mutex_unlock(&client->lock);
}

static void remove_live(struct client *client, struct live_call *live)
{
    pthread_mutex_lock(&client->lock);
    struct live_call **at = &client->calls;
    while (*at != live)
        at = &(*at)->next;
    *at = live->next;
    pthread_mutex_unlock(&client->lock);
}

size_t client_cancel_calls(struct client *client)
{
    size_t n = 0;
    pthread_mutex_lock(&client->lock);
    for (struct live_call *live = client->calls; live; live = live->next) {
        grpc_call_cancel(live->call, NULL);
        n++;
    }
    pthread_mutex_unlock(&client->lock);
    return n;
}

// The state of one call: what its batches write to.
struct exchange {
    grpc_call *call;
    grpc_completion_queue *queue;
    grpc_metadata_array initial, trailing;
    grpc_status_code status;
    grpc_slice details;
};

static bool pluck(struct exchange *exchange, void *tag)
{
    gpr_timespec never = gpr_inf_future(GPR_CLOCK_MONOTONIC);
    return grpc_completion_queue_pluck(exchange->queue, tag, never, NULL).success;
}

static void start(struct exchange *exchange, const grpc_op *ops, size_t n_ops, void *tag)
{
    CHECK(grpc_call_start_batch(exchange->call, ops, n_ops, tag, NULL) == GRPC_CALL_OK);
}

// Sends the request; the status will come back with the exchange itself as its tag.
static void begin(struct exchange *exchange, const ProtobufCMessage *request)
{
    grpc_op status = {.op = GRPC_OP_RECV_STATUS_ON_CLIENT};
    status.data.recv_status_on_client.trailing_metadata = &exchange->trailing;
    status.data.recv_status_on_client.status = &exchange->status;
    status.data.recv_status_on_client.status_details = &exchange->details;
    start(exchange, &status, 1, exchange);

    grpc_slice bytes = grpc_slice_malloc(protobuf_c_message_get_packed_size(request));
    protobuf_c_message_pack(request, GRPC_SLICE_START_PTR(bytes));
    grpc_byte_buffer *sending = grpc_raw_byte_buffer_create(&bytes, 1);
    grpc_slice_unref(bytes);
    grpc_op ops[4] = {
        {.op = GRPC_OP_SEND_INITIAL_METADATA},
        {.op = GRPC_OP_SEND_MESSAGE},
        {.op = GRPC_OP_SEND_CLOSE_FROM_CLIENT},
        {.op = GRPC_OP_RECV_INITIAL_METADATA},
    };
    ops[1].data.send_message.send_message = sending;
    ops[3].data.recv_initial_metadata.recv_initial_metadata = &exchange->initial;
    start(exchange, ops, 4, &exchange->initial);
    pluck(exchange, &exchange->initial); // a failure shows in the status
    grpc_byte_buffer_destroy(sending);
}

// The next message; NULL: there is none, or it is not well-formed (then *out_broken).
static ProtobufCMessage *receive(struct exchange *exchange,
                                 const ProtobufCMessageDescriptor *descriptor, bool *out_broken)
{
    grpc_byte_buffer *received = NULL;
    grpc_op op = {.op = GRPC_OP_RECV_MESSAGE};
    op.data.recv_message.recv_message = &received;
    start(exchange, &op, 1, &exchange->call);
    pluck(exchange, &exchange->call);
    if (!received)
        return NULL;
    ProtobufCMessage *message = NULL;
    grpc_byte_buffer_reader reader;
    if (grpc_byte_buffer_reader_init(&reader, received)) {
        grpc_slice slice = grpc_byte_buffer_reader_readall(&reader);
        grpc_byte_buffer_reader_destroy(&reader);
        message = protobuf_c_message_unpack(descriptor, NULL, GRPC_SLICE_LENGTH(slice),
                                            GRPC_SLICE_START_PTR(slice));
        grpc_slice_unref(slice);
    }
    grpc_byte_buffer_destroy(received);
    *out_broken = !message;
    return message;
}

static enum status take_status(const struct exchange *exchange, struct error *err)
{
    if (exchange->status == GRPC_STATUS_OK)
        return STATUS_OK;
    return error_set(err, (enum status)exchange->status, "%.*s",
                     (int)GRPC_SLICE_LENGTH(exchange->details),
                     (const char *)GRPC_SLICE_START_PTR(exchange->details));
}

static grpc_call *create_call(struct client *client, grpc_completion_queue *queue,
                              struct client_method method, uint64_t timeout_ns)
{
    struct text_buffer path = {0};
    text_buffer_append_format(&path, "/%s/%s", method.service->name, method.name);
    grpc_slice slice = grpc_slice_from_copied_buffer(path.data, path.length);
    text_buffer_finish(&path);
    grpc_call *call = grpc_channel_create_call(client->channel, NULL, GRPC_PROPAGATE_DEFAULTS,
                                               queue, slice, NULL, deadline_after(timeout_ns),
                                               NULL);
    grpc_slice_unref(slice);
    return call;
}

enum status client_stream(struct client *client, struct client_method method,
                          const ProtobufCMessage *request, uint64_t timeout_ns,
                          client_message_fn *on_message, void *context, struct error *err)
{
    const ProtobufCMethodDescriptor *described =
        protobuf_c_service_descriptor_get_method_by_name(method.service, method.name);
    CHECK(described && described->input == request->descriptor);

    struct exchange exchange = {.queue = grpc_completion_queue_create_for_pluck(NULL)};
    exchange.call = create_call(client, exchange.queue, method, timeout_ns);
    grpc_metadata_array_init(&exchange.initial);
    grpc_metadata_array_init(&exchange.trailing);
    struct live_call live = {.call = exchange.call};
    add_live(client, &live);

    begin(&exchange, request);
    bool wanted = true;
    bool broken = false;
    ProtobufCMessage *message;
    while (wanted && (message = receive(&exchange, described->output, &broken)))
        wanted = on_message(context, message);
    if (!wanted || broken)
        grpc_call_cancel(exchange.call, NULL);
    pluck(&exchange, &exchange);

    remove_live(client, &live);
    enum status st = wanted ? take_status(&exchange, err) : STATUS_OK;
    if (broken)
        st = error_set(err, STATUS_INTERNAL, "the server sent no well-formed %s",
                       described->output->name);
    grpc_slice_unref(exchange.details);
    grpc_metadata_array_destroy(&exchange.initial);
    grpc_metadata_array_destroy(&exchange.trailing);
    grpc_call_unref(exchange.call);
    destroy_queue(exchange.queue);
    return st;
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
