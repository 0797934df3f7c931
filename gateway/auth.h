/* gateway/auth.h - API keys: who may call. One check for both front ends.
 *
 * The daemon reads a text with one key a line, `NAME:sha256:HEX`: a name that says whose it is, and
 * the SHA-256 of the key in 64 hex digits, so that who reads the file cannot call (keys are random,
 * as `gemmactl key NAME` makes them; a word that can be guessed is no key). Blank lines and lines
 * that begin with # are skipped. A key is compared with every line, whatever matches, in a time
 * that depends on the number of lines alone.
 * Thread: any; constant once it is made. */
#ifndef GEMMAD_GATEWAY_AUTH_H
#define GEMMAD_GATEWAY_AUTH_H

#include <stddef.h>

#include "base/status.h"

#define AUTH_MAX_KEYS 1024
#define AUTH_MAX_NAME_BYTES 64
#define AUTH_MAX_KEY_BYTES 512 /* of what a client sends */
#define AUTH_MAX_FILE_BYTES ((size_t)1 << 20)

struct auth;

/* name stands for the text in messages. INVALID_ARGUMENT: "FILE:LINE: ..." what is wrong there (no
 * word of the line), or there is no key at all, which would lock everybody out. */
NODISCARD enum status auth_parse(const char *text, size_t n, const char *name, struct auth **out,
                                 struct error *err);
void auth_destroy(struct auth *auth); /* NULL is fine */

/* The values of the headers `authorization` ("Bearer KEY") and `x-api-key` ("KEY"), both of which
 * clients use; NULL: there is none. Not NUL-terminated. */
struct auth_headers {
    const char *authorization;
    size_t n_authorization;
    const char *api_key;
    size_t n_api_key;
};

/* OK if one of the headers has one of the keys; auth NULL: there are no keys, everybody may call.
 * UNAUTHENTICATED: why, with nothing of what was sent. */
NODISCARD enum status auth_check(const struct auth *auth, const struct auth_headers *headers,
                                 struct error *err);

#endif
