/* base/text_buffer.c - doubling growth; a NUL is kept behind the last byte so that data can be
 * printed as it is. */
#include "base/text_buffer.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

void text_buffer_append(struct text_buffer *buffer, const void *bytes, size_t n)
{
    mem_reserve(&buffer->data, &buffer->capacity, buffer->length + n + 1, 1);
    if (n)
        memcpy(buffer->data + buffer->length, bytes, n);
    buffer->length += n;
    buffer->data[buffer->length] = '\0';
}

void text_buffer_append_text(struct text_buffer *buffer, const char *text)
{
    text_buffer_append(buffer, text, strlen(text));
}

void text_buffer_append_format(struct text_buffer *buffer, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    va_list again;
    va_copy(again, args);
    int n = vsnprintf(NULL, 0, format, args);
    va_end(args);
    CHECK(n >= 0);
    mem_reserve(&buffer->data, &buffer->capacity, buffer->length + (size_t)n + 1, 1);
    vsnprintf(buffer->data + buffer->length, (size_t)n + 1, format, again);
    va_end(again);
    buffer->length += (size_t)n;
}

void text_buffer_clear(struct text_buffer *buffer)
{
    buffer->length = 0;
    if (buffer->data)
        buffer->data[0] = '\0';
}

void text_buffer_finish(struct text_buffer *buffer)
{
    free(buffer->data);
    *buffer = (struct text_buffer){0};
}

char *text_buffer_release(struct text_buffer *buffer)
{
    if (!buffer->data)
        text_buffer_append(buffer, "", 0);
    char *data = buffer->data;
    *buffer = (struct text_buffer){0};
    return data;
}
