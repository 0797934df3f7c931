/* text/tool_calls.c - the markers, and the call between two of them.
 *
 * From the first start marker on the text is withheld: it is the content if no valid call comes.
 * Once there is one, only what a call may still need is kept.
 * Invariant: every whole marker in withheld[0..scanned) was taken. */
#include "text/tool_calls.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/utf8.h"
#include "text/tool_calls_arguments.h"

static const char start_marker[] = "<|tool_call>";
static const char end_marker[] = "<tool_call|>";
#define MARKER_BYTES (sizeof start_marker - 1)
_Static_assert(sizeof start_marker == sizeof end_marker, "markers are equally long");

struct tool_call_parser {
    struct text_buffer withheld; // before the first marker: a tail that may begin one
    size_t scanned;
    size_t body; // of the open call, in withheld
    bool marker_seen, open, ended;
    struct tool_call *calls; // [n_calls], of which n_taken were taken
    size_t n_calls, n_taken, calls_capacity;
    uint32_t n_all_calls;
};

struct tool_call_parser *tool_call_parser_create(void)
{
    return mem_zeroed(1, sizeof(struct tool_call_parser));
}

static void call_finish(struct tool_call *call)
{
    free(call->name);
    text_buffer_finish(&call->arguments);
}

void tool_call_parser_destroy(struct tool_call_parser *parser)
{
    if (!parser)
        return;
    for (size_t i = 0; i < parser->n_calls; i++)
        call_finish(&parser->calls[i]);
    free(parser->calls);
    text_buffer_finish(&parser->withheld);
    free(parser);
}

static void forget_taken(struct tool_call_parser *parser)
{
    size_t n_left = parser->n_calls - parser->n_taken;
    for (size_t i = 0; i < parser->n_taken; i++)
        call_finish(&parser->calls[i]);
    if (parser->n_taken > 0 && n_left > 0)
        memmove(parser->calls, parser->calls + parser->n_taken, n_left * sizeof *parser->calls);
    parser->n_calls = n_left;
    parser->n_taken = 0;
}

static void trim(const char **text, size_t *n)
{
    for (; *n > 0 && tool_calls_is_blank(**text); (*n)--)
        (*text)++;
    while (*n > 0 && tool_calls_is_blank((*text)[*n - 1]))
        (*n)--;
}

static bool is_name(const char *text, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)text[i];
        bool is_letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c >= 0x80;
        if (!is_letter && !(c >= '0' && c <= '9') && c != '_' && c != '.' && c != '-')
            return false;
    }
    return n > 0 && utf8_valid(text, n, NULL);
}

// body[0..n) stands between two markers. An invalid call is skipped.
static void take_body(struct tool_call_parser *parser, const char *body, size_t n)
{
    static const char prefix[] = "call:";
    const size_t prefix_bytes = sizeof prefix - 1;
    trim(&body, &n);
    if (n < prefix_bytes || memcmp(body, prefix, prefix_bytes) != 0 || body[n - 1] != '}')
        return;
    const char *name = body + prefix_bytes;
    const char *brace = memchr(name, '{', n - prefix_bytes);
    if (!brace)
        return;
    size_t name_length = (size_t)(brace - name);
    size_t arguments_length = (size_t)(body + n - 1 - (brace + 1));
    trim(&name, &name_length);
    struct text_buffer arguments = {0};
    if (!is_name(name, name_length) ||
        !tool_calls_read_arguments(brace + 1, arguments_length, &arguments))
        return;
    mem_reserve(&parser->calls, &parser->calls_capacity, parser->n_calls + 1,
                sizeof *parser->calls);
    parser->calls[parser->n_calls++] = (struct tool_call){
        .name = mem_copy(name, name_length),
        .name_length = name_length,
        .arguments = arguments,
    };
    parser->n_all_calls++;
}

// Whether text[0..n) is a marker, or may become one.
static bool may_be_marker(const char *text, size_t n)
{
    size_t length = n < MARKER_BYTES ? n : MARKER_BYTES;
    return memcmp(text, start_marker, length) == 0 || memcmp(text, end_marker, length) == 0;
}

static void take_marker(struct tool_call_parser *parser, size_t at)
{
    bool is_start = memcmp(parser->withheld.data + at, start_marker, MARKER_BYTES) == 0;
    if (!is_start && parser->open)
        take_body(parser, parser->withheld.data + parser->body, at - parser->body);
    parser->open = is_start;
    parser->marker_seen |= is_start;
    parser->body = at + MARKER_BYTES;
}

// Goes over the markers that are complete.
static void scan(struct tool_call_parser *parser)
{
    struct text_buffer *text = &parser->withheld;
    while (parser->scanned < text->length) {
        const char *from = text->data + parser->scanned;
        const char *found = memchr(from, '<', text->length - parser->scanned);
        size_t at = found ? (size_t)(found - text->data) : text->length;
        parser->scanned = at;
        size_t n_left = text->length - at;
        if (n_left == 0)
            return;
        if (!may_be_marker(text->data + at, n_left)) {
            parser->scanned++;
        } else if (n_left < MARKER_BYTES) {
            return;
        } else {
            take_marker(parser, at);
            parser->scanned += MARKER_BYTES;
        }
    }
}

static void drop_front(struct tool_call_parser *parser, size_t n)
{
    struct text_buffer *text = &parser->withheld;
    if (n == 0)
        return;
    memmove(text->data, text->data + n, text->length - n);
    text->length -= n;
    parser->scanned -= n;
    parser->body -= parser->open ? n : 0;
}

// Before the first start marker: what cannot become one is content.
static size_t content_length(const struct tool_call_parser *parser)
{
    const struct text_buffer *text = &parser->withheld;
    const char *from = text->data;
    size_t n = text->length;
    for (const char *at; (at = n ? memchr(from, '<', n) : NULL); from = at + 1) {
        n -= (size_t)(at - from);
        if (memcmp(at, start_marker, n < MARKER_BYTES ? n : MARKER_BYTES) == 0)
            return (size_t)(at - text->data);
        n--;
    }
    return text->length;
}

void tool_call_parser_push(struct tool_call_parser *parser, const char *text, size_t n,
                           struct text_buffer *content)
{
    CHECK(!parser->ended);
    forget_taken(parser);
    text_buffer_append(&parser->withheld, text, n);
    if (!parser->marker_seen) {
        size_t length = content_length(parser);
        text_buffer_append(content, parser->withheld.data, length);
        parser->scanned = length;
        drop_front(parser, length);
    }
    scan(parser);
    if (parser->n_all_calls > 0)
        drop_front(parser, parser->open ? parser->body : parser->scanned);
}

void tool_call_parser_end(struct tool_call_parser *parser, struct text_buffer *content)
{
    CHECK(!parser->ended);
    parser->ended = true;
    if (parser->n_all_calls == 0)
        text_buffer_append(content, parser->withheld.data, parser->withheld.length);
}

const struct tool_call *tool_call_parser_take(struct tool_call_parser *parser)
{
    return parser->n_taken < parser->n_calls ? &parser->calls[parser->n_taken++] : NULL;
}

uint32_t tool_call_parser_n_calls(const struct tool_call_parser *parser)
{
    return parser->n_all_calls;
}

bool tool_call_parser_is_malformed(const struct tool_call_parser *parser)
{
    return parser->ended && parser->marker_seen && parser->n_all_calls == 0;
}

bool tool_call_parser_message_content(const struct tool_call_parser *parser, const char **content,
                                      size_t *n)
{
    if (parser->n_all_calls == 0)
        return true;
    trim(content, n);
    return *n > 0;
}
