/* tests/fuzz/fuzz_regex.c - a byte of options, a pattern, a NUL, a text. What matches must be
 * UTF-8, or the inside of a JSON string; a whole match is a match of a search. */
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/utf8.h"
#include "text/grammar/regex.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static bool matches(struct expression_pool *pool, uint32_t expression, const char *text, size_t n)
{
    for (size_t i = 0; i < n; i++)
        expression = expression_derive(pool, expression, (uint8_t)text[i]);
    return expression_is_nullable(pool, expression) && !expression_pool_overflowed(pool);
}

static bool is_json_string(const char *text, size_t n)
{
    struct text_buffer quoted = {0};
    struct json_document *document = NULL;
    text_buffer_append(&quoted, "\"", 1);
    text_buffer_append(&quoted, text, n);
    text_buffer_append(&quoted, "\"", 1);
    bool is = json_parse(quoted.data, quoted.length, NULL, &document, NULL) == STATUS_OK &&
              json_root(document)->type == JSON_STRING;
    json_document_destroy(document);
    text_buffer_finish(&quoted);
    return is;
}

static bool run(const char *pattern, size_t n, struct regex_options options, const char *text,
                size_t n_text, bool *out_matches)
{
    struct expression_pool *pool = expression_pool_create(1 << 14);
    struct error err = {0};
    uint32_t expression;
    enum status st = regex_parse(pool, pattern, n, &options, &expression, &err);
    CHECK(st == STATUS_OK || (st == STATUS_INVALID_ARGUMENT && err.message[0]));
    *out_matches = st == STATUS_OK && matches(pool, expression, text, n_text);
    if (*out_matches)
        CHECK(options.json_string ? is_json_string(text, n_text) : utf8_valid(text, n_text, NULL));
    bool usable = st == STATUS_OK && !expression_pool_overflowed(pool);
    expression_pool_destroy(pool);
    return usable;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    if (n == 0)
        return 0;
    const char *pattern = (const char *)data + 1, *end = memchr(pattern, 0, n - 1);
    size_t n_pattern = end ? (size_t)(end - pattern) : n - 1;
    const char *text = end ? end + 1 : pattern;
    size_t n_text = (size_t)((const char *)data + n - text);
    struct regex_options options = {
        .json_string = data[0] & 1, .ignore_case = data[0] & 2, .dot_all = data[0] & 4};
    bool whole, found;
    bool usable = run(pattern, n_pattern, options, text, n_text, &whole);
    options.search = true;
    usable = run(pattern, n_pattern, options, text, n_text, &found) && usable;
    CHECK(!usable || !whole || found);
    return 0;
}
