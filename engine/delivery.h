/* engine/delivery.h - from what steps bring to the events of a request: stop ids and strings,
 * limits, the order PROMPT, DELTA.., FINISH, and the end of a request.
 *
 * Shown to the client: all generated tokens but a stop id (which include_stop shows too). Counted
 * in completion_tokens: all sampled ones. Thread: the engine thread, on which callbacks run. */
#ifndef GEMMAD_ENGINE_DELIVERY_H
#define GEMMAD_ENGINE_DELIVERY_H

#include "engine/live_request.h"

struct delivery {
    struct scheduler *scheduler;
    /* The request brought its first token or prefill; it is over: its id may be used again. It is
     * freed after its last event. */
    void (*on_started)(void *context, struct live_request *request);
    void (*on_over)(void *context, struct live_request *request);
    void *context;
    struct tokenizer_encoder *encoder; /* with constraints */
    uint32_t *mask_bits;               /* scratch, [step_mask_bits_words] */
    uint64_t masks_until_ns;           /* after it masks are put off, unless none was made */
    uint32_t n_masks;                  /* that were made for the step */
    uint64_t n_generated_tokens;
    uint64_t step_began_ns; /* the one whose results are being taken */
};

/* A scheduler_output_fn: context is the delivery, owner the choice. */
void delivery_take_output(void *context, void *owner, const struct sequence_output *output);

/* Before the masks of a step. */
void delivery_begin_masks(struct delivery *delivery, uint64_t now_ns);
/* A scheduler_mask_fn likewise. Ends a request whose grammar allows no token. */
void delivery_take_mask(void *context, void *owner, struct sequence_mask *out);

/* Ends all choices that have not ended, with ABORT or TIME_LIMIT. */
void delivery_end_request(struct delivery *delivery, struct live_request *request,
                          enum finish_reason reason);
/* Ends the request with FAILED. */
void delivery_fail_request(struct delivery *delivery, struct live_request *request,
                           const struct error *error);

#endif
