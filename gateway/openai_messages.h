/* gateway/openai_messages.h - a chat's messages as the template wants them (text/chat.h).
 *
 * Thread: any. */
#ifndef GEMMAD_GATEWAY_OPENAI_MESSAGES_H
#define GEMMAD_GATEWAY_OPENAI_MESSAGES_H

#include "gateway/openai_fields.h"

#define OPENAI_CHAT_MAX_MEMBERS 6

/* The object that chat_render takes. Its values are the body's. */
struct openai_chat {
    struct json_value root;
    struct json_member members[OPENAI_CHAT_MAX_MEMBERS];
};

/* takes_media: images, video and audio too (gateway/chat_media.h). INVALID_ARGUMENT: none, or one
 * whose content is of no known kind; what else is wrong with them chat_render and chat_media_read
 * say. UNIMPLEMENTED: files, and media where they are not taken. */
NODISCARD enum status openai_messages_check(const struct json_value *messages, bool takes_media,
                                            struct error *err);

/* out stays where it is. tools: for the template, or NULL. */
void openai_chat_init(struct openai_chat *out, const struct openai_fields *fields,
                      const struct json_value *tools);

#endif
