/* gateway/health_service.c - grpc.health.v1: "" (the server) and the services that take requests
 * follow the state, the others always serve. Check of an unknown service is NOT_FOUND; Watch of one
 * says SERVICE_UNKNOWN and stays open, as the protocol wants it. */
#include <stdlib.h>

#include "base/mem.h"
#include "gateway/message.h"
#include "gateway/services.h"
#include "proto/descriptors.h"
#include "proto/health.pb-c.h"

#define STATUS_OF(name) GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__##name

enum health_subject { SUBJECT_UNKNOWN, SUBJECT_REQUESTS, SUBJECT_ALWAYS };

static enum health_subject find_subject(const ProtobufCBinaryData *service)
{
    static const char *const of_requests[] = {
        "", "gemmad.v1.Inference", "vllm.grpc.engine.VllmEngine", "inference.GRPCInferenceService"};
    for (size_t i = 0; i < sizeof of_requests / sizeof of_requests[0]; i++)
        if (service_is_text(service, of_requests[i]))
            return SUBJECT_REQUESTS;
    for (size_t i = 0; i < n_proto_services; i++)
        if (service_is_text(service, proto_services[i]))
            return SUBJECT_ALWAYS;
    return SUBJECT_UNKNOWN;
}

static Grpc__Health__V1__HealthCheckResponse__ServingStatus status_of(struct gateway_state *state,
                                                                      enum health_subject subject)
{
    if (subject == SUBJECT_UNKNOWN)
        return STATUS_OF(SERVICE_UNKNOWN);
    if (subject == SUBJECT_ALWAYS || gateway_state_takes_requests(state))
        return STATUS_OF(SERVING);
    return STATUS_OF(NOT_SERVING);
}

static void pack_status(Grpc__Health__V1__HealthCheckResponse__ServingStatus status,
                        struct text_buffer *out)
{
    Grpc__Health__V1__HealthCheckResponse response = GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__INIT;
    response.has_status = true;
    response.status = status;
    message_pack(&response.base, out);
}

// False: the call was ended.
static bool read_subject(struct rpc_call *call, const uint8_t *bytes, size_t n,
                         enum health_subject *out)
{
    struct error err = {0};
    ProtobufCMessage *message = NULL;
    enum status st = message_unpack(&grpc__health__v1__health_check_request__descriptor, bytes, n,
                                    &message, &err);
    if (st != STATUS_OK) {
        rpc_call_end(call, st, err.message);
        return false;
    }
    *out = find_subject(&((Grpc__Health__V1__HealthCheckRequest *)message)->service);
    message_free(message);
    return true;
}

static void on_check(struct rpc_call *call, const uint8_t *bytes, size_t n)
{
    enum health_subject subject;
    if (!read_subject(call, bytes, n, &subject))
        return;
    if (subject == SUBJECT_UNKNOWN) {
        rpc_call_end(call, STATUS_NOT_FOUND, "unknown service");
        return;
    }
    struct text_buffer message = {0};
    pack_status(status_of(rpc_call_service(call), subject), &message);
    rpc_call_reply(call, &message);
    rpc_call_end(call, STATUS_OK, "");
}

struct health_watch {
    struct gateway_watcher *watcher;
    enum health_subject subject;
    bool told;
    Grpc__Health__V1__HealthCheckResponse__ServingStatus last;
};

static void on_watch(struct rpc_call *call, const uint8_t *bytes, size_t n)
{
    enum health_subject subject;
    if (!read_subject(call, bytes, n, &subject))
        return;
    struct health_watch *watch = mem_zeroed(1, sizeof *watch);
    watch->subject = subject;
    rpc_call_set_state(call, watch);
    watch->watcher = gateway_state_watch(rpc_call_service(call), call);
}

static void next_of_watch(struct rpc_call *call)
{
    struct health_watch *watch = rpc_call_state(call);
    Grpc__Health__V1__HealthCheckResponse__ServingStatus status = status_of(rpc_call_service(call),
                                                                            watch->subject);
    if (watch->told && status == watch->last)
        return;
    watch->told = true;
    watch->last = status;
    struct text_buffer message = {0};
    pack_status(status, &message);
    rpc_call_reply(call, &message);
}

static void on_watch_closed(struct rpc_call *call)
{
    struct health_watch *watch = rpc_call_state(call);
    if (!watch)
        return;
    gateway_state_unwatch(rpc_call_service(call), watch->watcher);
    watch->watcher = NULL;
}

size_t health_service_methods(struct gateway_state *state, struct rpc_method *out)
{
    out[0] = (struct rpc_method){
        .path = "/grpc.health.v1.Health/Check",
        .open = true,
        .service = state,
        .on_request = on_check,
    };
    out[1] = (struct rpc_method){
        .path = "/grpc.health.v1.Health/Watch",
        .open = true,
        .lasting = true,
        .service = state,
        .on_request = on_watch,
        .next = next_of_watch,
        .on_closed = on_watch_closed,
        .free_state = free,
    };
    return 2;
}
