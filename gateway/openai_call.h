/* gateway/openai_call.h - one call of the OpenAI API, whatever carried it here: a body goes in,
 * lines of JSON come out (gateway/answer.h).
 *
 * Thread: create is for a thread that may compute for long; the rest as gateway/generation.h. */
#ifndef GEMMAD_GATEWAY_OPENAI_CALL_H
#define GEMMAD_GATEWAY_OPENAI_CALL_H

#include "gateway/generation.h"
#include "gateway/openai_fields.h"
#include "gateway/state.h"

struct openai_call;

/* Makes a request of the body and submits it. wake may be called before this returns. Errors as of
 * openai_request_init and generation_start. *out is set on failure too, when a part of the request
 * had begun already; it is destroyed like any other then, and NULL otherwise. */
NODISCARD enum status openai_call_create(struct gateway_state *state, enum openai_api api,
                                         const char *body, size_t n,
                                         struct tokenizer_encoder *encoder,
                                         const struct generation_client *client,
                                         struct openai_call **out, struct error *err);
/* When the last reference to the client is gone. NULL is fine. */
void openai_call_destroy(struct openai_call *call);

bool openai_call_is_stream(const struct openai_call *call);
/* Appends what there is to say, at least one line of it if there is one; *over: that was all, and
 * failure (zero-initialised) says why it went wrong, if it did. */
void openai_call_take(struct openai_call *call, struct text_buffer *lines, bool *over,
                      struct error *failure);
/* True once, when the client does not read: it is to be ended. */
bool openai_call_overflowed(struct openai_call *call, struct error *err);
void openai_call_abort(struct openai_call *call);

#endif
