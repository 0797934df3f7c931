/* tests/fuzz/fuzz_tool_calls.c - any text as an answer: whole, by bytes and in pieces (whose
 * lengths the first byte seeds) it comes to the same; no byte is lost or shown twice; arguments
 * are an object in JSON. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/utf8.h"
#include "text/tool_calls.h"
#include "text/tool_calls_arguments.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

struct answer {
    struct text_buffer content, calls;
    uint32_t n_calls;
    bool malformed;
};

static void check_arguments(const struct text_buffer *arguments)
{
    const struct json_limits limits = {.max_depth = TOOL_CALLS_MAX_DEPTH, .unique_keys = true};
    struct json_document *document = NULL;
    struct error err = {0};
    CHECK(json_parse(arguments->data, arguments->length, &limits, &document, &err) == STATUS_OK);
    CHECK(json_root(document)->type == JSON_OBJECT);
    json_document_destroy(document);
}

static void take_calls(struct tool_call_parser *parser, struct answer *out)
{
    const struct tool_call *call;
    while ((call = tool_call_parser_take(parser))) {
        CHECK(call->name_length > 0 && utf8_valid(call->name, call->name_length, NULL));
        check_arguments(&call->arguments);
        text_buffer_append(&out->calls, call->name, call->name_length + 1);
        text_buffer_append(&out->calls, call->arguments.data, call->arguments.length + 1);
        out->n_calls++;
    }
}

// max_piece 0: whole. Pieces are their own blocks, so that a sanitizer sees what lies behind.
static struct answer feed(const char *text, size_t n, size_t max_piece, uint32_t seed)
{
    struct answer answer = {0};
    struct tool_call_parser *parser = tool_call_parser_create();
    for (size_t at = 0; at < n;) {
        seed = seed * 1664525 + 1013904223;
        size_t length = max_piece ? 1 + (seed >> 16) % max_piece : n;
        length = length < n - at ? length : n - at;
        char *piece = malloc(length);
        memcpy(piece, text + at, length);
        tool_call_parser_push(parser, piece, length, &answer.content);
        free(piece);
        take_calls(parser, &answer);
        at += length;
    }
    tool_call_parser_end(parser, &answer.content);
    take_calls(parser, &answer);
    CHECK(tool_call_parser_n_calls(parser) == answer.n_calls);
    answer.malformed = tool_call_parser_is_malformed(parser);
    tool_call_parser_destroy(parser);
    return answer;
}

static void finish(struct answer *answer)
{
    text_buffer_finish(&answer->content);
    text_buffer_finish(&answer->calls);
}

static void check_same_text(const struct text_buffer *a, const struct text_buffer *b)
{
    CHECK(a->length == b->length);
    CHECK(a->length == 0 || memcmp(a->data, b->data, a->length) == 0);
}

static void check_content(const struct answer *answer, const char *text, size_t n)
{
    const char *marker = n ? memmem(text, n, "<|tool_call>", 12) : NULL;
    size_t length = answer->n_calls > 0 ? (size_t)(marker - text) : n;
    CHECK(answer->content.length == length);
    CHECK(length == 0 || memcmp(answer->content.data, text, length) == 0);
    CHECK(answer->malformed == (marker && answer->n_calls == 0));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    if (n == 0)
        return 0;
    const char *text = (const char *)data + 1;
    struct answer whole = feed(text, n - 1, 0, 0);
    check_content(&whole, text, n - 1);
    for (int i = 0; i < 2; i++) {
        struct answer pieces = feed(text, n - 1, i ? 16 : 1, data[0]);
        check_same_text(&pieces.content, &whole.content);
        check_same_text(&pieces.calls, &whole.calls);
        CHECK(pieces.malformed == whole.malformed);
        finish(&pieces);
    }
    finish(&whole);
    return 0;
}
