/* gateway/openai_messages.c - the template drops parts of a content that it does not know, so what
 * would be lost is refused here. */
#include "gateway/openai_messages.h"

#include <string.h>

#include "gateway/chat_media.h"

static enum status check_part(const struct json_value *part, bool takes_media, uint32_t message,
                              uint32_t i, struct error *err)
{
    const struct json_value *type = json_get(part, "type");
    bool is_media = chat_media_is_part(part);
    if (is_media && takes_media)
        return STATUS_OK;
    if (is_media)
        return error_set(err, STATUS_UNIMPLEMENTED,
                         "messages[%u].content[%u]: %s: how many tokens it is, is not told here",
                         message, i, type->text);
    if (json_string_is(type, "file") || json_string_is(type, "input_file"))
        return error_set(err, STATUS_UNIMPLEMENTED,
                         "messages[%u].content[%u]: %s: files are not served", message, i,
                         type->text);
    if (!json_string_is(type, "text"))
        return error_set(err, STATUS_INVALID_ARGUMENT,
                         "messages[%u].content[%u].type: must be \"text\"", message, i);
    const struct json_value *text = json_get(part, "text");
    if (!text || text->type != JSON_STRING)
        return error_set(err, STATUS_INVALID_ARGUMENT,
                         "messages[%u].content[%u].text: must be a string", message, i);
    return STATUS_OK;
}

static enum status check_message(const struct json_value *message, bool takes_media, uint32_t i,
                                 struct error *err)
{
    const struct json_value *content = json_get_present(message, "content");
    if (!content || content->type == JSON_STRING)
        return STATUS_OK;
    if (content->type != JSON_ARRAY)
        return error_set(err, STATUS_INVALID_ARGUMENT,
                         "messages[%u].content: must be a string or an array of parts", i);
    enum status st = STATUS_OK;
    for (uint32_t k = 0; k < content->n && st == STATUS_OK; k++)
        st = check_part(&content->items[k], takes_media, i, k, err);
    return st;
}

enum status openai_messages_check(const struct json_value *messages, bool takes_media,
                                  struct error *err)
{
    if (!messages || messages->type != JSON_ARRAY || messages->n == 0)
        return error_set(err, STATUS_INVALID_ARGUMENT, "messages: at least one is needed");
    enum status st = STATUS_OK;
    for (uint32_t i = 0; i < messages->n && st == STATUS_OK; i++)
        st = check_message(&messages->items[i], takes_media, i, err);
    return st;
}

static void add(struct openai_chat *chat, const char *key, const struct json_value *value)
{
    if (value)
        chat->members[chat->root.n++] = (struct json_member){key, strlen(key), *value};
}

void openai_chat_init(struct openai_chat *out, const struct openai_fields *fields,
                      const struct json_value *tools)
{
    out->root = (struct json_value){.type = JSON_OBJECT, .members = out->members};
    add(out, "messages", fields->messages);
    add(out, "tools", tools);
    add(out, "chat_template_kwargs", fields->chat_template_kwargs);
    add(out, "mm_processor_kwargs", fields->mm_processor_kwargs);
    add(out, "reasoning_effort", fields->reasoning_effort);
    add(out, "add_generation_prompt", fields->add_generation_prompt);
}
