/* gateway/vllm_response.h - events as the GenerateResponses of vllm.grpc.engine. Thread: any. */
#ifndef GEMMAD_GATEWAY_VLLM_RESPONSE_H
#define GEMMAD_GATEWAY_VLLM_RESPONSE_H

#include "gateway/event_queue.h"

/* What a response tells of its sequence beside the events. */
struct vllm_told {
    uint32_t n_prompt;
    uint32_t n_top;                    /* best tokens with each logprob; 0: none */
    const struct queued_event *prompt; /* its logprobs are told; or NULL */
};

/* Replace what out held. deltas is a list by next, of one sequence: the ids and logprobs that are
 * told. chunk: at least one. */
void vllm_pack_chunk(const struct queued_event *deltas, const struct vllm_told *told,
                     struct text_buffer *out);
void vllm_pack_complete(const struct queued_event *finish, const struct queued_event *deltas,
                        const struct stop_string *stop_strings, const struct vllm_told *told,
                        struct text_buffer *out);

#endif
