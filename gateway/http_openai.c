/* gateway/http_openai.c - the routes that generate: the lines of an OpenAI call, as one answer or
 * as server-sent events.
 *
 * A stream begins with its first chunk, not with the request: until then a failure can still be an
 * HTTP status. */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "gateway/http_routes.h"
#include "gateway/openai_call.h"
#include "gateway/openai_error.h"

struct openai_state {
    enum openai_api api;
    struct openai_call *call;
    struct text_buffer lines; // not said yet
    bool over;
    struct error failure;
};

static void free_state(void *pointer)
{
    struct openai_state *state = pointer;
    if (!state)
        return;
    openai_call_destroy(state->call);
    text_buffer_finish(&state->lines);
    free(state);
}

static void wake_call(void *call)
{
    http_call_wake(call);
}

static void ref_call(void *call)
{
    http_call_ref(call);
}

static void drop_call(void *call)
{
    http_call_drop(call);
}

static void start(struct http_call *call, enum openai_api api, const char *body, size_t n)
{
    struct gateway_state *gateway = http_call_service(call);
    const struct generation_client client = {call, wake_call, ref_call, drop_call,
                                             &gateway->metrics};
    struct openai_state *state = mem_zeroed(1, sizeof *state);
    state->api = api;
    http_call_set_state(call, state);
    struct error err = {0};
    enum status st = gateway_state_ready(gateway, &err);
    if (st == STATUS_OK)
        st = openai_call_create(gateway, api, body, n, http_encoder(call, &gateway->model), &client,
                                &state->call, &err);
    if (st != STATUS_OK)
        http_call_fail(call, &err);
}

static void on_chat(struct http_call *call, const char *body, size_t n)
{
    start(call, OPENAI_CHAT, body, n);
}

static void on_completion(struct http_call *call, const char *body, size_t n)
{
    start(call, OPENAI_COMPLETION, body, n);
}

static void on_responses(struct http_call *call, const char *body, size_t n)
{
    start(call, OPENAI_RESPONSES, body, n);
}

static void on_wake(struct http_call *call)
{
    struct openai_state *state = http_call_state(call);
    openai_call_take(state->call, &state->lines, &state->over, &state->failure);
    if (state->over && state->lines.length == 0 && state->failure.status != STATUS_OK)
        http_call_fail(call, &state->failure);
    else if (openai_call_is_stream(state->call)) {
        if (state->lines.length > 0 || state->over)
            http_call_stream(call, "text/event-stream; charset=utf-8");
    } else if (state->over) {
        state->lines.length--; // the newline
        http_call_answer(call, 200, "application/json", &state->lines);
    }
}

// The events of a response have names, which stand in their JSON first.
static void append_name(const char *line, struct text_buffer *out)
{
    const char *name = line + sizeof "{\"type\":\"" - 1;
    text_buffer_append_text(out, "event: ");
    text_buffer_append(out, name, strcspn(name, "\""));
    text_buffer_append_text(out, "\n");
}

static void append_events(enum openai_api api, const struct text_buffer *lines,
                          struct text_buffer *out)
{
    const char *end = lines->data + lines->length;
    for (const char *line = lines->data; line < end;) {
        const char *newline = memchr(line, '\n', (size_t)(end - line));
        if (api == OPENAI_RESPONSES)
            append_name(line, out);
        text_buffer_append_text(out, "data: ");
        text_buffer_append(out, line, (size_t)(newline - line));
        text_buffer_append_text(out, "\n\n");
        line = newline + 1;
    }
}

static bool next(struct http_call *call, struct text_buffer *out)
{
    struct openai_state *state = http_call_state(call);
    if (state->lines.length == 0 && !state->over)
        openai_call_take(state->call, &state->lines, &state->over, &state->failure);
    if (state->lines.length > 0)
        append_events(state->api, &state->lines, out);
    text_buffer_clear(&state->lines);
    if (!state->over)
        return true;
    if (state->failure.status != STATUS_OK) {
        text_buffer_append_text(out, "data: ");
        openai_error_write(out, &state->failure);
        text_buffer_append_text(out, "\n\n");
    }
    if (state->api != OPENAI_RESPONSES)
        text_buffer_append_text(out, "data: [DONE]\n\n");
    return false;
}

static bool is_stuck(struct http_call *call)
{
    struct openai_state *state = http_call_state(call);
    struct error err = {0};
    return openai_call_overflowed(state->call, &err);
}

static void on_closed(struct http_call *call)
{
    struct openai_state *state = http_call_state(call);
    if (state && state->call)
        openai_call_abort(state->call);
}

size_t http_openai_routes(struct gateway_state *state, struct http_route *out)
{
    static const struct {
        const char *path;
        void (*on_request)(struct http_call *call, const char *body, size_t n);
    } routes[] = {
        {"/v1/chat/completions", on_chat},
        {"/v1/completions", on_completion},
        {"/v1/responses", on_responses},
    };
    size_t n = sizeof routes / sizeof routes[0];
    for (size_t i = 0; i < n; i++)
        out[i] = (struct http_route){
            .method = "POST",
            .path = routes[i].path,
            .heavy = true,
            .service = state,
            .on_request = routes[i].on_request,
            .on_wake = on_wake,
            .next = next,
            .is_stuck = is_stuck,
            .on_closed = on_closed,
            .free_state = free_state,
        };
    return n;
}
