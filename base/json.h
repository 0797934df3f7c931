/* base/json.h - JSON as it was written: key order, duplicate keys' last value at the first
 * position, and numbers as their own text, because templates print integers of any size verbatim.
 *
 * A document owns one copy of the text and an arena of values; all pointers into it live until
 * json_document_destroy. Parsing is iterative (no recursion on input), strict RFC 8259: one value,
 * well-formed UTF-8, no trailing commas, lone surrogate escapes refused.
 * Thread: a parsed document is read-only and may be shared. */
#ifndef GEMMAD_BASE_JSON_H
#define GEMMAD_BASE_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "base/text_buffer.h"

enum json_type {
    JSON_NULL,
    JSON_FALSE,
    JSON_TRUE,
    JSON_NUMBER,
    JSON_STRING,
    JSON_ARRAY,
    JSON_OBJECT
};

struct json_value {
    enum json_type type;
    uint32_t n;    /* JSON_ARRAY, JSON_OBJECT: members. */
    size_t length; /* JSON_STRING: bytes of text (NUL may occur). JSON_NUMBER: characters. */
    union {
        const char *text;                  /* JSON_STRING: unescaped UTF-8; JSON_NUMBER: as written;
                                              both NUL-terminated */
        const struct json_value *items;    /* JSON_ARRAY: [n] */
        const struct json_member *members; /* JSON_OBJECT: [n], in order */
    };
};

struct json_member {
    const char *key; /* unescaped UTF-8, NUL-terminated */
    size_t key_length;
    struct json_value value;
};

struct json_limits {
    size_t max_bytes;   /* of text; 0: 1 GiB, which is also the most */
    uint32_t max_depth; /* nested containers; 0: 128; at most 1024 */
    bool unique_keys;   /* a key that an object holds twice is refused, and named */
};

struct json_document;

/* Parses bytes[0..n). INVALID_ARGUMENT: "line 3, column 14: expected ':' after a key" and the
 * like, also for a limit. limits may be NULL. On failure *out is untouched. */
NODISCARD enum status json_parse(const char *bytes, size_t n, const struct json_limits *limits,
                                 struct json_document **out, struct error *err);
void json_document_destroy(struct json_document *document); /* NULL is fine */
const struct json_value *json_root(const struct json_document *document);

/* Reads and parses a whole file; messages begin with the path. NOT_FOUND: no such file. */
NODISCARD enum status json_parse_file(const char *path, const struct json_limits *limits,
                                      struct json_document **out, struct error *err);

/* The member of that name, or NULL: absent, or object is NULL or no object. A linear look up for
 * small objects, a hash for large ones. json_get_present treats JSON null as absent too. */
const struct json_value *json_get(const struct json_value *object, const char *key);
const struct json_value *json_get_present(const struct json_value *object, const char *key);

/* The object with value as its i-th member's, everything else shared with it; *out_block is what
 * the caller frees when the copy is done with. */
struct json_value json_replace_member(const struct json_value *object, uint32_t i,
                                      const struct json_value *value, void **out_block);

/* Numbers: exact conversions. json_int64 is false when the value is no number, has a fraction or
 * exponent, or is out of range. json_double takes any number (correctly rounded; overflow false).
 * json_is_integer: a number written without '.', 'e', 'E'. */
bool json_int64(const struct json_value *value, int64_t *out);
bool json_double(const struct json_value *value, double *out);
bool json_is_integer(const struct json_value *value);
bool json_bool(const struct json_value *value, bool *out);
bool json_string_is(const struct json_value *value, const char *text);

/* Appends "text" with quotes and the escapes JSON needs; bytes is well-formed UTF-8, which is
 * written as it is. */
void json_write_string(struct text_buffer *out, const char *bytes, size_t n);
/* Appends value compactly ("," and ":" without blanks), numbers as written. */
void json_write(struct text_buffer *out, const struct json_value *value);

#endif
