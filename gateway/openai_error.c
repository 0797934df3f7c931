/* gateway/openai_error.c - messages name their field first ("temperature=3: must be ..."), so param
 * need not be carried beside them. */
#include "gateway/openai_error.h"

#include <stdbool.h>
#include <string.h>

#include "base/json.h"

static const struct answer_code {
    unsigned http;
    const char *type, *code;
} codes[] = {
    [STATUS_CANCELLED] = {499, "cancelled_error", "cancelled"},
    [STATUS_INVALID_ARGUMENT] = {400, "invalid_request_error", "invalid_value"},
    [STATUS_DEADLINE_EXCEEDED] = {504, "server_error", "timeout"},
    [STATUS_NOT_FOUND] = {404, "invalid_request_error", "not_found"},
    [STATUS_ALREADY_EXISTS] = {409, "invalid_request_error", "already_exists"},
    [STATUS_PERMISSION_DENIED] = {403, "permission_error", "permission_denied"},
    [STATUS_RESOURCE_EXHAUSTED] = {429, "rate_limit_error", "rate_limit_exceeded"},
    [STATUS_FAILED_PRECONDITION] = {400, "invalid_request_error", "failed_precondition"},
    [STATUS_OUT_OF_RANGE] = {400, "invalid_request_error", "out_of_range"},
    [STATUS_UNIMPLEMENTED] = {501, "invalid_request_error", "unimplemented"},
    [STATUS_UNAVAILABLE] = {503, "server_error", "unavailable"},
    [STATUS_UNAUTHENTICATED] = {401, "authentication_error", "invalid_api_key"},
};

static struct answer_code find_code(enum status status)
{
    if ((size_t)status < sizeof codes / sizeof codes[0] && codes[status].http)
        return codes[status];
    return (struct answer_code){500, "server_error", "internal_error"};
}

unsigned openai_error_http_code(enum status status)
{
    return find_code(status).http;
}

// The length of the field's name at the start of a message, 0: there is none.
static size_t field_length(const char *message)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyz0123456789_.[]$";
    size_t n = strspn(message, letters);
    if (message[n] == ':' || (message[n] == '=' && n > 0))
        return n;
    return 0;
}

void openai_error_write(struct text_buffer *out, const struct error *err)
{
    struct answer_code code = find_code(err->status);
    size_t n = code.http == 400 || code.http == 404 || code.http == 501 ? field_length(err->message)
                                                                        : 0;
    text_buffer_append_text(out, "{\"error\":{\"message\":");
    json_write_string(out, err->message, strlen(err->message));
    text_buffer_append_format(out, ",\"type\":\"%s\",\"param\":", code.type);
    if (n > 0)
        json_write_string(out, err->message, n);
    else
        text_buffer_append_text(out, "null");
    bool no_model = err->status == STATUS_NOT_FOUND && n == strlen("model");
    text_buffer_append_format(out, ",\"code\":\"%s\"}}", no_model ? "model_not_found" : code.code);
}
