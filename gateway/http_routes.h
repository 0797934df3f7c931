/* gateway/http_routes.h - what HTTP clients can ask for. Thread: as gateway/http_call.h says. */
#ifndef GEMMAD_GATEWAY_HTTP_ROUTES_H
#define GEMMAD_GATEWAY_HTTP_ROUTES_H

#include "gateway/http_call.h"
#include "gateway/state.h"

#define HTTP_MAX_ROUTES 32

/* Each fills in its routes and returns how many. */
size_t http_openai_routes(struct gateway_state *state, struct http_route *out);
size_t http_info_routes(struct gateway_state *state, struct http_route *out);

/* The encoder of the thread that runs a heavy route, made when first asked for. */
struct tokenizer_encoder *http_encoder(struct http_call *call, const struct gateway_model *model);
void http_free_thread_state(void *state);

/* Answers 200 with JSON. */
void http_answer_json(struct http_call *call, struct text_buffer *body);

#endif
