/* base/text_buffer.h - bytes that grow: rendered prompts, JSON answers, log lines.
 *
 * Zero-initialise to start ({0} is an empty buffer); data is NUL-terminated once anything was
 * appended, and may contain NUL bytes itself (use length). */
#ifndef GEMMAD_BASE_TEXT_BUFFER_H
#define GEMMAD_BASE_TEXT_BUFFER_H

#include <stddef.h>

#include "base/status.h"

struct text_buffer {
    char *data; /* NULL while empty and never written */
    size_t length;
    size_t capacity;
};

void text_buffer_append(struct text_buffer *buffer, const void *bytes, size_t n);
void text_buffer_append_text(struct text_buffer *buffer, const char *text);
void text_buffer_append_format(struct text_buffer *buffer, const char *format, ...)
    PRINTF_LIKE(2, 3);
void text_buffer_clear(struct text_buffer *buffer);  /* length 0, memory kept */
void text_buffer_finish(struct text_buffer *buffer); /* frees; the buffer is empty again */
/* Hands the bytes (never NULL) to the caller, who frees them; the buffer is empty again. */
char *text_buffer_release(struct text_buffer *buffer);

#endif
