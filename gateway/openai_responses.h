/* gateway/openai_responses.h - a body of the Responses API, made into a chat. Thread: any. */
#ifndef GEMMAD_GATEWAY_OPENAI_RESPONSES_H
#define GEMMAD_GATEWAY_OPENAI_RESPONSES_H

#include "gateway/openai_fields.h"

/* Sets the fields of a chat (messages, tools, tool_choice, response_format, reasoning_effort) from
 * those of a response; they point into *out then, which the caller destroys. INVALID_ARGUMENT:
 * "input[2].type: ..." and the like; UNIMPLEMENTED: what this server keeps no state for. */
NODISCARD enum status openai_responses_convert(struct openai_fields *fields,
                                               struct json_document **out, struct error *err);

#endif
