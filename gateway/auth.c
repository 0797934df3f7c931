/* gateway/auth.c - keys are known by their hashes, so what is compared has one length, and which
 * bytes of a hash match says nothing about the key. The comparison is constant in time all the
 * same: it reads every line to its end. */
#include "gateway/auth.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <openssl/crypto.h>
#include <openssl/evp.h>

#include "base/mem.h"

#define HASH_BYTES 32

struct auth_key {
    char name[AUTH_MAX_NAME_BYTES + 1];
    unsigned char hash[HASH_BYTES];
};

struct auth {
    size_t n;
    struct auth_key keys[AUTH_MAX_KEYS];
};

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool read_hash(const char *hex, size_t n, unsigned char *out)
{
    if (n != 2 * (size_t)HASH_BYTES)
        return false;
    for (size_t i = 0; i < HASH_BYTES; i++) {
        int high = hex_digit(hex[2 * i]);
        int low = hex_digit(hex[2 * i + 1]);
        if (high < 0 || low < 0)
            return false;
        out[i] = (unsigned char)(high << 4 | low);
    }
    return true;
}

static bool is_name(const char *name, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (name[i] <= ' ' || name[i] > '~')
            return false;
    return n > 0 && n <= AUTH_MAX_NAME_BYTES;
}

// NULL, or what is wrong with the line.
static const char *read_line(const char *line, size_t n, struct auth_key *out)
{
    const char *colon = memchr(line, ':', n);
    if (!colon)
        return "want NAME:sha256:HEX";
    size_t n_name = (size_t)(colon - line);
    if (!is_name(line, n_name))
        return "the name before the colon: want 1 to 64 visible ASCII characters";
    static const char tag[] = "sha256:";
    const char *rest = colon + 1;
    size_t n_rest = n - n_name - 1;
    if (n_rest < sizeof tag - 1 || memcmp(rest, tag, sizeof tag - 1) != 0)
        return "want sha256: behind the name; keys stand here by their hashes alone";
    if (!read_hash(rest + sizeof tag - 1, n_rest - (sizeof tag - 1), out->hash))
        return "want 64 hex digits behind sha256:";
    memcpy(out->name, line, n_name);
    out->name[n_name] = '\0';
    return NULL;
}

static const char *add_line(struct auth *auth, const char *line, size_t n)
{
    if (auth->n == AUTH_MAX_KEYS)
        return "too many keys";
    const char *wrong = read_line(line, n, &auth->keys[auth->n]);
    if (wrong)
        return wrong;
    for (size_t i = 0; i < auth->n; i++)
        if (strcmp(auth->keys[i].name, auth->keys[auth->n].name) == 0)
            return "this name is there already";
    auth->n++;
    return NULL;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

enum status auth_parse(const char *text, size_t n, const char *name, struct auth **out,
                       struct error *err)
{
    struct auth *auth = mem_zeroed(1, sizeof *auth);
    const char *wrong = NULL;
    size_t at = 0;
    unsigned number = 0;
    while (at < n && !wrong) {
        const char *line = text + at;
        const char *end = memchr(line, '\n', n - at);
        size_t length = end ? (size_t)(end - line) : n - at;
        at += length + 1;
        number++;
        while (length > 0 && is_blank(line[length - 1]))
            length--;
        while (length > 0 && is_blank(line[0])) {
            line++;
            length--;
        }
        if (length > 0 && line[0] != '#')
            wrong = add_line(auth, line, length);
    }
    if (wrong)
        error_set(err, STATUS_INVALID_ARGUMENT, "%s:%u: %s", name, number, wrong);
    else if (auth->n == 0)
        error_set(err, STATUS_INVALID_ARGUMENT, "%s: there is no key in it", name);
    if (wrong || auth->n == 0) {
        auth_destroy(auth);
        return STATUS_INVALID_ARGUMENT;
    }
    *out = auth;
    return STATUS_OK;
}

void auth_destroy(struct auth *auth)
{
    free(auth);
}

static bool has_key(const struct auth *auth, const char *key, size_t n)
{
    unsigned char hash[HASH_BYTES];
    if (n > AUTH_MAX_KEY_BYTES)
        return false;
    CHECK(EVP_Digest(key, n, hash, NULL, EVP_sha256(), NULL) == 1);
    bool found = false;
    for (size_t i = 0; i < auth->n; i++)
        found |= CRYPTO_memcmp(hash, auth->keys[i].hash, HASH_BYTES) == 0;
    return found;
}

// The scheme's name is written in any case.
static bool has_bearer(const struct auth *auth, const char *value, size_t n)
{
    static const char scheme[] = "bearer";
    size_t at = sizeof scheme - 1;
    if (n <= at || strncasecmp(value, scheme, at) != 0 || value[at] != ' ')
        return false;
    while (at < n && value[at] == ' ')
        at++;
    return has_key(auth, value + at, n - at);
}

enum status auth_check(const struct auth *auth, const struct auth_headers *headers,
                       struct error *err)
{
    bool found = !auth;
    if (!found && headers->authorization)
        found = has_bearer(auth, headers->authorization, headers->n_authorization);
    if (!found && headers->api_key)
        found = has_key(auth, headers->api_key, headers->n_api_key);
    if (!found)
        return error_set(err, STATUS_UNAUTHENTICATED,
                         headers->authorization || headers->api_key
                             ? "the API key is not one of this server's"
                             : "an API key is needed: authorization: Bearer KEY");
    return STATUS_OK;
}
