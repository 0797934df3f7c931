/* gateway/openai_call.c - the requests of a call run beside each other; events are taken from one
 * after the other, so a chunk of a later prompt may come before one of an earlier. When one fails
 * the others are aborted: an answer is whole or it is an error.
 * Invariant: what is not over runs, or was aborted. */
#include "gateway/openai_call.h"

#include <stdlib.h>

#include "base/mem.h"
#include "gateway/answer.h"
#include "gateway/openai_request.h"

/* Lines at a time: more would wait here instead of in the bounded queue. */
#define ENOUGH_BYTES ((size_t)32 << 10)

struct openai_call {
    bool stream;
    struct answer *answer;
    struct part {
        struct generation *generation;
        bool over;
    } * parts; // [n]
    size_t n, n_over;
};

static enum status start(struct openai_call *call, struct gateway_state *state,
                         const struct openai_request *request,
                         const struct generation_client *client, struct error *err)
{
    call->parts = mem_zeroed(request->n_parts, sizeof *call->parts);
    for (size_t i = 0; i < request->n_parts; i++) {
        enum status st = generation_start(state->engine, &request->parts[i].request,
                                          state->max_queued_bytes, client,
                                          &call->parts[i].generation, err);
        if (st != STATUS_OK)
            return st;
        call->n = i + 1;
    }
    return STATUS_OK;
}

enum status openai_call_create(struct gateway_state *state, enum openai_api api, const char *body,
                               size_t n, struct tokenizer_encoder *encoder,
                               const struct generation_client *client, struct openai_call **out,
                               struct error *err)
{
    *out = NULL;
    struct openai_request request;
    enum status st = openai_request_init(&request, api, body, n, &state->model, encoder, err);
    if (st != STATUS_OK)
        return st;
    struct openai_call *call = mem_zeroed(1, sizeof *call);
    request.answer.fingerprint = state->fingerprint;
    call->stream = request.answer.stream;
    call->answer = answer_create(&request.answer);
    st = start(call, state, &request, client, err);
    openai_request_finish(&request);
    *out = call;
    if (st != STATUS_OK)
        openai_call_abort(call);
    return st;
}

void openai_call_destroy(struct openai_call *call)
{
    if (!call)
        return;
    for (size_t i = 0; i < call->n; i++)
        generation_destroy(call->parts[i].generation);
    free(call->parts);
    answer_destroy(call->answer);
    free(call);
}

bool openai_call_is_stream(const struct openai_call *call)
{
    return call->stream;
}

// What a part has to say, as long as lines are not many.
static enum status take_part(struct openai_call *call, size_t i, struct text_buffer *lines,
                             struct error *failure)
{
    struct part *part = &call->parts[i];
    enum status st = STATUS_OK;
    while (!part->over && st == STATUS_OK && lines->length < ENOUGH_BYTES) {
        struct queued_event *event = generation_take(part->generation, &part->over, failure);
        st = failure->status;
        if (event && st == STATUS_OK)
            st = answer_push(call->answer, (uint32_t)i, event, lines, failure);
        call->n_over += part->over;
        if (!event)
            break;
        queued_event_destroy(event);
    }
    return st;
}

void openai_call_take(struct openai_call *call, struct text_buffer *lines, bool *over,
                      struct error *failure)
{
    enum status st = STATUS_OK;
    for (size_t i = 0; i < call->n && st == STATUS_OK; i++)
        st = take_part(call, i, lines, failure);
    *over = st != STATUS_OK || call->n_over == call->n;
    if (st != STATUS_OK)
        openai_call_abort(call);
    else if (*over)
        answer_end(call->answer, lines);
}

bool openai_call_overflowed(struct openai_call *call, struct error *err)
{
    for (size_t i = 0; i < call->n; i++)
        if (generation_overflowed(call->parts[i].generation, err))
            return true;
    return false;
}

void openai_call_abort(struct openai_call *call)
{
    for (size_t i = 0; i < call->n; i++)
        generation_abort(call->parts[i].generation);
}
