/* gateway/openai_responses.c - the chat is written as JSON and parsed, so that what follows needs
 * to know one form of messages alone.
 *
 * What a model made comes back as items beside each other (thinking, calls, a text); a chat has
 * them in one message, so thinking waits for the next message of the assistant, and calls that
 * follow each other share one. */
#include "gateway/openai_responses.h"

#include <string.h>

#define MAX_DEPTH 300

struct converter {
    struct text_buffer out;
    struct text_buffer thinking; // for the next message of the assistant
    bool in_calls;               // an assistant's message is open in its tool_calls
    bool any;                    // a message was written
    struct error *err;
};

static enum status wrong(struct converter *c, uint32_t i, const char *field, const char *must)
{
    return error_set(c->err, STATUS_INVALID_ARGUMENT, "input[%u].%s: must be %s", i, field, must);
}

static void write_text(struct converter *c, const struct json_value *text)
{
    json_write_string(&c->out, text->text, text->length);
}

static void end_calls(struct converter *c)
{
    if (c->in_calls)
        text_buffer_append_text(&c->out, "]}");
    c->in_calls = false;
}

static void begin_message(struct converter *c, const char *role)
{
    end_calls(c);
    text_buffer_append_text(&c->out, c->any ? ",{\"role\":" : "{\"role\":");
    c->any = true;
    json_write_string(&c->out, role, strlen(role));
    if (strcmp(role, "assistant") == 0 && c->thinking.length > 0) {
        text_buffer_append_text(&c->out, ",\"reasoning_content\":");
        json_write_string(&c->out, c->thinking.data, c->thinking.length);
        text_buffer_clear(&c->thinking);
    }
}

// The parts of a content by a chat's names; media keep theirs and are refused with the messages.
static enum status write_content(struct converter *c, uint32_t i, const struct json_value *content)
{
    if (content && content->type == JSON_STRING) {
        write_text(c, content);
        return STATUS_OK;
    }
    if (!content || content->type != JSON_ARRAY)
        return wrong(c, i, "content", "a string or an array of parts");
    text_buffer_append_text(&c->out, "[");
    for (uint32_t k = 0; k < content->n; k++) {
        const struct json_value *part = &content->items[k];
        const struct json_value *type = json_get(part, "type");
        const struct json_value *text = json_get(part, "text");
        if (k > 0)
            text_buffer_append_text(&c->out, ",");
        bool is_text = json_string_is(type, "input_text") || json_string_is(type, "output_text") ||
                       json_string_is(type, "text");
        if (!is_text) {
            json_write(&c->out, part);
            continue;
        }
        if (!text || text->type != JSON_STRING)
            return wrong(c, i, "content", "parts with a text");
        text_buffer_append_text(&c->out, "{\"type\":\"text\",\"text\":");
        write_text(c, text);
        text_buffer_append_text(&c->out, "}");
    }
    text_buffer_append_text(&c->out, "]");
    return STATUS_OK;
}

static enum status add_message(struct converter *c, uint32_t i, const struct json_value *item)
{
    const struct json_value *role = json_get(item, "role");
    if (!role || role->type != JSON_STRING)
        return wrong(c, i, "role", "a string");
    begin_message(c, role->text);
    text_buffer_append_text(&c->out, ",\"content\":");
    enum status st = write_content(c, i, json_get(item, "content"));
    text_buffer_append_text(&c->out, "}");
    return st;
}

static enum status add_call(struct converter *c, uint32_t i, const struct json_value *item)
{
    const struct json_value *id = json_get(item, "call_id");
    const struct json_value *name = json_get(item, "name");
    const struct json_value *arguments = json_get(item, "arguments");
    if (!id || id->type != JSON_STRING)
        return wrong(c, i, "call_id", "a string");
    if (!name || name->type != JSON_STRING)
        return wrong(c, i, "name", "a string");
    if (!arguments || arguments->type != JSON_STRING)
        return wrong(c, i, "arguments", "a string");
    if (c->in_calls) {
        text_buffer_append_text(&c->out, ",");
    } else {
        begin_message(c, "assistant");
        text_buffer_append_text(&c->out, ",\"content\":null,\"tool_calls\":[");
        c->in_calls = true;
    }
    text_buffer_append_text(&c->out, "{\"id\":");
    write_text(c, id);
    text_buffer_append_text(&c->out, ",\"type\":\"function\",\"function\":{\"name\":");
    write_text(c, name);
    text_buffer_append_text(&c->out, ",\"arguments\":");
    write_text(c, arguments);
    text_buffer_append_text(&c->out, "}}");
    return STATUS_OK;
}

static enum status add_call_output(struct converter *c, uint32_t i, const struct json_value *item)
{
    const struct json_value *id = json_get(item, "call_id");
    if (!id || id->type != JSON_STRING)
        return wrong(c, i, "call_id", "a string");
    begin_message(c, "tool");
    text_buffer_append_text(&c->out, ",\"tool_call_id\":");
    write_text(c, id);
    text_buffer_append_text(&c->out, ",\"content\":");
    enum status st = write_content(c, i, json_get(item, "output"));
    text_buffer_append_text(&c->out, "}");
    return st;
}

static void add_thinking(struct converter *c, const struct json_value *item)
{
    const struct json_value *content = json_get_present(item, "content");
    for (uint32_t i = 0; content && content->type == JSON_ARRAY && i < content->n; i++) {
        const struct json_value *text = json_get(&content->items[i], "text");
        if (text && text->type == JSON_STRING)
            text_buffer_append(&c->thinking, text->text, text->length);
    }
}

static enum status add_item(struct converter *c, uint32_t i, const struct json_value *item)
{
    const struct json_value *type = json_get_present(item, "type");
    if (!type || json_string_is(type, "message"))
        return add_message(c, i, item);
    if (json_string_is(type, "function_call"))
        return add_call(c, i, item);
    if (json_string_is(type, "function_call_output"))
        return add_call_output(c, i, item);
    if (!json_string_is(type, "reasoning"))
        return wrong(c, i, "type",
                     "\"message\", \"function_call\", \"function_call_output\" or \"reasoning\"");
    add_thinking(c, item);
    return STATUS_OK;
}

static enum status write_messages(struct converter *c, const struct openai_fields *f)
{
    enum status st = STATUS_OK;
    text_buffer_append_text(&c->out, "{\"messages\":[");
    if (f->instructions) {
        begin_message(c, "system");
        text_buffer_append_text(&c->out, ",\"content\":");
        write_text(c, f->instructions);
        text_buffer_append_text(&c->out, "}");
    }
    if (f->input && f->input->type == JSON_STRING) {
        begin_message(c, "user");
        text_buffer_append_text(&c->out, ",\"content\":");
        write_text(c, f->input);
        text_buffer_append_text(&c->out, "}");
    } else if (f->input && f->input->type == JSON_ARRAY && f->input->n > 0) {
        for (uint32_t i = 0; i < f->input->n && st == STATUS_OK; i++)
            st = add_item(c, i, &f->input->items[i]);
    } else {
        st = error_set(c->err, STATUS_INVALID_ARGUMENT,
                       "input: must be a string or an array of items");
    }
    end_calls(c);
    text_buffer_append_text(&c->out, "]");
    return st;
}

// A tool has its function's members beside its type.
static void write_tools(struct converter *c, const struct json_value *tools)
{
    text_buffer_append_text(&c->out, ",\"tools\":[");
    for (uint32_t i = 0; i < tools->n; i++) {
        text_buffer_append_text(&c->out, i ? ",{\"type\":" : "{\"type\":");
        const struct json_value *type = json_get(&tools->items[i], "type");
        if (type)
            json_write(&c->out, type);
        else
            text_buffer_append_text(&c->out, "null");
        text_buffer_append_text(&c->out, ",\"function\":");
        json_write(&c->out, &tools->items[i]);
        text_buffer_append_text(&c->out, "}");
    }
    text_buffer_append_text(&c->out, "]");
}

static void write_tool_choice(struct converter *c, const struct json_value *choice)
{
    const struct json_value *name = json_get(choice, "name");
    text_buffer_append_text(&c->out, ",\"tool_choice\":");
    if (!json_string_is(json_get(choice, "type"), "function") || !name) {
        json_write(&c->out, choice);
        return;
    }
    text_buffer_append_text(&c->out, "{\"type\":\"function\",\"function\":{\"name\":");
    json_write(&c->out, name);
    text_buffer_append_text(&c->out, "}}");
}

static void write_format(struct converter *c, const struct json_value *format)
{
    text_buffer_append_text(&c->out, ",\"response_format\":{\"type\":");
    const struct json_value *type = json_get(format, "type");
    if (type)
        json_write(&c->out, type);
    else
        text_buffer_append_text(&c->out, "null");
    text_buffer_append_text(&c->out, ",\"json_schema\":");
    json_write(&c->out, format);
    text_buffer_append_text(&c->out, "}");
}

static enum status check_state(const struct openai_fields *f, struct error *err)
{
    if (f->background)
        return error_set(err, STATUS_UNIMPLEMENTED, "background: answers are not kept");
    if (f->truncation && !json_string_is(f->truncation, "disabled"))
        return error_set(err, STATUS_UNIMPLEMENTED, "truncation: only \"disabled\" is served");
    const struct json_value *effort = json_get_present(f->reasoning, "effort");
    if (effort && effort->type != JSON_STRING)
        return error_set(err, STATUS_INVALID_ARGUMENT, "reasoning.effort: must be a string");
    // A summary is what a server may give: the reasoning itself is there.
    static const char *const of_reasoning[] = {"effort", "summary", "generate_summary", NULL};
    static const char *const of_text[] = {"format", NULL};
    enum status st = openai_check_members("reasoning", f->reasoning, of_reasoning, err);
    if (st == STATUS_OK)
        st = openai_check_members("text", f->text, of_text, err);
    return st;
}

enum status openai_responses_convert(struct openai_fields *f, struct json_document **out,
                                     struct error *err)
{
    static const struct json_limits limits = {.max_depth = MAX_DEPTH};
    struct converter c = {.err = err};
    enum status st = check_state(f, err);
    if (st == STATUS_OK)
        st = write_messages(&c, f);
    if (st == STATUS_OK && f->tools)
        write_tools(&c, f->tools);
    if (st == STATUS_OK && f->tool_choice)
        write_tool_choice(&c, f->tool_choice);
    const struct json_value *format = json_get_present(f->text, "format");
    if (st == STATUS_OK && format)
        write_format(&c, format);
    text_buffer_append_text(&c.out, "}");
    if (st == STATUS_OK)
        st = json_parse(c.out.data, c.out.length, &limits, out, err);
    if (st == STATUS_OK) {
        const struct json_value *chat = json_root(*out);
        f->messages = json_get(chat, "messages");
        f->tools = json_get(chat, "tools");
        f->tool_choice = json_get(chat, "tool_choice");
        f->response_format = json_get(chat, "response_format");
        f->reasoning_effort = json_get_present(f->reasoning, "effort");
    }
    text_buffer_finish(&c.thinking);
    text_buffer_finish(&c.out);
    return st;
}
