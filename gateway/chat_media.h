/* gateway/chat_media.h - the media in a chat's messages: parts of a content of these types,
 *
 *     image_url, input_image {"image_url": {"url": URI, "detail": "low"}} or {"image_url": URI}
 *     video_url {"video_url": {"url": URI}}, audio_url likewise
 *     input_audio {"input_audio": {"data": BASE64, "format": "wav"}}
 *     image, video, audio {"image": URI}, {"url": URI}, or nothing: the next one that was given
 *                         beside the chat
 *
 * become sources, and bare parts ({"type": "image"}) that the template puts placeholders for.
 * Thread: any. */
#ifndef GEMMAD_GATEWAY_CHAT_MEDIA_H
#define GEMMAD_GATEWAY_CHAT_MEDIA_H

#include "base/json.h"
#include "gateway/media_source.h"

struct chat_media {
    struct json_value request;    /* what chat_render takes; points into the request it is of */
    struct media_sources sources; /* in the order of the messages */
    void **blocks;
    size_t n_blocks, blocks_capacity;
};

/* Whether a part of a content is of one of the types above. */
bool chat_media_is_part(const struct json_value *part);

/* request: as chat_render takes it, with the member mm_processor_kwargs {"max_soft_tokens": N} for
 * all images that do not say it themselves. given: what came beside the chat; all of it must be
 * asked for. What else is wrong with messages chat_render says.
 * INVALID_ARGUMENT: "messages[0].content[1].image_url: ..." On failure out needs no finish. */
NODISCARD enum status chat_media_read(struct chat_media *out, const struct json_value *request,
                                      const struct media_sources *given, struct error *err);
void chat_media_finish(struct chat_media *media);

#endif
