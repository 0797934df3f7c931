/* client/input.h - the text a command works on: an argument, a file or standard input, byte for
 * byte. Thread: the main thread. */
#ifndef GEMMAD_CLIENT_INPUT_H
#define GEMMAD_CLIENT_INPUT_H

#include "base/text_buffer.h"
#include "client/settings.h"

#define INPUT_MAX_BYTES ((size_t)64 << 20)

/* Appends the whole file; path "-" is standard input. NOT_FOUND, PERMISSION_DENIED: cannot be
 * read. RESOURCE_EXHAUSTED: more than INPUT_MAX_BYTES. */
NODISCARD enum status input_read_file(const char *path, struct text_buffer *out, struct error *err);
/* Appends argument, or standard input if it is NULL or "-"; a person at a terminal is told. */
NODISCARD enum status input_read(const char *argument, struct text_buffer *out, struct error *err);
/* Appends the text that --chat-json, --file or else argument says (in this order); --chat-json may
 * be a file or JSON text. */
NODISCARD enum status input_read_prompt(const struct settings *settings, const char *argument,
                                        struct text_buffer *out, struct error *err);

#endif
