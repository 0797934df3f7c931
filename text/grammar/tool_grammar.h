/* text/grammar/tool_grammar.h - the tools of a request as a grammar of the calls that may be made,
 * in Gemma's wire form. gemma4-text.md section 3.5.
 *
 * Arguments follow the tool's parameters as json_schema.h says (call_form). A string is closed by
 * the quote token alone, and no other special token may occur in it, so it cannot swallow the end
 * of its call. The grammar holds no token that ends a text: behind each call the text may end, and
 * the stop tokens of whoever masks must contain <turn|> (106) and <|tool_response> (50), or a
 * model that has called once is left with calling again. */
#ifndef GEMMAD_TEXT_GRAMMAR_TOOL_GRAMMAR_H
#define GEMMAD_TEXT_GRAMMAR_TOOL_GRAMMAR_H

#include "base/json.h"
#include "text/grammar/grammar.h"

struct tool_grammar_options {
    const struct json_value *tools; /* [{"type":"function","function":{...}}, ...] */
    const struct json_value
        *tool_choice; /* "auto", "required", {"type":"function",...}; NULL: auto */
    bool parallel;    /* any number of calls; else exactly one */
    uint32_t call_start, call_end, quote; /* <|tool_call>, <tool_call|>, <|"|> */
    const grammar_symbol *answer; /* auto: what may be said instead of calls; NULL: any text,
                                     and calls behind it */
};

/* INVALID_ARGUMENT: tools or tool_choice are malformed, name a tool twice or one that is not there,
 * or a tool's parameters are no schema (strict tools: cannot be enforced). "none" is not for here:
 * it asks for no grammar. */
NODISCARD enum status tool_grammar_symbol(struct grammar_builder *builder,
                                          const struct tool_grammar_options *options,
                                          grammar_symbol *out, struct error *err);

#endif
