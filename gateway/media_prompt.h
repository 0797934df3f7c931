/* gateway/media_prompt.h - the placeholders of media in a prompt, made as many as their soft tokens
 * (gemma4-model.md sections 5.2, 5.4):
 *
 *     <|image|>   <|image> n * <|image|> <image|>
 *     <|audio|>   <|audio> n * <|audio|> <audio|>
 *     <|video|>   frames, one space between them, each: MM:SS <|image> n * <|video|> <image|>
 *
 * The k-th placeholder of a kind stands for the k-th medium of the kind. A frame's time is text
 * that is encoded together with what stands beside it, so videos are written into the text, all
 * else into the ids. Ids may also hold an image, a clip or a frame already expanded. Thread: the
 * encoder's. */
#ifndef GEMMAD_GATEWAY_MEDIA_PROMPT_H
#define GEMMAD_GATEWAY_MEDIA_PROMPT_H

#include "engine/request.h"
#include "gateway/media_load.h"
#include "gateway/prompt.h"

/* Whether a rendered chat has as many placeholders as there are sources of each kind; those that
 * the client wrote do not count. INVALID_ARGUMENT: it has not, with both numbers. */
NODISCARD enum status media_prompt_check(const struct gateway_model *model,
                                         const struct template_output *rendered,
                                         const struct media_sources *sources, struct error *err);

/* Writes the videos' frames into the text in place of their placeholders, as text of the server. */
void media_prompt_write_videos(const struct gateway_model *model, const struct media_list *media,
                               struct template_output *rendered);

/* Appends ids with all placeholders expanded to list; *out_parts [*out_n_parts] is the caller's to
 * free(). INVALID_ARGUMENT: other placeholders than media, or an expanded run of another length. */
NODISCARD enum status media_prompt_place(const struct gateway_model *model,
                                         struct tokenizer_encoder *encoder,
                                         const struct media_list *media, const uint32_t *ids,
                                         size_t n, struct token_list *list,
                                         struct request_part **out_parts, size_t *out_n_parts,
                                         struct error *err);

#endif
