/* gateway/metrics_page.h - the answer of /metrics: everything there is to count, in Prometheus'
 * text format 0.0.4. Thread: any. */
#ifndef GEMMAD_GATEWAY_METRICS_PAGE_H
#define GEMMAD_GATEWAY_METRICS_PAGE_H

#include "gateway/state.h"

#define METRICS_CONTENT_TYPE "text/plain; version=0.0.4; charset=utf-8"

/* Appends the page. In every state: while the model is loading the engine's numbers are 0. */
void metrics_write(struct gateway_state *state, struct text_buffer *out);

#endif
