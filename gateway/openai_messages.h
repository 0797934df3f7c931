/* gateway/openai_messages.h - a chat's messages as the template wants them (text/chat.h).
 *
 * Thread: any. */
#ifndef GEMMAD_GATEWAY_OPENAI_MESSAGES_H
#define GEMMAD_GATEWAY_OPENAI_MESSAGES_H

#include "gateway/openai_fields.h"

#define OPENAI_CHAT_MAX_MEMBERS 5

/* The object that chat_render takes. Its values are the body's. */
struct openai_chat {
    struct json_value root;
    struct json_member members[OPENAI_CHAT_MAX_MEMBERS];
};

/* INVALID_ARGUMENT: none, or one whose content is of no known kind; what else is wrong with them
 * chat_render says. UNIMPLEMENTED: images, audio, video, files. */
NODISCARD enum status openai_messages_check(const struct json_value *messages, struct error *err);

/* out stays where it is. tools: for the template, or NULL. */
void openai_chat_init(struct openai_chat *out, const struct openai_fields *fields,
                      const struct json_value *tools);

#endif
