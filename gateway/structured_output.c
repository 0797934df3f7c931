/* gateway/structured_output.c - from the message's words to those of text/grammar/compile.h. */
#include "gateway/structured_output.h"

#include <stdlib.h>

#include "base/mem.h"

static struct grammar_text text_of(const ProtobufCBinaryData *bytes)
{
    return (struct grammar_text){(const char *)bytes->data, bytes->len};
}

static enum status fill(const Gemmad__V1__StructuredOutput *m, struct grammar_request *request,
                        struct grammar_text *choices, struct error *err)
{
    request->strict = m->strict;
    switch (m->kind_case) {
    case GEMMAD__V1__STRUCTURED_OUTPUT__KIND_JSON_SCHEMA:
        request->kind = GRAMMAR_JSON_SCHEMA;
        request->text = text_of(&m->json_schema);
        return STATUS_OK;
    case GEMMAD__V1__STRUCTURED_OUTPUT__KIND_REGEX:
        request->kind = GRAMMAR_REGEX;
        request->text = text_of(&m->regex);
        return STATUS_OK;
    case GEMMAD__V1__STRUCTURED_OUTPUT__KIND_GRAMMAR:
        request->kind = GRAMMAR_EBNF;
        request->text = text_of(&m->grammar);
        return STATUS_OK;
    case GEMMAD__V1__STRUCTURED_OUTPUT__KIND_CHOICE:
        request->kind = GRAMMAR_CHOICE;
        request->choices = choices;
        request->n_choices = m->choice->n_choices;
        for (size_t i = 0; i < m->choice->n_choices; i++)
            choices[i] = text_of(&m->choice->choices[i]);
        return STATUS_OK;
    default:
        return error_set(err, STATUS_INVALID_ARGUMENT,
                         "one of json_schema, regex, choice and grammar is needed");
    }
}

enum status structured_output_compile(const Gemmad__V1__StructuredOutput *message,
                                      const struct grammar_request *tools,
                                      struct grammar_cache *cache, struct grammar **out,
                                      struct error *err)
{
    if (!cache)
        return error_set(err, STATUS_FAILED_PRECONDITION,
                         "this server does not bind answers to a form");
    struct grammar_request request = {0};
    if (tools)
        request = *tools;
    request.kind = GRAMMAR_ANY_TEXT;
    bool choice = message && message->kind_case == GEMMAD__V1__STRUCTURED_OUTPUT__KIND_CHOICE;
    struct grammar_text *choices = mem_zeroed(choice ? message->choice->n_choices : 0,
                                              sizeof *choices);
    enum status st = message ? fill(message, &request, choices, err) : STATUS_OK;
    if (st == STATUS_OK)
        st = grammar_check_size(&request, err);
    if (st == STATUS_OK)
        st = grammar_cache_get(cache, &request, out, err);
    free(choices);
    return st;
}
