/* gateway/services.h - the services, as tables of methods for the server.
 *
 * Each function fills in its service's methods (state is their rpc_method.service) and returns how
 * many. Thread: as gateway/rpc_call.h says. */
#ifndef GEMMAD_GATEWAY_SERVICES_H
#define GEMMAD_GATEWAY_SERVICES_H

#include <protobuf-c/protobuf-c.h>

#include "gateway/generation.h"
#include "gateway/rpc_call.h"
#include "gateway/state.h"

#define SERVICE_MAX_METHODS 8

size_t inference_service_methods(struct gateway_state *state, struct rpc_method *out);
size_t control_service_methods(struct gateway_state *state, struct rpc_method *out);
size_t health_service_methods(struct gateway_state *state, struct rpc_method *out);
size_t reflection_service_methods(struct gateway_state *state, struct rpc_method *out);
size_t vllm_service_methods(struct gateway_state *state, struct rpc_method *out);
size_t kserve_service_methods(struct gateway_state *state, struct rpc_method *out);

/* Inference.Generate, Inference.Chat and VllmEngine.Generate, apart because they have a life of
 * their own. */
struct rpc_method generate_method(struct gateway_state *state);
struct rpc_method chat_method(struct gateway_state *state);
struct rpc_method vllm_generate_method(struct gateway_state *state);

/* Packs the answer and ends the call with OK. */
void service_answer(struct rpc_call *call, const ProtobufCMessage *message);
ProtobufCBinaryData service_text(const char *text);
bool service_is_text(const ProtobufCBinaryData *bytes, const char *text);

/* The call as a generation's client: it is woken by the events. */
struct generation_client service_generation_client(struct rpc_call *call);

/* The encoder of the call's thread, made when first asked for; the model is loaded. */
struct tokenizer_encoder *service_encoder(struct rpc_call *call, const struct gateway_model *model);
void service_free_thread_state(void *state);

#endif
