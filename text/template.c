/* text/template.c - a template from its source to its output: lexer, parser and renderer in a
 * row, with the one place for each where a fault lands. */
#include "text/template.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/utf8.h"
#include "text/template_parser.h"
#include "text/template_render.h"

#define MAX_SOURCE_BYTES ((size_t)4 << 20)
#define COMPILE_BYTES_PER_BYTE 1024 /* tokens and nodes; a chat template needs about 60 */
#define DEFAULT_STEPS ((size_t)20 * 1000 * 1000)
#define DEFAULT_OUTPUT_BYTES ((size_t)64 << 20)
#define DEFAULT_DEPTH 128
#define LEAST_RENDER_BYTES ((size_t)16 << 20)

struct template
{
    struct budget budget; /* holds the tree */
    struct syntax_tree tree;
    char *name;
};

// The jump's landing is in a function that changes nothing between setjmp and its end.
static bool compile_within(struct template *template, const char *source, size_t n)
{
    if (setjmp(template->budget.failed))
        return false;
    template_parse(&template->budget, template_lex(&template->budget, source, n), &template->tree);
    return true;
}

enum status template_compile(const char *source, size_t n, const char *name, struct template **out,
                             struct error *err)
{
    size_t bad;
    if (n > MAX_SOURCE_BYTES)
        return error_set(err, STATUS_INVALID_ARGUMENT, "%s: a template of more than %zu bytes",
                         name, MAX_SOURCE_BYTES);
    if (!utf8_valid(source, n, &bad))
        return error_set(err, STATUS_INVALID_ARGUMENT, "%s: not UTF-8 at byte %zu", name, bad);
    struct template *template = mem_zeroed(1, sizeof *template);
    template->name = mem_strdup(name);
    template->budget = (struct budget){.err = err,
                                       .name = template->name,
                                       .line = 1,
                                       .steps_left = SIZE_MAX,
                                       .bytes_left = (n + 1024) * COMPILE_BYTES_PER_BYTE};
    if (!compile_within(template, source, n)) {
        enum status st = template->budget.status;
        template_destroy(template);
        return st;
    }
    *out = template;
    return STATUS_OK;
}

void template_destroy(struct template *template)
{
    if (!template)
        return;
    budget_finish(&template->budget);
    free(template->name);
    free(template);
}

static uint32_t find_symbol(const struct symbol_table *symbols, const struct json_member *member)
{
    for (uint32_t i = 0; i < symbols->n; i++)
        if (symbols->names[i].n == member->key_length &&
            memcmp(symbols->names[i].bytes, member->key, member->key_length) == 0)
            return i;
    return UINT32_MAX;
}

// Only names that the template mentions are converted.
static void set_globals(struct render *render, const struct json_value *variables, bool from_client,
                        unsigned max_depth)
{
    for (uint32_t i = 0; variables && i < variables->n; i++) {
        const struct json_member *member = &variables->members[i];
        uint32_t symbol = find_symbol(&render->tree->symbols, member);
        budget_charge(&render->budget, render->tree->symbols.n);
        if (symbol != UINT32_MAX)
            render->globals[symbol] = value_from_json(&render->budget, &member->value, from_client,
                                                      max_depth);
    }
}

static bool render_within(struct render *render, const struct json_value *variables,
                          const struct json_value *trusted, unsigned max_depth)
{
    if (setjmp(render->budget.failed))
        return false;
    const struct symbol_table *symbols = &render->tree->symbols;
    render->globals = budget_take(&render->budget, symbols->n, sizeof *render->globals);
    for (uint32_t i = 0; i < symbols->n; i++)
        render->globals[i] = i < N_KNOWN_SYMBOLS && i != SYMBOL_LOOP
                                 ? (struct value){.type = VALUE_FUNCTION, .symbol = i}
                                 : value_undefined(symbols->names[i].bytes);
    set_globals(render, variables, true, max_depth);
    set_globals(render, trusted, false, max_depth);
    render_template(render);
    return true;
}

static size_t render_bytes(size_t max_output)
{
    size_t bytes;
    if (__builtin_mul_overflow(max_output, (size_t)4, &bytes))
        return SIZE_MAX;
    return bytes < LEAST_RENDER_BYTES ? LEAST_RENDER_BYTES : bytes;
}

enum status template_render(const struct template *template, const struct json_value *variables,
                            const struct json_value *trusted, const struct template_limits *limits,
                            struct template_output *out, struct error *err)
{
    struct template_limits used = limits ? *limits : (struct template_limits){0};
    if (!used.max_steps)
        used.max_steps = DEFAULT_STEPS;
    if (!used.max_output_bytes)
        used.max_output_bytes = DEFAULT_OUTPUT_BYTES;
    if (!used.max_depth)
        used.max_depth = DEFAULT_DEPTH;
    if (!variables || variables->type != JSON_OBJECT || (trusted && trusted->type != JSON_OBJECT))
        return error_set(err, STATUS_INVALID_ARGUMENT, "the template's variables are no object");
    struct render render = {.budget = {.err = err,
                                       .name = template->name,
                                       .line = 1,
                                       .steps_left = used.max_steps,
                                       .bytes_left = render_bytes(used.max_output_bytes)},
                            .tree = &template->tree,
                            .output.max_bytes = used.max_output_bytes,
                            .max_macros = used.max_depth};
    bool ok = render_within(&render, variables, trusted, used.max_depth);
    budget_finish(&render.budget);
    if (!ok) {
        text_buffer_finish(&render.output.text);
        free(render.output.spans);
        return render.budget.status;
    }
    *out = (struct template_output){.length = render.output.text.length,
                                    .spans = render.output.spans,
                                    .n_spans = render.output.n_spans};
    out->text = text_buffer_release(&render.output.text);
    return STATUS_OK;
}

void template_output_finish(struct template_output *output)
{
    free(output->text);
    free(output->spans);
    *output = (struct template_output){0};
}
