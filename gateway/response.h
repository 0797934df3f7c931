/* gateway/response.h - an event as the GenerateResponse that a client reads. Thread: any. */
#ifndef GEMMAD_GATEWAY_RESPONSE_H
#define GEMMAD_GATEWAY_RESPONSE_H

#include "gateway/event_queue.h"

/* Replaces what out held by the packed message. stop_strings: the request's, which a finish names
 * by index. */
void response_pack(const struct queued_event *event, const struct stop_string *stop_strings,
                   struct text_buffer *out);

#endif
