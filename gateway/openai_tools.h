/* gateway/openai_tools.h - the tools of a chat: checked, and made ready for the template.
 *
 * The template knows no $ref, so local ones (#/$defs/..) are put in the place where they are used,
 * ten deep at most. Thread: any. */
#ifndef GEMMAD_GATEWAY_OPENAI_TOOLS_H
#define GEMMAD_GATEWAY_OPENAI_TOOLS_H

#include "base/json.h"

#define OPENAI_MAX_TOOLS 1024

enum openai_tool_choice {
    OPENAI_TOOLS_NONE, /* no calls are looked for */
    OPENAI_TOOLS_AUTO,
    OPENAI_TOOLS_REQUIRED,
    OPENAI_TOOLS_NAMED,
};

struct openai_tools {
    enum openai_tool_choice choice;
    const struct json_value *tools; /* as the client sent them, or NULL: none */
    const struct json_value *named; /* OPENAI_TOOLS_NAMED: the name */
    bool strict;                    /* a tool says so */
    struct json_document *inlined;  /* the tools for the template, when they differ */
};

/* Both may be NULL. INVALID_ARGUMENT: "tools[1].function.name: must be a string" and the like. */
NODISCARD enum status openai_tools_read(struct openai_tools *out, const struct json_value *tools,
                                        const struct json_value *choice, struct error *err);
void openai_tools_finish(struct openai_tools *tools);

/* The tools that the template gets, or NULL. */
const struct json_value *openai_tools_for_template(const struct openai_tools *tools);

#endif
