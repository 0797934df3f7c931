/* text/template_render.h - a running template: its scopes, where its output goes, and the two
 * halves that call each other, statements (template_render.c) and expressions (template_eval.c).
 * Part of the template engine. Thread: one a render. */
#ifndef GEMMAD_TEXT_TEMPLATE_RENDER_H
#define GEMMAD_TEXT_TEMPLATE_RENDER_H

#include "base/text_buffer.h"
#include "text/template.h"
#include "text/template_builtins.h"
#include "text/template_syntax.h"

struct binding {
    uint32_t symbol;
    struct value value;
};

/* Names set in one frame: the template, a loop's body, a macro's call. */
struct scope {
    struct scope *parent;
    size_t n, capacity;
    struct binding *bindings;
    bool captured; /* a macro sees it, so it outlives its frame */
};

struct macro {
    const struct statement *definition;
    struct scope *closure;
};

/* The output: text and who wrote it. */
struct rendered {
    struct text_buffer text;
    struct template_span *spans;
    size_t n_spans, capacity;
    size_t max_bytes;
};

struct render {
    struct budget budget;
    const struct syntax_tree *tree;
    struct value *globals; /* [symbols.n], below all scopes */
    struct scope *scope;   /* NULL: the template's own names are globals */
    struct cord **capture; /* NULL: into output */
    struct rendered output;
    struct value block_text;       /* that the filters of a block start from */
    unsigned n_macros, max_macros; /* calls inside each other */
};

/* Runs the whole tree. */
void render_template(struct render *render);
void render_print(struct render *render, struct cord *text);

struct value render_lookup(const struct render *render, uint32_t symbol);
struct value render_macro(struct render *render, const struct macro *macro,
                          const struct arguments *arguments);

struct value evaluate(struct render *render, const struct expression *expression);

/* a operation b, of arithmetic. */
struct value value_arithmetic(struct budget *budget, enum operation operation, struct value a,
                              struct value b);
/* range(), namespace(), dict() and raise_exception(). */
struct value function_call(struct budget *budget, uint32_t symbol,
                           const struct arguments *arguments);

#endif
