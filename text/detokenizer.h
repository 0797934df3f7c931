/* text/detokenizer.h - token ids to text as they come, never half a character.
 *
 * Byte tokens go through an incremental UTF-8 decoder: a character comes out when it is complete,
 * one U+FFFD per maximal ill-formed subpart; a pending part is flushed as U+FFFD when a non-byte
 * token follows or at the end. So the concatenated deltas equal the text of all ids at once.
 * skip_special leaves out the specials that are hidden (tokenizer_is_hidden).
 * Thread: the owner's; a plain value, no memory. */
#ifndef GEMMAD_TEXT_DETOKENIZER_H
#define GEMMAD_TEXT_DETOKENIZER_H

#include "base/text_buffer.h"
#include "text/tokenizer.h"

struct detokenizer {
    const struct tokenizer *tokenizer;
    bool skip_special;
    uint8_t n_pending; /* bytes of an incomplete character */
    char pending[4];
};

void detokenizer_init(struct detokenizer *detokenizer, const struct tokenizer *tokenizer,
                      bool skip_special);
/* Appends what id completes to out (maybe nothing). An id without an entry adds nothing. */
void detokenizer_push(struct detokenizer *detokenizer, uint32_t id, struct text_buffer *out);
/* The end of the stream: appends U+FFFD for a pending partial character. */
void detokenizer_flush(struct detokenizer *detokenizer, struct text_buffer *out);

#endif
