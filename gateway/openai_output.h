/* gateway/openai_output.h - what a body says of the form of the answer, in whichever of the ways
 * that OpenAI, vLLM and llama.cpp have for it. Thread: any. */
#ifndef GEMMAD_GATEWAY_OPENAI_OUTPUT_H
#define GEMMAD_GATEWAY_OPENAI_OUTPUT_H

#include "base/text_buffer.h"
#include "gateway/openai_fields.h"
#include "proto/inference.pb-c.h"

#define OPENAI_MAX_CHOICES 4096

struct openai_output {
    bool present;      /* else any text */
    const char *field; /* which member says it */
    Gemmad__V1__StructuredOutput message;
    Gemmad__V1__Choices choices;
    ProtobufCBinaryData *texts; /* of choices */
    struct text_buffer schema;
};

/* out is where it stays: message points into it and into the fields. INVALID_ARGUMENT: two ways at
 * once, or a wrong type; the content is checked when it is compiled. */
NODISCARD enum status openai_output_read(struct openai_output *out,
                                         const struct openai_fields *fields, struct error *err);
void openai_output_finish(struct openai_output *output);

#endif
