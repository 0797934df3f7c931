/* gateway/reflection_service.c - grpc.reflection.v1 and v1alpha, which differ in their package
 * alone: one code, with v1's messages. No file imports another, so an answer is always one file;
 * there are no extensions. */
#include <string.h>

#include "gateway/message.h"
#include "gateway/services.h"
#include "proto/descriptors.h"
#include "proto/reflection_v1.pb-c.h"

#define MAX_SERVICES 16

#define CASE_OF(name) GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__MESSAGE_REQUEST_##name
#define ANSWER_OF(name) GRPC__REFLECTION__V1__SERVER_REFLECTION_RESPONSE__MESSAGE_RESPONSE_##name

static bool is_text(ProtobufCBinaryData name, const char *text)
{
    return name.len == strlen(text) && (name.len == 0 || memcmp(name.data, text, name.len) == 0);
}

static const struct proto_file *find_file(ProtobufCBinaryData name)
{
    for (size_t i = 0; i < n_proto_files; i++)
        if (is_text(name, proto_files[i].name))
            return &proto_files[i];
    return NULL;
}

static const struct proto_file *find_symbol(ProtobufCBinaryData name)
{
    if (name.len > 0 && name.data[0] == '.')
        name = (ProtobufCBinaryData){name.len - 1, name.data + 1};
    for (size_t i = 0; i < n_proto_files; i++)
        for (size_t k = 0; k < proto_files[i].n_symbols; k++)
            if (is_text(name, proto_files[i].symbols[k]))
                return &proto_files[i];
    return NULL;
}

static void reply(struct rpc_call *call,
                  const Grpc__Reflection__V1__ServerReflectionResponse *response)
{
    struct text_buffer bytes = {0};
    message_pack(&response->base, &bytes);
    rpc_call_reply(call, &bytes);
}

static void reply_error(struct rpc_call *call,
                        Grpc__Reflection__V1__ServerReflectionResponse response, enum status status,
                        const char *text)
{
    Grpc__Reflection__V1__ErrorResponse error = GRPC__REFLECTION__V1__ERROR_RESPONSE__INIT;
    error.has_error_code = error.has_error_message = true;
    error.error_code = (int32_t)status;
    error.error_message = service_text(text);
    response.message_response_case = ANSWER_OF(ERROR_RESPONSE);
    response.error_response = &error;
    reply(call, &response);
}

static void reply_file(struct rpc_call *call,
                       Grpc__Reflection__V1__ServerReflectionResponse response,
                       const struct proto_file *file, const char *complaint)
{
    if (!file) {
        reply_error(call, response, STATUS_NOT_FOUND, complaint);
        return;
    }
    ProtobufCBinaryData bytes = {file->n_bytes, (uint8_t *)file->bytes};
    Grpc__Reflection__V1__FileDescriptorResponse files =
        GRPC__REFLECTION__V1__FILE_DESCRIPTOR_RESPONSE__INIT;
    files.n_file_descriptor_proto = 1;
    files.file_descriptor_proto = &bytes;
    response.message_response_case = ANSWER_OF(FILE_DESCRIPTOR_RESPONSE);
    response.file_descriptor_response = &files;
    reply(call, &response);
}

static void reply_services(struct rpc_call *call,
                           Grpc__Reflection__V1__ServerReflectionResponse response)
{
    CHECK(n_proto_services <= MAX_SERVICES);
    Grpc__Reflection__V1__ServiceResponse services[MAX_SERVICES];
    Grpc__Reflection__V1__ServiceResponse *list[MAX_SERVICES];
    for (size_t i = 0; i < n_proto_services; i++) {
        grpc__reflection__v1__service_response__init(&services[i]);
        services[i].has_name = true;
        services[i].name = service_text(proto_services[i]);
        list[i] = &services[i];
    }
    Grpc__Reflection__V1__ListServiceResponse answer =
        GRPC__REFLECTION__V1__LIST_SERVICE_RESPONSE__INIT;
    answer.n_service = n_proto_services;
    answer.service = list;
    response.message_response_case = ANSWER_OF(LIST_SERVICES_RESPONSE);
    response.list_services_response = &answer;
    reply(call, &response);
}

static void on_request(struct rpc_call *call, const uint8_t *bytes, size_t n)
{
    struct error err = {0};
    ProtobufCMessage *message = NULL;
    enum status st = message_unpack(&grpc__reflection__v1__server_reflection_request__descriptor,
                                    bytes, n, &message, &err);
    if (st != STATUS_OK) {
        rpc_call_end(call, st, err.message);
        return;
    }
    Grpc__Reflection__V1__ServerReflectionRequest *request = (void *)message;
    Grpc__Reflection__V1__ServerReflectionResponse response =
        GRPC__REFLECTION__V1__SERVER_REFLECTION_RESPONSE__INIT;
    response.has_valid_host = request->has_host;
    response.valid_host = request->host;
    response.original_request = request;
    switch (request->message_request_case) {
    case CASE_OF(LIST_SERVICES):
        reply_services(call, response);
        break;
    case CASE_OF(FILE_BY_FILENAME):
        reply_file(call, response, find_file(request->file_by_filename), "no such file");
        break;
    case CASE_OF(FILE_CONTAINING_SYMBOL):
        reply_file(call, response, find_symbol(request->file_containing_symbol), "no such symbol");
        break;
    case CASE_OF(FILE_CONTAINING_EXTENSION):
    case CASE_OF(ALL_EXTENSION_NUMBERS_OF_TYPE):
        reply_error(call, response, STATUS_NOT_FOUND, "there are no extensions");
        break;
    default:
        reply_error(call, response, STATUS_INVALID_ARGUMENT, "no question in the request");
    }
    message_free(message);
}

size_t reflection_service_methods(struct gateway_state *state, struct rpc_method *out)
{
    static const char *const paths[] = {
        "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
        "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
    };
    for (size_t i = 0; i < 2; i++)
        out[i] = (struct rpc_method){
            .path = paths[i],
            .many_requests = true,
            .lasting = true,
            .service = state,
            .on_request = on_request,
        };
    return 2;
}
