/* text/template.h - a Jinja subset that runs a checkpoint's own chat template.
 *
 * Behaves as transformers' environment (trim_blocks, lstrip_blocks, no autoescape, undefined is
 * falsy and prints nothing). What the subset lacks is refused at compile time by line and name:
 * inheritance and imports, call, with and do blocks, recursive loops, varargs, clocks; text % and
 * arithmetic beyond 64 bits fail when they are met.
 * Output remembers which bytes came from the client: see spans. Design: gemma4-text.md section 2.
 * Thread: a compiled template is read-only and may be shared; each render owns its memory. */
#ifndef GEMMAD_TEXT_TEMPLATE_H
#define GEMMAD_TEXT_TEMPLATE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/json.h"
#include "base/status.h"

struct template;

/* INVALID_ARGUMENT: "chat_template.jinja:12: unknown filter 'foo'" (name stands for the file). */
NODISCARD enum status template_compile(const char *source, size_t n, const char *name,
                                       struct template **out, struct error *err);
void template_destroy(struct template *template);

struct template_limits {
    size_t max_steps;        /* evaluated nodes, and work in proportion to lengths; 0: 20 million,
                                which is about a second */
    size_t max_output_bytes; /* 0: 64 MiB; a render may use four times as much memory, or 16 MiB */
    unsigned max_depth;      /* macro calls inside each other, and nested JSON; 0: 128 */
};

/* A run of output bytes. from_client: the characters came from a string of the client's (message
 * contents, names, tool texts and keys), also through filters and concatenation. Special tokens in
 * them are plain text unless the caller says otherwise. */
struct template_span {
    size_t length;
    bool from_client;
};

struct template_output {
    char *text; /* NUL-terminated, well-formed UTF-8 */
    size_t length;
    struct template_span *spans; /* cover text in order; neighbours differ */
    size_t n_spans;
};

/* Renders with the members of the JSON object variables as top-level names (messages, tools,
 * enable_thinking, ...); all their strings and keys are client strings, and their numbers once
 * printed. trusted names hold server strings (bos_token): an object too, may be NULL; it wins where
 * both have a name. Neither object needs json_get's index. INVALID_ARGUMENT: raise_exception's
 * message, a type error, behind "name:line: ". RESOURCE_EXHAUSTED: a limit. On failure *out is
 * untouched. */
NODISCARD enum status template_render(const struct template *template,
                                      const struct json_value *variables,
                                      const struct json_value *trusted,
                                      const struct template_limits *limits,
                                      struct template_output *out, struct error *err);
void template_output_finish(struct template_output *output);

#endif
