/* gateway/openai_error.h - a status as the OpenAI API says it: an HTTP code and an object that
 * names the field. Thread: any. */
#ifndef GEMMAD_GATEWAY_OPENAI_ERROR_H
#define GEMMAD_GATEWAY_OPENAI_ERROR_H

#include "base/text_buffer.h"

unsigned openai_error_http_code(enum status status);

/* Appends {"error":{"message":..,"type":..,"param":..,"code":..}}. param is the field that the
 * message begins with, as most do, or null. */
void openai_error_write(struct text_buffer *out, const struct error *err);

#endif
