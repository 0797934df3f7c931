/* tests/text/templates.h - compiling and rendering small templates, for tests. */
#ifndef GEMMAD_TESTS_TEXT_TEMPLATES_H
#define GEMMAD_TESTS_TEXT_TEMPLATES_H

#include "base/json.h"
#include "base/text_buffer.h"
#include "tests/test.h"
#include "text/template.h"

static inline struct json_document *parse_json_text(const char *text)
{
    struct json_document *document = NULL;
    struct error err = {0};
    ASSERT_OK_ERR(json_parse(text, strlen(text), NULL, &document, &err), err);
    return document;
}

static inline struct template *compile_text(const char *source)
{
    struct template *template = NULL;
    struct error err = {0};
    ASSERT_OK_ERR(template_compile(source, strlen(source), "test.jinja", &template, &err), err);
    return template;
}

/* Output with the client's bytes between U+00AB and U+00BB. */
static inline char *marked_text(const struct template_output *output)
{
    struct text_buffer marked = {0};
    size_t at = 0;
    text_buffer_append(&marked, "", 0);
    for (size_t i = 0; i < output->n_spans; i++) {
        const struct template_span *span = &output->spans[i];
        ASSERT(span->length > 0);
        ASSERT(i == 0 || span->from_client != output->spans[i - 1].from_client);
        if (span->from_client)
            text_buffer_append_text(&marked, "\xC2\xAB");
        text_buffer_append(&marked, output->text + at, span->length);
        if (span->from_client)
            text_buffer_append_text(&marked, "\xC2\xBB");
        at += span->length;
    }
    ASSERT_EQ(at, output->length);
    return text_buffer_release(&marked);
}

#endif
