/* gateway/tokenizer_archive.h - what another program needs to render chats and to tokenize as this
 * server does, as one ZIP archive: the checkpoint's tokenizer and configuration files, and the chat
 * template that is served, wherever it came from, as chat_template.jinja.
 *
 * Thread: constant once it is made. */
#ifndef GEMMAD_GATEWAY_TOKENIZER_ARCHIVE_H
#define GEMMAD_GATEWAY_TOKENIZER_ARCHIVE_H

#include "base/status.h"
#include "base/text_buffer.h"

#define TOKENIZER_ARCHIVE_MAX_FILE_BYTES ((size_t)256 << 20)

struct tokenizer_archive {
    struct text_buffer bytes;
    char sha256[65]; /* of bytes, in hex */
};

/* Reads folder. INTERNAL: a file cannot be read, or is larger than the limit; files that are not
 * there are left out. chat_template may be NULL. */
NODISCARD enum status tokenizer_archive_create(const char *folder, const char *chat_template,
                                               size_t n_chat_template,
                                               struct tokenizer_archive **out, struct error *err);
void tokenizer_archive_destroy(struct tokenizer_archive *archive); /* NULL is fine */

#endif
