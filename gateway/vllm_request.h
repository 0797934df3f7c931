/* gateway/vllm_request.h - a GenerateRequest of vllm.grpc.engine as one of gemmad.v1, so that all
 * is checked in one place and means the same: ids and no text in the answer, stop tokens among
 * them.
 *
 * Errors of what both have come from gateway/generate_request.h, with the names of gemmad.v1
 * ("sampling.temperature"). Thread: any. */
#ifndef GEMMAD_GATEWAY_VLLM_REQUEST_H
#define GEMMAD_GATEWAY_VLLM_REQUEST_H

#include "base/status.h"
#include "proto/inference.pb-c.h"
#include "proto/vllm_engine.pb-c.h"

/* What message points to is here or in the request that it was made of. */
struct vllm_request {
    Gemmad__V1__GenerateRequest message;
    Gemmad__V1__TokenIds ids;
    Gemmad__V1__Sampling sampling;
    Gemmad__V1__Stopping stopping;
    Gemmad__V1__ResponseOptions response;
    Gemmad__V1__StructuredOutput structured;
    Gemmad__V1__Choices choices;
    Gemmad__V1__Sampling__LogitBiasEntry *biases, **bias_list;
};

/* max_prompt_tokens: the most that a prompt may have. INVALID_ARGUMENT: a field that is not
 * supported, by its name. out is in one place until finish, which it needs on success alone. */
NODISCARD enum status vllm_request_init(struct vllm_request *out,
                                        const Vllm__Grpc__Engine__GenerateRequest *request,
                                        uint32_t max_prompt_tokens, struct error *err);
void vllm_request_finish(struct vllm_request *request);

#endif
