/* gateway/kserve_service.c - inference.GRPCInferenceService: whether the server and its model are
 * there, for platforms that ask in KServe's words. */
#include "gateway/message.h"
#include "gateway/services.h"
#include "proto/grpc_predict_v2.pb-c.h"

#define MODEL_VERSION "1" /* there is one */

static void on_server_live(struct rpc_call *call, const uint8_t *bytes, size_t n)
{
    (void)bytes, (void)n;
    Inference__ServerLiveResponse r = INFERENCE__SERVER_LIVE_RESPONSE__INIT;
    r.has_live = r.live = true;
    service_answer(call, &r.base);
}

static void on_server_ready(struct rpc_call *call, const uint8_t *bytes, size_t n)
{
    (void)bytes, (void)n;
    Inference__ServerReadyResponse r = INFERENCE__SERVER_READY_RESPONSE__INIT;
    r.has_ready = true;
    r.ready = gateway_state_takes_requests(rpc_call_service(call));
    service_answer(call, &r.base);
}

// NOT_FOUND: another model or version. UNAVAILABLE: loading, so nobody knows.
static enum status find_model(struct gateway_state *state, const ProtobufCBinaryData *name,
                              const ProtobufCBinaryData *version, struct error *err)
{
    enum status st = gateway_state_loaded(state, err);
    if (st != STATUS_OK)
        return st;
    if (!service_is_text(name, state->model.name))
        return error_set(err, STATUS_NOT_FOUND, "name: the model here is %s", state->model.name);
    if (version->len > 0 && !service_is_text(version, MODEL_VERSION))
        return error_set(err, STATUS_NOT_FOUND, "version: there is one, " MODEL_VERSION);
    return STATUS_OK;
}

static void on_model_ready(struct rpc_call *call, const uint8_t *bytes, size_t n)
{
    struct gateway_state *state = rpc_call_service(call);
    struct error err = {0};
    ProtobufCMessage *message = NULL;
    enum status st = message_unpack(&inference__model_ready_request__descriptor, bytes, n, &message,
                                    &err);
    if (st == STATUS_OK) {
        const Inference__ModelReadyRequest *asked = (Inference__ModelReadyRequest *)message;
        st = find_model(state, &asked->name, &asked->version, &err);
    }
    message_free(message);
    Inference__ModelReadyResponse r = INFERENCE__MODEL_READY_RESPONSE__INIT;
    r.has_ready = true;
    r.ready = st == STATUS_OK && gateway_state_takes_requests(state);
    if (st == STATUS_OK || st == STATUS_UNAVAILABLE) // loading is an answer: not ready
        service_answer(call, &r.base);
    else
        rpc_call_end(call, st, err.message);
}

static void on_server_metadata(struct rpc_call *call, const uint8_t *bytes, size_t n)
{
    (void)bytes, (void)n;
    struct gateway_state *state = rpc_call_service(call);
    Inference__ServerMetadataResponse r = INFERENCE__SERVER_METADATA_RESPONSE__INIT;
    r.has_name = r.has_version = true;
    r.name = service_text("gemmad");
    r.version = service_text(state->version);
    service_answer(call, &r.base);
}

static Inference__ModelMetadataResponse__TensorMetadata tensor(const char *name, int64_t *shape)
{
    Inference__ModelMetadataResponse__TensorMetadata t =
        INFERENCE__MODEL_METADATA_RESPONSE__TENSOR_METADATA__INIT;
    t.has_name = t.has_datatype = true;
    t.name = service_text(name);
    t.datatype = service_text("BYTES");
    t.n_shape = 1;
    t.shape = shape;
    return t;
}

// As servers of language models describe themselves there: a text in, a text out.
static void answer_model_metadata(struct rpc_call *call, const struct gateway_model *model)
{
    int64_t one = 1;
    Inference__ModelMetadataResponse__TensorMetadata input = tensor("text_input", &one);
    Inference__ModelMetadataResponse__TensorMetadata output = tensor("text_output", &one);
    Inference__ModelMetadataResponse__TensorMetadata *inputs = &input;
    Inference__ModelMetadataResponse__TensorMetadata *outputs = &output;
    ProtobufCBinaryData version = service_text(MODEL_VERSION);
    Inference__ModelMetadataResponse r = INFERENCE__MODEL_METADATA_RESPONSE__INIT;
    r.has_name = r.has_platform = true;
    r.name = service_text(model->name);
    r.platform = service_text("gemmad");
    r.n_versions = r.n_inputs = r.n_outputs = 1;
    r.versions = &version;
    r.inputs = &inputs;
    r.outputs = &outputs;
    service_answer(call, &r.base);
}

static void on_model_metadata(struct rpc_call *call, const uint8_t *bytes, size_t n)
{
    struct gateway_state *state = rpc_call_service(call);
    struct error err = {0};
    ProtobufCMessage *message = NULL;
    enum status st = message_unpack(&inference__model_metadata_request__descriptor, bytes, n,
                                    &message, &err);
    if (st == STATUS_OK) {
        const Inference__ModelMetadataRequest *asked = (Inference__ModelMetadataRequest *)message;
        st = find_model(state, &asked->name, &asked->version, &err);
    }
    message_free(message);
    if (st == STATUS_OK)
        answer_model_metadata(call, &state->model);
    else
        rpc_call_end(call, st, err.message);
}

size_t kserve_service_methods(struct gateway_state *state, struct rpc_method *out)
{
    const struct rpc_method methods[] = {
        {.path = "/inference.GRPCInferenceService/ServerLive", .on_request = on_server_live},
        {.path = "/inference.GRPCInferenceService/ServerReady", .on_request = on_server_ready},
        {.path = "/inference.GRPCInferenceService/ModelReady", .on_request = on_model_ready},
        {.path = "/inference.GRPCInferenceService/ServerMetadata",
         .on_request = on_server_metadata},
        {.path = "/inference.GRPCInferenceService/ModelMetadata", .on_request = on_model_metadata},
    };
    size_t n = sizeof methods / sizeof methods[0];
    for (size_t i = 0; i < n; i++) {
        out[i] = methods[i];
        out[i].service = state;
    }
    return n;
}
