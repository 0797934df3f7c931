/* text/detokenizer.c - pending holds only a prefix of a well-formed character: anything else is
 * answered with U+FFFD at once, so a stream never waits for bytes that cannot help. */
#include "text/detokenizer.h"

#include <string.h>

#include "base/utf8.h"

#define REPLACEMENT "\xEF\xBF\xBD"

void detokenizer_init(struct detokenizer *detokenizer, const struct tokenizer *tokenizer,
                      bool skip_special)
{
    *detokenizer = (struct detokenizer){.tokenizer = tokenizer, .skip_special = skip_special};
}

static size_t length_by_first_byte(unsigned char byte)
{
    return byte < 0xC2 ? 1 : byte < 0xE0 ? 2 : byte < 0xF0 ? 3 : byte < 0xF5 ? 4 : 1;
}

// Appends what is decided about the pending bytes and keeps the rest.
static void take_characters(struct detokenizer *d, struct text_buffer *out)
{
    while (d->n_pending > 0) {
        uint32_t code_point;
        size_t length = utf8_decode(d->pending, d->n_pending, &code_point);
        size_t whole = length_by_first_byte((unsigned char)d->pending[0]);
        if (length == d->n_pending && length < whole)
            return; // a good beginning
        if (length == whole && utf8_valid(d->pending, length, NULL))
            text_buffer_append(out, d->pending, length);
        else
            text_buffer_append_text(out, REPLACEMENT);
        d->n_pending = (uint8_t)(d->n_pending - length);
        memmove(d->pending, d->pending + length, d->n_pending);
    }
}

void detokenizer_push(struct detokenizer *d, uint32_t id, struct text_buffer *out)
{
    size_t n;
    bool is_byte;
    const char *bytes = tokenizer_token_bytes(d->tokenizer, id, &n, &is_byte);
    if (!bytes)
        return;
    if (is_byte) {
        d->pending[d->n_pending++] = bytes[0];
        take_characters(d, out);
        return;
    }
    detokenizer_flush(d, out);
    if (!(d->skip_special && tokenizer_is_hidden(d->tokenizer, id)))
        text_buffer_append(out, bytes, n);
}

void detokenizer_flush(struct detokenizer *d, struct text_buffer *out)
{
    if (d->n_pending > 0)
        text_buffer_append_text(out, REPLACEMENT);
    d->n_pending = 0;
}
