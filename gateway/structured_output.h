/* gateway/structured_output.h - the form that a request wants of its answer, as a grammar.
 *
 * Thread: any that may compute for long. */
#ifndef GEMMAD_GATEWAY_STRUCTURED_OUTPUT_H
#define GEMMAD_GATEWAY_STRUCTURED_OUTPUT_H

#include "proto/inference.pb-c.h"
#include "text/grammar/grammar_cache.h"

/* message NULL: any text. tools: the fields of it that are about tools, or NULL. The caller drops
 * *out. INVALID_ARGUMENT: what is wrong with it. FAILED_PRECONDITION: cache is NULL. */
NODISCARD enum status structured_output_compile(const Gemmad__V1__StructuredOutput *message,
                                                const struct grammar_request *tools,
                                                struct grammar_cache *cache, struct grammar **out,
                                                struct error *err);

#endif
