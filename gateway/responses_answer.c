/* gateway/responses_answer.c - the Responses API: an answer is a list of items (thinking, a
 * message, calls), and a stream tells of each how it begins, grows and ends.
 *
 * Items are kept as they will stand in the whole response, which the last event of a stream holds
 * too. Invariant: at most one item is open. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "gateway/answer_shape.h"
#include "text/tool_calls.h"

enum item_kind { ITEM_NONE, ITEM_REASONING, ITEM_MESSAGE };

struct responses {
    struct tool_call_parser *parser; // NULL: nobody looks for calls
    bool begun;
    enum item_kind open;
    struct text_buffer id;   // of the open item
    struct text_buffer text; // of the open item, so far
    uint32_t n_items;        // that are in items
    struct text_buffer items;
    uint64_t n_events;
    bool complete; // else it was cut
    bool aborted;
};

static void create(struct answer *answer)
{
    struct responses *r = mem_zeroed(1, sizeof *r);
    if (answer->config.parse_tools)
        r->parser = tool_call_parser_create();
    answer->choices = r;
}

static void destroy(struct answer *answer)
{
    struct responses *r = answer->choices;
    tool_call_parser_destroy(r->parser);
    text_buffer_finish(&r->id);
    text_buffer_finish(&r->text);
    text_buffer_finish(&r->items);
    free(r);
}

static void write_string(struct text_buffer *out, const struct text_buffer *text)
{
    json_write_string(out, text->length > 0 ? text->data : "", text->length);
}

// The whole response as it is now.
static void write_response(const struct answer *answer, const char *status, struct text_buffer *out)
{
    const struct answer_config *config = &answer->config;
    const struct responses *r = answer->choices;
    text_buffer_append_text(out, "{\"id\":");
    json_write_string(out, config->id, strlen(config->id));
    text_buffer_append_format(
        out,
        ",\"object\":\"response\",\"created_at\":%" PRId64
        ",\"status\":\"%s\",\"error\":null,\"incomplete_details\":%s,"
        "\"model\":",
        config->created, status,
        strcmp(status, "incomplete") == 0 ? "{\"reason\":\"max_output_tokens\"}" : "null");
    json_write_string(out, config->model->name, strlen(config->model->name));
    text_buffer_append_text(out, ",\"output\":[");
    if (r->items.length > 0)
        text_buffer_append(out, r->items.data, r->items.length);
    text_buffer_append_text(out, "],\"parallel_tool_calls\":true,\"tool_choice\":\"auto\","
                                 "\"tools\":[],\"previous_response_id\":null,\"metadata\":{}");
    if (strcmp(status, "in_progress") != 0)
        text_buffer_append_format(
            out,
            ",\"usage\":{\"input_tokens\":%" PRIu64
            ",\"input_tokens_details\":{\"cached_tokens\":%" PRIu64 "},\"output_tokens\":%" PRIu64
            ",\"output_tokens_details\":{\"reasoning_tokens\":%" PRIu64
            "},\"total_tokens\":%" PRIu64 "}",
            answer->prompt_tokens, answer->cached_tokens, answer->completion_tokens,
            answer->reasoning_tokens, answer->prompt_tokens + answer->completion_tokens);
    text_buffer_append_text(out, "}");
}

static void begin_event(struct answer *answer, const char *type, struct text_buffer *lines)
{
    struct responses *r = answer->choices;
    text_buffer_append_format(lines, "{\"type\":\"response.%s\",\"sequence_number\":%" PRIu64, type,
                              r->n_events++);
}

static void say_response(struct answer *answer, const char *type, const char *status,
                         struct text_buffer *lines)
{
    begin_event(answer, type, lines);
    text_buffer_append_text(lines, ",\"response\":");
    write_response(answer, status, lines);
    text_buffer_append_text(lines, "}\n");
}

// An event of one item; item is its JSON.
static void say_item(struct answer *answer, const char *type, const struct text_buffer *item,
                     struct text_buffer *lines)
{
    struct responses *r = answer->choices;
    if (!answer->config.stream)
        return;
    begin_event(answer, type, lines);
    text_buffer_append_format(lines, ",\"output_index\":%u,\"item\":", r->n_items);
    text_buffer_append(lines, item->data, item->length);
    text_buffer_append_text(lines, "}\n");
}

// An event of the open item's content: `,"name":"text"`, or with part its part.
static void say_content(struct answer *answer, const char *type, const char *name, const char *text,
                        size_t n, struct text_buffer *lines)
{
    struct responses *r = answer->choices;
    if (!answer->config.stream)
        return;
    begin_event(answer, type, lines);
    text_buffer_append_text(lines, ",\"item_id\":");
    write_string(lines, &r->id);
    text_buffer_append_format(lines, ",\"output_index\":%u,\"content_index\":0,\"%s\":", r->n_items,
                              name);
    bool part = strcmp(name, "part") == 0;
    if (part)
        text_buffer_append_text(lines, r->open == ITEM_MESSAGE
                                           ? "{\"type\":\"output_text\",\"annotations\":[],"
                                             "\"text\":"
                                           : "{\"type\":\"reasoning_text\",\"text\":");
    json_write_string(lines, n > 0 ? text : "", n);
    text_buffer_append_text(lines, part ? "}" : "");
    text_buffer_append_text(lines,
                            r->open == ITEM_MESSAGE && !part ? ",\"logprobs\":[]}\n" : "}\n");
}

// The open item; while it grows its content is empty.
static void write_item(const struct responses *r, bool done, struct text_buffer *out)
{
    text_buffer_append_text(out, "{\"id\":");
    write_string(out, &r->id);
    if (r->open == ITEM_MESSAGE)
        text_buffer_append_format(out,
                                  ",\"type\":\"message\",\"role\":\"assistant\",\"status\":\"%s\","
                                  "\"content\":[",
                                  done ? "completed" : "in_progress");
    else
        text_buffer_append_text(out, ",\"type\":\"reasoning\",\"summary\":[],\"content\":[");
    if (done) {
        text_buffer_append_text(out, r->open == ITEM_MESSAGE
                                         ? "{\"type\":\"output_text\",\"annotations\":[],\"text\":"
                                         : "{\"type\":\"reasoning_text\",\"text\":");
        write_string(out, &r->text);
        text_buffer_append_text(out, "}");
    }
    text_buffer_append_text(out, "]}");
}

static void keep_item(struct answer *answer, const struct text_buffer *item)
{
    struct responses *r = answer->choices;
    answer_separate(&r->items);
    text_buffer_append(&r->items, item->data, item->length);
    r->n_items++;
}

static void close_item(struct answer *answer, struct text_buffer *lines)
{
    struct responses *r = answer->choices;
    if (r->open == ITEM_NONE)
        return;
    bool message = r->open == ITEM_MESSAGE;
    struct text_buffer item = {0};
    write_item(r, true, &item);
    say_content(answer, message ? "output_text.done" : "reasoning_text.done", "text", r->text.data,
                r->text.length, lines);
    say_content(answer, "content_part.done", "part", r->text.data, r->text.length, lines);
    say_item(answer, "output_item.done", &item, lines);
    keep_item(answer, &item);
    text_buffer_finish(&item);
    text_buffer_clear(&r->text);
    r->open = ITEM_NONE;
}

static void open_item(struct answer *answer, enum item_kind kind, struct text_buffer *lines)
{
    struct responses *r = answer->choices;
    if (r->open == kind)
        return;
    close_item(answer, lines);
    r->open = kind;
    text_buffer_clear(&r->id);
    text_buffer_append_text(&r->id, kind == ITEM_MESSAGE ? "msg_" : "rs_");
    answer_write_random_id(&r->id);
    struct text_buffer item = {0};
    write_item(r, false, &item);
    say_item(answer, "output_item.added", &item, lines);
    text_buffer_finish(&item);
    say_content(answer, "content_part.added", "part", "", 0, lines);
}

static void add_text(struct answer *answer, enum item_kind kind, const struct text_buffer *text,
                     struct text_buffer *lines)
{
    struct responses *r = answer->choices;
    if (text->length == 0)
        return;
    open_item(answer, kind, lines);
    text_buffer_append(&r->text, text->data, text->length);
    answer->n_kept_bytes += text->length;
    say_content(answer, kind == ITEM_MESSAGE ? "output_text.delta" : "reasoning_text.delta",
                "delta", text->data, text->length, lines);
}

static void write_call(const struct responses *r, const struct tool_call *call, bool done,
                       struct text_buffer *out)
{
    // The ids of the item and of the call differ in their first letters alone.
    text_buffer_append_format(out,
                              "{\"id\":\"fc_%s\",\"type\":\"function_call\",\"status\":\"%s\","
                              "\"call_id\":\"call_%s\",\"name\":",
                              r->id.data, done ? "completed" : "in_progress", r->id.data);
    json_write_string(out, call->name, call->name_length);
    text_buffer_append_text(out, ",\"arguments\":");
    json_write_string(out, done ? call->arguments.data : "", done ? call->arguments.length : 0);
    text_buffer_append_text(out, "}");
}

static void say_arguments(struct answer *answer, const char *type, const char *name,
                          const struct tool_call *call, struct text_buffer *lines)
{
    struct responses *r = answer->choices;
    begin_event(answer, type, lines);
    text_buffer_append_format(
        lines, ",\"item_id\":\"fc_%s\",\"output_index\":%u,\"%s\":", r->id.data, r->n_items, name);
    json_write_string(lines, call->arguments.data, call->arguments.length);
    text_buffer_append_text(lines, "}\n");
}

static void add_call(struct answer *answer, const struct tool_call *call, struct text_buffer *lines)
{
    struct responses *r = answer->choices;
    close_item(answer, lines);
    text_buffer_clear(&r->id);
    answer_write_random_id(&r->id);
    struct text_buffer item = {0};
    write_call(r, call, false, &item);
    say_item(answer, "output_item.added", &item, lines);
    if (answer->config.stream) {
        say_arguments(answer, "function_call_arguments.delta", "delta", call, lines);
        say_arguments(answer, "function_call_arguments.done", "arguments", call, lines);
    }
    text_buffer_clear(&item);
    write_call(r, call, true, &item);
    say_item(answer, "output_item.done", &item, lines);
    keep_item(answer, &item);
    answer->n_kept_bytes += item.length;
    text_buffer_finish(&item);
}

// text NULL: the end.
static void add_content(struct answer *answer, const struct text_buffer *text,
                        struct text_buffer *lines)
{
    struct responses *r = answer->choices;
    if (!r->parser) {
        if (text)
            add_text(answer, ITEM_MESSAGE, text, lines);
        return;
    }
    struct text_buffer content = {0};
    if (!text)
        tool_call_parser_end(r->parser, &content);
    else if (text->length > 0)
        tool_call_parser_push(r->parser, text->data, text->length, &content);
    add_text(answer, ITEM_MESSAGE, &content, lines);
    text_buffer_finish(&content);
    const struct tool_call *call;
    while ((call = tool_call_parser_take(r->parser)))
        add_call(answer, call, lines);
}

static void push(struct answer *answer, uint32_t choice, const struct queued_event *event,
                 struct text_buffer *lines)
{
    (void)choice; // there is one
    struct responses *r = answer->choices;
    if (!r->begun && answer->config.stream) {
        say_response(answer, "created", "in_progress", lines);
        say_response(answer, "in_progress", "in_progress", lines);
    }
    r->begun = true;
    const struct engine_event *e = &event->event;
    if (e->type == ENGINE_EVENT_FINISH) {
        add_content(answer, NULL, lines);
        close_item(answer, lines);
        r->complete = e->reason == FINISH_STOP;
        r->aborted = e->reason == FINISH_ABORT;
    } else if (e->kind == TEXT_CONTENT) {
        add_content(answer, &event->text, lines);
    } else if (answer->config.include_reasoning) {
        add_text(answer, ITEM_REASONING, &event->text, lines);
    }
}

static void end(struct answer *answer, struct text_buffer *lines)
{
    const struct responses *r = answer->choices;
    const char *status = r->complete ? "completed" : r->aborted ? "cancelled" : "incomplete";
    if (answer->config.stream) {
        say_response(answer, r->aborted ? "failed" : status, status, lines);
        return;
    }
    write_response(answer, status, lines);
    text_buffer_append_text(lines, "\n");
}

const struct answer_shape responses_answer_shape = {
    .create = create,
    .destroy = destroy,
    .push = push,
    .end = end,
};
